"""Decoding: the frames of a folder of images or of a video file, one at a time."""

import copy
import dataclasses
import fnmatch
import pathlib
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np

from vadjax.data.video import pictures
from vadjax.data.video.decode import VideoDecoder
from vadjax.data.video.frame_times import MOST_FPS, FrameIntervals, resample
from vadjax.data.video.pictures import Levels
from vadjax.formats.entries import to_posix
from vadjax.formats.folders import visible
from vadjax.formats.regular import check_regular
from vadjax.formats.text import read_lines

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
VIDEOS = (
    *(".avi", ".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".webm", ".ogv", ".flv", ".wmv", ".asf"),
    *(".mpg", ".mpeg", ".vob", ".ts", ".mts", ".m2ts"),
)


class Picture(NamedTuple):
    """One decoded frame.

    Attributes:
      pixels: uint8 [H, W, 3], RGB.
      source: where it came from, for messages.
      jpeg: the file's own bytes where it is a JPEG, so that storing it loses nothing.
      time: seconds from the start of the video; None where unknown.
      missing: frames of a camera that were dropped before this one.
    """

    pixels: np.ndarray
    source: str
    jpeg: bytes | None = None
    time: float | None = None
    missing: int = 0


class FrameFolder(Iterable[Picture]):
    """The images of a folder as the frames of a video: by rank, whatever numbers they bear.

    Args:
      folder: folder of images of one kind; hidden files are passed over.
      besides: pattern of the names of other files that may lie there, `"*_gt.txt"`.
      levels: values of 16-bit pictures that become black and white.

    Raises:
      FileNotFoundError: no such folder.
      ValueError: the folder is empty, or holds something else than images of one kind.

    Attributes:
      fps: None; images do not say how many there are a second.
    """

    fps: float | None = None

    def __init__(self, folder: str | pathlib.Path, besides: str = "", levels: Levels | None = None):
        self.folder, self.levels = pathlib.Path(folder), levels
        self.paths = list_images(self.folder, besides)

    def __len__(self) -> int:
        return len(self.paths)

    def with_levels(self, levels: Levels) -> "FrameFolder":
        """The same frames, scaled by `levels`."""
        other = copy.copy(self)
        other.levels = levels
        return other

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the first picture, whatever its depth."""
        return decode_file(self.paths[0]).shape[:2]

    def __iter__(self) -> Iterator[Picture]:
        for path in self.paths:
            yield read_picture(path, self.levels)


@dataclasses.dataclass(frozen=True)
class Reading:
    """How video is read.

    Attributes:
      deinterlace: make whole frames of interlaced ones, which are refused otherwise.
      strict: a file that is cut short or damaged is an error; else a warning.
      rate: frames a second to which video is resampled (`frame_times.resample`); None: as it is.
      levels: values of 16-bit pictures that become black and white; None for 8 bits.

    Raises:
      ValueError: a rate that is none.
    """

    deinterlace: bool = False
    strict: bool = False
    rate: float | None = None
    levels: Levels | None = None

    @property
    def settings(self) -> dict:
        """What features depend on; JSON can hold it. Deinterlacing leaves other files alone."""
        rate = {"resample_fps": self.rate} if self.rate else {}
        return {**rate, **({"levels": list(self.levels)} if self.levels else {})}

    def __post_init__(self):
        if self.rate is not None and not 0 < self.rate <= MOST_FPS:
            raise ValueError(f"{self.rate:g} frames a second; expected more than 0, to {MOST_FPS}")


AS_IT_IS = Reading()


class VideoFile(Iterable[Picture]):
    """The frames of a video file, decoded in order (`vadjax.data.video.decode`).

    At its end a variable frame rate is warned of, and frames that are missing or damaged
    (`Reading.strict`), each once. Its length is found by decoding it once, because the headers of
    files are often wrong.

    Raises:
      FileNotFoundError: no such file.
      ValueError: from iterating, as `VideoDecoder` and `Reading` have it.
    """

    def __init__(self, path: str | pathlib.Path, reading: Reading = AS_IT_IS):
        self.path, self.reading = pathlib.Path(path), reading
        self._length: int | None = None
        self._fps: float | None = None
        self._told: set[str] = set()
        if not self.path.exists():
            raise FileNotFoundError(f"{self.path}: no such video file")
        check_regular(self.path)

    def __len__(self) -> int:
        if self._length is None:
            with self._open() as decoder:
                self._length = sum(1 for _ in self._timed(decoder, decoder.frames()))
        return self._length

    def __iter__(self) -> Iterator[Picture]:
        with self._open() as decoder:
            for rank, (pixels, time) in enumerate(self._timed(decoder, decoder)):
                yield Picture(pixels, f"{self.path}#{rank}", time=time)

    def _timed(self, decoder: VideoDecoder, frames: Iterable[tuple]) -> Iterator[tuple[Any, float]]:
        """Frames, whatever they are, and their times, resampled; at the end what is to be said."""
        times = FrameIntervals()

        def noted() -> Iterator[tuple[Any, float]]:
            for frame, time in frames:
                times.add(time)
                yield frame, time

        rate = self.reading.rate
        yield from resample(noted(), rate) if rate else noted()
        if decoder.shortfall and self.reading.strict:
            raise ValueError(f"{self.path}: {decoder.shortfall}, or leave out --strict")
        if times.vary and not rate:
            self._tell(f"{self.path}: {times}; frames are taken as they come")
        if decoder.shortfall:
            self._tell(f"{self.path}: {decoder.shortfall}. What can be decoded is taken")

    def _tell(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            warnings.warn(message, stacklevel=2)

    @property
    def listed(self) -> int:
        """Frames that its duration promises, which may be wrong; 0 where it does not say."""
        with self._open() as decoder:
            known = self.fps and decoder.seconds
            return round(decoder.seconds * self.fps) if known else decoder.listed

    @property
    def fps(self) -> float | None:
        """Frames a second, by the frames' own times where the header says otherwise."""
        if self.reading.rate:
            return self.reading.rate
        if self._fps is None:
            with self._open() as decoder:
                self._fps = decoder.own_rate()
        return self._fps

    def _open(self) -> VideoDecoder:
        return VideoDecoder(self.path, deinterlace=self.reading.deinterlace)


def open_frames(path: str | pathlib.Path, reading: Reading = AS_IT_IS) -> FrameFolder | VideoFile:
    """The frames of a folder of images or of a video file.

    Raises:
      FileNotFoundError: no such file.
      ValueError: as `FrameFolder`; a folder that is to be resampled, whose times are unknown, or
        levels for a video file.
    """
    if not pathlib.Path(path).is_dir():
        if reading.levels is not None:
            raise ValueError(pictures.not_for(f"{path}: a video file", reading.levels))
        return VideoFile(path, reading)
    if reading.rate:
        raise ValueError(
            f"{path}: a folder of pictures has no times, so it cannot be resampled to "
            f"{reading.rate:g} frames a second; give the video file it was made of"
        )
    return FrameFolder(path, levels=reading.levels)


def find_videos(
    where: str | pathlib.Path, listed: str | pathlib.Path | None = None
) -> dict[str, pathlib.Path]:
    """Name, CLASS/NAME, and path of every video.

    Args:
      where: a video file, a folder of frames, or a folder of such at any depth.
      listed: text file of paths below `where`, one a line: only these.

    Raises:
      FileNotFoundError: one of them is not there.
      ValueError: no video, two of one name, or a listed path outside `where`.
    """
    where = pathlib.Path(where).absolute()
    if not where.exists():
        raise FileNotFoundError(f"{where}: no such file or folder")
    if not where.is_dir():
        check_regular(where)
    paths = _listed(where, pathlib.Path(listed)) if listed else list(_walk(where))
    if not paths:
        raise ValueError(f"{where}: no video here ({', '.join(VIDEOS)}) and no folder of frames")
    root, found = where.parent.parent if paths == [where] else where, {}
    for path in paths:
        name = path.relative_to(root)
        if name.suffix.lower() in VIDEOS:
            name = name.with_suffix("")
        key = (name if len(name.parts) > 1 else root.name / name).as_posix()
        if key in found:
            raise ValueError(f"{found[key]} and {path} are both {key}; rename one of them")
        found[key] = path
    return found


def _walk(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Videos at or below a path; a folder of images without videos or folders is one."""
    if path.is_file():
        yield path
        return
    entries = visible(path)
    if not entries and path.suffix.lower() in VIDEOS:
        raise ValueError(f"{path}: an empty folder; expected a video, or a folder of frames")
    inner = [entry for entry in entries if entry.is_dir() or entry.suffix.lower() in VIDEOS]
    if not inner and any(entry.suffix.lower() in IMAGES for entry in entries):
        yield path
    for entry in inner:
        yield from _walk(entry)


def _listed(where: pathlib.Path, file: pathlib.Path) -> list[pathlib.Path]:
    lines = [to_posix(line) for _, line in read_lines(file, comments=())]
    for line in lines:
        if pathlib.PureWindowsPath(line).anchor or ".." in pathlib.PurePath(line).parts:
            raise ValueError(f"{file}: {line!r} is not a path below {where}")
    missing = [line for line in lines if not (where / line).exists()]
    if missing:
        shown = "\n  ".join(missing[:5])
        raise FileNotFoundError(
            f"{file}: {len(missing):,} of its {len(lines):,} videos are not in {where}:\n  {shown}"
        )
    return [where / line for line in lines]


def frames_of(path: pathlib.Path, reading: Reading = AS_IT_IS) -> Iterator[np.ndarray]:
    """The frames of a video, uint8 [H, W, 3], RGB.

    Raises:
      ValueError: it cannot be decoded; with `reading.strict`, or not to its end.
    """
    for picture in open_frames(path, reading):
        yield picture.pixels


def list_images(folder: pathlib.Path, besides: str = "") -> list[pathlib.Path]:
    """The images of a folder in the order of their names, numbers in them by value.

    Args:
      folder: of images of one kind.
      besides: pattern of the names of other files that may lie there.

    Raises:
      FileNotFoundError: no such folder.
      ValueError: the folder is empty, or holds something else than images of one kind.
    """
    paths = [path for path in visible(folder) if not fnmatch.fnmatch(path.name, besides)]
    if not paths:
        raise ValueError(f"{folder}: empty; expected the frames of a video ({', '.join(IMAGES)})")
    for path in paths:
        if path.suffix.lower() not in IMAGES or path.is_dir():
            raise ValueError(
                f"{path}: not an image; a folder of frames holds nothing else than "
                f"{', '.join(IMAGES)}. Move it elsewhere"
            )
    kinds = sorted({path.suffix for path in paths})
    if len(kinds) > 1:
        raise ValueError(
            f"{folder}: holds {' and '.join(kinds)} files, expected one kind; "
            "are these the same frames twice? Move the others elsewhere"
        )
    return paths


def read_picture(path: pathlib.Path, levels: Levels | None = None) -> Picture:
    """One image file in colour; `levels` as for `pictures.to_eight_bits`.

    Raises:
      ValueError: the file is not a readable image, or as `pictures.to_eight_bits`.
    """
    content = pictures.read_bytes(path)
    pixels = pictures.to_eight_bits(_decode(content, path), levels, str(path))
    jpeg = content if path.suffix.lower() in (".jpg", ".jpeg") else None
    return Picture(pixels, str(path), jpeg)


def decode_file(path: pathlib.Path) -> np.ndarray:
    """One image file in colour, [H, W, 3], RGB, of its own depth.

    Raises:
      ValueError: the file is not a readable image.
    """
    return _decode(pictures.read_bytes(path), path)


def _decode(content: bytes, path: pathlib.Path) -> np.ndarray:
    with pictures.naming(path):
        pixels = pictures.decode(content)
    if pixels is None:
        raise ValueError(
            f"{path}: not a readable image ({len(content):,} bytes), or one that is cut short; "
            "copy or extract it again"
        )
    return pixels


def resize(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Frame resized to (H, W): bilinear on uint8, no antialiasing, aspect not kept (lgn_net §1)."""
    if pixels.shape[:2] == tuple(size):
        return pixels
    return cv2.resize(pixels, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)


def to_float(frames: np.ndarray) -> np.ndarray:
    """Frames uint8 of any shape → float32 in [-1, 1]."""
    return frames.astype(np.float32) / np.float32(127.5) - np.float32(1)
