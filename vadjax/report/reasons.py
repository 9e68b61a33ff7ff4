"""Reads what a report can show of a reason, whichever program wrote it.

A reason of a score file is a dict that JSON can hold. Keys that are missing, or hold values of
another type, are left out of the pictures; the others are shown (spec eval §8).
"""

import json
import math
from collections.abc import Mapping
from typing import NamedTuple

DISTANCE = "Distance to the closest normal"  # what terms measure
RARITY = "Decades of rarity (2: 1 in 100)"  # what the evidence of an alarm interval measures
NAME = 40  # most letters of the name of a video
BINS = 12  # directions of 30 degrees each, clockwise; the first begins at "right"


class Attributes(NamedTuple):
    """What a person can see at a place of a video; None stands for unknown.

    Attributes:
      moving: percentage of the pixels that move.
      speed: speed in pixels a frame.
      direction: name of the main direction.
      still: whether the reason says that nothing moves.
      directions: share of the moving pixels in each direction, [BINS].
      probability: class → 0 to 1; empty if unknown.
    """

    moving: float | None
    speed: float | None
    direction: str | None
    still: bool
    directions: tuple[float, ...] | None
    probability: Mapping[str, float]


class Reason(NamedTuple):
    """A reason, as it was read; None stands for unknown.

    Attributes:
      text: the sentence; the whole dict as JSON if it has none.
      score: score of the event.
      frame: the frame that it is about, from 0.
      frames: frames `[start, stop)` for which it holds.
      box: `x0, y0, x1, y1`, pixels; x1 and y1 are one past the last.
      dominant: name of the term that says why.
      also: names of terms that are nearly as large.
      terms: name → part of the score.
      measure: what the terms measure.
      never_moved: whether nothing that moves is normal at this place.
      here: attributes of what was seen.
      normal: attributes of the normal example most like it.
      origin: where the normal example comes from; empty if unknown.
      normal_box: `x0, y0, x1, y1` of the normal example; `box` if the dict has none.
    """

    text: str
    score: float | None
    frame: int | None
    frames: tuple[int, int] | None
    box: tuple[float, float, float, float] | None
    dominant: str | None
    also: tuple[str, ...]
    terms: Mapping[str, float]
    measure: str
    never_moved: bool
    here: Attributes
    normal: Attributes
    origin: str
    normal_box: tuple[float, float, float, float] | None

    def covers(self, frame: int) -> bool:
        """Whether the reason holds for that frame."""
        return self.frames is not None and self.frames[0] <= frame < self.frames[1]

    @property
    def rank(self) -> float:
        """Key to sort by: the score, or minus infinity if there is none."""
        return -math.inf if self.score is None else self.score


def read(reason: Mapping) -> Reason:
    """Reads a reason of any program; never fails on a dict.

    Alarm intervals with the fields of `docs/events.md` have other names for some keys.
    """
    normal = reason.get("normal") or reason.get("nearest")
    terms, measure = _named(reason.get("terms")), DISTANCE
    if not terms and (terms := _named(reason.get("evidence"))):
        measure = RARITY
    # One of frame and frames follows from the other, if only one of both is there.
    also = reason.get("also")
    span = _span(reason.get("frames")) or _span([reason.get("start"), reason.get("stop")])
    frame = _number(reason.get("frame"))
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
        dominant=_word(reason.get("dominant")) or _word(reason.get("lead")),
        also=tuple(filter(_word, also)) if isinstance(also, list | tuple) else (),
        terms=terms,
        measure=measure,
        never_moved=reason.get("never_moved") is True,
        here=_attributes(reason.get("here")),
        normal=_attributes(normal),
        origin=_origin(normal),
        normal_box=_normal_box(normal, _box(reason.get("box"))),
    )


def _normal_box(normal: object, box: tuple | None) -> tuple[float, float, float, float] | None:
    """The box of the normal example, else that of the reason; None if the reason has none."""
    normal_box = _box(normal.get("box")) if isinstance(normal, Mapping) else None
    return normal_box if normal_box and box else box


def _attributes(place: object) -> Attributes:
    """The attributes of a place; a direction of None says that nothing moves there."""
    place = place if isinstance(place, Mapping) else {}
    directions = _numbers(place.get("directions"), BINS)
    return Attributes(
        moving=_number(place.get("moving")),
        speed=_number(place.get("speed")),
        direction=_word(place.get("direction")),
        still="direction" in place and place["direction"] is None,
        directions=directions if directions and min(directions) >= 0 else None,
        probability=_named(place.get("probability")),
    )


def _origin(normal: object) -> str:
    """Like "training 03, frames 20-29 (stands for 41 volumes)", as far as it is known."""
    normal = normal if isinstance(normal, Mapping) else {}
    sequence = normal.get("sequence", normal.get("video"))
    span, frame, count = _span(normal.get("frames")), normal.get("frame"), normal.get("count")
    parts = [] if sequence is None else [f"training {_short(str(sequence))}"]
    parts += [] if span is None else [f"frames {span[0]}-{span[1] - 1}"]
    parts += [] if span or _number(frame) is None else [f"frame {frame:,}"]
    parts += [] if _word(normal.get("class")) is None else [_short(normal["class"])]
    text = ", ".join(parts)
    if _number(count) is not None:
        text += f" (stands for {count:,} volume{'' if count == 1 else 's'})"
    return text.strip()


def _short(name: str) -> str:
    """The name, with "…" in the middle if it is long."""
    return name if len(name) <= NAME else f"{name[: NAME // 2]}…{name[-NAME // 2 :]}"


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _number(value: object) -> float | None:
    """The value if it is a finite number."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if number and math.isfinite(value) else None


def _numbers(value: object, count: int) -> tuple[float, ...] | None:
    """The values if they are so many finite numbers."""
    if not isinstance(value, list | tuple) or len(value) != count:
        return None
    return None if None in map(_number, value) else tuple(value)


def _named(value: object) -> dict[str, float]:
    """The finite numbers of a dict by name."""
    value = value if isinstance(value, Mapping) else {}
    return {str(name): part for name, part in value.items() if _number(part) is not None}


def _span(value: object) -> tuple[int, int] | None:
    """The value if it is `[start, stop)` of a frame or more."""
    ends = _numbers(value, 2)
    return (int(ends[0]), int(ends[1])) if ends and ends[0] < ends[1] else None


def _box(value: object) -> tuple[float, float, float, float] | None:
    """The value if it is a box that is not empty."""
    box = _numbers(value, 4)
    return box if box and box[0] < box[2] and box[1] < box[3] else None
