"""What a report can show of a reason, whoever wrote it.

A reason of a score file is a dict that JSON can hold. Keys that are missing, or hold something
else than what is read here, are left out of the pictures; the others are shown (spec eval §8).
"""

import json
import math
from collections.abc import Mapping
from typing import NamedTuple

NAME = 40  # letters of the name of a video
BINS = 12  # of directions, 30 degrees each; the first starts at "right", they run clockwise


class Attributes(NamedTuple):
    """What a person can read off a place of a video.

    Attributes:
      moving: percent of the pixels that move; None if unknown, as for all others.
      speed: pixels a frame.
      direction: its name.
      still: whether it is said to stand still.
      directions: shares of the moving pixels, [BINS].
      probability: class → 0 to 1; empty if unknown.
    """

    moving: float | None
    speed: float | None
    direction: str | None
    still: bool
    directions: tuple[float, ...] | None
    probability: Mapping[str, float]


class Reason(NamedTuple):
    """A reason, read.

    Attributes:
      text: the sentence; the whole dict as JSON if it has none.
      score: None if unknown, as for all others.
      frame: the frame it is about, from 0.
      frames: `[start, stop)` that it holds for.
      box: `x0, y0, x1, y1`, pixels; x1 and y1 are one past the last.
      dominant: the term that says why.
      also: terms that are nearly as large.
      terms: name → part of the score.
      never_moved: whether only standing things are normal there.
      here: of what was seen.
      normal: of the normal example most like it.
      origin: where that is from; empty if unknown.
      normal_box: `x0, y0, x1, y1` of it; `box` if the dict does not say.
    """

    text: str
    score: float | None
    frame: int | None
    frames: tuple[int, int] | None
    box: tuple[float, float, float, float] | None
    dominant: str | None
    also: tuple[str, ...]
    terms: Mapping[str, float]
    never_moved: bool
    here: Attributes
    normal: Attributes
    origin: str
    normal_box: tuple[float, float, float, float] | None

    def covers(self, frame: int) -> bool:
        """Whether it holds for that frame."""
        return self.frames is not None and self.frames[0] <= frame < self.frames[1]

    @property
    def rank(self) -> float:
        """Key to sort by: the score, and below all scores where there is none."""
        return -math.inf if self.score is None else self.score


def read(reason: Mapping) -> Reason:
    """Reads a reason of any program; never fails on a dict."""
    also = reason.get("also")
    span, frame = _span(reason.get("frames")), _number(reason.get("frame"))
    if span is None and frame is not None:
        span = (int(frame), int(frame) + 1)
    elif span is not None and frame is None:
        frame = sum(span) // 2
    return Reason(
        text=_word(reason.get("text")) or json.dumps(reason, ensure_ascii=False),
        score=_number(reason.get("score")),
        frame=None if frame is None else int(frame),
        frames=span,
        box=_box(reason.get("box")),
        dominant=_word(reason.get("dominant")),
        also=tuple(filter(_word, also)) if isinstance(also, list | tuple) else (),
        terms=_named(reason.get("terms")),
        never_moved=reason.get("never_moved") is True,
        here=_attributes(reason.get("here")),
        normal=_attributes(reason.get("normal")),
        origin=_origin(reason.get("normal")),
        normal_box=_normal_box(reason),
    )


def _normal_box(reason: Mapping) -> tuple[float, float, float, float] | None:
    normal, box = reason.get("normal"), _box(reason.get("box"))
    own = _box(normal.get("box")) if isinstance(normal, Mapping) else None
    return own if own and box else box


def _attributes(found: object) -> Attributes:
    found = found if isinstance(found, Mapping) else {}
    directions = _numbers(found.get("directions"), BINS)
    return Attributes(
        moving=_number(found.get("moving")),
        speed=_number(found.get("speed")),
        direction=_word(found.get("direction")),
        still="direction" in found and found["direction"] is None,
        directions=directions if directions and min(directions) >= 0 else None,
        probability=_named(found.get("probability")),
    )


def _origin(found: object) -> str:
    """Like "training 03, frames 20-29 (stands for 41 volumes)", as far as it is known."""
    found = found if isinstance(found, Mapping) else {}
    sequence, span, count = found.get("sequence"), _span(found.get("frames")), found.get("count")
    parts = [] if sequence is None else [f"training {_short(str(sequence))}"]
    parts += [] if span is None else [f"frames {span[0]}-{span[1] - 1}"]
    text = ", ".join(parts)
    if _number(count) is not None:
        text += f" (stands for {count:,} volume{'' if count == 1 else 's'})"
    return text.strip()


def _short(name: str) -> str:
    return name if len(name) <= NAME else f"{name[: NAME // 2]}…{name[-NAME // 2 :]}"


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _number(value: object) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if number and math.isfinite(value) else None


def _numbers(value: object, count: int) -> tuple[float, ...] | None:
    if not isinstance(value, list | tuple) or len(value) != count:
        return None
    return None if None in map(_number, value) else tuple(value)


def _named(value: object) -> dict[str, float]:
    value = value if isinstance(value, Mapping) else {}
    return {str(name): part for name, part in value.items() if _number(part) is not None}


def _span(value: object) -> tuple[int, int] | None:
    ends = _numbers(value, 2)
    return (int(ends[0]), int(ends[1])) if ends and ends[0] < ends[1] else None


def _box(value: object) -> tuple[float, float, float, float] | None:
    box = _numbers(value, 4)
    return box if box and box[0] < box[2] and box[1] < box[3] else None
