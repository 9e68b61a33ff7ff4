"""Scores of a video part by part, as its frames come, and the scores of the whole video.

Every part says which frames it is of. `repeat` and `of_snippets` make the parts of systems that
give one score to several frames.
"""

import array
import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from vadjax.data.video.frame_stream import Stamp
from vadjax.scores.files import Scores


class PartialScores(NamedTuple):
    """Scores of the next frames of a video that is still going on.

    Attributes:
      frame_scores: float32 [n]; they depend on these frames, those before, and at most a few after.
      frames: number and time of each of the n frames.
      alternatives: name → float32 [n], as in `Scores`.
      map: float [n, h, w], as in `Scores`; None if there is none.
      boxes: float [k, 6], as in `Scores`, with the frame numbers of the whole video; None as `map`.
      reasons: as in `Scores`, with the frame numbers of the whole video.
      every: every how many frames of the video one has a score of its own.
    """

    frame_scores: np.ndarray
    frames: tuple[Stamp, ...]
    alternatives: Mapping[str, np.ndarray] = {}
    map: np.ndarray | None = None
    boxes: np.ndarray | None = None
    reasons: tuple[dict, ...] = ()
    every: int = 1


class CollectedScores:
    """Collects the parts of a video.

    It takes 4 bytes for each frame and series of scores, and 24 for each box.

    The times of the frames are a series too, where they are known.

    Args:
      map_bytes: a map that needs more bytes is given up; None keeps it in any case.
      reasons: number of reasons that are kept, those with the highest scores; None keeps all.

    Attributes:
      given_up: whether the map was given up.
      left_out: reasons that were not kept.
    """

    def __init__(self, map_bytes: int | None = None, reasons: int | None = None):
        self._series: dict[str, array.array] = {}
        self._times = array.array("f")  # of all frames, or empty
        self._map: list[np.ndarray] = []
        self._boxes: list[np.ndarray] = []
        self._reasons: list[tuple] = []  # a heap, the lowest score first, once it is full
        self._most_bytes, self._most_reasons = map_bytes, reasons
        self._rank = itertools.count()
        self.given_up, self.left_out = False, 0

    def __len__(self) -> int:
        return len(self._series.get("", ()))

    def add(self, part: PartialScores) -> None:
        """Adds the next part."""
        # The scores, of which the empty name is that of the frame scores.
        for name, values in {"": part.frame_scores, **part.alternatives}.items():
            series = self._series.setdefault(name, array.array("f"))
            series.frombytes(np.asarray(values, np.float32).tobytes())
        self._times.extend(frame.seconds for frame in part.frames if frame.seconds is not None)
        # A map that has grown too large is dropped, with all later parts of it.
        if part.map is not None and not self.given_up:
            self._map.append(np.array(part.map))
            if self._most_bytes is not None:
                self.given_up = sum(cells.nbytes for cells in self._map) > self._most_bytes
        if self.given_up:
            self._map.clear()
        if part.boxes is not None:
            self._boxes.append(np.asarray(part.boxes, np.float32))
        # A heap of the highest reasons; of equal scores the later one goes first.
        for reason in part.reasons:
            row = (reason.get("score", 0.0), -next(self._rank), reason)
            if self._most_reasons is None or len(self._reasons) < self._most_reasons:
                heapq.heappush(self._reasons, row)
            else:
                heapq.heappushpop(self._reasons, row)
                self.left_out += 1

    def scores(self, name: str) -> Scores:
        """The scores of the video so far, its reasons in the order in which they came.

        Args:
          name: of the video.

        Raises:
          ValueError: there is no frame.
        """
        if not len(self):
            raise ValueError(f"{name}: no frame could be scored")
        series = {key: np.array(values, np.float32) for key, values in self._series.items()}
        return Scores(
            name,
            series.pop(""),
            alternatives=series,
            times=np.array(self._times, np.float32) if len(self._times) else None,
            map=np.concatenate(self._map) if self._map else None,
            boxes=np.concatenate(self._boxes) if self._boxes else None,
            reasons=tuple(row[2] for row in sorted(self._reasons, key=lambda row: -row[1])),
        )


def repeat(score: float, frames: Sequence[Stamp]) -> PartialScores:
    """The same score for each of some frames."""
    return PartialScores(np.full(len(frames), score, np.float32), tuple(frames))


def of_snippets(
    snippets: Iterable[tuple[np.ndarray | None, Sequence[Stamp]]],
    score: Callable[[list[np.ndarray]], Iterable[float]],
    at_once: int = 1,
) -> Iterator[PartialScores]:
    """Parts from the scores of snippets, one of each snippet.

    Args:
      snippets: features of each snippet, and the frames that have its score. Frames without
        features have the score of the snippet before.
      score: features of at most `at_once` consecutive snippets → a score of each.
      at_once: snippets that are scored together.
    """
    snippets, last = iter(snippets), np.nan
    while group := list(itertools.islice(snippets, at_once)):
        features = [own for own, _ in group if own is not None]
        scores = iter(score(features) if features else ())
        for own, frames in group:
            last = last if own is None else next(scores)
            yield repeat(last, frames)


def join(name: str, parts: Iterable[PartialScores]) -> Scores:
    """The scores of a whole video, every part kept.

    Raises:
      ValueError: there is no frame.
    """
    whole = CollectedScores()
    for part in parts:
        whole.add(part)
    return whole.scores(name)
