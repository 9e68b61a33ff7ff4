"""What the list of the page can hold: alarm intervals, and weaker ones for lower thresholds."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vadjax.metrics import frame
from vadjax.scores.files import Scores

LEVELS = 12  # thresholds below the line at which further intervals are looked for
STEPS = 201  # thresholds of precision and recall


class Candidate(NamedTuple):
    """An interval of a video that scores high.

    Attributes:
      start: its first frame.
      stop: one past its last frame.
      peak: its frame of the highest score.
      score: score of that frame.
    """

    start: int
    stop: int
    peak: int
    score: float


def find(
    video: Scores,
    line: float,
    gap: int,
    known: Sequence[tuple[int, int]] | None = None,
    most: int = 100,
) -> list[Candidate]:
    """Alarm intervals of a video, and weaker intervals beside them, the highest first.

    Below the line, thresholds go down to the median score in `LEVELS` steps, and every interval at
    one that touches none of those before is a candidate. So a lower threshold in the page shows
    more of them, and those that it showed stay.

    Args:
      video: scores of the video.
      line: score from which a frame is an alarm.
      gap: intervals with at most so many frames between them are one.
      known: `[start, stop)` of the alarm intervals that the system itself names; None finds them.
      most: number of candidates at most.
    """
    counts = _counted(video)
    scores = np.where(counts, np.asarray(video.frame_scores, np.float64), -np.inf)
    if not counts.any():
        return []
    # The alarm intervals.
    taken, found = np.zeros(len(scores), bool), []
    for start, stop in _runs(scores >= line, gap) if known is None else known:
        found.append(_candidate(scores, start, stop))
        taken[max(0, start - gap) : stop + gap] = True
    # Weaker ones, from the line down.
    median = float(np.median(scores[counts]))
    top = min(line, float(scores.max()))
    for level in np.linspace(top, median, LEVELS + 1)[: LEVELS if median < top else 0]:
        runs = np.array(_runs(scores >= level, gap)).reshape(-1, 2)
        before = np.concatenate([[0], np.cumsum(taken)])  # frames taken before each frame
        for start, stop in runs[before[runs[:, 0]] == before[runs[:, 1]]].tolist():
            found.append(_candidate(scores, start, stop))
            taken[max(0, start - gap) : stop + gap] = True
    return sorted(found, key=lambda one: (-one.score, one.start))[:most]


def _counted(video: Scores) -> np.ndarray:
    """Frames that count, bool [T]."""
    if video.scored is None:
        return np.ones(len(video.frame_scores), bool)
    return np.asarray(video.scored, bool)


def _candidate(scores: np.ndarray, start: int, stop: int) -> Candidate:
    peak = start + int(np.argmax(scores[start:stop]))
    return Candidate(start, stop, peak, float(scores[peak]))


def _runs(high: np.ndarray, gap: int) -> list[tuple[int, int]]:
    """Runs `[start, stop)` of true frames [T]; runs with at most `gap` frames between are one."""
    frames = np.flatnonzero(high)
    if not len(frames):
        return []
    ends = np.flatnonzero(np.diff(frames) > gap + 1)
    starts = frames[np.concatenate([[0], ends + 1])]
    stops = frames[np.concatenate([ends, [len(frames) - 1]])] + 1
    return list(zip(starts.tolist(), stops.tolist(), strict=True))


def measures(videos: Sequence[Scores], low: float, high: float) -> dict | None:
    """Precision and recall of frames at `STEPS` thresholds; None where not every video has labels.

    Args:
      videos: scores of all videos.
      low: lowest threshold.
      high: highest threshold.

    Returns:
      `thresholds`, `precision` (None where no frame scores so high) and `recall`, lists of STEPS;
      None too where all frames are of one class.
    """
    if any(video.labels is None for video in videos):
        return None
    labels, scores = frame.pooled([video.counted() for video in videos])
    labels = np.asarray(labels, bool)
    if labels.all() or not labels.any():
        return None
    # Frames at a threshold or above, of both kinds and anomalous ones.
    thresholds = np.linspace(low, high, STEPS)
    every, positive = np.sort(scores), np.sort(scores[labels])
    flagged = len(every) - np.searchsorted(every, thresholds)
    right = len(positive) - np.searchsorted(positive, thresholds)
    return {
        "thresholds": [round(float(value), 6) for value in thresholds],
        "precision": [
            round(float(hits / count), 4) if count else None
            for hits, count in zip(right, flagged, strict=True)
        ],
        "recall": [round(float(hits / len(positive)), 4) for hits in right],
    }
