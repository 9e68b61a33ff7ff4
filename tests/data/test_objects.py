"""Objects of a dataset: their boxes, in source and in stored pixels, and what is cut from them."""

import numpy as np
import pytest

from vadjax.data import objects
from vadjax.data.objects import Cutter, ObjectSource, of_rows
from vadjax.data.store.frame_writer import SourceVideo, write_frames
from vadjax.data.store.object_writer import VideoObjects, write_objects
from vadjax.data.store.records import Dataset
from vadjax.data.video.reader import Picture

SIZE, STORED = (40, 60), (20, 30)  # (H, W) of the source and of the stored frames


def frames(seed: int, count: int = 4) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (*SIZE, 3), np.uint8) for _ in range(count)]


def source_video(name: str, seed: int, boxes=None) -> SourceVideo:
    pictures = [Picture(pixels, name) for pixels in frames(seed)]
    return SourceVideo(name, pictures, boxes=boxes)


def rows(*boxes) -> np.ndarray:
    return np.array(boxes, np.float32).reshape(-1, 6)


A = rows((2, 4, 6, 24, 26, 0.9), (0, 0, 0, 10, 10, 0.5), (2, 30, 10, 50, 30, 0.4))
B = rows((3, 1, 1, 9, 9, 0.7))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Dataset:
    out = tmp_path_factory.mktemp("data") / "frames"
    videos = [source_video("a", 0, A), source_video("b", 1, B)]
    splits = {"train": videos, "test": [source_video("c", 2)]}
    write_frames(out, splits, name="random", encoding="raw", size=STORED)
    return Dataset(out)


def test_boxes_become_rectangles_of_the_stored_frames():
    found = of_rows(A[[1, 0, 2]], STORED, SIZE)
    assert found.frames.tolist() == [0, 2, 2] and found.numbers.tolist() == [0, 0, 1]
    np.testing.assert_array_equal(found.rectangles[1], [2, 3, 12, 13])
    np.testing.assert_array_equal(found.boxes[1], A[0, 1:5])


def test_a_box_without_an_area_is_what_is_cut_for_it():
    found = of_rows(rows((0, 8, 8, 8, 12, 1.0)), STORED, SIZE)
    x0, y0, x1, y1 = found.rectangles[0]
    assert x1 > x0 and y1 > y0
    np.testing.assert_allclose(found.boxes[0], found.rectangles[0] * 2)


def test_objects_of_the_frames_themselves_in_the_order_of_the_frames(data):
    first, second = ObjectSource(data).videos("train")
    assert (first.name, second.name) == ("a", "b")
    assert first.objects.frames.tolist() == [0, 2, 2] and len(second.objects) == 1
    assert first.rows(2) == slice(1, 3) and first.rows(1) == slice(1, 1)
    assert first.outputs(first.rows(2)) is None
    assert ObjectSource(data).outputs == {"detector": 0, "classifier": 0}


def test_without_boxes_the_program_that_finds_some_is_named(data):
    with pytest.raises(ValueError, match="no boxes of objects for video c.*extract_objects"):
        ObjectSource(data).videos("test")


def found_objects(name: str, boxes: np.ndarray, first: float) -> VideoObjects:
    boxes = boxes[np.lexsort((-boxes[:, 5], boxes[:, 0]))]
    outputs = first + np.arange(2 * len(boxes), dtype=np.float32).reshape(-1, 2)
    return VideoObjects(name, 4, boxes, outputs, np.zeros((len(boxes), 0), np.float32))


@pytest.fixture(scope="module")
def described(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("data") / "objects"
    write_objects(
        out,
        {"train": [found_objects("a", A, 10), found_objects("b", B, 20)]},
        name="found",
        frames=data,
        detector={"name": "none"},
        outputs={"detector": 2, "classifier": 0},
        teachers={},
    )
    return out


def test_teachers_are_read_by_object(data, described):
    source = ObjectSource(data, str(described))
    first, second = source.videos("train")
    assert source.outputs == {"detector": 2, "classifier": 0}
    assert first.outputs(first.rows(2)).tolist() == [[12, 13], [14, 15]]
    assert second.outputs(slice(0, 1)).tolist() == [[20, 21]]
    assert first.outputs(slice(0, 1), ("classifier",)) is None
    assert first.outputs(slice(0, 0)).shape == (0, 2)


def test_objects_of_other_frames_are_refused(data, described, tmp_path):
    write_frames(tmp_path / "other", {"train": [source_video("a", 9, A)]}, name="other")
    with pytest.raises(ValueError, match="objects of the frames in .*, not of .*other"):
        ObjectSource(Dataset(tmp_path / "other"), str(described))
    with pytest.raises(ValueError, match="holds 'frames' records; data.objects takes 'objects'"):
        ObjectSource(data, str(data.folder))


def test_a_box_of_a_frame_that_the_video_has_not_is_refused(data, described, monkeypatch):
    monkeypatch.setattr(objects, "read_boxes", lambda path: rows((4, 0, 0, 9, 9, 1.0)))
    with pytest.raises(ValueError, match="a.csv: boxes of frames 4 to 4, but it has 4 frames"):
        ObjectSource(data, str(described)).videos("train")


def test_the_same_rectangle_is_cut_out_of_several_frames(data):
    cut = Cutter(data, "train", side=8)
    crops = cut(1, np.array([0, 3, 0]), np.array([2, 3, 10, 11]))
    assert crops.shape == (3, 8, 8, 3) and crops.dtype == np.float32
    np.testing.assert_array_equal(crops[0], crops[2])
    assert (crops[0] != crops[1]).any() and 0 <= crops.min() and crops.max() <= 1
    other = cut(0, np.array([0]), np.array([2, 3, 10, 11]))
    assert (other[0] != crops[0]).any()
