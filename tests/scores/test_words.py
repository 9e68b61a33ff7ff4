"""When and where, in words."""

import pytest

from vadjax.scores import words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00.0"), (15.54, "0:15.5"), (59.96, "1:00.0"), (3599.9, "59:59.9"), (3725, "1:02:05.0")],
)
def test_times(seconds, text):
    assert words.clock(seconds) == text


@pytest.mark.parametrize(
    ("box", "text"),
    [
        ((214, 100, 255, 120), "right of the centre"),
        ((0, 0, 10, 10), "at the upper left"),
        ((170, 110, 190, 130), "in the centre"),
        ((170, 200, 190, 240), "below the centre"),
        ((-5, 110, 3, 130), "left of the centre"),
        ((350, 230, 420, 300), "at the lower right"),
    ],
)
def test_places(box, text):
    assert words.place(box, (240, 360)) == text


def test_how_many_times():
    assert [words.times(factor) for factor in (1.04, 9.94, 9.96, 31)] == [
        "1.0 ×",
        "9.9 ×",
        "10 ×",
        "31 ×",
    ]
