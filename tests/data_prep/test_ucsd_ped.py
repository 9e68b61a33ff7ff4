import json

import cv2
import numpy as np
import pytest

from data_prep import ucsd_ped
from vadjax.data.clips import Videos, Windows
from vadjax.data.store.records import Dataset

LENGTHS = [180, 180, 150, 180, 150, 180, 180, 180, 120, 150, 180, 180]


@pytest.fixture(scope="module")
def prepared(ped2, tmp_path_factory) -> Dataset:
    """Real Ped2 as JPEG, the files' own bytes."""
    out = tmp_path_factory.mktemp("ped2") / "set"
    ucsd_ped.prepare(ped2, out, encoding="jpeg")
    return Dataset(out)


@pytest.mark.slow
def test_real_counts(prepared):
    train, test = prepared.splits["train"], prepared.splits["test"]
    assert (train["records"], len(train["videos"]), train["anomalous"]) == (2550, 16, 0)
    assert (test["records"], len(test["videos"]), test["anomalous"]) == (2010, 12, 1648)
    assert [video["frames"] for video in test["videos"]] == LENGTHS
    assert len(Windows(prepared, "train", 5)) == 2486
    assert len(Windows(prepared, "test", 5)) == 1962


@pytest.mark.slow
def test_real_labels_are_those_of_the_masks(prepared):
    dropped = 0
    for video in Videos(prepared, "test"):
        masks = np.stack([video.mask(frame) for frame in range(len(video))])
        np.testing.assert_array_equal(video.labels, masks.any((1, 2)))
        dropped += int(video.labels[4:].sum())
    assert dropped == 1620  # without the first four frames of each video


@pytest.mark.slow
def test_real_frames_boxes_and_tracks(prepared, ped2):
    for split, folder, number, frame in (("train", "training", 15, 0), ("test", "testing", 8, 119)):
        video = Videos(prepared, split)[number]
        path = ped2 / folder / "frames" / video.name / f"{frame:03d}.jpg"
        np.testing.assert_array_equal(video[frame], cv2.imread(str(path))[..., ::-1])
        assert video.size == (240, 360)
        expected = np.loadtxt(
            ped2 / folder / f"detections/{video.name}.csv",
            delimiter=",",
            skiprows=1,
            dtype=np.float32,
        )
        np.testing.assert_array_equal(video.boxes, expected)
    tracks = [video.tracks for video in Videos(prepared, "test")]
    assert sum(len(rows) for rows in tracks) == 2410
    assert sum(len(np.unique(rows[:, 0])) for rows in tracks) == 21


@pytest.fixture
def original(tmp_path, write_images, masks_of):
    """The original layout: TIF frames from 001, masks of one video only, the .m file."""
    root = tmp_path / "UCSD_Anomaly_Dataset.v1p2" / "UCSDped2"
    for name, count in (
        ("Train/Train001", 6),
        ("Train/Train002", 5),
        ("Test/Test001", 9),
        ("Test/Test002", 7),
    ):
        write_images(root / name, count, "{:03d}.tif", first=1)
        (root / name / "._001.tif").write_bytes(b"left by a file browser")
    masks = masks_of(9, 2, 5)
    write_images(root / "Test/Test001_gt", 9, "{:03d}.bmp", first=1, images=masks)
    (root / "Test/UCSDped2.m").write_text(
        "TestVideoFile = {};\n"
        "TestVideoFile{end+1}.gt_frame = [3:5];\nTestVideoFile{end+1}.gt_frame = [1:2, 6:7];\n"
    )
    return root


def test_original_layout(original, tmp_path):
    ucsd_ped.prepare(original.parent, tmp_path / "out")
    data = Dataset(tmp_path / "out")
    train, (first, second) = Videos(data, "train"), Videos(data, "test")
    assert [(video.name, len(video)) for video in train] == [("Train001", 6), ("Train002", 5)]
    np.testing.assert_array_equal(first.labels, [0, 0, 1, 1, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(second.labels, [1, 1, 0, 0, 0, 1, 1])
    assert first.mask(2).any() and not first.mask(5).any() and second.mask(0) is None
    for rank, frame in enumerate(first, 1):
        grey = cv2.imread(str(original / f"Test/Test001/{rank:03d}.tif"), cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(frame, np.stack([grey] * 3, -1))


def test_original_layout_refuses(original, tmp_path, write_images):
    path = original / "Test/UCSDped2.m"
    path.write_text("TestVideoFile{end+1}.gt_frame = [3:5];\n")
    with pytest.raises(ValueError, match=r"UCSDped2\.m: 1 entries for 2 test videos"):
        ucsd_ped.prepare(original, tmp_path / "out")
    path.write_text("% gt_frame\nTestVideoFile{end+1}.gt_frame = 3;\n")
    with pytest.raises(ValueError, match=r"UCSDped2\.m:2: .*expected gt_frame = \[61:180\];"):
        ucsd_ped.prepare(original, tmp_path / "out")
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"0 \.m files, expected one"):
        ucsd_ped.prepare(original, tmp_path / "out")
    write_images(original.with_name("UCSDped1") / "Train/Train001", 3)
    with pytest.raises(ValueError, match="holds 2 datasets; name one: --data .*UCSDped1 or"):
        ucsd_ped.prepare(original.parent, tmp_path / "out")


def test_command_line(frame_tree, tmp_path, capsys):
    intervals = {"01": [[2, 4]], "02": []}
    (frame_tree / "testing/anomalous_frames.json").write_text(json.dumps(intervals))
    out = tmp_path / "out"
    ucsd_ped.main(
        [
            "--data",
            str(frame_tree),
            "--out",
            str(out),
            "--size",
            "16x24",
            "--format",
            "tfrecord",
            "--shards",
            "2",
            "--name",
            "mini",
        ]
    )
    data = Dataset(out)
    assert (data.name, data.manifest["format"], data.manifest["size"]) == (
        "mini",
        "tfrecord",
        [16, 24],
    )
    printed = capsys.readouterr().out
    assert "test: 2 videos, 12 frames (2 anomalous, 10 normal), 2 shards" in printed
