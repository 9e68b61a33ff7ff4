"""Frames: videos stored frame by frame, from which windows are cut when they are read.

A dataset of kind `"frames"` holds one record for each frame, in order, video after video. The
manifest lists the videos of every split with their lengths and labels; boxes of objects and tracks
of anomalies lie beside the shards as text (`boxes/SPLIT/VIDEO.csv`, `tracks/SPLIT/VIDEO.txt`).
Masks, boxes and tracks are in pixels of the source frame, even if the stored frames are resized.
`vadjax.data.store.frame_writer` writes such a dataset.
"""

import collections
import itertools
import re
from collections.abc import Iterator, Sequence

import cv2
import grain
import numpy as np

from vadjax.data.scored_video import RegionTruth, ScoredVideo
from vadjax.data.store import loader
from vadjax.data.store.records import MEND, Dataset
from vadjax.data.video.boxes import read_boxes, read_tracks

KIND = "frames"
UNKNOWN = -1  # label of an unlabelled frame
PART = " from frame "  # in the name of a part of a video


class Frames(Sequence):
    """All frames of a split, read on access.

    Args:
      data: dataset of kind `"frames"`.
      split: name of the split.

    Raises:
      ValueError: no such split; on access: a record that cannot be read, or is no such frame.

    Attributes:
      entries: the manifest's entries of the videos.
      first: index of the first frame of every video and the end, int64 [videos + 1].
      size: (H, W) of the stored frames.
    """

    def __init__(self, data: Dataset, split: str):
        self._records, self._label = data.records(split), f"{data.folder} ({split})"
        self._raw = data.manifest["encoding"] == "raw"
        self.entries: list[dict] = data.splits[split]["videos"]
        # Records are in the order of the videos, so that lengths give the first frame of each.
        self.first = np.cumsum([0] + [entry["frames"] for entry in self.entries])
        self.size: tuple[int, int] = tuple(data.manifest["size"])

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> np.ndarray:
        """Frame number `index` of the split, uint8 [H, W, 3], RGB."""
        return self.read(index, np.empty((*self.size, 3), np.uint8))

    def read(self, index: int, out: np.ndarray) -> np.ndarray:
        """Reads frame number `index` into `out`, uint8 [H, W, 3], and returns it."""
        content = np.frombuffer(self._records.find_bytes(index, "image"), np.uint8)
        # JPEG or PNG: OpenCV decodes to BGR.
        if not self._raw:
            pixels = self._decoded(content, cv2.IMREAD_COLOR, index)
            self._check_shape(pixels.shape, index)
            return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, out)
        # Raw: three channels, or one that stands for all three, frame by frame.
        if content.size == out.size:
            out[...] = content.reshape(out.shape)
            return out
        return cv2.cvtColor(self._grey(content, index), cv2.COLOR_GRAY2RGB, out)

    def stored(self, index: int) -> np.ndarray:
        """Frame number `index` in its stored channels: uint8 [H, W, 3], RGB, or [H, W] if grey."""
        if not self._raw:
            return self[index]
        content = np.frombuffer(self._records.find_bytes(index, "image"), np.uint8)
        if content.size == 3 * self.size[0] * self.size[1]:
            return content.reshape(*self.size, 3)
        return self._grey(content, index)

    def mask(self, index: int) -> np.ndarray | None:
        """Mask of frame number `index`, bool [H, W] of the source frame; None if unknown."""
        content = self._records.find_bytes(index, "mask")
        if not len(content):
            return None
        grey = self._decoded(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE, index)
        return grey > 0

    def _grey(self, content: np.ndarray, index: int) -> np.ndarray:
        """The pixels of a raw grey frame, uint8 [H, W]."""
        if content.size != self.size[0] * self.size[1]:
            self._check_shape((f"{content.size:,} bytes",), index)
        return content.reshape(self.size)

    def _decoded(self, content: np.ndarray, flags: int, index: int) -> np.ndarray:
        """The pixels of an encoded frame or mask; raises ValueError if it is damaged."""
        # For some damaged pictures OpenCV raises, for others it returns None.
        try:
            pixels = cv2.imdecode(content, flags) if content.size else None
        except cv2.error:
            pixels = None
        if pixels is None:
            raise ValueError(f"{self._label}: the picture of frame {index} is damaged; {MEND}")
        return pixels

    def _check_shape(self, shape: tuple, index: int) -> None:
        """Raises ValueError unless a frame has the manifest's size and three channels."""
        if shape != (*self.size, 3):
            raise ValueError(
                f"{self._label}: frame {index} is {shape}, the manifest says {(*self.size, 3)}; "
                f"{MEND}"
            )


class Windows(Sequence):
    """Every window of consecutive frames of a split; no window crosses from one video to the next.

    Element i is `{"frames": uint8 [T, H, W, 3], "video": int32, "start": int32}`: the frames
    (RGB), the video's number in the split and the rank of the window's first frame in it.

    Args:
      data: dataset of kind `"frames"`.
      split: name of the split.
      length: frames of a window, T.

    Raises:
      ValueError: no such split, or a video is shorter than a window.
    """

    def __init__(self, data: Dataset, split: str, length: int):
        self.frames, self.length = Frames(data, split), length
        check_lengths(self.frames.entries, length, f"{data.folder} ({split})")
        # A video of n frames has n - T + 1 windows, numbered after those of the videos before it.
        counts = [entry["frames"] - length + 1 for entry in self.frames.entries]
        self._first = np.cumsum([0] + counts)

    def __len__(self) -> int:
        return int(self._first[-1])

    def before(self, video: int) -> int:
        """Windows of the videos before that number."""
        return int(self._first[video])

    def __getitem__(self, index: int) -> dict:
        if not 0 <= index < len(self):
            raise IndexError(f"window {index} of {len(self)}")
        return {name: value[0] for name, value in self.batch([index]).items()}

    def batch(self, indices: Sequence[int]) -> dict:
        """The windows of those numbers, stacked.

        Returns:
          `frames`, uint8 [B, T, H, W, 3]; `video` and `start`, int32 [B].
        """
        # Number of a window → its video, and the rank of its first frame in that video.
        indices = np.asarray(indices)
        videos = np.searchsorted(self._first, indices, side="right") - 1
        starts = indices - self._first[videos]
        frames = np.empty((len(indices), self.length, *self.frames.size, 3), np.uint8)
        # Each frame is decoded straight to its place in the batch: no window is copied.
        for window, at in zip(frames, self.frames.first[videos] + starts, strict=True):
            for t, frame in enumerate(window):
                self.frames.read(int(at) + t, frame)
        return {
            "frames": frames,
            "video": videos.astype(np.int32),
            "start": starts.astype(np.int32),
        }


def check_lengths(entries: Sequence[dict], length: int, where: str) -> None:
    """Refuses windows that do not fit into every video.

    Args:
      entries: the manifest's entries of the videos.
      length: frames of a window.
      where: dataset and split, for messages.

    Raises:
      ValueError: a window has no frames, or a video is shorter than a window.
    """
    if length < 1:
        raise ValueError(f"windows of {length} frames; expected at least 1")
    short = [entry for entry in entries if entry["frames"] < length]
    if short:
        names = ", ".join(f"{entry['name']} ({entry['frames']} frames)" for entry in short[:5])
        more = f" and {len(short) - 5} more" if len(short) > 5 else ""
        raise ValueError(
            f"{where}: shorter than a window of {length} frames: {names}{more}; "
            f"prepare the dataset again without them (--min_frames {length}) or take "
            "shorter windows"
        )


def window_batches(
    data: Dataset,
    split: str,
    length: int,
    batch: int,
    seed: int,
    shard: loader.Shard,
    held_out: int = 0,
) -> grain.MapDataset:
    """Endless seeded batches of windows for training, in a new order each pass.

    Args:
      data: dataset of kind `"frames"`.
      split: name of the split.
      length: frames of a window, T.
      batch: windows of the global batch.
      seed: seed of the order.
      shard: this process's share.
      held_out: number of videos, the last ones of the split, that are left out.

    Raises:
      ValueError: as `Windows`, or no video would be left.

    Returns:
      Dataset of `{"frames": uint8 [B, T, H, W, 3], "video": int32 [B], "start": int32 [B]}`,
      where B is this process's share of `batch`.
    """
    windows = Windows(data, split, length)
    videos = len(windows.frames.entries)
    if not 0 <= held_out < videos:
        raise ValueError(
            f"{data.folder} ({split}): {held_out} of {videos} videos cannot be left out"
        )
    # Windows are numbered video by video: without the last videos there are simply fewer numbers.
    endless = loader.numbers(windows.before(videos - held_out), seed)
    return loader.batches(endless, batch, shard, windows.batch)


class Video(ScoredVideo):
    """One video of a split; its frames are read when they are asked for.

    Attributes:
      data: the dataset.
      name: name, unique in the split.
      split: name of the split.
      number: its number in the split.
      num_frames: number of frames, T.
      size: (H, W) of the stored frames.
      source_size: (H, W) of the source frames, in whose pixels masks, boxes and tracks are.
      labels: uint8 [T], 1 = anomalous; None if unknown.
      kinds: track id → kind of anomaly, for the tracks whose kind is known.
      start: date and time of the first frame, ISO 8601, in the zone that it names, else local time;
        None if unknown.
    """

    def __init__(self, data: Dataset, split: str, number: int, frames: Frames | None = None):
        self._frames = frames or Frames(data, split)
        self.data, self._entry = data, self._frames.entries[number]
        self._first = int(self._frames.first[number])
        self.split, self.number = split, number
        self.name: str = self._entry["name"]
        self.num_frames: int = self._entry["frames"]
        self.size = self._frames.size
        self.source_size: tuple[int, int] = tuple(self._entry["source_size"])
        digits = self._entry["labels"]  # two hexadecimal digits for each frame
        self.labels = None if digits is None else np.frombuffer(bytes.fromhex(digits), np.uint8)
        self.start: str | None = self._entry.get("start")
        self.kinds: dict[int, str] = {int(k): kind for k, kind in self._entry["kinds"].items()}

    def __len__(self) -> int:
        return self.num_frames

    def __getitem__(self, frame: int) -> np.ndarray:
        """Frame of that rank, uint8 [H, W, 3], RGB."""
        return self._frames[self._index(frame)]

    def __iter__(self) -> Iterator[np.ndarray]:
        """The frames in order, one in memory at a time."""
        return (self[frame] for frame in range(self.num_frames))

    def windows(self, length: int) -> Iterator[np.ndarray]:
        """Every window in order, uint8 [T, H, W, 3]; each frame is read once.

        Raises:
          ValueError: the video is shorter than a window.
        """
        check_lengths([self._entry], length, f"{self.data.folder} ({self.split})")
        # A queue of `length` frames: the first windows fill it, then each frame pushes one out.
        frames = iter(self)
        window = collections.deque(itertools.islice(frames, length - 1), maxlen=length)
        for frame in frames:
            window.append(frame)
            yield np.stack(window)

    def mask(self, frame: int) -> np.ndarray | None:
        """Anomalous pixels of a frame, bool [H, W] of `source_size`; None if it has no mask.

        Raises:
          IndexError: the video has no such frame.
          ValueError: a damaged mask, or one of another size than the source frames.
        """
        if not self._entry["masks"]:
            return None
        mask = self._frames.mask(self._index(frame))
        if mask is not None and mask.shape != self.source_size:
            raise ValueError(
                f"{self.data.folder}: video {self.name}: the mask of frame {frame} is "
                f"{mask.shape}, its frames {self.source_size}; {MEND}"
            )
        return mask

    @property
    def has_masks(self) -> bool:
        """Whether every frame has a mask."""
        return self._entry["masks"]

    @property
    def boxes(self) -> np.ndarray | None:
        """Boxes of all objects, float32 [n, 6] (`boxes.BOX_COLUMNS`); None if there is no file."""
        if not self._entry["boxes"]:
            return None
        return read_boxes(self.data.folder / "boxes" / self.split / f"{self.name}.csv")

    @property
    def tracks(self) -> np.ndarray | None:
        """Tracks of anomalies, int64 [n, 6] (`boxes.TRACK_COLUMNS`); None if there is no file."""
        if not self._entry["tracks"]:
            return None
        return read_tracks(self.data.folder / "tracks" / self.split / f"{self.name}.txt")

    @property
    def region_truth(self) -> RegionTruth:
        """Its tracks, in frames of `source_size`."""
        return RegionTruth(self.tracks, self.source_size)

    def _index(self, frame: int) -> int:
        """Index in the split of a frame of this video."""
        if not 0 <= frame < self.num_frames:
            raise IndexError(f"{self.name}: frame {frame} of {self.num_frames}")
        return self._first + frame


class Videos(Sequence):
    """The videos of a split, in the order of the dataset; frames are read on access only.

    Args:
      data: dataset of kind `"frames"`.
      split: name of the split.

    Raises:
      ValueError: no such split.
    """

    def __init__(self, data: Dataset, split: str):
        self._data, self._split = data, split
        self._frames = Frames(data, split)

    def __len__(self) -> int:
        return len(self._frames.entries)

    def __getitem__(self, number: int) -> Video:
        if not 0 <= number < len(self):
            raise IndexError(f"video {number} of {len(self)}")
        return Video(self._data, self._split, number, self._frames)


def part_name(video: str, start: int) -> str:
    """Name of the part of a video that begins with a frame; it may end before the video."""
    return f"{video}{PART}{start}"


def is_part(name: str) -> bool:
    """Whether a name is that of a part of a video (`part_name`), also of one of several alike."""
    return re.search(rf"{PART}\d+( \(\d+\))?$", name) is not None
