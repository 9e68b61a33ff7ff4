"""The times of frames: that they rise, how many frames a second they make, and at another rate."""

import math
import statistics
from collections.abc import Iterable, Iterator
from typing import Any

MOST_FPS = 1000  # a header that says more is wrong
UNLIKE = 1.2  # ratio of the rates by header and by times from which the times decide
USUAL = 64  # intervals whose median is the usual one


class Times:
    """Seconds from 0 that rise, from the times that frames bear.

    A frame without a time, or with one that is not later than that of the frame before, comes the
    usual interval after it.

    Args:
      fps: frames a second by the header, until intervals are known.
    """

    def __init__(self, fps: float | None):
        self._interval = 1 / (fps or 25)
        self._first: float | None = None  # what the first frame bears
        self._last, self._count = 0.0, 0
        self._intervals: list[float] = []

    def rising(self, time: float | None) -> float:
        """The time of the next frame."""
        self._count += 1
        if self._count == 1:
            self._first = time
            return 0.0
        if self._first is None and time is not None:
            self._first = time - self._last - self._interval
        own = -math.inf if time is None else time - self._first
        if own <= self._last:
            own = self._last + self._interval
        elif len(self._intervals) < USUAL:
            self._intervals.append(own - self._last)
            self._interval = statistics.median(self._intervals)
        self._last = own
        return own

    @property
    def usual(self) -> float:
        """Frames a second by the usual interval."""
        return 1 / self._interval

    @property
    def rate(self) -> float | None:
        """Frames a second so far, in the mean; None before the second."""
        return (self._count - 1) / self._last if self._count > 1 and self._last > 0 else None


def like(rate: float, other: float) -> bool:
    """Whether two rates are the same but for rounding and a little unevenness."""
    return max(rate, other) < UNLIKE * min(rate, other)


def decide(header: float | None, own: float | None) -> float | None:
    """Frames a second by the header, or by the frames' own times where these disagree."""
    if header and own and like(header, own):
        return header
    return own if own and own < MOST_FPS else header


class FrameIntervals:
    """The shortest and the longest time between two frames; half as long again is variable."""

    def __init__(self):
        self._last, self._shortest, self._longest = None, float("inf"), 0.0

    def add(self, time: float) -> None:
        """Notes the time of the next frame, seconds; one that does not rise is passed over."""
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

    Of two that are equally near it is the earlier. The times go on for as long as the last frame
    lasts, which is as long as the one before it: one second of 30 frames gives 25 at a rate of 25.

    Args:
      frames: frames, whatever they are, and their times in seconds, rising from 0.
      rate: frames a second.

    Yields:
      Frame and time k / rate, k = 0, 1, …
    """
    count, last, lasts = 0, None, 0.0
    for frame, time in frames:
        if last is not None:
            between, lasts = (last[1] + time) / 2, time - last[1]
            while count / rate <= between + 1e-9:
                yield last[0], count / rate
                count += 1
        last = frame, time
    if last is None:
        return
    while count < max(1, round((last[1] + lasts) * rate)):
        yield last[0], count / rate
        count += 1
