"""The layout of frame folders that all programs read, and what is refused in it."""

import json
import shutil

import cv2
import numpy as np
import pytest

from data_prep import ucsd_ped
from data_prep.lib import frames
from vadjax.data.clips import Videos
from vadjax.data.store.records import Dataset
from vadjax.data.video.pictures import Levels

LABELS = np.array([0, 0, 1, 1, 0, 0, 0] + [1, 1, 0, 0, 0])


def prepare(root, **options):
    out = root.parent / "prepared"
    frames.write(frames.read_layout(root), out, name="set", **options)
    return Dataset(out)


def refused(root, message, error=ValueError, **options):
    with pytest.raises(error, match=message):
        prepare(root, **options)
    assert [path.name for path in root.parent.iterdir()] == [root.name]  # nothing left behind


@pytest.mark.parametrize("shape", [(12,), (1, 12), (12, 1)])
def test_label_arrays_of_one_or_two_dimensions(frame_tree, shape):
    np.save(frame_tree / "frame_labels_set.npy", LABELS.reshape(shape))
    first, second = Videos(prepare(frame_tree), "test")
    np.testing.assert_array_equal(first.labels, LABELS[:7])
    np.testing.assert_array_equal(second.labels, LABELS[7:])


def test_training_frames_are_normal_and_test_frames_may_be_unknown(frame_tree):
    data = prepare(frame_tree)
    assert not any(video.labels.any() for video in Videos(data, "train"))
    assert [video.labels for video in Videos(data, "test")] == [None, None]
    assert data.splits["test"]["unlabelled"] == 12


def test_masks_boxes_tracks_intervals(frame_tree, write_images, masks_of):
    for name, count, start in (("01", 7, 2), ("02", 5, 0)):
        masks = masks_of(count, start, start + 2)
        write_images(frame_tree / "testing/masks" / name, count, "{:03d}.png", images=masks)
    intervals = {"01": [[2, 4]], "02": [[0, 2]]}
    (frame_tree / "testing/anomalous_frames.json").write_text(json.dumps(intervals))
    for split, count in (("training", 2), ("testing", 3)):
        (frame_tree / split / "detections").mkdir()
        rows = "frame,x0,y0,x1,y1,confidence\n" + "0,1.5,2,3,4,0.5\n" * count
        (frame_tree / split / "detections/01.csv").write_text(rows)
    (frame_tree / "tracks").mkdir()
    (frame_tree / "tracks/01.txt").write_text("0,2,10,4,19,8\n0,3,10,4,19,8\n")
    data = prepare(frame_tree)
    first, second = Videos(data, "test")
    for video in (first, second):
        shown = [video.mask(frame).any() for frame in range(len(video))]
        np.testing.assert_array_equal(video.labels, shown)
    np.testing.assert_array_equal(first.boxes, [[0, 1.5, 2, 3, 4, 0.5]] * 3)
    np.testing.assert_array_equal(first.tracks[:, 1], [2, 3])
    assert second.boxes is None and second.tracks is None
    train = Videos(data, "train")[0]
    assert len(train.boxes) == 2 and train.tracks is None  # tracks are those of the test videos


def test_names_from_1_give_the_same_dataset(frame_tree, tmp_path):
    np.save(frame_tree / "frame_labels_set.npy", LABELS)
    other = tmp_path / "other" / "source"
    shutil.copytree(frame_tree, other)
    for folder in other.glob("*/frames/*"):
        for path in sorted(folder.iterdir(), reverse=True):
            path.rename(path.with_name(f"{int(path.stem) + 1:03d}.jpg"))
    a, b = prepare(frame_tree), prepare(other)
    assert a.splits == b.splits  # the same shards, byte for byte


def test_labels_of_another_length(frame_tree):
    np.save(frame_tree / "frame_labels_set.npy", LABELS[:10])
    refused(frame_tree, "10 labels, but the 2 videos have 12 frames: for video 02 with 5 frames 3")
    np.save(frame_tree / "frame_labels_set.npy", np.append(LABELS, 0))
    refused(frame_tree, "13 labels, .* for video 02 with 5 frames 6 labels are left")


def test_label_files_that_are_refused(frame_tree, tmp_path):
    path = frame_tree / "frame_labels_set.npy"
    np.save(path, LABELS + 1)
    refused(frame_tree, "labels other than 0 and 1")
    np.save(path, LABELS.reshape(2, 6))
    refused(frame_tree, r"int64 \(2, 6\); expected \[frames\] or \[1, frames\]")
    np.save(path, np.array([{"a": 1}], object), allow_pickle=True)
    refused(frame_tree, "not a readable array")
    path.write_bytes(b"")
    refused(frame_tree, "not a readable array")
    shutil.copy(path, frame_tree / "frame_labels_other.npy")
    refused(frame_tree, "frame_labels_other.npy, frame_labels_set.npy; say which .*--labels")
    with pytest.raises(FileNotFoundError, match="no such file .--labels"):
        frames.read_layout(frame_tree, tmp_path / "none.npy")


def test_intervals_that_are_refused(frame_tree):
    path = frame_tree / "testing/anomalous_frames.json"
    path.write_text(json.dumps({"01": [[2, 8]], "02": []}))
    refused(frame_tree, r"video 01: interval \[2, 8\) is not within its 7 frames")
    path.write_text(json.dumps({"01": []}))
    refused(frame_tree, "no entry for 02")
    path.write_text(json.dumps({"01": [], "02": [], "03": []}))
    refused(frame_tree, "no video for 03")


def test_a_file_that_is_no_image(frame_tree):
    (frame_tree / "training/frames/02/003.jpg").write_bytes(b"broken")
    refused(frame_tree, r"frames/02/003\.jpg: not a readable image")
    (frame_tree / "training/frames/02/notes.txt").write_text("x")
    refused(frame_tree, r"notes\.txt: not an image")


def test_a_file_between_the_videos(frame_tree):
    (frame_tree / "training/frames/list.txt").write_text("x")
    refused(frame_tree, r"list\.txt: neither a folder of frames nor a video")


def test_empty_folders(frame_tree):
    (frame_tree / "testing/frames/03").mkdir()
    refused(frame_tree, r"frames/03: empty; expected the frames of a video")
    shutil.rmtree(frame_tree / "testing/frames")
    refused(frame_tree, "has no folder test/frames or testing/frames", FileNotFoundError)
    (frame_tree / "testing/frames").mkdir()
    refused(frame_tree, "testing/frames: empty; expected one folder of frames a video")


def test_frames_of_two_sizes(frame_tree, write_images):
    write_images(frame_tree / "training/frames/02", 1, first=8, size=(12, 36))
    refused(frame_tree, r"02/008\.jpg: 12 x 36 pixels .* expected 24 x 36 as in .*000\.jpg")
    write_images(frame_tree / "training/frames/02", 9, size=(12, 36))
    refused(frame_tree, r"000\.jpg: 12 x 36 pixels, but the first video has 24 x 36; .*--size")
    assert prepare(frame_tree, size=(24, 36)).manifest["size"] == [24, 36]


def test_masks_of_another_size_or_number(frame_tree, write_images, masks_of):
    folder = frame_tree / "testing/masks/01"
    write_images(folder, 6, "{:03d}.png", images=masks_of(6, 0, 2))
    refused(frame_tree, "video 01: 6 masks for 7 frames")
    write_images(folder, 7, "{:03d}.png", images=masks_of(7, 0, 2, size=(48, 72)))
    refused(frame_tree, r"masks/01/000\.png: 48 x 72 .* expected 24 x 36 as in its frame")


def test_short_videos_are_left_out_on_request(frame_tree, capsys):
    np.save(frame_tree / "frame_labels_set.npy", LABELS)
    data = prepare(frame_tree, min_frames=6)
    assert [video.name for video in Videos(data, "test")] == ["01"]
    assert "test: left out, fewer than 6 frames: 02" in capsys.readouterr().out


def test_errors_end_the_program_with_one_line(tmp_path, frame_tree):
    with pytest.raises(SystemExit, match="error: .*nowhere: no such folder .--data"):
        ucsd_ped.main(["--data", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit, match="error: .* exists and is left as it is"):
        ucsd_ped.main(["--data", str(frame_tree), "--out", str(frame_tree)])


THERMAL = np.random.default_rng(0).integers(7000, 7400, (8, 24, 36)).astype(np.uint16)


@pytest.fixture
def thermal_tree(tmp_path, write_images):
    """As `frame_tree`, of 16 bits and 400 levels."""
    root = tmp_path / "thermal" / "source"
    for folder in ("training/frames/01", "testing/frames/01"):
        write_images(root / folder, 8, "{:03d}.png", images=THERMAL)
    return root


def test_frames_of_16_bits_need_levels(thermal_tree):
    refused(thermal_tree, r"000\.png: uint16 with values from 70\d\d to 73\d\d.*--levels LOW,HIGH")


def test_levels_are_kept_in_the_manifest(thermal_tree, write_images):
    out = thermal_tree.parent / "prepared"
    ucsd_ped.main(["--data", str(thermal_tree), "--out", str(out), "--levels=7000,7400"])
    data = Dataset(out)
    assert data.manifest["levels"] == [7000, 7400]
    expected = np.rint((THERMAL.astype(float) - 7000) * 255 / 400)
    for frame, pixels in enumerate(Videos(data, "test")[0]):
        np.testing.assert_array_equal(pixels[..., 0], expected[frame])
    shutil.rmtree(out)
    write_images(thermal_tree / "testing/frames/01", 1, "{:03d}.png", first=3)
    refused(
        thermal_tree,
        "003.png: a picture of 8 bits, but --levels 7000,7400",
        levels=Levels(7000, 7400),
    )


def test_levels_are_not_for_video_files(thermal_tree):
    (thermal_tree / "testing/frames/02.mp4").touch()
    refused(thermal_tree, "video 02: a video file has 8 bits", levels=Levels(7000, 7400))
    assert "levels" not in prepare_8_bits(thermal_tree).manifest


def prepare_8_bits(root):
    """The same tree after its pictures have become 8 bits."""
    (root / "testing/frames/02.mp4").unlink()
    for path in root.glob("*/frames/*/*.png"):
        cv2.imwrite(str(path), cv2.imread(str(path)))
    return prepare(root)


def test_masks_of_any_kind_give_the_same_labels(frame_tree, write_images, masks_of):
    """Numbers of instances in 16 bits, JPEG, and arrays in MATLAB's order."""
    masks = masks_of(7, 2, 5)
    kinds = {
        "png": lambda: write_images(
            frame_tree / "testing/masks/01", 7, "{}.png", images=masks.astype(np.uint16) // 255
        ),
        "jpg": lambda: write_images(frame_tree / "testing/masks/01_gt", 7, images=masks),
        "npy": lambda: np.save(frame_tree / "testing/masks/01.npy", np.moveaxis(masks, 0, 2)),
    }
    for write in kinds.values():
        (frame_tree / "testing/masks").mkdir()
        write()
        video = Videos(prepare(frame_tree), "test")[0]
        np.testing.assert_array_equal(video.labels, [0, 0, 1, 1, 1, 0, 0])
        for frame in range(7):
            np.testing.assert_array_equal(video.mask(frame), masks[frame] > 0)
        shutil.rmtree(frame_tree / "testing/masks")
        shutil.rmtree(frame_tree.parent / "prepared")


def test_masks_of_one_video_in_two_forms(frame_tree, write_images, masks_of):
    write_images(frame_tree / "testing/masks/01", 7, "{}.png", images=masks_of(7, 2, 5))
    np.save(frame_tree / "testing/masks/01.npy", masks_of(7, 2, 5))
    refused(frame_tree, r"masks/01 and .*masks/01\.npy: both are masks of 01")


@pytest.mark.parametrize("place", ["masks", "frames"])
def test_annotations_of_ubnormal(frame_tree, write_images, place):
    folder = frame_tree / f"testing/{place}/01_annotations"
    values = np.zeros((24, 36), np.uint8)
    values[4:9, 10:20], values[15:20, 0:5] = 7, 8
    write_images(folder, 7, "01_{:04d}_gt.png", images=[values] * 7)
    (folder / "01_tracks.txt").write_text("7,2,4\n")
    video, other = Videos(prepare(frame_tree), "test")
    np.testing.assert_array_equal(video.labels, [0, 0, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(video.mask(3), values == 7)
    assert other.labels is None


def test_scenes_of_ubnormal(frame_tree, write_images):
    """The videos and their masks in folders by scene, as they are published."""
    scene = frame_tree / "testing/frames/Scene1"
    for name in ("01", "02"):
        (frame_tree / "testing/frames" / name).rename(
            frame_tree / "testing/frames" / f"abnormal_scene_1_scenario_{name}"
        )
    scene.mkdir()
    for path in (frame_tree / "testing/frames").glob("abnormal*"):
        path.rename(scene / path.name)
    name = "abnormal_scene_1_scenario_01"
    values = np.full((24, 36), 7, np.uint8)
    write_images(scene / f"{name}_annotations", 7, f"{name}_{{:04d}}_gt.png", images=[values] * 7)
    (scene / f"{name}_annotations" / f"{name}_tracks.txt").write_text("7,6,6\n")
    video, other = Videos(prepare(frame_tree), "test")
    assert (video.name, other.name) == (name, "abnormal_scene_1_scenario_02")
    np.testing.assert_array_equal(video.labels, [0, 0, 0, 0, 0, 0, 1])
    assert other.labels is None


def test_labels_by_name_are_checked_on_both_sides(frame_tree, tmp_path):
    path = tmp_path / "labels.npz"
    rows = {"01": LABELS[:7], "02": LABELS[7:]}
    np.savez(path, **rows)
    frames.write(frames.read_layout(frame_tree, path), tmp_path / "out", name="set")
    for video in Videos(Dataset(tmp_path / "out"), "test"):
        np.testing.assert_array_equal(video.labels, rows[video.name])
    for wrong, message in (
        ({"01": rows["01"]}, "no labels for 02"),
        (rows | {"03": [0]}, "labels for 03, not among the videos"),
        (rows | {"02": rows["02"][1:]}, "video 02: 4 labels for 5 frames"),
    ):
        np.savez(path, **wrong)
        with pytest.raises(ValueError, match=message):
            frames.read_layout(frame_tree, path)
