"""Frame scores over time: smoothed afterwards or as they come, alarm line, alarm intervals.

Spec attributes §7, §8, §9.
"""

import numpy as np

from vadjax.scores import alarm_rate
from vadjax.scores.alarm_rate import RELIABLE_SECONDS, RELIABLE_VIDEOS, HeldOut

SECONDS = 0.5  # deviation of the Gaussian, and time constant of the live form
REACH = 4  # deviations
LINE = 0.5  # reported score of the alarm line
NO_LINE = 2.0  # score of the alarm line where all normal frames score 0
UNRELIABLE = (
    f"under {RELIABLE_SECONDS} seconds of normal video, or under {RELIABLE_VIDEOS} videos; "
    "the alarm line cannot be relied on"
)


class GaussianSmoother:
    """Gaussian over the frames of one video, divided by the taps that fall inside of it.

    A score is known when the frames of two seconds after it are; `end` gives the last ones.

    Args:
      fps: frames a second.
    """

    def __init__(self, fps: float):
        deviation = SECONDS * fps
        self._reach = int(np.ceil(REACH * deviation))
        self._taps = np.exp(-np.square(np.arange(-self._reach, self._reach + 1) / deviation) / 2)
        self._scores: list[float] = []  # of the frames around the next one to be smoothed
        self._next = 0  # its place in them

    def add(self, score: float) -> list[float]:
        """Takes the score of the next frame; smoothed scores that are known now, none or one."""
        self._scores.append(float(score))
        return [self._smooth()] if len(self._scores) - self._next > self._reach else []

    def end(self) -> list[float]:
        """The smoothed scores of the last frames; a new video may begin."""
        last = [self._smooth() for _ in range(len(self._scores) - self._next)]
        self._scores, self._next = [], 0
        return last

    def _smooth(self) -> float:
        near = np.array(self._scores[: self._next + self._reach + 1])
        first = self._reach - self._next
        taps = self._taps[first : first + len(near)]
        if self._next < self._reach:
            self._next += 1
        else:
            del self._scores[0]
        return float(near @ taps / taps.sum())


def gaussian(scores: np.ndarray, fps: float) -> np.ndarray:
    """`GaussianSmoother` of all frames of one video, float64 [T]."""
    smooth = GaussianSmoother(fps)
    known = [value for score in scores for value in smooth.add(score)]
    return np.array(known + smooth.end(), np.float64)


class LiveSmoother:
    """Exponential smoothing of scores as they come; the first score is taken as it is.

    Args:
      fps: frames a second.
    """

    def __init__(self, fps: float):
        self._part = 1 - np.exp(-1 / (SECONDS * fps))
        self._value: float | None = None

    def __call__(self, score: float) -> float:
        """The smoothed score of the next frame."""
        if self._value is None:
            self._value = float(score)
        else:
            self._value += self._part * (score - self._value)
        return self._value


def live(scores: np.ndarray, fps: float) -> np.ndarray:
    """`LiveSmoother` of all frames of one video, float64 [T]."""
    smooth = LiveSmoother(fps)
    return np.array([smooth(score) for score in scores], np.float64)


def alarm_line(scores: np.ndarray) -> float:
    """The smoothed score that 999 of 1,000 normal frames stay below."""
    line = float(np.quantile(scores, alarm_rate.ALARM_SHARE)) if len(scores) else 0.0
    return line or NO_LINE


def alarm_lines(
    frames: np.ndarray, live: np.ndarray, lengths: np.ndarray, fps: float, per_hour: float
) -> tuple[float, float]:
    """Scores of the alarm lines, afterwards and live.

    Args:
      frames: smoothed scores of held-out frames [T].
      live: the same as they are smoothed live.
      lengths: frames of each piece of video.
      fps: frames a second that are taken.
      per_hour: alarms an hour; 0 for the line of the specification.
    """
    if not per_hour or not len(frames):
        return alarm_line(frames), alarm_line(live)
    after, at_once = (
        alarm_rate.threshold(HeldOut(scores, lengths, fps), per_hour).value
        for scores in (frames, live)
    )
    return after or NO_LINE, at_once or NO_LINE


def reported(scores: np.ndarray, line: float) -> np.ndarray:
    """Scores in [0, 1), 0.5 at the alarm line."""
    scores = np.asarray(scores, np.float64)
    return scores / (scores + line)


def intervals(scores: np.ndarray, fps: float) -> np.ndarray:
    """Alarm intervals of reported scores [T]: int64 [n, 2], `[start, stop)`.

    Runs with at most half a second of frames between them are one.
    """
    return alarm_rate.intervals(scores, LINE, alarm_rate.gap_frames(fps))
