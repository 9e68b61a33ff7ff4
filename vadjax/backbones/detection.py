"""The detections of every detector of objects, and which boxes are left out (spec ssmtl §2).

`vadjax.extractors.detector` opens a detector by its name.
"""

import abc
import collections
import dataclasses
import hashlib
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from vadjax.formats.regular import open_regular

DEGENERATE, OUTSIDE = "of width or height 0 or less", "wholly outside of the frame"


class Detections(NamedTuple):
    """Objects of one frame, the highest score first.

    Attributes:
      boxes: float32 [n, 4], `x0, y0, x1, y1` in pixels, within the frame.
      scores: float32 [n] in [0, 1], of the most likely class that was not left out.
      classes: int64 [n], that class; -1 where the detector knows none.
      logits: float32 [n, K], outputs of all classes before the last activation; K is 0 where
        the detector does not tell them.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    logits: np.ndarray

    def take(self, which: np.ndarray) -> "Detections":
        """The detections with these numbers, or those where the mask `which` is true."""
        return Detections(*(part[which] for part in self))


def unnamed(boxes: np.ndarray, scores: np.ndarray) -> Detections:
    """Detections without classes."""
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    classes = np.full(len(boxes), -1, np.int64)
    logits = np.zeros((len(boxes), 0), "f")
    return Detections(boxes, np.asarray(scores, np.float32), classes, logits)


@dataclasses.dataclass
class Filter:
    """Leaves out boxes, and clips the others to the frame.

    Attributes:
      threshold: objects must score more.
      overlap: of two boxes with a larger IoU, of whatever classes, the higher-scoring one stays; 1
        keeps all.
      min_size: smallest width and height of a box within the frame, pixels.
      most: number of boxes that stay at most, the highest-scoring ones; None keeps all.
      dropped: `DEGENERATE` or `OUTSIDE` → number of such boxes whose scores were high enough.

    Raises:
      ValueError: a number out of its range.
    """

    threshold: float
    overlap: float = 0.5
    min_size: float = 1.0
    most: int | None = None
    dropped: collections.Counter = dataclasses.field(default_factory=collections.Counter)

    def __post_init__(self):
        for name, low, high in (("threshold", 0, 1), ("overlap", 0, 1), ("min_size", 0, np.inf)):
            if not low <= (value := getattr(self, name)) <= high:
                raise ValueError(f"--{name} {value:g}; expected {low} to {high:g}")

    def __call__(self, found: Detections, size: tuple[int, int]) -> Detections:
        """The boxes that stay, the highest score first.

        Args:
          found: boxes of a frame, in any order, that may reach over its edges.
          size: (H, W) of the frame.

        Raises:
          ValueError: a coordinate that is NaN or infinite.
        """
        # Scores first, so that only boxes of some worth are refused or counted.
        found = found.take(found.scores > self.threshold)
        boxes, limit = found.boxes, np.array([*size[::-1], *size[::-1]], np.float32)
        if len(bad := np.flatnonzero(~np.isfinite(boxes).all(1))):
            raise ValueError(f"a box of {boxes[bad[0]].tolist()}; expected finite numbers")
        empty = (boxes[:, 2:] <= boxes[:, :2]).any(1)
        outside = ((boxes[:, 2:] <= 0) | (boxes[:, :2] >= limit[:2])).any(1) & ~empty
        self.dropped.update({DEGENERATE: int(empty.sum()), OUTSIDE: int(outside.sum())})
        # Suppression compares the boxes as the detector gave them; then they are clipped, and their
        # sizes are those within the frame.
        found = found.take(~empty & ~outside)
        found = found.take(suppress(found.boxes, found.scores, self.overlap)[: self.most])
        found = found._replace(boxes=np.clip(found.boxes, 0, limit))
        sides = found.boxes[:, 2:] - found.boxes[:, :2]
        return found.take((sides >= self.min_size).all(1))


class Detector(abc.ABC):
    """Finds the objects of frames.

    Args:
      keep: the filter that decides which boxes stay.

    Attributes:
      keep: the same.
      labels: names of the classes, one for every column of the logits; empty if there are none.
      settings: arguments of `detector.open` that make the same detector; JSON can hold them.
      consecutive: whether it must see all frames of a video in their order.
    """

    labels: tuple[str, ...] = ()
    settings: dict
    consecutive = False

    def __init__(self, keep: Filter):
        self.keep = keep

    def __call__(self, frame: np.ndarray) -> Detections:
        """Objects of a frame.

        Args:
          frame: uint8 [H, W, 3], RGB, of any size.

        Raises:
          ValueError: a frame of another shape or type.
        """
        return self.keep(self.candidates(check_frame(frame)), frame.shape[:2])

    @abc.abstractmethod
    def candidates(self, frame: np.ndarray) -> Detections:
        """All boxes of a frame, in any order; they may reach over its edges."""

    def restart(self) -> None:  # noqa: B027 - most detectors remember nothing
        """Forgets the frames so far: the next one is the first of a video."""

    def outputs(self, frame: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Class outputs for boxes found elsewhere: those of the candidate with the highest IoU.

        Where none overlaps a box, the candidate whose middle is nearest.

        Args:
          frame: uint8 [H, W, 3], RGB.
          boxes: float [n, 4], `x0, y0, x1, y1` in pixels of the frame.

        Returns:
          float32 [n, K], before the last activation.

        Raises:
          ValueError: the detector found nothing at all.
        """
        if not len(boxes):
            return np.zeros((0, len(self.labels)), np.float32)
        candidates = self.candidates(check_frame(frame))
        if not len(candidates.boxes):
            raise ValueError("the detector has no box at all in a frame; take another as a teacher")
        iou = overlaps(boxes, candidates.boxes)
        # Distances of the middles, for boxes that no candidate overlaps.
        middles = (candidates.boxes[:, :2] + candidates.boxes[:, 2:]) / 2
        away = np.linalg.norm((boxes[:, None, :2] + boxes[:, None, 2:]) / 2 - middles, axis=-1)
        chosen = np.where(iou.max(1) > 0, iou.argmax(1), away.argmin(1))
        return candidates.logits[chosen]


def check_frame(frame: np.ndarray) -> np.ndarray:
    """Checks a frame and returns it.

    Raises:
      ValueError: the frame is not uint8 [H, W, 3].
    """
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise ValueError(f"frame is {frame.dtype} {frame.shape}; expected uint8 [H, W, 3], RGB")
    return frame


def suppress(boxes: np.ndarray, scores: np.ndarray, overlap: float) -> np.ndarray:
    """Non-maximum suppression: the numbers of the boxes that stay.

    Args:
      boxes: [n, 4], `x0, y0, x1, y1`.
      scores: [n].
      overlap: of two boxes with a larger IoU the higher-scoring one stays; 1 keeps all.

    Returns:
      int64 [kept], the highest score first.
    """
    if overlap >= 1:
        return np.argsort(-scores, kind="stable")
    sized = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
    kept = cv2.dnn.NMSBoxes(sized.tolist(), scores.tolist(), 0.0, overlap)
    return np.asarray(kept, np.int64).reshape(-1)


def overlaps(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """IoU of boxes [n, 4] with boxes [m, 4], `x0, y0, x1, y1`: float64 [n, m]."""
    one, other = np.asarray(one, np.float64)[:, None], np.asarray(other, np.float64)[None]
    sides = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    shared = np.maximum(sides, 0).prod(-1)
    area_one, area_other = (np.maximum(b[..., 2:] - b[..., :2], 0).prod(-1) for b in (one, other))
    return shared / np.maximum(area_one + area_other - shared, 1e-12)


def choose(
    logits: np.ndarray, labels: Sequence[str], leave_out: Sequence[str], keep: Sequence[str] = ()
) -> np.ndarray:
    """Class of the highest output among those that are objects.

    Args:
      logits: float [n, K].
      labels: names of the K classes.
      leave_out: labels of classes that are not objects.
      keep: labels of the classes that are objects; empty for all others.

    Returns:
      int64 [n].
    """
    wanted = [i for i, label in enumerate(labels) if label not in leave_out]
    wanted = [i for i in wanted if not keep or labels[i] in keep]
    return np.array(wanted)[logits[:, wanted].argmax(1)]


def check_labels(labels: Sequence[str], leave_out: Sequence[str], keep: Sequence[str]) -> None:
    """Refuses labels of classes that do not exist.

    Raises:
      ValueError: a label is unknown, or no class would be left.
    """
    if unknown := {*leave_out, *keep} - set(labels):
        raise ValueError(f"no classes {sorted(unknown)}; there are {', '.join(labels)}")
    if not (set(keep or labels) - set(leave_out)):
        raise ValueError(f"no class is left to be an object; there are {', '.join(labels)}")


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))


def check_sha256(path: pathlib.Path, expected: str | None) -> str:
    """SHA-256 of a file, compared with the one that is expected, if any.

    Raises:
      ValueError: they differ.
    """
    with open_regular(path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if expected is not None and digest != expected:
        raise ValueError(
            f"{path}: SHA-256 {digest[:12]}…, expected {expected[:12]}…: not the detector that "
            "found the objects before"
        )
    return digest
