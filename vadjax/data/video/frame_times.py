"""Times of frames: rising times, the frame rate that they make, and resampling to another rate."""

import math
import statistics
from collections.abc import Iterable, Iterator
from typing import Any

MOST_FPS = 1000  # a larger rate in a header is wrong
SAME_RATE = 1.01  # two rates of a smaller ratio count as one, as 29.97 and 30
UNLIKE = 1.2  # two rates of at least this ratio are different
USUAL = 64  # number of intervals whose median is the usual interval


class Times:
    """Makes rising seconds from 0 of the times that a file gives its frames.

    A frame without a time, or with one that is not later than that of the frame before, is placed
    the usual interval after the frame before.

    Args:
      fps: frames a second by the header, used until intervals are known; None stands for 25.
    """

    def __init__(self, fps: float | None):
        self._interval = 1 / (fps or 25)
        self._first: float | None = None  # the file's time of the first frame
        self._last, self._count = 0.0, 0
        self._intervals: list[float] = []

    def rising(self, time: float | None) -> float:
        """Seconds of the next frame, given the file's time of it; None if it has none."""
        self._count += 1
        if self._count == 1:
            self._first = time
            return 0.0
        # The first frame had no time: its time follows from the first one that is given.
        if self._first is None and time is not None:
            self._first = time - self._last - self._interval
        seconds = -math.inf if time is None else time - self._first
        # A time that does not rise is replaced, and does not count for the usual interval.
        if seconds <= self._last:
            seconds = self._last + self._interval
        elif len(self._intervals) < USUAL:
            self._intervals.append(seconds - self._last)
            self._interval = statistics.median(self._intervals)
        self._last = seconds
        return seconds

    @property
    def usual(self) -> float:
        """Frames a second by the usual interval between two frames."""
        return 1 / self._interval

    @property
    def rate(self) -> float | None:
        """Mean frames a second so far; None before the second frame."""
        return (self._count - 1) / self._last if self._count > 1 and self._last > 0 else None


def like(rate: float, other: float) -> bool:
    """Whether two rates are the same, apart from rounding and slightly uneven times."""
    return max(rate, other) < UNLIKE * min(rate, other)


def decide(header: float | None, own: float | None) -> float | None:
    """Frames a second by the header, or by the frames' own times if these disagree.

    Args:
      header: rate by the header; None if it gives none.
      own: rate by the frames' times; None if unknown.
    """
    if header and own and like(header, own):
        return header
    return own if own and own < MOST_FPS else header


class FrameIntervals:
    """The shortest and the longest time between two frames.

    The frame rate counts as variable if the longest is at least 1.5 times the shortest.
    """

    def __init__(self):
        self._last, self._shortest, self._longest = None, float("inf"), 0.0

    def add(self, time: float) -> None:
        """Notes the time of the next frame, seconds; a time that does not rise is skipped."""
        if self._last is not None and time <= self._last:
            return
        if self._last is not None:
            self._shortest = min(self._shortest, time - self._last)
            self._longest = max(self._longest, time - self._last)
        self._last = time

    @property
    def vary(self) -> bool:
        """Whether the frame rate is variable."""
        return self._longest >= 1.5 * self._shortest

    def __str__(self) -> str:
        slow, fast = 1 / self._longest, 1 / self._shortest
        return f"variable frame rate, {slow:.3g} to {fast:.3g} frames a second"


def resample(frames: Iterable[tuple[Any, float]], rate: float) -> Iterator[tuple[Any, float]]:
    """Frames at a constant rate: at each time k / rate the frame that is nearest in time.

    Of two frames that are equally near the earlier is taken. The last frame counts as being shown
    as long as the one before it, so that one second of 30 frames gives 25 at a rate of 25.

    Args:
      frames: frames, of any type, and their times in seconds, rising from 0.
      rate: frames a second.

    Yields:
      Frame and time k / rate, k = 0, 1, …
    """
    # The previous frame is nearest up to the middle between its time and the next frame's.
    count, previous, duration = 0, None, 0.0
    for frame, time in frames:
        if previous is not None:
            between, duration = (previous[1] + time) / 2, time - previous[1]
            while count / rate <= between + 1e-9:
                yield previous[0], count / rate
                count += 1
        previous = frame, time
    if previous is None:
        return
    # The last frame, to the end of its duration.
    while count < max(1, round((previous[1] + duration) * rate)):
        yield previous[0], count / rate
        count += 1
