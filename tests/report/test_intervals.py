"""Intervals of high scores: the same ones at any frame rate."""

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from vadjax.report import curves, intervals
from vadjax.scores.files import Scores


def spans(scores, fps, **options):
    return [(one.start, one.stop) for one in intervals.top(scores, 9, None, fps, **options)]


@pytest.mark.parametrize("fps", [25, 10, 1, 0.5, 0.2, 0.01])
def test_neighbouring_frames_are_one_interval_however_slow_the_camera(fps):
    scores = np.zeros(30)
    scores[20:] = 1
    assert spans(scores, fps) == [(20, 30)]


@pytest.mark.parametrize(
    ("fps", "apart", "one"),
    [
        (25, 25, True),
        (25, 26, False),
        (10, 10, True),
        (10, 11, False),
        (30, 30, True),
        (30, 31, False),
        (29.97, 30, True),
        (29.97, 31, False),
        (1, 1, True),
        (1, 2, False),
        (0.5, 2, False),
        (0.2, 2, False),
    ],
)
def test_what_is_a_second_apart_is_one_interval(fps, apart, one):
    scores = np.zeros(200)
    scores[[50, 50 + apart]] = 1, 0.9
    last = 51 + apart
    assert spans(scores, fps) == ([(50, last)] if one else [(50, 51), (last - 1, last)])


def test_the_gap_is_in_seconds():
    scores = np.zeros(100)
    scores[[10, 14]] = 1
    assert spans(scores, 0.5, gap=8.0) == [(10, 15)]
    assert spans(scores, 0.5, gap=6.0) == [(10, 11), (14, 15)]


def test_an_interval_of_a_slow_camera_is_shaded_to_the_end_of_its_last_frame():
    scores = np.zeros(6, np.float32)
    scores[3] = 1
    video = Scores("gate", scores, times=np.arange(6, dtype=np.float32) * 5)
    (axes,) = curves.draw_predicted(video, intervals.top(scores, 5, None, 0.2), 0.2).axes
    (shade,) = [own for own in axes.patches if isinstance(own, Rectangle)]
    assert (shade.get_x(), shade.get_width()) == (15, 5)
    assert axes.get_xlim() == (0, 30)
