"""Why a place was flagged: what was seen there beside the normal example most like it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from vadjax.report import panels as attributes
from vadjax.report import reasons
from vadjax.report.reasons import Reason
from vadjax.report.sheet import FAINT, Sheet, height, wrap
from vadjax.scores.files import Scores

WIDTH, EDGE, BETWEEN = 8.8, 0.1, 0.22  # inches: the figure, its margin, between columns
FRAME, CROP = (0.9, 3.0), 1.4  # inches: height of a frame, from and to; of a crop, from
MARGIN = 0.35  # of the box's size, around it in the crop
TITLE, SPACE = 0.54, 0.1  # inches: above a frame, between it and its crop
SIZE, LINES = 8.5, 6  # points and most lines of the sentence
NOTE = (
    "Left the frame that was flagged, in the middle the normal frame that is most like it at the "
    "same place, both with the place enlarged; right what the score is the sum of, and what a "
    "person can read off both places. The darkest bar is the term that says why."
)


class Event(NamedTuple):
    """A reason to show.

    Attributes:
      video: name of the video.
      reason: what is known of it.
      stored: the dict as it is in the score file.
      anomalous: whether its frame is labelled anomalous; None if unknown.
      seen: uint8 [H, W, 3], RGB, the frame it is about; None if the score file has no picture.
      normal: uint8 [H, W, 3], RGB, the normal frame most like it; None as `seen`.
    """

    video: str
    reason: Reason
    stored: Mapping
    anomalous: bool | None
    seen: np.ndarray | None
    normal: np.ndarray | None

    @property
    def caption(self) -> str:
        """Video, frame, score and label in one line."""
        reason, parts = self.reason, [self.video]
        if reason.frame is not None:
            parts.append(f"frame {reason.frame:,}")
        if reason.score is not None:
            parts.append(f"score {reason.score:.2f}")
        if self.anomalous is not None:
            parts.append(f"labelled {'anomalous' if self.anomalous else 'normal'}")
        return " · ".join(parts)

    @property
    def headline(self) -> str:
        """What is unusual; empty if that is unknown."""
        if self.reason.dominant is None:
            return ""
        also = ", ".join(self.reason.also)
        never = ": nothing ever moved here" if self.reason.never_moved else ""
        return f"Unusual {self.reason.dominant}{f' (and {also})' if also else ''}{never}"


def choose(videos: Sequence[Scores], count: int) -> list[Event]:
    """The `count` highest-scoring examples of all videos, highest first.

    Where no score file has examples, its reasons without pictures. Those without a score are last.
    """
    found = [
        _event(video, int(number), video.examples.seen[place], video.examples.normal[place])
        for video in videos
        if video.examples is not None
        for place, number in enumerate(video.examples.reason)
    ]
    found = found or [_event(video, i) for video in videos for i in range(len(video.reasons))]
    return sorted(found, key=lambda event: -event.reason.rank)[: max(count, 0)]


def _event(video: Scores, number: int, seen=None, normal=None) -> Event:
    stored = video.reasons[number]
    reason, labels = reasons.read(stored), video.labels
    known = labels is not None and reason.frame is not None and 0 <= reason.frame < len(labels)
    return Event(
        video.video, reason, stored, bool(labels[reason.frame]) if known else None, seen, normal
    )


def draw(event: Event) -> Figure:
    """A figure of an event that has pictures: two frames, two crops, attributes, the sentence."""
    panels, (rows, columns) = attributes.panels(event.reason), event.seen.shape[:2]
    across = WIDTH - 2 * EDGE
    wide = (across - (attributes.WIDE + BETWEEN if panels else 0) - BETWEEN) / 2
    column = sum(panel.height + attributes.GAP for panel in panels) - attributes.GAP
    frame = float(np.clip(wide * rows / columns, *FRAME))
    crop = float(np.clip(column - TITLE - frame - SPACE, CROP, wide)) if event.reason.box else 0
    body = max(TITLE + frame + (SPACE + crop if crop else 0), column)
    text = wrap(event.reason.text, across, SIZE, LINES)
    top = 0.66 if event.headline else 0.38
    sheet = Sheet(WIDTH, top + body + 0.15 + height(text, SIZE) + EDGE)
    sheet.text(EDGE, EDGE, event.headline, 12, weight="bold")
    sheet.text(EDGE, top - 0.28, event.caption, 9, color=FAINT)
    for place, side in enumerate(_sides(event)):
        left = EDGE + place * (wide + BETWEEN)
        _column(sheet, side, (left, top, wide), (frame, crop))
    _panels(sheet, panels, WIDTH - EDGE - attributes.WIDE, top)
    sheet.text(EDGE, top + body + 0.15, "\n".join(text), SIZE)
    return sheet.figure


class _Side(NamedTuple):
    picture: np.ndarray
    name: str
    about: str
    colour: str
    box: tuple[float, float, float, float] | None
    mark: str  # beside the box


def _sides(event: Event) -> tuple[_Side, _Side]:
    reason = event.reason
    about = "" if reason.frame is None else f"frame {reason.frame:,}"
    if reason.frames is not None and reason.frames[1] - reason.frames[0] > 1:
        about += f", of frames {reason.frames[0]}-{reason.frames[1] - 1}"
    score = "" if reason.score is None else f"{reason.score:.2f}"
    return (
        _Side(event.seen, "Seen here", about, attributes.HERE, reason.box, score),
        _Side(
            event.normal, "Closest normal", reason.origin, attributes.NORMAL, reason.normal_box, ""
        ),
    )


def _column(sheet: Sheet, side: _Side, place: tuple, tall: tuple) -> None:
    """A frame with its box, and below it the box enlarged; `place` and `tall` in inches."""
    (left, top, wide), (frame, crop), box = place, tall, side.box
    sheet.text(left, top, side.name, 9, color=side.colour, weight="bold")
    about = "\n".join(wrap(side.about, wide, 7.5, 2))
    sheet.text(left, top + 0.19, about, 7.5, color=FAINT)
    whole = _picture(sheet.axes(left, top + TITLE, wide, frame), side)
    if box is None:
        return
    _box(whole, box, side)
    if side.mark:
        _label(whole, box, side)
    part = _picture(sheet.axes(left, top + TITLE + frame + SPACE, wide, crop), side)
    _box(part, box, side)
    (x0, x1), (y0, y1) = window(box, side.picture.shape[:2], wide / crop)
    part.set(xlim=(x0 - 0.5, x1 - 0.5), ylim=(y1 - 0.5, y0 - 0.5))


def _picture(axes: Axes, side: _Side) -> Axes:
    axes.imshow(side.picture)
    axes.set(xticks=[], yticks=[], anchor="NW")
    axes.spines[:].set(color=side.colour, linewidth=1)
    return axes


def _box(axes: Axes, box: tuple, side: _Side) -> None:
    """The box around its pixels, with a white seam so that it shows on any picture."""
    x0, y0, x1, y1 = box
    style = {"fill": False, "edgecolor": side.colour, "linewidth": 1.6}
    seam = [withStroke(linewidth=3.2, foreground="white")]
    axes.add_patch(Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, **style, path_effects=seam))


def _label(axes: Axes, box: tuple, side: _Side) -> None:
    """The score above the box, or below it if it is near the top of the picture."""
    low = box[1] < 0.15 * side.picture.shape[0]
    right = box[0] > 0.8 * side.picture.shape[1]
    axes.annotate(
        side.mark,
        (box[2 if right else 0] - 0.5, box[3 if low else 1] - 0.5),
        (0, -4 if low else 4),
        textcoords="offset points",
        fontsize=8,
        weight="bold",
        color="white",
        va="top" if low else "bottom",
        ha="right" if right else "left",
        bbox={"facecolor": side.colour, "edgecolor": "white", "linewidth": 0.8, "pad": 1.5},
        annotation_clip=False,
    )


def window(
    box: Sequence[float], size: tuple[int, int], ratio: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """The part of a picture to enlarge: the box in its middle, with a margin.

    Args:
      box: `x0, y0, x1, y1`.
      size: (H, W) of the picture.
      ratio: width by height that the part should have.

    Returns:
      (x0, x1) and (y0, y1), inside the picture; of another ratio where the picture is too small.
    """
    wide, high = ((box[i + 2] - box[i]) * (1 + 2 * MARGIN) for i in (0, 1))
    wide, high = max(wide, high * ratio), max(high, wide / ratio)
    return _within(box[0], box[2], wide, size[1]), _within(box[1], box[3], high, size[0])


def _within(start: float, stop: float, length: float, end: int) -> tuple[float, float]:
    """`length` around the middle of start and stop, moved and cut to lie within 0 and end."""
    length = min(length, end)
    first = min(max((start + stop - length) / 2, 0), end - length)
    return first, first + length


def _panels(sheet: Sheet, panels: Sequence[attributes.Panel], left: float, top: float) -> None:
    for panel in panels:
        panel.draw(sheet, left, top)
        top += panel.height + attributes.GAP
