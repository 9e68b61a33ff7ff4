import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

from tests.helpers.places import ROOT
from vadjax.data.clips import Frames, Videos, Windows, window_batches
from vadjax.data.store import loader
from vadjax.data.store.frame_writer import SourceVideo, write_frames
from vadjax.data.store.loader import Shard
from vadjax.data.store.records import Dataset
from vadjax.data.video.boxes import read_boxes
from vadjax.data.video.reader import Picture

SIZE = (24, 36)
ALONE = Shard()


def pictures(name: str, count: int, channels: int = 3, seed: int = 0) -> list[Picture]:
    """Random frames; with one channel all three are equal."""
    rng = np.random.default_rng([seed, count])
    shape = (count, *SIZE, channels)
    pixels = np.broadcast_to(rng.integers(0, 256, shape, np.uint8), (count, *SIZE, 3))
    return [Picture(np.ascontiguousarray(p), f"{name}/{i:03d}.png") for i, p in enumerate(pixels)]


def masks_of(name: str, count: int, anomalous: range) -> list[Picture]:
    masks = np.zeros((count, *SIZE), bool)
    masks[anomalous.start : anomalous.stop, 3:9, 5:11] = True
    return [Picture(mask, f"masks/{name}/{i}") for i, mask in enumerate(masks)]


def make_splits() -> dict:
    train = [SourceVideo(n, pictures(n, t), np.zeros(t, np.uint8)) for n, t in (("b", 7), ("a", 9))]
    boxes = np.array([[0, 1.25, 2, 10.5, 12, 0.875], [11, 0, 0, 4, 4, 1]], np.float32)
    tracks = np.array([[0, 4, 5, 3, 10, 8], [0, 5, 5, 3, 10, 8]])
    test = [
        SourceVideo(
            "x",
            pictures("x", 12, channels=1),
            masks=masks_of("x", 12, range(4, 6)),
            boxes=boxes,
            tracks=tracks,
            kinds={0: "cart"},
        ),
        SourceVideo("y", pictures("y", 6)),
    ]
    return {"train": train, "test": test}


def expected(split: str) -> list[np.ndarray]:
    return [np.stack([p.pixels for p in video.frames]) for video in make_splits()[split]]


@pytest.fixture(scope="module", params=["array_record", "tfrecord"])
def dataset(request, tmp_path_factory) -> Dataset:
    out = tmp_path_factory.mktemp("frames") / "set"
    write_frames(out, make_splits(), name="random", file_format=request.param, shards=2)
    return Dataset(out)


def test_manifest_counts(dataset):
    train, test = dataset.splits["train"], dataset.splits["test"]
    assert (dataset.kind, dataset.name, dataset.manifest["size"]) == ("frames", "random", [24, 36])
    assert (train["records"], train["normal"], train["anomalous"]) == (16, 16, 0)
    assert (test["records"], test["normal"], test["anomalous"], test["unlabelled"]) == (
        18,
        10,
        2,
        6,
    )
    assert [(video["name"], video["frames"]) for video in train["videos"]] == [("b", 7), ("a", 9)]
    assert len(train["shards"]) == 2


def test_raw_frames_read_back_identically(dataset):
    for split in ("train", "test"):
        for video, frames in zip(Videos(dataset, split), expected(split), strict=True):
            np.testing.assert_array_equal(np.stack(list(video)), frames)
            np.testing.assert_array_equal(video[3], frames[3])


def test_grey_frames_are_stored_as_one_channel(dataset):
    records = dataset.records("test")
    assert len(records[0]["image"]) == 24 * 36
    assert len(records[12]["image"]) == 24 * 36 * 3


def test_labels_masks_boxes_tracks(dataset):
    x, y = Videos(dataset, "test")
    np.testing.assert_array_equal(x.labels, [0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0])
    assert x.labels.dtype == np.uint8
    assert y.labels is None and y.mask(0) is None and y.boxes is None and y.tracks is None
    for frame, mask in enumerate(masks_of("x", 12, range(4, 6))):
        np.testing.assert_array_equal(x.mask(frame), mask.pixels)
    source = make_splits()["test"][0]
    np.testing.assert_array_equal(x.boxes, source.boxes)
    np.testing.assert_array_equal(x.tracks, source.tracks)
    np.testing.assert_array_equal(x.region_truth.tracks, source.tracks)
    assert x.region_truth.frame_size == x.source_size and y.region_truth.tracks is None
    assert x.kinds == {0: "cart"} and x.source_size == SIZE and x.has_masks
    np.testing.assert_array_equal(Videos(dataset, "train")[0].labels, np.zeros(7))
    assert (dataset.folder / "tracks/test/x.txt").read_text() == "0,4,5,3,10,8\n0,5,5,3,10,8\n"


def test_windows_never_cross_videos(dataset):
    windows, frames = Windows(dataset, "train", 5), expected("train")
    assert len(windows) == (7 - 4) + (9 - 4)
    places = [(int(w["video"]), int(w["start"])) for w in windows]
    assert places == [(0, s) for s in range(3)] + [(1, s) for s in range(5)]
    for window, (video, start) in zip(windows, places, strict=True):
        np.testing.assert_array_equal(window["frames"], frames[video][start : start + 5])


def test_windows_of_a_video_read_each_frame_once(dataset, monkeypatch):
    video, frames, reads = Videos(dataset, "test")[0], expected("test")[0], []
    read = Frames.read
    monkeypatch.setattr(Frames, "read", lambda s, i, out: reads.append(i) or read(s, i, out))
    found = list(video.windows(5))
    assert len(found) == 8 and reads == list(range(12))
    for start, window in enumerate(found):
        np.testing.assert_array_equal(window, frames[start : start + 5])


def test_scoring_holds_no_more_than_a_window(tmp_path):
    """Peak memory of a pass does not depend on the length of the video."""
    import tracemalloc

    peaks = []
    for count in (30, 120):
        out = tmp_path / str(count)
        write_frames(out, {"test": [SourceVideo("v", pictures("v", count))]}, name="v")
        (video,) = Videos(Dataset(out), "test")
        tracemalloc.start()
        for _ in video.windows(5):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def batches(dataset, count, seed=0, shard=ALONE, threads=0):
    it = loader.iterate(window_batches(dataset, "train", 5, 2, seed, shard), threads)
    return [next(it) for _ in range(count)]


def test_batches(dataset):
    batch = batches(dataset, 1)[0]
    assert batch["frames"].shape == (2, 5, 24, 36, 3) and batch["frames"].dtype == np.uint8
    assert batch["video"].shape == batch["start"].shape == (2,)
    first, again, other = (batches(dataset, 6, seed) for seed in (3, 3, 4))
    threaded = batches(dataset, 6, 3, threads=2)

    def order(found):
        return [list(zip(b["video"].tolist(), b["start"].tolist(), strict=True)) for b in found]

    assert order(first) == order(again) == order(threaded) != order(other)
    one_pass = sum(order(batches(dataset, 4)), [])  # 8 windows, each once
    assert len(set(one_pass)) == 8


def test_processes_make_parts_of_the_same_batches(dataset):
    halves = [batches(dataset, 6, shard=Shard(index, 2)) for index in (0, 1)]
    for whole, *parts in zip(batches(dataset, 6), *halves, strict=True):
        for name, expected in whole.items():
            np.testing.assert_array_equal(np.concatenate([own[name] for own in parts]), expected)


def test_reading_goes_on_at_any_batch(dataset):
    it = loader.iterate(window_batches(dataset, "train", 5, 2, 0, Shard()))
    next(it)
    expected_next = next(it)
    other = loader.iterate(window_batches(dataset, "train", 5, 2, 0, Shard()), first=1)
    np.testing.assert_array_equal(next(other)["frames"], expected_next["frames"])


def test_tfds_opens_the_folder(dataset):
    builder = tfds.builder_from_directory(str(dataset.folder))
    assert builder.info.splits["train"].num_examples == 16
    if dataset.manifest["format"] == "array_record":
        example = builder.as_data_source("test")[4]
        np.testing.assert_array_equal(example["image"][..., 0], expected("test")[0][4][..., 0])
        assert example["label"] == 1 and example["frame"] == 4
        np.testing.assert_array_equal(
            example["mask"][0][..., 0] > 0, masks_of("x", 12, range(4, 6))[4].pixels
        )


def test_jpeg_keeps_the_files_bytes(tmp_path):
    content = [cv2.imencode(".jpg", p.pixels[..., ::-1])[1].tobytes() for p in pictures("v", 3)]
    decoded = [cv2.imdecode(np.frombuffer(c, np.uint8), cv2.IMREAD_COLOR) for c in content]
    frames = [
        Picture(np.ascontiguousarray(d[..., ::-1]), "f", c)
        for d, c in zip(decoded, content, strict=True)
    ]
    write_frames(tmp_path / "set", {"test": [SourceVideo("v", frames)]}, name="v", encoding="jpeg")
    data = Dataset(tmp_path / "set")
    assert [data.records("test")[i]["image"] for i in range(3)] == content
    for frame, pixels in zip(Videos(data, "test")[0], decoded, strict=True):
        np.testing.assert_array_equal(frame, pixels[..., ::-1])
    source = tfds.builder_from_directory(str(tmp_path / "set")).as_data_source("test")
    assert source[1]["image"].shape == (24, 36, 3)


def test_resized_frames(tmp_path):
    for encoding, channels, atol in (("raw", 3, 0), ("jpeg", 1, 16)):
        frames = pictures("v", 3, channels)
        video = SourceVideo("v", frames, masks=masks_of("v", 3, range(1, 2)))
        out = tmp_path / encoding
        write_frames(out, {"test": [video]}, name="v", size=(16, 20), encoding=encoding)
        (found,) = Videos(Dataset(out), "test")
        assert (found.size, found.source_size) == ((16, 20), SIZE)
        assert found.mask(1).shape == SIZE
        for frame, picture in zip(found, video.frames, strict=True):
            resized = cv2.resize(picture.pixels, (20, 16), interpolation=cv2.INTER_LINEAR)
            np.testing.assert_allclose(frame.astype(int), resized.astype(int), atol=atol)


def test_indices_out_of_range(dataset):
    video = Videos(dataset, "test")[1]
    with pytest.raises(IndexError, match="y: frame 6 of 6"):
        video[6]
    with pytest.raises(IndexError, match="window 8 of 8"):
        Windows(dataset, "train", 5)[8]


def test_video_shorter_than_the_window(dataset):
    message = r"shorter than a window of 8 frames: b \(7 frames\); .*--min_frames 8"
    with pytest.raises(ValueError, match=message):
        window_batches(dataset, "train", 8, 2, 0, Shard())
    with pytest.raises(ValueError, match=r"window of 13 frames: x \(12 frames\)"):
        next(Videos(dataset, "test")[0].windows(13))


def test_truncated_shard_and_changed_tracks(dataset, tmp_path):
    out = tmp_path / "copy"
    shutil.copytree(dataset.folder, out)
    shard = next(out.glob("*-train.*-00001-*"))
    content = shard.read_bytes()
    shard.write_bytes(content[:-1000])
    with pytest.raises(ValueError, match=rf"{shard.name}: .*truncated or overwritten; copy the"):
        Dataset(out)
    shard.write_bytes(content)
    Dataset(out)
    (out / "tracks/test/x.txt").write_text("0,4,5,3,10,8\n0,5,5,3,10,9\n")
    with pytest.raises(ValueError, match=r"x\.txt: SHA-256"):
        Dataset(out)


def test_same_examples_same_bytes_in_another_process(dataset, tmp_path):
    """The order of the features in a record must not depend on the process."""
    code = (
        "import sys, json; sys.path.insert(0, sys.argv[2])\n"
        "from tests.data import test_clips as t\n"
        "t.write_frames(sys.argv[1], t.make_splits(), name='random', shards=2,"
        f" file_format={dataset.manifest['format']!r})"
    )
    given = [str(tmp_path / "set"), str(ROOT)]
    subprocess.run([sys.executable, "-c", code, *given], check=True)
    assert Dataset(tmp_path / "set").splits == dataset.splits


def refused(tmp_path, message, *videos, **options):
    with pytest.raises(ValueError, match=message):
        write_frames(tmp_path / "set", {"test": list(videos)}, name="v", **options)
    assert not list(tmp_path.iterdir())  # nothing is left behind


def test_writer_refuses(tmp_path):
    frames = pictures("v", 4)
    small = Picture(frames[2].pixels[:12], "v/002.png")
    refused(
        tmp_path,
        r"v/002\.png: 12 x 36 pixels .* expected 24 x 36 as in the first frame v/000",
        SourceVideo("v", [*frames[:2], small]),
    )
    refused(
        tmp_path,
        "002.png: 12 x 36 pixels, but the first video has 24 x 36; .*--size 24x36",
        SourceVideo("u", frames),
        SourceVideo("v", [small]),
    )
    refused(tmp_path, "video v: 3 labels for 4 frames", SourceVideo("v", frames, np.zeros(3)))
    refused(
        tmp_path,
        "video v: 3 labels for more than 3",
        SourceVideo("v", iter_of(frames), np.zeros(3)),
    )
    refused(tmp_path, "video v: labels other than 0", SourceVideo("v", frames, np.full(4, 2)))
    masks = masks_of("v", 4, range(1))
    refused(tmp_path, "video v: 3 masks for 4 frames", SourceVideo("v", frames, masks=masks[:3]))
    masks = [Picture(mask.pixels[:12], mask.source) for mask in masks]
    refused(
        tmp_path,
        r"masks/v/0: 12 x 36 .* expected 24 x 36 as in its frame v/000\.png",
        SourceVideo("v", frames, masks=masks),
    )
    tracks = np.array([[0, 0, 1, 1, 2, 2], [0, 4, 1, 1, 2, 2]])
    refused(
        tmp_path,
        "video v: tracks of frames 0 to 4, but its 4 frames are 0 to 3",
        SourceVideo("v", frames, tracks=tracks),
    )
    refused(tmp_path, "two videos named 'v'", SourceVideo("v", frames), SourceVideo("v", frames))
    refused(
        tmp_path,
        "encoding 'gif'; expected one of raw, jpeg",
        SourceVideo("v", frames),
        encoding="gif",
    )
    refused(tmp_path, "'test' has no video")


class iter_of:  # noqa: N801
    """Frames whose number is not known before they are read."""

    def __init__(self, frames):
        self.frames = frames

    def __iter__(self):
        return iter(self.frames)


def test_labels_that_are_not_those_of_the_masks_are_kept_with_a_warning(tmp_path):
    video = SourceVideo("v", pictures("v", 4), np.ones(4), masks_of("v", 4, range(1)))
    with pytest.warns(UserWarning, match="video v: the labels of 3 of 4 frames"):
        write_frames(tmp_path / "set", {"test": [video]}, name="v")
    np.testing.assert_array_equal(Videos(Dataset(tmp_path / "set"), "test")[0].labels, np.ones(4))


def test_existing_folder_is_kept(dataset):
    with pytest.raises(FileExistsError, match="left as it is"):
        write_frames(dataset.folder, make_splits(), name="v")


def test_boxes_with_missing_columns(tmp_path):
    (tmp_path / "v.csv").write_text("frame,x0,y0,x1\n0,1,2,3\n")
    with pytest.raises(ValueError, match="expected the columns frame,x0,y0,x1,y1,confidence"):
        read_boxes(tmp_path / "v.csv")
    (tmp_path / "v.csv").write_text("frame,x0,y0,x1,y1,confidence\n0,1,2,3\n")
    with pytest.raises(ValueError, match=r"v\.csv:2: 4 columns, expected 6 \(frame,"):
        read_boxes(tmp_path / "v.csv")
