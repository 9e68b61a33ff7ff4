"""Why an object was flagged: the tasks that go wrong most, measured by normal objects."""

from collections.abc import Mapping, Sequence

import numpy as np

from vadjax.systems.ssmtl.score import LEAST_DEVIATION

EVERY = 16  # frames that share a reason
ALSO = 0.5  # of the largest term, from which another one is named
SAYS = {
    "arrow": "it moves against the learned direction of time",
    "irregularity": "it moves in jumps, or faster than normal",
    "middle": "how it looks cannot be told from before and after",
    "distillation": "it looks unlike the objects of the training",
}


def excess(by_task: Mapping[str, np.ndarray], normal: np.ndarray) -> dict[str, np.ndarray]:
    """Scores of the tasks in deviations above those of normal objects.

    Args:
      by_task: task → [n].
      normal: float [tasks, 2], mean and deviation of each task, in the order of `by_task`.
    """
    rows = zip(by_task.items(), normal, strict=True)
    return {
        task: (own - mean) / max(deviation, LEAST_DEVIATION)
        for (task, own), (mean, deviation) in rows
    }


class Reasons:
    """Collects the flagged objects of a video; of each `EVERY` frames the highest is told.

    Args:
      flag: deviations above normal objects, of the largest task, from which an object is flagged.
      normal: as of `excess`.
    """

    def __init__(self, flag: float, normal: np.ndarray):
        self._flag, self._normal = flag, np.asarray(normal)
        self._best: dict | None = None

    def add(
        self, frame: int, boxes: np.ndarray, scores: np.ndarray, by_task: Mapping[str, np.ndarray]
    ) -> None:
        """Takes the objects of a frame: boxes [n, 4], scores [n], task → [n]."""
        terms = excess(by_task, self._normal)
        largest = np.max(list(terms.values()), 0, initial=-np.inf)
        for i in np.flatnonzero(largest >= self._flag):
            if self._best is None or scores[i] > self._best["score"]:
                own = {task: round(float(term[i]), 2) for task, term in terms.items()}
                self._best = reason(frame, boxes[i], float(scores[i]), own)

    def take(self, frame: int, last: bool) -> Sequence[dict]:
        """The reason of the frames so far if they end with `frame`; `last` ends the video."""
        if self._best is None or not (last or (frame + 1) % EVERY == 0):
            return ()
        found, self._best = self._best, None
        first = found["frame"] - found["frame"] % EVERY
        return ({**found, "frames": [first, frame + 1]},)


def reason(frame: int, box: Sequence[float], score: float, terms: Mapping[str, float]) -> dict:
    """What a person is told of an object, as a dict that JSON can hold.

    Args:
      frame: number of the frame.
      box: `x0, y0, x1, y1`.
      score: of the object.
      terms: task → deviations above normal.
    """
    order = sorted(terms, key=lambda task: -terms[task])
    also = [task for task in order[1:] if terms[task] >= ALSO * terms[order[0]]]
    box = [round(float(edge), 1) for edge in box]
    place = ",".join(f"{edge:.0f}" for edge in box)
    why = "; also ".join(SAYS[task] for task in [order[0], *also])
    return {
        "text": f"frame {frame}, object [{place}], score {score:.2f}: {why}.",
        "frame": frame,
        "box": box,
        "score": round(score, 4),
        "dominant": order[0],
        "also": also,
        "terms": dict(terms),
    }
