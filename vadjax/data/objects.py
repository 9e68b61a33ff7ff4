"""Objects: boxes in the frames of a dataset, cut out of as many frames as are asked for.

The boxes are those that a dataset of frames holds, or come from a dataset of kind `"objects"` of
its own (`python -m data_prep.extract_objects`), which may also hold what teachers say of each
object. Boxes are in pixels of the source frame, x1 and y1 one past the last; crops are cut from
the stored frames when they are asked for (spec ssmtl §3).
"""

import functools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from vadjax.data.clips import Frames, Video, Videos
from vadjax.data.scored_video import RegionTruth, ScoredVideo
from vadjax.data.store.records import Dataset, Description
from vadjax.data.video.boxes import read_boxes
from vadjax.data.video.crops import SIDE, rectangles, scale

KIND = "objects"
HELD = 2**30  # bytes of frames in memory
OUTPUTS = ("detector", "classifier")  # of the teachers, in the order of what is distilled
EXTRACT = "python -m data_prep.extract_objects"


class Objects(NamedTuple):
    """The objects of a video, by frame.

    Attributes:
      frames: int64 [n], rising.
      boxes: float32 [n, 4], `x0, y0, x1, y1` in pixels of the source frame; one without an area
        is the pixels that it is cut from.
      rectangles: int64 [n, 4], the same in whole pixels of the stored frame.
      numbers: int64 [n], rank of each among those of its frame.
    """

    frames: np.ndarray
    boxes: np.ndarray
    rectangles: np.ndarray
    numbers: np.ndarray

    def __len__(self) -> int:
        return len(self.frames)


def of_rows(rows: np.ndarray, size: tuple[int, int], source_size: tuple[int, int]) -> Objects:
    """Objects from boxes [n, 6] (`boxes.BOX_COLUMNS`) in pixels of frames of (H, W) `source_size`.

    Args:
      rows: frames rise.
      size: (H, W) of the stored frames.
      source_size: (H, W) of the source frames.
    """
    frames, boxes = rows[:, 0].astype(np.int64), rows[:, 1:5].astype(np.float32)
    ratio = np.tile(np.divide(size, source_size)[::-1], 2)
    whole = rectangles(boxes * ratio, size)
    empty = (boxes[:, 2:] <= boxes[:, :2]).any(1)
    boxes[empty] = whole[empty] / ratio
    numbers = np.arange(len(frames)) - np.searchsorted(frames, frames)  # less those before
    return Objects(frames, boxes, whole, numbers)


class ObjectSource:
    """The objects of a dataset of frames.

    Args:
      data: dataset of kind `"frames"`.
      folder: dataset of kind `"objects"` that was made from it; "" takes the boxes that `data`
        itself holds.

    Raises:
      FileNotFoundError: no such dataset of objects.
      ValueError: a dataset of another kind, or of other frames.

    Attributes:
      outputs: teacher → number of its outputs for an object, in the order of `OUTPUTS`; 0 where
        there is none.
    """

    def __init__(self, data: Dataset, folder: str = "", verify: str = "checksum"):
        self.data = data
        self._own = None
        if folder:
            self._own = Dataset(folder, verify)
            _check_made_of(self._own, data)
        self.outputs = outputs_of(self._own)

    @property
    def described(self) -> Description | None:
        """The dataset of objects; None where the frames' own boxes are taken."""
        return self._own

    def videos(self, split: str) -> list["ObjectVideo"]:
        """The videos of a split with their objects.

        Raises:
          ValueError: no such split, or a video whose boxes are not known.
        """
        teachers, first, found = Teachers(self._own, split, self.outputs), 0, []
        for video in Videos(self.data, split):
            found.append(ObjectVideo(video, self.read(video), teachers, first))
            first += len(found[-1].objects)
        return found

    def read(self, video: Video) -> Objects:
        """The objects of a video.

        Raises:
          ValueError: its boxes are not known, or one is of a frame that it does not have.
        """
        if self._own is None:
            rows = video.boxes
            if rows is None:
                raise ValueError(
                    f"{self.data.folder}: no boxes of objects for video {video.name} of split "
                    f"{video.split!r}. Find some: {EXTRACT} --data {self.data.folder} --out OBJECTS"
                    ", and name them: --config.data.objects=OBJECTS"
                )
            rows = rows[np.argsort(rows[:, 0], kind="stable")]
        else:
            rows = read_boxes(self._own.folder / "boxes" / video.split / f"{video.name}.csv")
        folder = (self._own or self.data).folder
        if len(rows) and not 0 <= rows[0, 0] <= rows[-1, 0] < video.num_frames:
            raise ValueError(
                f"{folder}/boxes/{video.split}/{video.name}.csv: boxes of frames {rows[0, 0]:.0f} "
                f"to {rows[-1, 0]:.0f}, but it has {video.num_frames:,} frames"
            )
        return of_rows(rows, video.size, video.source_size)


def outputs_of(found: Description | None) -> dict[str, int]:
    """`ObjectSource.outputs` of a dataset of objects, or of boxes alone."""
    own = found.manifest["outputs"] if found else {}
    return {name: own.get(name, 0) for name in OUTPUTS}


def _check_made_of(found: Dataset, data: Dataset) -> None:
    """Raises ValueError unless the objects were found in the frames of `data`."""
    if found.kind != KIND:
        raise ValueError(
            f"{found.folder}: holds {found.kind!r} records; data.objects takes {KIND!r} "
            f"({EXTRACT} --help)"
        )
    of = found.manifest["frames"]
    if of["digest"] != data.digest:
        raise ValueError(
            f"{found.folder}: objects of the frames in {of['folder']} (manifest "
            f"{of['digest'][:12]}…), not of {data.folder} ({data.digest[:12]}…). Find those of "
            f"these: {EXTRACT} --data {data.folder} --out OBJECTS"
        )


class Teachers:
    """What the teachers say of the objects of a split, in the order of the videos.

    Args:
      found: dataset of objects; None where there are boxes alone.
      split: name of the split.
      outputs: as of `ObjectSource`.
    """

    def __init__(self, found: Dataset | None, split: str, outputs: dict[str, int]):
        self._outputs = {name: count for name, count in outputs.items() if count}
        self._records = found.records(split) if self._outputs else None
        self._label = f"{found.folder} ({split})" if self._outputs else ""

    def read(self, objects: Iterable[int], names: Sequence[str] = OUTPUTS) -> np.ndarray | None:
        """Outputs of the teachers `names` for the objects of those numbers, float32 [n, K].

        None if they have none.

        Raises:
          ValueError: an object has none, or not as many as the manifest says.
        """
        used = [name for name in names if name in self._outputs]
        if not used:
            return None
        rows = [np.concatenate([self._one(i, name) for name in used]) for i in objects]
        width = sum(self._outputs[name] for name in used)
        return np.stack(rows) if rows else np.zeros((0, width), np.float32)

    def _one(self, number: int, name: str) -> np.ndarray:
        found = np.frombuffer(self._records.find_bytes(int(number), name), np.float16)
        if len(found) != self._outputs[name]:
            raise ValueError(
                f"{self._label}: object {number} has {len(found)} outputs of the {name}, "
                f"expected {self._outputs[name]}"
            )
        return found.astype(np.float32)


class ObjectVideo(ScoredVideo):
    """A video of frames with its objects; what it does not have itself is the video's.

    Attributes:
      video: its frames.
      objects: what is in them.
    """

    def __init__(self, video: Video, objects: Objects, teachers: Teachers, first: int):
        self.video, self.objects, self._teachers, self._first = video, objects, teachers, first

    def __getattr__(self, name: str):
        return getattr(self.video, name)

    @property
    def region_truth(self) -> RegionTruth:
        """That of the video."""
        return self.video.region_truth

    def rows(self, frame: int) -> slice:
        """Which of the objects are in a frame."""
        return slice(*np.searchsorted(self.objects.frames, (frame, frame + 1)))

    def outputs(self, rows: slice, names: Sequence[str] = OUTPUTS) -> np.ndarray | None:
        """What the teachers `names` say of some of the objects (`Teachers.read`); None if nothing.

        Raises:
          ValueError: as `Teachers.read`.
        """
        return self._teachers.read(range(self._first + rows.start, self._first + rows.stop), names)


class Cutter:
    """Cuts the same rectangle out of several frames of a split.

    Frames are kept in memory, `HELD` bytes of them: most are cut many times.

    Args:
      data: dataset of kind `"frames"`.
      split: name of the split.
      side: pixels of a crop.
    """

    def __init__(self, data: Dataset, split: str, side: int = SIDE):
        frames = Frames(data, split)
        self._first, self._side = frames.first, side
        held = HELD // (3 * frames.size[0] * frames.size[1])
        self._read = functools.lru_cache(held)(frames.stored)

    def __call__(self, video: int, frames: np.ndarray, rectangle: np.ndarray) -> np.ndarray:
        """Crops float32 [T, side, side, 3] in [0, 1] of the frames [T] of a video's number."""
        x0, y0, x1, y1 = rectangle
        crops = np.empty((len(frames), self._side, self._side, 3), np.float32)
        for number, crop in zip(self._first[video] + frames, crops, strict=True):
            scale(self._read(int(number))[y0:y1, x0:x1], crop)
        return crops
