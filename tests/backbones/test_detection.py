"""What is left out of the boxes of a frame; boxes of what moves."""

import numpy as np
import pytest

from vadjax.backbones.detection import DEGENERATE, OUTSIDE, Filter, overlaps, unnamed
from vadjax.extractors import detector

SIZE = (40, 60)


def test_boxes_are_clipped_dropped_and_counted():
    boxes = [
        [10, 10, 20, 20],
        [-5, 30, 8, 50],
        [60, 0, 70, 9],
        [0, -9, 5, 0],
        [5, 5, 5, 9],
        [9, 9, 4, 20],
        [0, 0, 3, 3],
        [30, 30, 50, 39],
    ]
    keep = Filter(0.5, min_size=4)
    found = keep(unnamed(boxes, [0.6, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.5]), SIZE)
    np.testing.assert_array_equal(found.boxes, [[0, 30, 8, 40], [10, 10, 20, 20]])
    assert keep.dropped == {OUTSIDE: 2, DEGENERATE: 2} and found.boxes.dtype == np.float32


def test_overlapping_boxes():
    two = unnamed([[0, 0, 10, 10], [0, 0, 10, 9]], [0.6, 0.7])
    np.testing.assert_array_equal(Filter(0.5)(two, SIZE).scores, np.float32([0.7]))
    np.testing.assert_array_equal(Filter(0.5, overlap=1)(two, SIZE).scores, np.float32([0.7, 0.6]))
    assert overlaps(two.boxes[:1], two.boxes)[0].tolist() == [1, 0.9]


def test_numbers_that_are_none():
    with pytest.raises(ValueError, match=r"a box of \[nan, 0.0, 1.0, 1.0\]; expected finite"):
        Filter(0.5)(unnamed([[np.nan, 0, 1, 1]], [0.9]), SIZE)
    for flags in ({"threshold": 1.5}, {"overlap": -1}, {"min_size": np.nan}):
        with pytest.raises(ValueError, match=f"--{next(iter(flags))} .*; expected 0 to"):
            Filter(**{"threshold": 0.5} | flags)


@pytest.fixture(scope="module")
def walk():
    """Frames of a noisy street through which a bright block runs from frame 10 on."""
    rng = np.random.default_rng(0)
    frames = rng.integers(90, 100, (30, 60, 80, 3)).astype(np.uint8)
    for i in range(10, 30):
        frames[i, 20:36, 3 * i - 30 : 3 * i - 20] = 220
    return frames


def test_what_moves_is_found(walk):
    detect = detector.open("motion")
    found = [detect(frame) for frame in walk]
    assert not any(len(own.boxes) for own in found[:10])
    for i in range(12, 30):
        truth = np.array([[3 * i - 30, 20, 3 * i - 20, 36]])
        assert overlaps(truth, found[i].boxes).max() > 0.8
        assert found[i].scores.max() > 0.7 and found[i].classes[0] == -1


def test_motion_is_the_same_again_and_knows_no_future(walk):
    detect = detector.open("motion")
    first = [detect(frame).boxes for frame in walk]
    assert detect.settings == detector.open(**detect.settings).settings
    detect.restart()
    for frame, boxes in zip(walk[:25], first, strict=False):
        np.testing.assert_array_equal(detect(frame).boxes, boxes)
    with pytest.raises(ValueError, match=r"frame is float64 \(4, 4, 3\); expected uint8"):
        detect(np.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match="--history 0, --distance .*; expected whole numbers"):
        detector.open("motion", history=0)
