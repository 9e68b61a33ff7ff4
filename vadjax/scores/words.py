"""When and where, in words that a person uses."""

import datetime
from collections.abc import Sequence

PLACES = (
    ("at the upper left", "above the centre", "at the upper right"),
    ("left of the centre", "in the centre", "right of the centre"),
    ("at the lower left", "below the centre", "at the lower right"),
)
CENTRE = (0.4, 0.6)  # shares of a side between which a place is in the centre


def clock(seconds: float) -> str:
    """Seconds from the start of a video as `m:ss.s`, from one hour on as `h:mm:ss.s`."""
    tenths = round(10 * seconds)
    rest = f"{tenths // 10 % 60:02}.{tenths % 10}"
    minutes = tenths // 600
    return f"{minutes}:{rest}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest}"


def place(box: Sequence[float], size: tuple[int, int]) -> str:
    """Where the middle of a box is in a frame, across and down.

    The centre is the middle fifth of each side.

    Args:
      box: `x0, y0, x1, y1`, pixels.
      size: (H, W) of the frame.
    """
    across = (box[0] + box[2]) / 2 / size[1]
    down = (box[1] + box[3]) / 2 / size[0]
    column, row = (sum(share > limit for limit in CENTRE) for share in (across, down))
    return PLACES[row][column]


def times(factor: float) -> str:
    """How many times, to two digits: `1.8 ×`, `12 ×`."""
    return f"{factor:.1f} ×" if factor < 9.95 else f"{factor:.0f} ×"


def at(text: str, place: str, seconds: float, time: datetime.datetime | None = None) -> str:
    """A sentence with its time, before the place if that is in it: `…, at 0:15.5, at the left`.

    Args:
      text: the sentence.
      place: words of `place` in it; "" if there are none.
      seconds: from the start of the video.
      time: time of day, which is given in place of these seconds; None if it is unknown.
    """
    when = f", at {time:%H:%M:%S}" if time is not None else f", at {clock(seconds)}"
    where = f", {place}"
    if place and where in text:
        return text.replace(where, f"{when}{where}", 1)
    return text + when
