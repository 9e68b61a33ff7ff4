"""Objects of a video as its frames come: seven crops of each, scores, parts of the whole."""

import collections
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from vadjax.data.video.crops import cut
from vadjax.data.video.frame_stream import Frame, Stamp
from vadjax.scores.streaming import PartialScores
from vadjax.systems.ssmtl.reasons import Reasons
from vadjax.systems.ssmtl.score import highest_of_frames
from vadjax.systems.ssmtl.tasks import LENGTH, REACH

TOTAL = "total"  # the score of all tasks


class Seen(NamedTuple):
    """The objects of one frame.

    Attributes:
      boxes: float32 [n, 4], as they are told.
      rectangles: int64 [n, 4], as they are cut.
      detector: float32 [n, K], class outputs of the detector; None if it has none.
    """

    boxes: np.ndarray
    rectangles: np.ndarray
    detector: np.ndarray | None


class Chunk(NamedTuple):
    """The objects of consecutive frames.

    Attributes:
      frames: number and time of each.
      seen: the objects of each.
      crops: float32 [n, 7, side, side, 3], of all their objects.
      last: whether the video ends here.
    """

    frames: list[Stamp]
    seen: list[Seen]
    crops: np.ndarray
    last: bool


def windows(frames: Iterable[Any]) -> Iterator[tuple[list, bool]]:
    """For every frame, in whatever form, the seven around it, and whether it is the last one.

    Those beyond an end of the video are the frame at that end.
    """
    held = collections.deque(maxlen=LENGTH)
    for frame, last in _with_ends(frames):
        held.append(frame)
        if len(held) == LENGTH:
            yield list(held), last


def _with_ends(frames: Iterable[Any]) -> Iterator[tuple[Any, bool]]:
    frame = None
    for rank, frame in enumerate(frames):
        for _ in range(1 if rank else REACH + 1):
            yield frame, False
    if frame is not None:
        for left in reversed(range(REACH)):
            yield frame, not left


def chunks(
    frames: Iterable[Frame],
    find: Callable[[int, np.ndarray], Seen],
    objects: int,
    side: int,
) -> Iterator[Chunk]:
    """Frames with their objects, so many frames at once that there are `objects` of them.

    Args:
      frames: of the video.
      find: number and picture of a frame → its objects.
      objects: from so many on a chunk is full; 0 takes every frame by itself.
      side: pixels of a crop.
    """
    stamps, seen, crops = [], [], []
    for around, last in windows(frames):
        frame, pixels = around[REACH], [one.pixels for one in around]
        stamps.append(frame.stamp)
        seen.append(find(frame.number, frame.pixels))
        crops += [cut(pixels, rectangle, side) for rectangle in seen[-1].rectangles]
        if last or len(crops) >= objects:
            none = np.zeros((0, LENGTH, side, side, 3), np.float32)
            yield Chunk(stamps, seen, np.stack(crops) if crops else none, last)
            stamps, seen, crops = [], [], []


def parts(
    pieces: Iterable[Chunk],
    judge: Callable[[np.ndarray, np.ndarray | None], dict[str, np.ndarray]],
    reasons: Reasons,
) -> Iterator[PartialScores]:
    """The scores of every chunk; those of a frame are those of its highest object.

    Args:
      pieces: as of `chunks`.
      judge: crops and class outputs of the detector → task → score [n] of each object; `TOTAL` is
        that of all.
      reasons: is told of every object.
    """
    for piece in pieces:
        counts = [len(seen.boxes) for seen in piece.seen]
        detector = None
        if piece.seen[0].detector is not None:
            detector = np.concatenate([seen.detector for seen in piece.seen])
        found = judge(piece.crops, detector)
        of_frame, boxes = np.repeat(np.arange(len(counts)), counts), _boxes(piece)
        numbers = np.array([frame.number for frame in piece.frames])[of_frame]
        rows = np.concatenate([numbers[:, None], boxes, found[TOTAL][:, None]], 1)
        highest = {
            name: highest_of_frames(of_frame, own, len(counts)).astype(np.float32)
            for name, own in found.items()
        }
        yield PartialScores(
            highest.pop(TOTAL),
            tuple(piece.frames),
            highest,
            boxes=rows,
            reasons=tuple(_told(piece, found, reasons)),
        )


def _boxes(piece: Chunk) -> np.ndarray:
    return np.concatenate([seen.boxes for seen in piece.seen]).reshape(-1, 4)


def _told(piece: Chunk, found: dict[str, np.ndarray], reasons: Reasons) -> Iterator[dict]:
    """The reasons of the frames of a chunk."""
    start = 0
    last = piece.frames[-1].number if piece.last else None
    for stamp, seen in zip(piece.frames, piece.seen, strict=True):
        frame, own = stamp.number, slice(start, start + len(seen.boxes))
        by_task = {task: scores[own] for task, scores in found.items() if task != TOTAL}
        reasons.add(frame, seen.boxes, found[TOTAL][own], by_task)
        yield from reasons.take(frame, frame == last)
        start = own.stop
