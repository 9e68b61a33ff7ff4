"""Plots of score files: ROC, precision-recall, and the score curve of a video."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vadjax.metrics import frame
from vadjax.report.intervals import Interval
from vadjax.runtime.terminal import visible
from vadjax.scores.files import Scores

SCORE, TRUTH, CHANCE, HIGH = "#1f5fa8", "#e8a33d", "#8a8a8a", "#c02626"
DPI = 110  # of a plot in a PNG file
MAX_POINTS = 4000  # of a drawn curve; more cannot be seen


def draw_roc(videos: Sequence[Scores]) -> Figure:
    """ROC curve of all frames, with the chance diagonal and the equal-error point."""
    points = frame.curve(*frame.pooled(videos))
    figure, axes = _axes("False-positive rate", "True-positive rate")
    # The diagonal of chance, the curve, and the point of equal error.
    axes.plot([0, 1], [0, 1], color=CHANCE, linestyle="--", linewidth=1, label="chance 0.500")
    axes.plot(*_thin(points.fpr, points.tpr), color=SCORE, label=f"AUC {frame.area(points):.3f}")
    rate = frame.equal_error_rate(points)
    axes.plot([rate], [1 - rate], "o", color=TRUTH, label=f"EER {rate:.3f}")
    axes.set_title("ROC, all frames pooled")
    axes.legend(loc="lower right", frameon=False)
    return figure


def draw_precision_recall(videos: Sequence[Scores]) -> Figure:
    """Precision-recall curve of all frames, with the share of anomalous frames as chance."""
    labels, scores = frame.pooled(videos)
    points = frame.curve(labels, scores)
    share = labels.mean()
    figure, axes = _axes("Recall", "Precision")
    axes.axhline(share, color=CHANCE, linestyle="--", linewidth=1, label=f"chance {share:.3f}")
    drawn = _thin(points.tpr[1:], points.precision[1:])
    axes.plot(*drawn, color=SCORE, label=f"AP {frame.average_precision(points):.3f}")
    axes.set_title("Precision and recall, all frames pooled")
    axes.legend(loc="lower left", frameon=False)
    return figure


def draw_video(video: Scores, title: str, top: float, bottom: float = 0.0) -> Figure:
    """Draws the score of every frame of a video, with its anomalous intervals shaded.

    Args:
      video: the scores.
      title: text above the curve.
      top: upper end of the score axis, the same for all videos of a report.
      bottom: lower end of the score axis.
    """
    figure = Figure(figsize=(6.4, 1.9), layout="constrained")
    axes = figure.add_subplot()
    plot_video(axes, video, top, bottom)
    axes.set_title(visible(title), fontsize=9, loc="left", parse_math=False)
    return figure


def draw_predicted(
    video: Scores, found: Sequence[Interval], fps: float, line: float | None = None
) -> Figure:
    """Draws the scores of a video over time, with its highest intervals shaded and numbered.

    Args:
      video: the scores, with `times`.
      found: the intervals, the highest first.
      fps: frames a second; a frame lasts until the next one, which shows with a slow camera.
      line: score from which there is an alarm; None if there is none.
    """
    times, lasts = video.times, 1 / fps
    figure = Figure(figsize=(9.0, 2.6), layout="constrained")
    axes = figure.add_subplot()
    # The intervals, each with its rank above the plot.
    for rank, interval in enumerate(found, 1):
        start, stop = times[interval.start], times[interval.stop - 1] + lasts
        axes.axvspan(start, stop, color=HIGH, alpha=0.2, linewidth=0)
        place = ((start + stop) / 2, 1.0)
        axes.annotate(
            str(rank),
            place,
            xycoords=("data", "axes fraction"),
            ha="center",
            va="bottom",
            fontsize=8,
            color=HIGH,
        )
    # The curve, without frames that do not count.
    shown = np.ones(len(times), bool) if video.scored is None else np.asarray(video.scored, bool)
    axes.plot(*_thin(times[shown], video.frame_scores[shown]), color=SCORE, linewidth=1.2)
    if line is not None:
        axes.axhline(line, color=HIGH, linestyle="--", linewidth=1)
    axes.set(xlim=(0, float(times[-1]) + lasts), xlabel="seconds", ylabel="score")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(visible(video.video), fontsize=9, loc="left", parse_math=False)
    return figure


def plot_video(axes: Axes, video: Scores, top: float, bottom: float = 0.0) -> None:
    """Draws the score curve of a video on `axes`, for `draw_video` and for overlays."""
    for start, stop in intervals(video.labels) if video.labels is not None else []:
        axes.axvspan(start, stop, color=TRUTH, alpha=0.35, linewidth=0)
    axes.plot(
        *_thin(np.arange(len(video.frame_scores)), video.frame_scores), color=SCORE, linewidth=1.2
    )
    # A margin keeps extremes off the frame; scores that are all equal get one, too.
    margin = 0.03 * (top - bottom) or 1.0
    axes.set(xlim=(0, len(video.frame_scores)), ylim=(bottom - margin, top + margin))
    axes.set_xlabel("frame", fontsize=8)
    axes.set_ylabel("score", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def intervals(labels: np.ndarray) -> list[tuple[int, int]]:
    """Runs of ones in `labels` [T], each as `[start, stop)`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(labels, int), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def to_png(figure: Figure) -> bytes:
    """The figure as a PNG file; the same figure gives the same bytes."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=DPI, metadata={"Software": None})
    return out.getvalue()


def _axes(x: str, y: str):
    """A plot of two rates from 0 to 1, with names of its axes."""
    figure = Figure(figsize=(4.6, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel=x, ylabel=y, xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def _thin(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Thins a curve to about `MAX_POINTS` points, the lowest and highest of every stretch."""
    if len(x) <= MAX_POINTS:
        return x, y
    # Two points for each stretch, its lowest and its highest, so that no peak is lost.
    runs = np.array_split(np.arange(len(x)), MAX_POINTS // 2)
    ends = [(run[np.argmin(y[run])], run[np.argmax(y[run])]) for run in runs]
    keep = np.unique(np.concatenate([np.ravel(ends), [0, len(x) - 1]]))
    return x[keep], y[keep]
