"""Draws why a place was flagged: the frame, and beside it the normal frame most like it."""

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

WIDTH, EDGE, BETWEEN = 8.8, 0.1, 0.22  # inches: of the figure, of its margin, between columns
FRAME, CROP = (0.9, 3.0), 1.4  # inches: least and greatest height of a frame; least of a crop
MARGIN = 0.35  # around the box in the crop, as a share of its size
TITLE, SPACE = 0.54, 0.1  # inches: above a frame; between a frame and its crop
SIZE, LINES = 8.5, 6  # of the sentence: points, and most lines
NOTE = (
    "Left the frame that was flagged, in the middle the normal frame that is most like it at the "
    "same place, both with the place enlarged; right what the score is the sum of, and what a "
    "person can read off both places. The darkest bar is the term that says why."
)


class ExplainedEvent(NamedTuple):
    """A reason to show.

    Attributes:
      video: name of the video.
      reason: the reason, as it was read.
      stored: the reason as the dict in the score file.
      anomalous: whether the frame is labelled anomalous; None if unknown.
      seen: uint8 [H, W, 3], RGB, the frame of the event; None if the score file has no picture.
      normal: uint8 [H, W, 3], RGB, the normal frame most like it; None if there is no picture.
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


def choose(videos: Sequence[Scores], count: int) -> list[ExplainedEvent]:
    """The `count` highest-scoring examples of all videos, highest first.

    If no score file has examples, these are reasons without pictures. Reasons without a score come
    last.
    """
    events = [
        _event(video, int(number), video.examples.seen[place], video.examples.normal[place])
        for video in videos
        if video.examples is not None
        for place, number in enumerate(video.examples.reason)
    ]
    events = events or [_event(video, i) for video in videos for i in range(len(video.reasons))]
    return sorted(events, key=lambda event: -event.reason.rank)[: max(count, 0)]


def _event(video: Scores, number: int, seen=None, normal=None) -> ExplainedEvent:
    """The event of a reason by its number, with the label of its frame if both are known."""
    stored = video.reasons[number]
    reason, labels = reasons.read(stored), video.labels
    is_labelled = (
        labels is not None and reason.frame is not None and 0 <= reason.frame < len(labels)
    )
    return ExplainedEvent(
        video.video,
        reason,
        stored,
        bool(labels[reason.frame]) if is_labelled else None,
        seen,
        normal,
    )


def draw(event: ExplainedEvent) -> Figure:
    """A figure of an event that has pictures: two frames, two crops, attributes, the sentence."""
    panels, (picture_rows, picture_columns) = attributes.panels(event.reason), event.seen.shape[:2]
    # Two columns of pictures share the width that the panels leave; heights follow from it.
    across = WIDTH - 2 * EDGE
    width = (across - (attributes.WIDE + BETWEEN if panels else 0) - BETWEEN) / 2
    panels_height = sum(panel.height + attributes.GAP for panel in panels) - attributes.GAP
    frame_height = float(np.clip(width * picture_rows / picture_columns, *FRAME))
    crop_height = (
        float(np.clip(panels_height - TITLE - frame_height - SPACE, CROP, width))
        if event.reason.box
        else 0
    )
    body = max(TITLE + frame_height + (SPACE + crop_height if crop_height else 0), panels_height)
    # The lines of the sentence below add to the height of the sheet.
    text = wrap(event.reason.text, across, SIZE, LINES)
    top = 0.66 if event.headline else 0.38
    sheet = Sheet(WIDTH, top + body + 0.15 + height(text, SIZE) + EDGE)
    # From top to bottom: headline, caption, pictures beside panels, sentence.
    sheet.text(EDGE, EDGE, event.headline, 12, weight="bold")
    sheet.text(EDGE, top - 0.28, event.caption, 9, color=FAINT)
    for place, side in enumerate(_sides(event)):
        left = EDGE + place * (width + BETWEEN)
        _column(sheet, side, (left, top, width), (frame_height, crop_height))
    _panels(sheet, panels, WIDTH - EDGE - attributes.WIDE, top)
    sheet.text(EDGE, top + body + 0.15, "\n".join(text), SIZE)
    return sheet.figure


class _Side(NamedTuple):
    """One of the two columns of pictures: what was seen, or the normal example."""

    picture: np.ndarray
    name: str
    about: str
    colour: str
    box: tuple[float, float, float, float] | None
    mark: str  # text beside the box


def _sides(event: ExplainedEvent) -> tuple[_Side, _Side]:
    """What was seen, and the normal example."""
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
    """Draws a frame with its box, and below it the box enlarged.

    Args:
      sheet: where to draw.
      side: what to draw.
      place: left edge, top edge and width, inches.
      tall: height of the frame and of the enlarged part, inches.
    """
    (left, top, width), (frame_height, crop_height), box = place, tall, side.box
    sheet.text(left, top, side.name, 9, color=side.colour, weight="bold")
    about = "\n".join(wrap(side.about, width, 7.5, 2))
    sheet.text(left, top + 0.19, about, 7.5, color=FAINT)
    # The whole frame with the box in it.
    whole = _picture(sheet.axes(left, top + TITLE, width, frame_height), side)
    if box is None:
        return
    _box(whole, box, side)
    if side.mark:
        _label(whole, box, side)
    # Below it the part around the box.
    enlarged = _picture(
        sheet.axes(left, top + TITLE + frame_height + SPACE, width, crop_height), side
    )
    _box(enlarged, box, side)
    (x0, x1), (y0, y1) = window(box, side.picture.shape[:2], width / crop_height)
    enlarged.set(xlim=(x0 - 0.5, x1 - 0.5), ylim=(y1 - 0.5, y0 - 0.5))


def _picture(axes: Axes, side: _Side) -> Axes:
    """Shows the picture in a frame of the side's colour."""
    axes.imshow(side.picture)
    axes.set(xticks=[], yticks=[], anchor="NW")
    axes.spines[:].set(color=side.colour, linewidth=1)
    return axes


def _box(axes: Axes, box: tuple, side: _Side) -> None:
    """Draws the box around its pixels, with a white seam so that it shows on any picture."""
    x0, y0, x1, y1 = box
    style = {"fill": False, "edgecolor": side.colour, "linewidth": 1.6}
    seam = [withStroke(linewidth=3.2, foreground="white")]
    axes.add_patch(Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, **style, path_effects=seam))


def _label(axes: Axes, box: tuple, side: _Side) -> None:
    """Writes the score above the box, or below it if the box is near the top of the picture."""
    # It stays within the picture: below a box at the top, and aligned with a right edge.
    below = box[1] < 0.15 * side.picture.shape[0]
    ends_right = box[0] > 0.8 * side.picture.shape[1]
    axes.annotate(
        side.mark,
        (box[2 if ends_right else 0] - 0.5, box[3 if below else 1] - 0.5),
        (0, -4 if below else 4),
        textcoords="offset points",
        fontsize=8,
        weight="bold",
        color="white",
        va="top" if below else "bottom",
        ha="right" if ends_right else "left",
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
      ratio: width / height that the part should have.

    Returns:
      (x0, x1) and (y0, y1), inside the picture; of another ratio where the picture is too small.
    """
    across, down = ((box[i + 2] - box[i]) * (1 + 2 * MARGIN) for i in (0, 1))
    # The shorter side grows until the ratio is as wanted.
    across, down = max(across, down * ratio), max(down, across / ratio)
    return _within(box[0], box[2], across, size[1]), _within(box[1], box[3], down, size[0])


def _within(start: float, stop: float, length: float, end: int) -> tuple[float, float]:
    """An interval of `length` around the middle of the box, moved and cut to lie in [0, end]."""
    length = min(length, end)
    first = min(max((start + stop - length) / 2, 0), end - length)
    return first, first + length


def _panels(sheet: Sheet, panels: Sequence[attributes.Panel], left: float, top: float) -> None:
    """Draws the panels one below the other."""
    for panel in panels:
        panel.draw(sheet, left, top)
        top += panel.height + attributes.GAP
