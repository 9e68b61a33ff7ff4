"""Frames a second of new video, by the times of its first frames."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from vadjax.data.video.frame_stream import Frame
from vadjax.data.video.frame_times import MOST_FPS, SAME_RATE

LEAST, MOST = 3, 16  # frames that are read ahead
AHEAD = 1.0  # seconds that are read ahead, once there are `LEAST` frames
UNEVEN = 1.5  # times the median: longer intervals are holes and do not count
WHOLE = 0.005  # part of a rate by which it may differ from a whole number, and counts as that


def measure(frames: Iterator[Frame], expected: float) -> tuple[float, Iterator[Frame]]:
    """The frame rate of a video, and all of its frames.

    It is found once 16 frames were read, or once they span a second, so a live score waits no
    longer than that for the first frames. A rate that is within 1 % of the expected one counts as
    that, and one within 0.5 % of a whole number as that number, so that the rounding of times
    changes nothing.

    Args:
      frames: of the video, without a gap.
      expected: frames a second of the training; taken where the times are unknown, do not rise, or
        cannot be.

    Returns:
      Frames a second, and the frames.
    """
    first = []
    for frame in frames:
        first.append(frame)
        if frame.seconds is None or len(first) == MOST:
            break
        if len(first) >= LEAST and frame.seconds - first[0].seconds >= AHEAD:
            break
    fps = rate_of([frame.seconds for frame in first], expected)
    return fps, itertools.chain(first, frames)


def rate_of(times: Sequence[float | None], expected: float) -> float:
    """Frames a second by the times of successive frames in seconds, as `measure` has it."""
    if len(times) < 2 or None in times:
        return expected
    intervals = np.diff(np.asarray(times, np.float64))
    # the mean without holes: that of times in whole milliseconds is exact, their median is not
    usual = float(np.median(intervals))
    counted = intervals[intervals <= UNEVEN * usual]
    interval = float(counted.mean()) if len(counted) else 0.0
    if not 1 / MOST_FPS <= interval < np.inf:
        return expected
    fps = 1 / interval
    if max(fps, expected) < SAME_RATE * min(fps, expected):
        return expected
    # every third frame is taken at 25, every second at 24.999: rounding must not decide
    whole = round(fps)
    return float(whole) if abs(fps - whole) <= WHOLE * fps else float(f"{fps:.6g}")
