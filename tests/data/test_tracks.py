"""Datasets of tracks: what is written is read again, and what cannot be is refused."""

import json

import numpy as np
import pytest

from vadjax.data import tracks
from vadjax.data.store.records import Dataset
from vadjax.data.store.track_writer import VideoTracks, write_tracks
from vadjax.data.toy.datasets import write_toy_tracks
from vadjax.data.toy.tracks import ToyTracks
from vadjax.data.tracks import TrackedVideos

ROWS = np.array([[0, 3, 1.5, 2, 11.25, 30], [0, 4, 5, 5, 6, 7], [2, 3, 2, 2, 12, 30.5]])


def write(out, rows=ROWS, **fields):
    videos = [
        VideoTracks("a", 4, rows, np.array([0, 1, 1, 0], np.uint8)),
        VideoTracks("b", 2, np.zeros((0, 6))),
    ]
    settings = {"name": "x", "size": (40, 50)} | fields
    return write_tracks(out, {"test": videos}, **settings)


@pytest.mark.parametrize("file_format", ["array_record", "tfrecord"])
def test_what_is_written_is_read_again(tmp_path, file_format):
    write(tmp_path / "d", fps=24.0, file_format=file_format)
    data = Dataset(tmp_path / "d")
    assert data.kind == tracks.KIND and data.manifest["fps"] == 24
    one, other = TrackedVideos(data, "test")
    np.testing.assert_array_equal(one.rows, ROWS)
    assert one.labels.tolist() == [0, 1, 1, 0] and len(one) == one.num_frames == 4
    assert one.size == one.source_size == (40, 50) and one.region_truth is None
    assert other.rows.shape == (0, 6) and other.labels is None and other.num_frames == 2
    with pytest.raises(IndexError, match="video 2 of 2"):
        TrackedVideos(data, "test")[2]
    split = data.splits["test"]
    assert [split[key] for key in ("records", "anomalous", "normal", "unlabelled")] == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("place", "value", "problem"),
    [
        ((0, 0), 4, "its 4 frames are 0 to 3"),
        ((0, 0), -1, "a frame that it has not"),
        ((0, 1), 3.5, "no whole number"),
        ((1, 2), 6, "width or height 0 or less"),
        ((2, 5), np.nan, "NaN or infinite"),
        ((1, 1), 3, "are there twice"),
        ((0, 0), 1, "not by frame and track"),
    ],
)
def test_rows_that_cannot_be(tmp_path, place, value, problem):
    rows = ROWS.copy()
    rows[place] = value
    with pytest.raises(ValueError, match=problem):
        write(tmp_path / "d", rows)
    assert not (tmp_path / "d").exists()


def test_other_things_that_cannot_be(tmp_path):
    with pytest.raises(ValueError, match="2 labels for 4 frames"):
        VideoTracks("a", 4, ROWS, np.zeros(2, np.uint8))
    with pytest.raises(ValueError, match="cannot be"):
        VideoTracks("../a", 4, ROWS)
    with pytest.raises(ValueError, match="--fps is 0"):
        write(tmp_path / "d", fps=0.0)
    twice = [VideoTracks("a", 4, ROWS)] * 2
    with pytest.raises(ValueError, match="two videos named 'a'"):
        write_tracks(tmp_path / "d", {"test": twice}, name="x", size=(40, 50))


def test_a_changed_dataset_is_refused(tmp_path):
    """The manifest of a stranger: counts are compared with what the records hold."""
    write(tmp_path / "d")
    path = tmp_path / "d" / "manifest.json"
    content = json.loads(path.read_text())
    video = content["splits"]["test"]["videos"][0]

    def change(**fields):
        video.update(fields)
        path.write_text(json.dumps(content))
        return TrackedVideos(Dataset(tmp_path / "d"), "test")[0]

    with pytest.raises(ValueError, match="video a: 144 bytes for 2 boxes"):
        _ = change(boxes=2).rows
    with pytest.raises(ValueError, match="video a: a box of a frame that it has not"):
        _ = change(boxes=3, frames=2, labels=None).rows
    content["splits"]["test"]["videos"].append(dict(video, name="c"))
    with pytest.raises(ValueError, match="number of its videos"):
        change()


def test_the_toy_set_runs_only_in_labelled_frames(tmp_path):
    write_toy_tracks(tmp_path / "d", ToyTracks(train=1, test=2, frames=100))
    data = Dataset(tmp_path / "d")
    normal, runs = TrackedVideos(data, "test")
    assert not normal.labels.any() and runs.labels.any()
    runner = runs.rows[runs.rows[:, 1] == 8]
    assert set(runner[:, 0]) == set(np.flatnonzero(runs.labels))
    assert np.all(runner[:, 2] >= -3) and np.all(runner[:, 4] <= 403)
