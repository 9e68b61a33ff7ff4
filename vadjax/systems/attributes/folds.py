"""Normal objects judged by models that never saw them (spec attributes §5)."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

MOST = 5  # folds


class Fold(NamedTuple):
    """Which objects a model is fitted on, and which objects and frames it judges.

    Attributes:
      fitted: bool [N].
      judged: bool [N], of other videos or well apart in time.
      frames: bool [T] of every video, those that are judged.
    """

    fitted: np.ndarray
    judged: np.ndarray
    frames: list[np.ndarray]


def folds(video: np.ndarray, frame: np.ndarray, lengths: np.ndarray, fps: float) -> Iterator[Fold]:
    """The folds of all training objects.

    Videos take turns in the folds. One video alone is cut into runs of frames; the model that
    judges a run is fitted on what is at least a second away from it.

    Args:
      video: number of the video of each object, int [N].
      frame: number of its frame, int [N].
      lengths: frames of every video, int [videos].
      fps: frames a second.
    """
    if len(lengths) > 1:
        count = min(MOST, len(lengths))
        for number in range(count):
            judged = video % count == number
            whole = [np.full(n, own % count == number) for own, n in enumerate(lengths)]
            yield Fold(~judged, judged, whole)
        return
    for run in np.array_split(np.arange(lengths[0]), MOST):
        if len(run):
            start, stop = run[0], run[-1] + 1
            fitted = (frame < start - fps) | (frame >= stop + fps)
            inside = np.arange(lengths[0])
            whole = [(inside >= start) & (inside < stop)]
            yield Fold(fitted, (frame >= start) & (frame < stop), whole)
