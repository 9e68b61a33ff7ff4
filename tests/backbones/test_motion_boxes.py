import numpy as np
import pytest

from vadjax.backbones.motion_boxes import MotionBoxes

SIZE = (48, 64)


def frame(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """A grey picture with white boxes `x0, y0, x1, y1`."""
    picture = np.full((*SIZE, 3), 90, np.uint8)
    for x0, y0, x1, y1 in boxes:
        picture[y0:y1, x0:x1] = 255
    return picture


def test_what_moves_is_boxed_to_the_pixel():
    detect = MotionBoxes()
    assert not len(detect(frame()).boxes)  # the first frame has nothing to be compared with
    for step in range(5):
        box = 10 + 3 * step, 20, 22 + 3 * step, 34
        found = detect(frame(box))
        assert found.boxes.tolist() == [list(box)]
        assert found.scores.tolist() == [1.0]  # the share of the box that moves
        assert found.classes.tolist() == [-1] and found.logits.shape == (1, 0)


def test_two_that_move_are_two_boxes():
    detect = MotionBoxes()
    detect(frame())
    boxes = (4, 4, 16, 16), (40, 24, 56, 44)
    assert sorted(detect(frame(*boxes)).boxes.tolist()) == [list(box) for box in boxes]


def test_a_gap_is_closed():
    """Two pieces of a walker, two rows apart: one box by default, two if nothing is closed."""
    pieces = (20, 10, 32, 20), (20, 22, 32, 32)
    for closing, count in (((5, 3), 1), ((1, 1), 2)):
        detect = MotionBoxes(closing=closing)
        detect(frame())
        assert len(detect(frame(*pieces)).boxes) == count


def test_what_stands_still_becomes_background():
    detect = MotionBoxes(history=10)
    detect(frame())
    counts = [len(detect(frame((10, 10, 30, 30))).boxes) for _ in range(40)]
    assert counts[0] == 1 and counts[-1] == 0
    assert counts == sorted(counts, reverse=True)  # and stays so


def test_a_new_video_begins_without_a_background():
    detect = MotionBoxes()
    detect(frame())
    detect.restart()
    assert not len(detect(frame((10, 10, 30, 30))).boxes)


def test_small_ones_are_left_out():
    detect = MotionBoxes(min_size=8)
    detect(frame())
    assert detect(frame((4, 4, 11, 20), (30, 10, 38, 26))).boxes.tolist() == [[30, 10, 38, 26]]


@pytest.mark.parametrize("options", [{"history": 0}, {"distance": 0.0}, {"closing": (5, 0)}])
def test_numbers_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match="expected whole numbers of at least 1 and a distance"):
        MotionBoxes(**options)
