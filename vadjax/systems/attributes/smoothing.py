"""Frame scores over time: smoothed afterwards or as they come, alarm line, alarm intervals.

Spec attributes §7, §8, §9.
"""

import numpy as np

SECONDS = 0.5  # deviation of the Gaussian, and time constant of the live form
REACH = 4  # deviations
ALARM_SHARE = 0.999  # of normal frames that lie below the alarm line
LINE = 0.5  # reported score of the alarm line
NO_LINE = 2.0  # score of the alarm line where all normal frames score 0
RELIABLE_SECONDS, RELIABLE_VIDEOS = 60, 4  # of normal video, from which the line can be relied on


def gaussian(scores: np.ndarray, fps: float) -> np.ndarray:
    """Gaussian over the frames of one video [T], divided by the taps that fall inside.

    Args:
      scores: float [T].
      fps: frames a second.
    """
    deviation = SECONDS * fps
    reach = int(np.ceil(REACH * deviation))
    taps = np.exp(-np.square(np.arange(-reach, reach + 1) / deviation) / 2)
    scores = np.asarray(scores, np.float64)
    weights = np.convolve(np.ones(len(scores)), taps)[reach : reach + len(scores)]
    return np.convolve(scores, taps)[reach : reach + len(scores)] / weights


class Live:
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
    """`Live` of all frames of one video, float64 [T]."""
    smooth = Live(fps)
    return np.array([smooth(score) for score in scores], np.float64)


def alarm_line(scores: np.ndarray) -> float:
    """The smoothed score that 999 of 1,000 normal frames stay below."""
    line = float(np.quantile(scores, ALARM_SHARE)) if len(scores) else 0.0
    return line or NO_LINE


def reported(scores: np.ndarray, line: float) -> np.ndarray:
    """Scores in [0, 1), 0.5 at the alarm line."""
    scores = np.asarray(scores, np.float64)
    return scores / (scores + line)


def intervals(scores: np.ndarray, fps: float) -> np.ndarray:
    """Alarm intervals of reported scores [T]: int64 [n, 2], `[start, stop)`.

    Runs with at most half a second of frames between them are one.
    """
    above = np.concatenate([[False], np.asarray(scores) >= LINE, [False]])
    edges = np.flatnonzero(above[1:] != above[:-1]).reshape(-1, 2)
    gap = int(np.floor(SECONDS * fps + 0.5))
    apart = np.flatnonzero(edges[1:, 0] - edges[:-1, 1] > gap)
    starts = edges[np.concatenate([[0], apart + 1]), 0] if len(edges) else edges[:, 0]
    stops = edges[np.concatenate([apart, [len(edges) - 1]]), 1] if len(edges) else edges[:, 1]
    return np.stack([starts, stops], 1)
