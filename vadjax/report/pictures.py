"""Rows of pictures for windows with extreme scores: frame, prediction, error and heat."""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from vadjax.report import heat
from vadjax.runtime.terminal import visible
from vadjax.scores.files import Scores

WIDTH = 8.8  # inches, of a row of four panels
TITLES, HEIGHTS = 0.6, (0.9, 3.2)  # inches: for titles; least and greatest height of a panel
RATIOS = (1, 1, 1, 0.05, 1, 0.05)  # widths of four panels, a colour bar behind each of the last two


class Window(NamedTuple):
    """A frame whose prediction is shown.

    Attributes:
      video: name of the video.
      frame: number of the frame in it.
      score: score of the frame.
      anomalous: whether the frame is labelled anomalous.
      seen: uint8 [H, W, 3], RGB.
      predicted: uint8 [H, W, 3], RGB.
      map: float [h, w], the system's own heat; None if it gives none.
    """

    video: str
    frame: int
    score: float
    anomalous: bool
    seen: np.ndarray
    predicted: np.ndarray
    map: np.ndarray | None

    @property
    def caption(self) -> str:
        """Video, frame, score and label in one line."""
        label = "anomalous" if self.anomalous else "normal"
        return f"{self.video} · frame {self.frame:,} · score {self.score:.3f} · labelled {label}"

    @property
    def error(self) -> np.ndarray:
        """|seen − predicted|, mean of the three channels, float32 [H, W] in grey levels."""
        return np.abs(self.seen.astype(np.float32) - self.predicted).mean(-1)


class Scales(NamedTuple):
    """Ends of the colour scales, the same for all rows of a page.

    Attributes:
      error: of the error, grey levels.
      heat: of the system's map; None where no row has one.
    """

    error: tuple[float, float]
    heat: tuple[float, float] | None


def choose(videos: Sequence[Scores], count: int) -> tuple[list[Window], list[Window]]:
    """The `count` highest- and the `count` lowest-scoring pictures of all videos.

    Pictures of frames that do not count are left out. No picture is in both lists: if there are too
    few, the highest get the greater half.

    Args:
      videos: labelled scores, with or without pictures.
      count: number of pictures in each list at most; 0 for none.

    Returns:
      The highest, highest first, and the lowest, lowest first.
    """
    rows = [
        (float(video.frame_scores[number]), video, place)
        for video in videos
        if video.pictures is not None
        for place, number in enumerate(video.pictures.frames)
        if video.scored is None or video.scored[number]
    ]
    # Highest first; equal scores by video and frame.
    rows.sort(key=lambda row: (-row[0], row[1].video, row[1].pictures.frames[row[2]]))
    count = min(max(count, 0), -(-len(rows) // 2))
    high, low = rows[:count], rows[count:][::-1][:count]
    return [_window(*row[1:]) for row in high], [_window(*row[1:]) for row in low]


def _window(video: Scores, place: int) -> Window:
    """The window of one of the pictures of a video, by its place among them."""
    number = int(video.pictures.frames[place])
    return Window(
        video.video,
        number,
        float(video.frame_scores[number]),
        bool(video.labels[number]),
        video.pictures.seen[place],
        video.pictures.predicted[place],
        None if video.map is None else video.map[number],
    )


def scales(windows: Sequence[Window]) -> Scales:
    """Scales that fit all windows: errors from 0, maps from their median (`heat.limits`)."""
    # Colour is full at one grey level at the least, so that tiny errors stay dark.
    top = max(heat.limits(np.concatenate([w.error.ravel() for w in windows]))[1], 1.0)
    maps = [window.map.ravel() for window in windows if window.map is not None]
    return Scales((0.0, top), heat.limits(np.concatenate(maps)) if maps else None)


def explain(found: Scales) -> str:
    """The scales in words."""
    text = (
        "Error: |seen − predicted|, mean of the three channels, in grey levels of 255; "
        f"colour is full at {found.error[1]:.1f} (99.5th percentile). "
    )
    if found.heat is None:
        return f"{text}Heat: the error over the frame. The scale is the same in all rows."
    low, high = found.heat
    return (
        f"{text}Heat: the system’s own map over the frame, from {low:.3g} (its median) to "
        f"{high:.3g} (99.5th percentile). The scales are the same in all rows."
    )


def draw(window: Window, found: Scales) -> Figure:
    """Draws a row: frame seen, prediction, error map, heat over the frame; the caption above.

    Args:
      window: the window to draw.
      found: the scales of the page.
    """
    # The heat is the system's map, or the error where it gives none.
    error = window.error
    heat_values, ends = (error, found.error) if window.map is None else (window.map, found.heat)
    figure, axes = _panels(*error.shape)
    seen, predicted, error_axes, error_bar, heat_axes, heat_bar = axes
    # Four panels; the last two have a colour bar.
    seen.imshow(window.seen)
    predicted.imshow(window.predicted)
    drawn = error_axes.imshow(error, cmap=heat.COLOURS, vmin=found.error[0], vmax=found.error[1])
    figure.colorbar(drawn, cax=error_bar, extend="max")
    heat_axes.imshow(heat.over(window.seen, heat_values, ends))
    figure.colorbar(_scale(*ends), cax=heat_bar, extend="max" if window.map is None else "both")
    # Titles, and the caption of the row.
    titles = ("seen", "predicted", "error, grey levels", "heat")
    for panel, title in zip((seen, predicted, error_axes, heat_axes), titles, strict=True):
        panel.set_title(title, fontsize=8)
        panel.set_axis_off()
    for bar in (error_bar, heat_bar):
        bar.tick_params(labelsize=7)
    figure.suptitle(visible(window.caption), fontsize=9, x=0.01, ha="left", parse_math=False)
    return figure


def _panels(height: int, width: int):
    """A figure with four panels for pictures of that shape, the last two with a colour bar."""
    tall = np.clip(WIDTH / 5 * height / width, *HEIGHTS)
    figure = Figure(figsize=(WIDTH, tall + TITLES), layout="constrained")
    return figure, figure.subplots(1, 6, width_ratios=RATIOS)


def _scale(low: float, high: float) -> ScalarMappable:
    """The colours of the heat, for its colour bar."""
    return ScalarMappable(Normalize(low, max(high, low)), matplotlib.colormaps[heat.COLOURS])
