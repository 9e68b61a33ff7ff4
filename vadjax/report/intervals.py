"""The intervals of a video in which the score is high, found without labels."""

from typing import NamedTuple

import numpy as np

FPS = 25.0  # frames a second, if the source reports none
GAP = 1.0  # seconds; intervals that are nearer to each other count as one


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

    A score is high if it is at least half way from the median of the video to its highest score.

    Args:
      scores: [T], of one video.
      count: number of intervals at most.
      scored: bool [T], frames that count; None for all.
      fps: frames a second of the camera, for example 25, or 0.2 for one in five seconds.
      gap: intervals at most so many seconds apart, rounded to frames, are joined. Neighbouring
        frames are always joined, however slow the camera is.

    Returns:
      The intervals; an empty list where all scores are equal.
    """
    counts = np.ones(len(scores), bool) if scored is None else np.asarray(scored, bool)
    counted = scores[counts]
    if not counted.size or not np.ptp(counted) > 0:
        return []
    level = (np.median(counted) + counted.max()) / 2
    high = np.flatnonzero(counts & (scores >= level))
    # Runs of high frames, of which those that are no further apart than the gap are one
    nearest, intervals = max(1, round(gap * fps)), []
    for run in np.split(high, np.flatnonzero(np.diff(high) > nearest) + 1):
        start, stop = int(run[0]), int(run[-1]) + 1
        peak = start + int(np.argmax(scores[start:stop]))
        intervals.append(Interval(start, stop, peak, float(scores[peak])))
    return sorted(intervals, key=lambda interval: -interval.score)[:count]


def clock(seconds: float) -> str:
    """Seconds as `h:mm:ss.s`."""
    tenths = round(10 * seconds)
    return f"{tenths // 36000}:{tenths // 600 % 60:02}:{tenths // 10 % 60:02}.{tenths % 10}"
