"""Tracks: videos of which only the boxes of moving objects are known, frame by frame.

A dataset of kind `"tracks"` holds one record for each video with all its boxes; it has no pixels.
The manifest has the size of the frames, the frame rate, and the lengths and labels of the videos.
`python -m data_prep.tracks dataset` makes one of text files.
"""

import functools
from collections.abc import Sequence

import numpy as np

from vadjax.data.scored_video import ScoredVideo
from vadjax.data.store.records import MEND, Dataset

KIND = "tracks"
ROWS = "rows"  # feature of a record
COLUMNS = ("frame", "track", "x0", "y0", "x1", "y1")


class TrackedVideo(ScoredVideo):
    """One video of a split; its boxes are read when they are asked for.

    Attributes:
      data: the dataset.
      name: name, unique in the split.
      split: name of the split.
      num_frames: number of frames, T.
      size: (H, W) of the frames, in whose pixels the boxes are.
      source_size: the same.
      labels: uint8 [T], 1 = anomalous; None if unknown.
      start: None: tracks do not say when it began.
    """

    start: str | None = None

    def __init__(self, data: Dataset, split: str, number: int, records: Sequence):
        self._records, self._number = records, number
        entry = data.splits[split]["videos"][number]
        self.data, self.split = data, split
        self.name: str = entry["name"]
        self.num_frames: int = entry["frames"]
        self.size: tuple[int, int] = tuple(data.manifest["size"])
        self.source_size = self.size
        digits = entry["labels"]  # two hexadecimal digits for each frame
        self.labels = None if digits is None else np.frombuffer(bytes.fromhex(digits), np.uint8)
        self._count: int = entry["boxes"]

    def __len__(self) -> int:
        return self.num_frames

    @functools.cached_property
    def rows(self) -> np.ndarray:
        """Its boxes, float64 [n, 6] (`COLUMNS`), by frame and then by track.

        Frames count from 0; x1 and y1 are one past the last pixel inside.

        Raises:
          ValueError: the record is damaged.
        """
        content = self._records.find_bytes(self._number, ROWS)
        size = self._count * len(COLUMNS) * np.dtype(np.float64).itemsize
        if len(content) != size:
            raise self._damaged(f"{len(content):,} bytes for {self._count:,} boxes")
        rows = np.frombuffer(content, np.float64).reshape(-1, len(COLUMNS))
        if problem := wrong_with(rows, self.num_frames):
            raise self._damaged(problem)
        return rows

    def _damaged(self, problem: str) -> ValueError:
        where = f"{self.data.folder} ({self.split})"
        return ValueError(f"{where}: video {self.name}: {problem}; {MEND}")


class TrackedVideos(Sequence):
    """The videos of a split, in the order of the dataset.

    Args:
      data: dataset of kind `"tracks"`.
      split: name of the split.

    Raises:
      ValueError: no such split, or the shards cannot be read.
    """

    def __init__(self, data: Dataset, split: str):
        self._data, self._split, self._records = data, split, data.records(split)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, number: int) -> TrackedVideo:
        if not 0 <= number < len(self):
            raise IndexError(f"video {number} of {len(self)}")
        return TrackedVideo(self._data, self._split, number, self._records)


def wrong_with(rows: np.ndarray, frames: int) -> str:
    """What is wrong with the boxes of a video; "" if nothing is.

    Args:
      rows: float64 [n, 6] (`COLUMNS`).
      frames: number of frames of the video.
    """
    if not np.isfinite(rows).all():
        return "a box with NaN or infinite numbers"
    numbers, boxes = rows[:, :2], rows[:, 2:]
    if (numbers != np.floor(numbers)).any():
        return "a frame or track that is no whole number"
    if ((numbers[:, 0] < 0) | (numbers[:, 0] >= frames)).any():
        return f"a box of a frame that it has not; its {frames:,} frames are 0 to {frames - 1:,}"
    if (boxes[:, 2:] <= boxes[:, :2]).any():
        return "a box of width or height 0 or less"
    # In order, and a track has one box in a frame.
    later = np.diff(numbers, axis=0)
    in_order = (later[:, 0] > 0) | ((later[:, 0] == 0) & (later[:, 1] > 0))
    return "" if in_order.all() else "boxes that are not by frame and track, or are there twice"
