"""When in a video it was: the intervals in which the score is high, without any label."""

from typing import NamedTuple

import numpy as np

FPS = 25.0  # frames a second, where nothing else is known
GAP = 1.0  # seconds; intervals that are nearer count as one


class Interval(NamedTuple):
    """Frames `[start, stop)` with a high score.

    Attributes:
      start: first frame.
      stop: one past the last.
      peak: frame of the highest score in it.
      score: that score.
    """

    start: int
    stop: int
    peak: int
    score: float


def top(
    scores: np.ndarray,
    count: int,
    scored: np.ndarray | None = None,
    fps: float = FPS,
    gap: float = GAP,
) -> list[Interval]:
    """The intervals in which the score is high, the highest first.

    High is half way or more from the median of the video to its highest score.

    Args:
      scores: [T], of one video.
      count: how many at most.
      scored: bool [T], frames that count; None for all.
      fps: frames a second, of any camera: 25, or one in five seconds (0.2).
      gap: intervals at most so many seconds apart, to the nearest frame, are one. Neighbouring
        frames always are, however slow the camera.

    Returns:
      None where all scores are equal.
    """
    counts = np.ones(len(scores), bool) if scored is None else np.asarray(scored, bool)
    own = scores[counts]
    if not own.size or not np.ptp(own) > 0:
        return []
    level = (np.median(own) + own.max()) / 2
    high = np.flatnonzero(counts & (scores >= level))
    nearest, found = max(1, round(gap * fps)), []
    for run in np.split(high, np.flatnonzero(np.diff(high) > nearest) + 1):
        start, stop = int(run[0]), int(run[-1]) + 1
        peak = start + int(np.argmax(scores[start:stop]))
        found.append(Interval(start, stop, peak, float(scores[peak])))
    return sorted(found, key=lambda one: -one.score)[:count]


def clock(seconds: float) -> str:
    """Seconds as `h:mm:ss.s`."""
    tenths = round(10 * seconds)
    return f"{tenths // 36000}:{tenths // 600 % 60:02}:{tenths // 10 % 60:02}.{tenths % 10}"
