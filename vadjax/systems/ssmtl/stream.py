"""A video as its frames come: its objects, seven crops of each, and the parts of its scores.

`windows` gives the seven frames around each, `chunks` the objects of several frames and their
crops, `parts` the scores of these objects and frames, with reasons.
"""

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

TOTAL = "total"  # stands for all tasks among the names of tasks


class FrameObjects(NamedTuple):
    """The objects of one frame.

    Attributes:
      boxes: float32 [n, 4], `x0, y0, x1, y1` in pixels of the source frame, for the score file.
      rectangles: int64 [n, 4], the same in whole pixels of the frame that they are cut from.
      detector: float32 [n, K], class outputs of the detector; None if it has none.
    """

    boxes: np.ndarray
    rectangles: np.ndarray
    detector: np.ndarray | None


class Chunk(NamedTuple):
    """The objects of consecutive frames.

    Attributes:
      frames: number and time of each frame.
      objects: those of each frame.
      crops: float32 [n, 7, side, side, 3] in [0, 1], of all these objects.
      last: whether the video ends here.
    """

    frames: list[Stamp]
    objects: list[FrameObjects]
    crops: np.ndarray
    last: bool


def windows(frames: Iterable[Any]) -> Iterator[tuple[list, bool]]:
    """For every frame, in whatever form, the seven around it, and whether it is the last one.

    Beyond an end of the video the frame at that end stands in (spec ssmtl §3).
    """
    window = collections.deque(maxlen=LENGTH)
    for frame, last in _with_ends(frames):
        window.append(frame)
        if len(window) == LENGTH:
            yield list(window), last


def _with_ends(frames: Iterable[Any]) -> Iterator[tuple[Any, bool]]:
    """The frames with their ends repeated `REACH` times; True comes with the very last one."""
    frame = None
    for rank, frame in enumerate(frames):
        for _ in range(1 if rank else REACH + 1):
            yield frame, False
    if frame is not None:  # there was a frame
        for remaining in reversed(range(REACH)):
            yield frame, not remaining


def chunks(
    frames: Iterable[Frame],
    find: Callable[[int, np.ndarray], FrameObjects],
    objects: int,
    side: int,
) -> Iterator[Chunk]:
    """Frames with their objects, as many frames at once as have `objects` of them.

    Args:
      frames: those of the video.
      find: number and picture of a frame → its objects.
      objects: number of objects from which a chunk is full; 0 takes every frame by itself.
      side: pixels of a crop.
    """
    stamps, objects_of_frames, crops = [], [], []
    for around, last in windows(frames):
        # The objects of the middle frame, each cut from all seven frames.
        frame, pictures = around[REACH], [one.pixels for one in around]
        frame_objects = find(frame.number, frame.pixels)
        stamps.append(frame.stamp)
        objects_of_frames.append(frame_objects)
        crops += [cut(pictures, rectangle, side) for rectangle in frame_objects.rectangles]
        if last or len(crops) >= objects:
            none = np.zeros((0, LENGTH, side, side, 3), np.float32)
            yield Chunk(stamps, objects_of_frames, np.stack(crops) if crops else none, last)
            stamps, objects_of_frames, crops = [], [], []


def parts(
    object_chunks: Iterable[Chunk],
    score_objects: Callable[[np.ndarray, np.ndarray | None], dict[str, np.ndarray]],
    reasons: Reasons,
) -> Iterator[PartialScores]:
    """The scores of every chunk; those of a frame are those of its highest object.

    Args:
      object_chunks: as of `chunks`.
      score_objects: crops and class outputs of the detector → task → score [n] of each object;
        `TOTAL` is that of all tasks.
      reasons: collects the reasons of the video.
    """
    for chunk in object_chunks:
        # Score the objects of all frames of the chunk at once.
        counts = [len(of_frame.boxes) for of_frame in chunk.objects]
        detector = None
        if chunk.objects[0].detector is not None:
            detector = np.concatenate([of_frame.detector for of_frame in chunk.objects])
        scores = score_objects(chunk.crops, detector)
        # Their rows for the score file: frame, box, score.
        places = np.repeat(np.arange(len(counts)), counts)  # of each object's frame in the chunk
        boxes = np.concatenate([of_frame.boxes for of_frame in chunk.objects]).reshape(-1, 4)
        numbers = np.array([stamp.number for stamp in chunk.frames])[places]
        rows = np.concatenate([numbers[:, None], boxes, scores[TOTAL][:, None]], 1)
        # The highest object of each frame, by all tasks and by each.
        highest = {
            name: highest_of_frames(places, values, len(counts)).astype(np.float32)
            for name, values in scores.items()
        }
        new_reasons = tuple(_reasons_of(chunk, scores, reasons))
        yield PartialScores(
            highest.pop(TOTAL), tuple(chunk.frames), highest, boxes=rows, reasons=new_reasons
        )


def _reasons_of(chunk: Chunk, scores: dict[str, np.ndarray], reasons: Reasons) -> Iterator[dict]:
    """Adds the objects of each frame of a chunk to `reasons`; takes what is complete by then."""
    start = 0
    last = chunk.frames[-1].number if chunk.last else None
    for stamp, of_frame in zip(chunk.frames, chunk.objects, strict=True):
        frame, rows = stamp.number, slice(start, start + len(of_frame.boxes))
        by_task = {task: values[rows] for task, values in scores.items() if task != TOTAL}
        reasons.add(frame, of_frame.boxes, scores[TOTAL][rows], by_task)
        yield from reasons.take(frame, frame == last)
        start = rows.stop
