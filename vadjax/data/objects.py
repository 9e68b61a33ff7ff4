"""Objects: boxes in the frames of a dataset, and crops of them from neighbouring frames.

The boxes are those that a dataset of frames holds, or come from a separate dataset of kind
`"objects"` (`python -m data_prep.extract_objects`), which may also hold the outputs of teacher
networks for each object. Boxes are in pixels of the source frame, x1 and y1 one past the last;
crops are cut from the stored frames when they are read (spec ssmtl §3).
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
CUTTER_BYTES = 2**30  # bytes of frames that a `Cutter` keeps in memory
OUTPUTS = ("detector", "classifier")  # the teachers, in the order of their outputs in task T4
EXTRACT = "python -m data_prep.extract_objects"


class Objects(NamedTuple):
    """The objects of a video, by frame.

    Attributes:
      frames: int64 [n], rising: the frame of each object.
      boxes: float32 [n, 4], `x0, y0, x1, y1` in pixels of the source frame; a box without an area
        is replaced by the pixels of its rectangle.
      rectangles: int64 [n, 4], the same boxes in whole pixels of the stored frame.
      numbers: int64 [n], rank of each object among those of its frame, from 0.
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
      rows: the boxes, by rising frame.
      size: (H, W) of the stored frames.
      source_size: (H, W) of the source frames.
    """
    frames, boxes = rows[:, 0].astype(np.int64), rows[:, 1:5].astype(np.float32)
    # Sides of the stored frame over those of the source, as x, y, x, y.
    ratio = np.tile(np.divide(size, source_size)[::-1], 2)
    pixels = rectangles(boxes * ratio, size)
    # A box without an area becomes the pixels that its crop is cut from.
    empty = (boxes[:, 2:] <= boxes[:, :2]).any(1)
    boxes[empty] = pixels[empty] / ratio
    # Rank within the frame: rank in the video less the objects of earlier frames.
    numbers = np.arange(len(frames)) - np.searchsorted(frames, frames)
    return Objects(frames, boxes, pixels, numbers)


class ObjectSource:
    """The objects of a dataset of frames.

    Args:
      data: dataset of kind `"frames"`.
      folder: dataset of kind `"objects"` that was made from it; "" takes the boxes that `data`
        itself holds.
      verify: how the dataset of objects is checked, as for `Dataset`.

    Raises:
      FileNotFoundError: no such dataset of objects.
      ValueError: a dataset of another kind, or of other frames.

    Attributes:
      outputs: teacher → number of its outputs for an object, in the order of `OUTPUTS`; 0 for a
        teacher without outputs.
    """

    def __init__(self, data: Dataset, folder: str = "", verify: str = "checksum"):
        self.data = data
        self._detections = None  # None: the boxes of `data` are taken
        if folder:
            self._detections = Dataset(folder, verify)
            _check_made_of(self._detections, data)
        self.outputs = outputs_of(self._detections)

    @property
    def described(self) -> Description | None:
        """The dataset of objects; None if the boxes of the dataset of frames are taken."""
        return self._detections

    def videos(self, split: str) -> list["ObjectVideo"]:
        """The videos of a split with their objects.

        Raises:
          ValueError: no such split, or a video whose boxes are not known.
        """
        # `first` is the number, in the split, of the first object of a video.
        teachers, first, videos = Teachers(self._detections, split, self.outputs), 0, []
        for video in Videos(self.data, split):
            videos.append(ObjectVideo(video, self.read(video), teachers, first))
            first += len(videos[-1].objects)
        return videos

    def read(self, video: Video) -> Objects:
        """The objects of a video.

        Raises:
          ValueError: its boxes are not known, or one is of a frame that it does not have.
        """
        if self._detections is None:
            rows = video.boxes
            if rows is None:
                raise ValueError(
                    f"{self.data.folder}: no boxes of objects for video {video.name} of split "
                    f"{video.split!r}. Find some: {EXTRACT} --data {self.data.folder} --out OBJECTS"
                    ", and name them: --config.data.objects=OBJECTS"
                )
            # The file may have any order; objects rise by frame.
            rows = rows[np.argsort(rows[:, 0], kind="stable")]
        else:
            path = self._detections.folder / "boxes" / video.split / f"{video.name}.csv"
            rows = read_boxes(path)
        # Boxes lie in text files apart from the frames, so their frame numbers are checked.
        folder = (self._detections or self.data).folder
        if len(rows) and not 0 <= rows[0, 0] <= rows[-1, 0] < video.num_frames:
            raise ValueError(
                f"{folder}/boxes/{video.split}/{video.name}.csv: boxes of frames {rows[0, 0]:.0f} "
                f"to {rows[-1, 0]:.0f}, but it has {video.num_frames:,} frames"
            )
        return of_rows(rows, video.size, video.source_size)


def outputs_of(found: Description | None) -> dict[str, int]:
    """`ObjectSource.outputs` of a dataset of objects; None stands for boxes without teachers."""
    widths = found.manifest["outputs"] if found else {}
    return {name: widths.get(name, 0) for name in OUTPUTS}


def _check_made_of(objects: Dataset, data: Dataset) -> None:
    """Raises ValueError unless the objects were found in the frames of `data`."""
    if objects.kind != KIND:
        raise ValueError(
            f"{objects.folder}: holds {objects.kind!r} records; data.objects takes {KIND!r} "
            f"({EXTRACT} --help)"
        )
    frames = objects.manifest["frames"]
    if frames["digest"] != data.digest:
        raise ValueError(
            f"{objects.folder}: objects of the frames in {frames['folder']} (manifest "
            f"{frames['digest'][:12]}…), not of {data.folder} ({data.digest[:12]}…). Find those of "
            f"these: {EXTRACT} --data {data.folder} --out OBJECTS"
        )


class Teachers:
    """Outputs of the teachers for the objects of a split, in the order of the videos.

    Args:
      found: dataset of objects; None if there are boxes alone.
      split: name of the split.
      outputs: teacher → number of its outputs, as `ObjectSource.outputs`.
    """

    def __init__(self, found: Dataset | None, split: str, outputs: dict[str, int]):
        self._outputs = {name: count for name, count in outputs.items() if count}
        self._records = found.records(split) if self._outputs else None
        self._label = f"{found.folder} ({split})" if self._outputs else ""

    def read(self, objects: Iterable[int], names: Sequence[str] = OUTPUTS) -> np.ndarray | None:
        """Outputs of the teachers `names` for the objects of those numbers, float32 [n, K].

        K is the sum of the teachers' outputs, side by side in the order of `names`. None if none
        of these teachers has outputs.

        Raises:
          ValueError: an object has no outputs, or not as many as the manifest says.
        """
        used = [name for name in names if name in self._outputs]
        if not used:
            return None
        rows = [np.concatenate([self._read_one(i, name) for name in used]) for i in objects]
        width = sum(self._outputs[name] for name in used)
        return np.stack(rows) if rows else np.zeros((0, width), np.float32)

    def _read_one(self, number: int, name: str) -> np.ndarray:
        """Outputs of one teacher for one object, stored as float16; float32 [outputs]."""
        outputs = np.frombuffer(self._records.find_bytes(int(number), name), np.float16)
        if len(outputs) != self._outputs[name]:
            raise ValueError(
                f"{self._label}: object {number} has {len(outputs)} outputs of the {name}, "
                f"expected {self._outputs[name]}"
            )
        return outputs.astype(np.float32)


class ObjectVideo(ScoredVideo):
    """A video with its objects; all other attributes are those of the `Video`.

    Attributes:
      video: the video of a dataset of frames.
      objects: the objects in its frames.
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
        """Which of the objects are in a frame; empty if there are none."""
        return slice(*np.searchsorted(self.objects.frames, (frame, frame + 1)))

    def outputs(self, rows: slice, names: Sequence[str] = OUTPUTS) -> np.ndarray | None:
        """Outputs of the teachers for some of the video's objects, as `Teachers.read`.

        Raises:
          ValueError: as `Teachers.read`.
        """
        return self._teachers.read(range(self._first + rows.start, self._first + rows.stop), names)


class Cutter:
    """Cuts the same rectangle out of several frames of a split.

    Up to `CUTTER_BYTES` bytes of frames are kept in memory, because most are cut many times.

    Args:
      data: dataset of kind `"frames"`.
      split: name of the split.
      side: pixels of a crop.
    """

    def __init__(self, data: Dataset, split: str, side: int = SIDE):
        frames = Frames(data, split)
        self._first, self._side = frames.first, side
        max_frames = CUTTER_BYTES // (3 * frames.size[0] * frames.size[1])
        self._read = functools.lru_cache(max_frames)(frames.stored)

    def __call__(self, video: int, frames: np.ndarray, rectangle: np.ndarray) -> np.ndarray:
        """Crops float32 [T, side, side, 3] in [0, 1] of the frames [T] of a video's number."""
        x0, y0, x1, y1 = rectangle
        crops = np.empty((len(frames), self._side, self._side, 3), np.float32)
        for number, crop in zip(self._first[video] + frames, crops, strict=True):
            scale(self._read(int(number))[y0:y1, x0:x1], crop)
        return crops
