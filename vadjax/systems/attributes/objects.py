"""The objects of every frame: what was detected, what moves, how fast, and what it looks like.

Spec attributes §1 to §3. N objects of all frames of a video together, in the order of the frames;
those of a frame by decreasing score, then what moves.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from vadjax.backbones.detection import Detections
from vadjax.ops.flow import Flow, FutureFlow, in_threads
from vadjax.systems.attributes import camera, motion
from vadjax.systems.attributes.motion import BINS, Motions, Small

MOVING = -1  # class of an object that only moves
UNKNOWN = -2  # class of a stored box


class ObjectTable(NamedTuple):
    """Objects of one or more frames, a row each.

    Attributes:
      frame: int64 [N], number of the frame of each.
      boxes: float64 [N, 4], `x0, y0, x1, y1` in pixels of the frame.
      scores: float32 [N], of the detector; 0 of what only moves.
      classes: int64 [N], of the detector; -1 of what only moves.
      motions: how each moves, in pixels of the frame; NaN where there is no frame before.
      look: float32 [N, D], features of the detector; D is 0 without one.
    """

    frame: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    motions: Motions
    look: np.ndarray

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.boxes)


def join(parts: Sequence[ObjectTable]) -> ObjectTable:
    """Objects of consecutive frames as one."""
    columns = zip(*[(*part[:4], part.look) for part in parts], strict=True)
    frame, boxes, scores, classes, look = map(np.concatenate, columns)
    motions = Motions(*map(np.concatenate, zip(*[p.motions for p in parts], strict=True)))
    return ObjectTable(frame, boxes, scores, classes, motions, look)


def none(width: int) -> ObjectTable:
    """No objects, with features of that width."""
    nothing = Motions(np.zeros(0), np.zeros((0, BINS)), np.zeros((0, 2)))
    empty = np.zeros(0, np.int64)
    return ObjectTable(
        empty, np.zeros((0, 4)), np.zeros(0, "f"), empty, nothing, np.zeros((0, width), "f")
    )


class Detected(NamedTuple):
    """What a detector tells of one frame.

    Attributes:
      objects: boxes that stay, within the frame.
      features: boxes [n, 4] → float32 [n, D].
    """

    objects: Detections
    features: Callable[[np.ndarray], np.ndarray]


# Numbers and pictures of frames → what was detected in each.
Detect = Callable[[Sequence[int], Sequence[np.ndarray]], list[Detected]]


@dataclasses.dataclass(frozen=True)
class ObjectFinder:
    """Finds the objects of the frames of a video.

    Attributes:
      detect: the detector.
      flow: dense optical flow of two grey frames.
      moving: whether what moves and was not detected is an object.
      camera_moves: whether the motion of the camera is taken off.
      batch: frames that are detected at once.
    """

    detect: Detect
    flow: Flow
    moving: bool = True
    camera_moves: bool = False
    batch: int = 8

    def __call__(
        self, numbered: Iterable[tuple[int, np.ndarray]], live: bool = False
    ) -> Iterator[ObjectTable]:
        """The objects of each frame in turn.

        Args:
          numbered: numbers and pictures, uint8 [H, W, 3], RGB, all of one size.
          live: the first frame has no motion, because the next one is not known yet; else it has
            that to the second one.
        """
        small, before, waiting = None, None, []
        with in_threads(self.flow) as begin:
            for number, frame in numbered:
                small = small or Small.of(frame.shape[:2])
                waiting.append((number, frame, small.grey(frame)))
                if len(waiting) >= (1 if live else self.batch + (before is None)):
                    yield from self._of_batch(waiting, before, small, live, begin)
                    before, waiting = waiting[-1][2], []
            if waiting:
                yield from self._of_batch(waiting, before, small, live, begin)

    def _of_batch(
        self, frames, before, small: Small, live: bool, begin: FutureFlow
    ) -> Iterator[ObjectTable]:
        """Of some frames in their order; `before` is the grey frame before them, if any."""
        # Each frame with the one before it; the first frame of a video looks ahead if it can.
        greys, first = [grey for _, _, grey in frames], before is None
        pairs = [*zip([before, *greys[:-1]], greys, strict=True)]
        if first:
            pairs[0] = (greys[0], greys[1]) if not live and len(frames) > 1 else None
        # Their flows are made beside the detector.
        flows = [pair and begin(*pair) for pair in pairs]
        detected = self.detect([number for number, _, _ in frames], [one for _, one, _ in frames])
        for place, (number, _, _) in enumerate(frames):
            moved = pairs[place] and (*pairs[place], flows[place].result(), first and not place)
            yield self._of_frame(number, detected[place], small, moved)

    def _of_frame(self, number, found: Detected, small: Small, moved: tuple | None):
        """Of one frame; `moved` are the arguments of `_motion` but the last, None if unknown."""
        boxes = found.objects.boxes.astype(np.float64)
        grey_boxes = small.to_grey(boxes)
        scores, classes = found.objects.scores, found.objects.classes
        flow = None
        if moved is not None:
            flow, mask = self._motion(*moved, grey_boxes)
            if self.moving:
                moving = motion.moving_boxes(mask, grey_boxes)
                # kept in both units: there and back again a whole number is not whole any more
                grey_boxes = np.concatenate([grey_boxes, moving])
                boxes = np.concatenate([boxes, small.to_frame(moving)])
                scores = np.concatenate([scores, np.zeros(len(moving), np.float32)])
                classes = np.concatenate([classes, np.full(len(moving), MOVING)])
        return ObjectTable(
            np.full(len(boxes), number, np.int64),
            boxes,
            scores.astype(np.float32),
            classes.astype(np.int64),
            _motions(flow, small, grey_boxes),
            found.features(boxes),
        )

    def _motion(self, one, other, flow, backwards, detected) -> tuple[np.ndarray, np.ndarray]:
        """Flow between two grey frames and where they differ, without the camera's motion.

        `backwards` says that the frame in question is the first of the two.
        """
        if not self.camera_moves:
            return flow, motion.changed(one, other)
        of_camera = camera.field(camera.fit(flow, detected), flow.shape[:2])
        # the first frame of a video is compared with the second, which is moved back to it
        here, there, along = (one, other, -of_camera) if backwards else (other, one, of_camera)
        blurred, outside = camera.follow(motion.blur(there), along)
        mask = motion.differs(blurred, motion.blur(here)) & ~outside
        return flow - of_camera, mask


def _motions(flow: np.ndarray | None, small: Small, boxes: np.ndarray) -> Motions:
    """How objects move, in pixels of the frame; `boxes` are in those of the grey frame."""
    if flow is None:
        count = len(boxes)
        return Motions(*(np.full((count, *side), np.nan) for side in ((), (BINS,), (2,))))
    return motion.motions(flow * small.scale.astype(np.float32), boxes)


def taken(every: int, fps: float) -> int:
    """Every how many frames one is taken (spec attributes §1): `every`, or of 0 ten a second.

    Raises:
      ValueError: a negative number.
    """
    if every < 0:
        raise ValueError(f"data.every is {every}; expected 0 (about ten frames a second) or more")
    return every or max(1, int(np.floor(fps / 10 + 0.5)))
