"""Writing a dataset of frames, with their labels, masks, boxes and tracks (`vadjax.data.clips`)."""

import collections
import dataclasses
import functools
import io
import itertools
import pathlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from vadjax.data.clips import KIND, UNKNOWN
from vadjax.data.store import builder, manifest
from vadjax.data.video.boxes import BOX_COLUMNS, TRACK_COLUMNS
from vadjax.data.video.reader import Picture, resize
from vadjax.formats.names import check_name

ENCODINGS = manifest.ENCODINGS


@dataclasses.dataclass(frozen=True)
class SourceVideo:
    """A video as a program of `data_prep` hands it to the writer.

    Attributes:
      name: name, unique in its split.
      frames: its frames in order; those of a `FrameFolder` are counted before they are read.
      labels: uint8 [T], 1 = anomalous; a single 0 or 1 for all frames; None takes them from the
        masks, if there are any.
      masks: one picture for each frame and of its size; any channel above 0 = anomalous.
      boxes: boxes of all objects, float [n, 6] (`boxes.BOX_COLUMNS`).
      tracks: tracks of the anomalies, int [n, 6] (`boxes.TRACK_COLUMNS`).
      kinds: track id → kind of anomaly.
      start: date and time of its first frame, ISO 8601; None if unknown.
    """

    name: str
    frames: Iterable[Picture]
    labels: np.ndarray | int | None = None
    masks: Iterable[Picture] | None = None
    boxes: np.ndarray | None = None
    tracks: np.ndarray | None = None
    kinds: Mapping[int, str] = dataclasses.field(default_factory=dict)
    start: str | None = None

    def check_ahead(self) -> None:
        """Compares what can be compared before any frame is read.

        Counting the frames of a video file decodes it, so this is only done if something is to be
        compared with their number.

        Raises:
          ValueError: as `check`.
        """
        parts = (self.masks, self.boxes, self.tracks)
        has_lengths = np.ndim(self.labels) or any(part is not None for part in parts)
        if has_lengths and hasattr(self.frames, "__len__"):
            self.check(len(self.frames))

    def check(self, frames: int) -> None:
        """Compares everything that has a length with the number of frames.

        Args:
          frames: number of frames of the video, T.

        Raises:
          ValueError: names the video and gives both numbers.
        """
        # A label and a mask for each frame.
        for field in ("labels", "masks"):
            values = getattr(self, field)
            if hasattr(values, "__len__") and len(values) != frames:
                raise ValueError(
                    f"video {self.name}: {len(values):,} {field} for {frames:,} frames; "
                    "each frame needs one. Are some frames or labels missing?"
                )
        if self.labels is not None and not np.isin(self.labels, (0, 1)).all():
            raise ValueError(f"video {self.name}: labels other than 0 and 1 (1 = anomalous)")
        # No box or track of a frame that the video does not have.
        for field, column in (("boxes", 0), ("tracks", 1)):
            rows = getattr(self, field)
            if rows is None or not len(rows):
                continue
            low, high = int(rows[:, column].min()), int(rows[:, column].max())
            if low < 0 or high >= frames:
                raise ValueError(
                    f"video {self.name}: {field} of frames {low} to {high}, but its {frames:,} "
                    f"frames are 0 to {frames - 1}; frames are counted from 0"
                )


class StoredFrame(NamedTuple):
    """A frame as it is stored. All fields are arrays, so that it can go between processes.

    Attributes:
      size: int [2], H and W of the source.
      image: uint8 [H, W, C], or the bytes uint8 [n] of a JPEG or PNG.
      mask: bytes uint8 [n] of a PNG; n is 0 without a mask.
      shown: int64, label by the mask: 1 if any pixel is anomalous; `UNKNOWN` without a mask.
    """

    size: np.ndarray
    image: np.ndarray
    mask: np.ndarray
    shown: np.ndarray


@dataclasses.dataclass(frozen=True)
class FrameEncoding:
    """How frames are stored.

    Attributes:
      encoding: a name of `ENCODINGS`.
      size: (H, W) as stored.
      resize: whether frames of other sizes are resized to it.
      quality: quality of the JPEGs that are made here, 1 to 100.
    """

    encoding: str
    size: tuple[int, int]
    resize: bool
    quality: int

    def frames(self, video: SourceVideo) -> Iterator[StoredFrame]:
        """The frames of a video, encoded one by one.

        Raises:
          ValueError: a frame or mask that cannot be used; the message names the file.
        """
        for rank, (picture, mask) in enumerate(_with_masks(video)):
            if not rank:
                _check_stored_size(picture, self)
            # No bytes stand for no mask.
            size, png = np.array(picture.pixels.shape[:2]), np.zeros(0, np.uint8)
            shown = UNKNOWN if mask is None else mask.any()
            png = png if mask is None else _mask_png(mask)
            yield StoredFrame(size, self.image(picture), png, np.int64(shown))

    def image(self, picture: Picture) -> np.ndarray:
        """`StoredFrame.image` of a frame."""
        # A JPEG of the stored size keeps its own bytes: encoding again would lose quality.
        pixels = resize(picture.pixels, self.size)
        if self.encoding == "jpeg" and pixels is picture.pixels and picture.jpeg:
            return np.frombuffer(picture.jpeg, np.uint8)
        # Grey frames take one channel.
        red, green, blue = cv2.split(pixels)
        if np.array_equal(red, green) and np.array_equal(red, blue):
            pixels = red[..., None]
        if self.encoding == "raw":
            return pixels
        if pixels.shape[2] == 3:
            pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
        if self.encoding == "png":
            return _encode(".png", pixels, [])
        return _encode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, self.quality])


Videos = Iterable[SourceVideo]
StoredVideos = Iterable[tuple[SourceVideo, Iterable[StoredFrame]]]


def one_by_one(encoder: FrameEncoding, splits: Mapping[str, Videos]) -> dict[str, StoredVideos]:
    """The videos of each split with their encoded frames, made one by one in this process."""
    return {
        split: ((video, encoder.frames(video)) for video in videos)
        for split, videos in splits.items()
    }


def write_frames(
    out: str | pathlib.Path,
    splits: Mapping[str, Videos],
    *,
    name: str,
    size: tuple[int, int] | None = None,
    encoding: str = "raw",
    quality: int = 95,
    file_format: str = "array_record",
    shards: int | None = None,
    fps: float | None = None,
    extra: Mapping | None = None,
    store: Callable[[FrameEncoding, Mapping[str, Videos]], dict[str, StoredVideos]] = one_by_one,
) -> dict:
    """Writes a dataset of frames and returns its manifest.

    Args:
      out: folder to make; must not exist.
      splits: split name → its videos; may be a generator.
      name: name of the set, shown in reports.
      size: (H, W) to resize to; None stores the frames as they are.
      encoding: `"raw"` (uint8, one channel where all three are equal), `"jpeg"` (the file's own
        bytes if the source is a JPEG of the stored size) or `"png"` (without loss).
      quality: quality of the JPEGs that are made here, 1 to 100.
      file_format: `"array_record"` or `"tfrecord"`.
      shards: shards per split; None lets TFDS choose by size.
      fps: frames a second of all videos, for the manifest; None if unknown.
      extra: more entries for the manifest.
      store: encodes the frames of the splits; another function may do this in other processes.

    Returns:
      The manifest.

    Raises:
      FileExistsError: `out` exists.
      ValueError: a video that cannot be used; the message names the file. Or `fps` is out of its
        range.
    """
    if encoding not in ENCODINGS:
        raise ValueError(f"encoding {encoding!r}; expected one of {', '.join(ENCODINGS)}")
    if fps is not None:
        manifest.check_fps(fps, "--fps")
    builder.check_target(out, file_format, shards)
    # Frames are counted where that costs nothing; the size is given, or that of the first frame.
    frames = sum(map(_known_frames, splits.values()))
    splits = {split: iter(videos) for split, videos in splits.items()}
    stored, splits = (size, splits) if size else _first_size(splits)
    notes = {split: FrameNotes(split) for split in splits}
    videos = store(FrameEncoding(encoding, stored, bool(size), quality), splits)
    return builder.write_dataset(
        out,
        name=name,
        kind=KIND,
        features=tfds_features(encoding, stored),
        splits={split: _examples(videos[split], notes[split]) for split in splits},
        file_format=file_format,
        shards=shards,
        extra={
            "encoding": encoding,
            "size": list(stored),
            **({} if fps is None else {"fps": float(fps)}),
            **(extra or {}),
        },
        notes=notes,
        # At least one byte a pixel, as if all frames were grey.
        size=frames * stored[0] * stored[1] if encoding == "raw" else None,
    )


def _known_frames(videos: Videos) -> int:
    """Number of frames of those videos that say it without being decoded."""
    if not isinstance(videos, Sequence):
        return 0
    return sum(len(video.frames) for video in videos if hasattr(video.frames, "__len__"))


def tfds_features(encoding: str, size: tuple[int, int]) -> dict:
    """TFDS feature connectors of a frame of `size` (H, W)."""
    import tensorflow_datasets as tfds  # only writers need it

    # A JPEG or PNG is stored as it is; raw frames have three channels or, if they are grey, one.
    image = tfds.features.Image(shape=(*size, 3), encoding_format=encoding.replace("raw", "png"))
    if encoding == "raw":
        as_bytes = tfds.features.Encoding.BYTES
        image = tfds.features.Tensor(shape=(*size, None), dtype=np.uint8, encoding=as_bytes)
    mask = tfds.features.Image(shape=(None, None, 1), encoding_format="png")
    return {
        "video": tfds.features.Text(),
        "frame": tfds.features.Scalar(np.int64),
        "label": tfds.features.Scalar(np.int64),
        "image": image,
        "mask": tfds.features.Sequence(mask),  # none or one
    }


class FrameNotes:
    """Collects the videos of a split for the manifest, and their boxes and tracks as text.

    Args:
      split: name of the split.
    """

    def __init__(self, split: str):
        self.split = split
        self._videos: list[dict] = []
        self._labels: list[list[int]] = []
        self._files: dict[str, bytes] = {}

    def start(self, video: SourceVideo, source_size: Iterable[int]) -> None:
        """Begins the next video.

        Args:
          video: the video.
          source_size: H and W of its frames before they are resized.

        Raises:
          ValueError: a name that the split already has, or that cannot be that of a file.
        """
        check_name(video.name, f"split {self.split!r}")
        if any(video.name == seen["name"] for seen in self._videos):
            raise ValueError(f"split {self.split!r} has two videos named {video.name!r}")
        self._videos.append(
            {
                "name": video.name,
                "source_size": [int(side) for side in source_size],
                "masks": video.masks is not None,
                "boxes": video.boxes is not None,
                "tracks": video.tracks is not None,
                "kinds": {str(track): kind for track, kind in video.kinds.items()},
                **({"start": video.start} if video.start else {}),
            }
        )
        # Labels follow frame by frame (`add`); boxes and tracks become text beside the shards.
        self._labels.append([])
        if video.boxes is not None:
            self._files[f"boxes/{self.split}/{video.name}.csv"] = box_table(video.boxes)
        if video.tracks is not None:
            self._files[f"tracks/{self.split}/{video.name}.txt"] = _table(video.tracks, "%d")

    def add(self, example: Mapping) -> None:
        """Notes one frame of the current video."""
        self._labels[-1].append(example["label"])

    def entries(self) -> dict:
        """Counts of the frames and the list of videos.

        Labels have two hexadecimal digits for each frame, or are None if any is unknown.
        """
        count = collections.Counter(itertools.chain.from_iterable(self._labels))
        return {
            "records": count.total(),
            "anomalous": count[1],
            "normal": count[0],
            "unlabelled": count[UNKNOWN],
            "videos": [
                {
                    **video,
                    "frames": len(labels),
                    "labels": None if UNKNOWN in labels else bytes(labels).hex(),
                }
                for video, labels in zip(self._videos, self._labels, strict=True)
            ],
        }

    def files(self) -> dict[str, bytes]:
        """Boxes and tracks of the videos that have them."""
        return self._files


def box_table(boxes: np.ndarray) -> bytes:
    """CSV text of boxes [n, 6] (`boxes.BOX_COLUMNS`) for `boxes.read_boxes`; float32 is kept."""
    return _table(boxes, "%.9g", ",".join(BOX_COLUMNS))


def _table(rows: np.ndarray, number: str, header: str = "") -> bytes:
    """Rows of six numbers as CSV; `number` is the format of each, as `"%d"`."""
    text = io.StringIO()
    rows = np.asarray(rows).reshape(-1, len(TRACK_COLUMNS))
    np.savetxt(text, rows, number, delimiter=",", header=header, comments="")
    return text.getvalue().encode()


def _first_size(splits: dict[str, Iterator[SourceVideo]]) -> tuple[tuple[int, int], dict]:
    """(H, W) of the very first frame, and the splits with its video put back in front.

    Raises:
      ValueError: the first split has no video.
    """
    split, videos = next(iter(splits.items()), ("", iter(())))
    video = next(videos, None)
    if video is None:
        raise ValueError(f"split {split!r} has no video; nothing was written")
    picture = next(iter(video.frames))
    return picture.pixels.shape[:2], {**splits, split: itertools.chain([video], videos)}


def _encode(kind: str, pixels: np.ndarray, options: list[int]) -> np.ndarray:
    """Bytes, uint8 [n], of a picture file of the kind, as `".png"`."""
    encoded, content = cv2.imencode(kind, pixels, options)
    if not encoded:
        raise ValueError(f"{pixels.dtype} {pixels.shape}: OpenCV cannot write this as {kind}")
    return content


def _examples(videos: StoredVideos, notes: FrameNotes) -> Iterator[dict]:
    """The records of a split, frame by frame; each video is noted at its first frame."""
    for video, frames in videos:
        video.check_ahead()
        rank = unlike = 0
        for rank, frame in enumerate(frames, 1):
            if rank == 1:
                notes.start(video, frame.size)
            # Labels that contradict the masks are kept, and counted for a warning.
            label = _label(video, rank - 1, int(frame.shown))
            unlike += frame.shown not in (UNKNOWN, label)
            yield {
                "video": video.name,
                "frame": rank - 1,
                "label": label,
                "image": frame.image if frame.image.ndim > 1 else io.BytesIO(frame.image),
                "mask": [io.BytesIO(frame.mask)] if len(frame.mask) else [],
            }
        # Only now is the number of frames certain for every kind of source.
        video.check(rank)
        if unlike:
            warnings.warn(
                f"video {video.name}: the labels of {unlike:,} of {rank:,} frames are not those "
                "of their masks; both are kept as they are",
                stacklevel=2,
            )


def _with_masks(video: SourceVideo) -> Iterator[tuple[Picture, np.ndarray | None]]:
    """The frames, each with its mask, bool [H, W], or None without masks.

    Raises:
      ValueError: no frames, frames or masks of several sizes, or not one mask for each frame.
    """
    # Masks are taken one by one with the frames: neither need be counted, or held in memory.
    masks = None if video.masks is None else iter(video.masks)
    rank, first = 0, None
    for rank, picture in enumerate(video.frames, 1):
        first = first or picture
        _check_size(picture, first.pixels.shape[:2], f"the first frame {first.source}")
        yield picture, None if masks is None else _next_mask(video, masks, rank - 1, picture)
    if not rank:
        raise ValueError(f"video {video.name}: no frames")
    if masks is not None and next(masks, None) is not None:
        raise ValueError(f"video {video.name}: more masks than its {rank:,} frames")


def _check_stored_size(picture: Picture, encode: FrameEncoding) -> None:
    """Raises ValueError if a frame would have to be resized and that was not asked for."""
    size = picture.pixels.shape[:2]
    if size != tuple(encode.size) and not encode.resize:
        raise ValueError(
            f"{picture.source}: {_by(size)} pixels, but the first video has {_by(encode.size)}; "
            f"bring all to one size, for example with --size {encode.size[0]}x{encode.size[1]}"
        )


def _check_size(picture: Picture, size: tuple[int, int], what: str) -> None:
    """Raises ValueError unless a frame or mask has the (H, W) `size` of `what`."""
    got = picture.pixels.shape[:2]
    if got != size:
        raise ValueError(
            f"{picture.source}: {_by(got)} pixels (H x W), expected {_by(size)} as in {what}; "
            "the frames and masks of a video have one size. Extract them again"
        )


def _by(size: tuple[int, int]) -> str:
    """A size as text, "H x W"."""
    return f"{size[0]} x {size[1]}"


def _next_mask(video: SourceVideo, masks: Iterator, rank: int, picture: Picture) -> np.ndarray:
    """Mask of frame number `rank`, bool [H, W]: pixels with any channel above 0."""
    mask = next(masks, None)
    if mask is None:
        raise ValueError(f"video {video.name}: {rank:,} masks for more frames; each needs one")
    _check_size(mask, picture.pixels.shape[:2], f"its frame {picture.source}")
    if mask.pixels.ndim == 2:
        return mask.pixels > 0
    return functools.reduce(np.bitwise_or, cv2.split(mask.pixels)) > 0


def _mask_png(mask: np.ndarray) -> np.ndarray:
    """Bytes, uint8 [n], of a mask as a PNG of one bit a pixel."""
    return _encode(".png", mask.astype(np.uint8) * 255, [cv2.IMWRITE_PNG_BILEVEL, 1])


def _label(video: SourceVideo, rank: int, shown: int) -> int:
    """Label of frame number `rank`: the video's, or `shown`, its mask's, if the video has none."""
    if video.labels is None:
        return shown
    if np.ndim(video.labels) == 0:
        return int(video.labels)
    if rank >= len(video.labels):
        raise ValueError(
            f"video {video.name}: {len(video.labels):,} labels for more than {rank:,} frames"
        )
    return int(video.labels[rank])
