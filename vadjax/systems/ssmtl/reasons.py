"""Why an object was flagged: the tasks that go wrong most, measured by normal objects."""

from collections.abc import Mapping, Sequence

import numpy as np

from vadjax.systems.ssmtl.score import LEAST_DEVIATION

EVERY = 16  # frames that share a reason
ALSO = 0.5  # share of the largest term from which another one is named too
SAYS = {
    "arrow": "it moves against the learned direction of time",
    "irregularity": "it moves in jumps, or faster than normal",
    "middle": "how it looks cannot be told from before and after",
    "distillation": "it looks unlike the objects of the training",
}


def excess(by_task: Mapping[str, np.ndarray], normal: np.ndarray) -> dict[str, np.ndarray]:
    """Scores of the tasks in deviations above those of normal objects.

    Args:
      by_task: task → scores [n].
      normal: float [tasks, 2], mean and deviation of each task, in the order of `by_task`.
    """
    rows = zip(by_task.items(), normal, strict=True)
    return {
        task: (scores - mean) / max(deviation, LEAST_DEVIATION)
        for (task, scores), (mean, deviation) in rows
    }


class Reasons:
    """Collects the flagged objects of a video; each `EVERY` frames give one reason at most.

    It is that of the flagged object with the highest score.

    Args:
      flag: an object is flagged if any task is at least so many deviations above normal objects.
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
                of_object = {task: round(float(term[i]), 2) for task, term in terms.items()}
                self._best = reason(frame, boxes[i], float(scores[i]), of_object)

    def take(self, frame: int, last: bool) -> Sequence[dict]:
        """The reason of the `EVERY` frames that end with `frame`; empty if there is none.

        Args:
          frame: number of the frame that was added last.
          last: whether the video ends here, which also ends the frames that share a reason.
        """
        if self._best is None or not (last or (frame + 1) % EVERY == 0):
            return ()
        best, self._best = self._best, None
        first = best["frame"] - best["frame"] % EVERY
        return ({**best, "frames": [first, frame + 1]},)


def reason(frame: int, box: Sequence[float], score: float, terms: Mapping[str, float]) -> dict:
    """The reason why an object was flagged, as a dict that JSON can hold.

    Args:
      frame: number of the frame.
      box: `x0, y0, x1, y1` in pixels of the source frame.
      score: of the object.
      terms: task → deviations above normal objects.
    """
    # The task that is most above normal, and those at least `ALSO` times as far.
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
