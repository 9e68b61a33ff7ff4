"""Alarm intervals of held-out normal video, and the threshold at which there are so many an hour.

An alarm interval is a run of frames at or above a threshold; runs with at most half a second
between them are one. Fewer alarms an hour than the video can show are those of an exponential tail,
fitted to the highest scores of the intervals above a lower threshold.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vadjax.scores.alarm import AlarmLine

SECONDS = 0.5  # runs of an alarm interval are at most so far apart
ROUNDING = 1e-4  # frames by which a rate that was measured by times may be wrong in half a second
TAIL = 20  # intervals that the tail is fitted to, where there are so many
LEVELS = 400  # thresholds of a table of rates
LEAST = 1e-12  # of a mean excess
SHARES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0)  # of a table of quantiles


RELIABLE_SECONDS, RELIABLE_VIDEOS = 60, 4  # of normal video, from which a line can be relied on
ALARM_SHARE = 0.999  # of normal frames that lie below the line where no rate is asked for
LEAST_LINE = 1e-6  # where all normal frames score 0
ROWS, BEYOND = 100, 2.0  # of a table of rates: thresholds, and how far above the highest score


def enough(seconds: float, videos: int) -> bool:
    """Whether so much normal video of a camera makes an alarm line that can be relied on."""
    return seconds >= RELIABLE_SECONDS and videos >= RELIABLE_VIDEOS


class HeldOut(NamedTuple):
    """Scores of normal video, by models that never saw it.

    Attributes:
      scores: float64 [T], of all frames that count, one piece of video after the other.
      lengths: int [pieces], frames of each piece; no interval goes from one to the next.
      fps: frames a second.
    """

    scores: np.ndarray
    lengths: np.ndarray
    fps: float

    @property
    def hours(self) -> float:
        """How long it is."""
        return len(self.scores) / self.fps / 3600

    @property
    def gap(self) -> int:
        """Frames below a threshold that do not end an interval."""
        return gap_frames(self.fps)


class Threshold(NamedTuple):
    """A threshold with how it was found.

    Attributes:
      value: scores of at least so much are alarms.
      extrapolated: whether the video was too short for the rate, so that the tail was used.
    """

    value: float
    extrapolated: bool


class Tail(NamedTuple):
    """Intervals above a threshold u: `count · exp(-(h - u) / excess)` of them reach h.

    Attributes:
      threshold: u.
      count: intervals at u.
      excess: mean of what their highest scores exceed u by, more than 0.
    """

    threshold: float
    count: int
    excess: float

    def count_at(self, threshold: float) -> float:
        """Intervals that reach a threshold of at least u."""
        return self.count * math.exp(-(threshold - self.threshold) / self.excess)

    def threshold_of(self, count: float) -> float:
        """The threshold that so many intervals reach, `count` more than 0."""
        return self.threshold + self.excess * math.log(self.count / count)


def gap_frames(fps: float, every: int = 1) -> int:
    """Frames in half a second, to which two runs may be apart and are one interval.

    The half second is rounded to frames with a score of their own (spec attributes §1, §9). Every
    program goes by this rule, or by `is_apart` where frames come one by one.

    Args:
      fps: frames a second.
      every: every how many frames one has a score of its own; those between have that before them.
    """
    return every * int(np.floor(SECONDS * fps / every + 0.5 + ROUNDING))


def is_apart(seconds: float, interval: float) -> bool:
    """Whether a run ended so long ago that the next one is another interval, as `gap_frames`.

    Args:
      seconds: from the last frame of the run to the newest one below the threshold.
      interval: seconds between two frames with a score of their own.
    """
    return seconds > SECONDS + (0.5 + ROUNDING) * interval


def intervals(scores: np.ndarray, threshold: float, gap: int) -> np.ndarray:
    """Alarm intervals of the scores [T] of one video: int64 [n, 2], `[start, stop)`.

    Args:
      scores: of its frames.
      threshold: scores of at least so much are alarms.
      gap: frames below it, at most, between two runs of one interval.
    """
    above = np.concatenate([[False], np.asarray(scores) >= threshold, [False]])
    edges = np.flatnonzero(above[1:] != above[:-1]).reshape(-1, 2)
    if not len(edges):
        return edges
    apart = np.flatnonzero(edges[1:, 0] - edges[:-1, 1] > gap)
    starts = edges[np.concatenate([[0], apart + 1]), 0]
    stops = edges[np.concatenate([apart, [len(edges) - 1]]), 1]
    return np.stack([starts, stops], 1)


def maxima(video: HeldOut, threshold: float) -> np.ndarray:
    """The highest score of every interval at a threshold, float64 [n]."""
    highest = []
    for piece in np.split(video.scores, np.cumsum(video.lengths)[:-1]):
        spans = intervals(piece, threshold, video.gap)
        highest += [piece[start:stop].max() for start, stop in spans]
    return np.array(highest, np.float64)


def counts(video: HeldOut, thresholds: Sequence[float]) -> np.ndarray:
    """How many intervals there are at each threshold, int64."""
    return _Counter(video).at(thresholds)


def threshold(video: HeldOut, per_hour: float) -> Threshold:
    """The threshold with so many alarm intervals an hour.

    It lies half way between two scores of the video, above the lower of which there are never more
    intervals than were asked for. Where less than one in the whole video is asked for, it is that
    of the tail, and at least that of one. Fewer alarms never mean a lower threshold.

    Args:
      video: at least one frame.
      per_hour: more than 0.
    """
    wanted = per_hour * video.hours
    counted = _lowest_with(video, max(1, math.floor(wanted)))
    if wanted >= 1:
        return Threshold(counted, False)
    return Threshold(max(tail(video).threshold_of(wanted), counted), True)


def _lowest_with(video: HeldOut, most: int) -> float:
    """The lowest threshold from which upwards there are never more than `most` intervals.

    Where there never are so many, it is the threshold with the most of them.
    """
    scores = np.unique(video.scores)
    too_many = np.flatnonzero(_Counter(video).at(scores) > most)
    if not len(too_many):
        levels = _levels(video)
        return float(levels[len(levels) - 1 - counts(video, levels)[::-1].argmax()])
    level, above = scores[too_many[-1]], scores[too_many[-1] + 1 :]
    return float((level + above[0]) / 2) if len(above) else float(level)


def tail(video: HeldOut) -> Tail:
    """The exponential tail of the highest scores of intervals.

    It begins at the threshold, coming from above, at which there are 20 intervals for the first
    time, or where there are the most if there never are 20.
    """
    levels = _levels(video)
    found = counts(video, levels)
    enough = np.flatnonzero(found >= TAIL)
    at = int(enough[-1]) if len(enough) else len(found) - 1 - int(found[::-1].argmax())
    highest = maxima(video, levels[at])
    excess = max(float((highest - levels[at]).mean()), LEAST)
    return Tail(float(levels[at]), len(highest), excess)


def rates(video: HeldOut, thresholds: np.ndarray) -> np.ndarray:
    """Alarms an hour at each threshold, float64; below `1 / hours` those of the tail.

    Args:
      video: at least one frame.
      thresholds: ascending.
    """
    found, fitted = counts(video, thresholds).astype(np.float64), tail(video)
    for number, level in enumerate(thresholds):
        if found[number] < 1 and level >= fitted.threshold:
            found[number] = min(fitted.count_at(float(level)), 1.0)
    return found / video.hours


def joined(videos: Sequence[HeldOut]) -> HeldOut:
    """The pieces of several cameras of one frame rate, at least one camera, as one."""
    return HeldOut(
        np.concatenate([video.scores for video in videos]),
        np.concatenate([video.lengths for video in videos]).astype(np.int64),
        videos[0].fps,
    )


def line_of(video: HeldOut, per_hour: float, reliable: bool) -> AlarmLine | None:
    """The alarm line of a system that reports scores as they are; None without any frames.

    Args:
      video: its scores of held-out normal video.
      per_hour: alarms an hour that are asked for; 0 takes the score that 999 of 1,000 frames stay
        below.
      reliable: whether there was enough normal video of every camera.
    """
    if not len(video.scores):
        return None
    found = Threshold(float(np.quantile(video.scores, ALARM_SHARE)), False)
    if per_hour:
        found = threshold(video, per_hour)
    line, highest = max(found.value, LEAST_LINE), float(video.scores.max())
    levels = np.linspace(0, BEYOND * max(line, highest), ROWS + 1)[1:]
    levels = np.union1d(levels, [line])
    return AlarmLine(
        line=line,
        reliable=reliable,
        hours=video.hours,
        per_hour=per_hour or None,
        extrapolated=found.extrapolated,
        rates=np.stack([levels, rates(video, levels)], 1),
        quantiles=quantiles(video.scores),
    )


def quantiles(scores: np.ndarray) -> np.ndarray:
    """Rows `share, score` of scores [T], float64 [k, 2]."""
    shares = np.array(SHARES)
    return np.stack([shares, np.quantile(scores, shares)], 1)


def _levels(video: HeldOut) -> np.ndarray:
    """Scores of the video at which intervals are counted, ascending, denser among the high ones."""
    scores = np.sort(video.scores)
    ranks = len(scores) - np.unique(np.geomspace(1, len(scores), LEVELS).astype(int))
    return np.unique(scores[ranks])


class _Counter:
    """Counts intervals at any number of thresholds at once.

    A frame begins an interval at a threshold h if it scores at least h and the frames of a gap
    before it, and the one before these, all score less. With m the highest of those, it begins one
    at every h in (m, score]. So the intervals at h are the frames with a score of at least h less
    those with an m of at least h, of the frames that score more than their m.

    Args:
      video: its scores.
    """

    def __init__(self, video: HeldOut):
        scores, before = _separated(video), video.gap + 1
        padded = np.concatenate([np.full(before, -np.inf), scores[:-1]])
        highest = np.lib.stride_tricks.sliding_window_view(padded, before).max(1)
        begins = scores > highest
        self._scores, self._before = np.sort(scores[begins]), np.sort(highest[begins])

    def at(self, thresholds: Sequence[float]) -> np.ndarray:
        """How many intervals there are at each threshold, int64."""
        reached, joined = (
            len(values) - np.searchsorted(values, thresholds)
            for values in (self._scores, self._before)
        )
        return np.asarray(reached - joined, np.int64)


def _separated(video: HeldOut) -> np.ndarray:
    """The scores with more than a gap of frames that are never an alarm between the pieces."""
    between = np.full(video.gap + 1, -np.inf)
    pieces = np.split(np.asarray(video.scores, np.float64), np.cumsum(video.lengths)[:-1])
    return np.concatenate([part for piece in pieces for part in (piece, between)])
