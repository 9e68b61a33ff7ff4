"""Decoding: the frames of a folder of images or of a video file, one at a time."""

import copy
import fnmatch
import pathlib
import re
import warnings
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np

from vadjax.data import pictures
from vadjax.data.pictures import Levels
from vadjax.formats.entries import to_posix
from vadjax.formats.text import read_lines

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
SIZED = (".mp4", ".mov")  # whose headers list every frame
VIDEOS = (
    *(".avi", ".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".webm", ".ogv", ".flv", ".wmv", ".asf"),
    *(".mpg", ".mpeg", ".vob", ".ts", ".mts", ".m2ts"),
)
MOST_FPS = 1000  # a header that says more is wrong
IGNORED = ("thumbs.db", "desktop.ini")  # and names that begin with a dot: left by file browsers


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
    """

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


class VideoFile(Iterable[Picture]):
    """The frames of a video file, decoded in order; a variable frame rate is warned of at its end.

    Its length is found by decoding it once, because the headers of AVI files are often wrong.

    Raises:
      FileNotFoundError: no such file.
    """

    def __init__(self, path: str | pathlib.Path):
        self.path = pathlib.Path(path)
        self._length: int | None = None
        if not self.path.is_file():
            raise FileNotFoundError(f"{self.path}: no such video file")

    def __len__(self) -> int:
        if self._length is None:
            capture = self._open()
            self._length = 0
            while capture.grab():
                self._length += 1
            capture.release()
        return self._length

    def __iter__(self) -> Iterator[Picture]:
        capture, rank, times = self._open(), 0, Intervals()
        try:
            while (read := capture.read())[0]:
                time = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                times.add(time)
                pixels = cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB)
                yield Picture(pixels, f"{self.path}#{rank}", time=time)
                rank += 1
        finally:
            capture.release()
        if not rank:
            raise ValueError(f"{self.path}: no frame can be decoded; is it a whole video file?")
        if times.vary:
            warnings.warn(f"{self.path}: {times}; frames are taken as they come", stacklevel=2)

    def check_whole(self, decoded: int) -> None:
        """Compares the number of frames that were decoded with the header's, where it has one.

        Raises:
          ValueError: more than 8 frames and 2 % are missing; cutting a video can hide a few.
        """
        if self.path.suffix.lower() not in SIZED:
            return
        listed = self.listed
        if listed - decoded > max(8, listed // 50):
            raise ValueError(
                f"{self.path}: {decoded:,} frames can be decoded, its header lists {listed:,}; "
                "the file is cut short or damaged, copy it again"
            )

    @property
    def listed(self) -> int:
        """Frames by the header, which may be wrong; 0 where it does not say."""
        return max(int(self._header(cv2.CAP_PROP_FRAME_COUNT)), 0)

    @property
    def fps(self) -> float | None:
        """Frames a second by the header; None where it does not say."""
        found = self._header(cv2.CAP_PROP_FPS)
        return found if 0 < found < MOST_FPS else None

    def _header(self, field: int) -> float:
        capture = self._open()
        found = capture.get(field)
        capture.release()
        return found

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(str(self.path))
        if not capture.isOpened():
            raise ValueError(
                f"{self.path}: OpenCV cannot open this video; is it whole? Else convert it, for "
                f"example: mkdir {self.path.with_suffix('')} && "
                f"ffmpeg -i {self.path} -q:v 2 {self.path.with_suffix('')}/%04d.jpg"
            )
        return capture


class Intervals:
    """The shortest and the longest time between two frames; half as long again is variable."""

    def __init__(self):
        self._last, self._shortest, self._longest = None, float("inf"), 0.0

    def add(self, time: float) -> None:
        """Notes the time of the next frame, seconds; one that does not rise is passed over."""
        if self._last is not None and time <= self._last:
            return
        if self._last is not None:
            self._shortest = min(self._shortest, time - self._last)
            self._longest = max(self._longest, time - self._last)
        self._last = time

    @property
    def vary(self) -> bool:
        """Whether the frame rate is variable."""
        return self._longest >= 1.5 * self._shortest

    def __str__(self) -> str:
        slow, fast = 1 / self._longest, 1 / self._shortest
        return f"variable frame rate, {slow:.3g} to {fast:.3g} frames a second"


def open_frames(path: str | pathlib.Path, levels: Levels | None = None) -> FrameFolder | VideoFile:
    """The frames of a folder of images or of a video file.

    Args:
      path: of the folder or file.
      levels: values of 16-bit pictures that become black and white; None for 8 bits.

    Raises:
      FileNotFoundError, ValueError: as `FrameFolder` and `VideoFile`, or levels for a video file.
    """
    if pathlib.Path(path).is_dir():
        return FrameFolder(path, levels=levels)
    if levels is not None:
        raise ValueError(pictures.not_for(f"{path}: a video file", levels))
    return VideoFile(path)


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


def frames_of(path: pathlib.Path, levels: Levels | None = None) -> Iterator[np.ndarray]:
    """The frames of a video, uint8 [H, W, 3], RGB; `levels` as for `open_frames`.

    Raises:
      ValueError: it cannot be decoded, or not to its end.
    """
    video, count = open_frames(path, levels), 0
    for picture in video:
        count += 1
        yield picture.pixels
    if isinstance(video, VideoFile):
        video.check_whole(count)


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


def visible(folder: pathlib.Path) -> list[pathlib.Path]:
    """What a folder holds, in natural order, without what file browsers leave behind.

    Raises:
      FileNotFoundError: no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    found = [
        path
        for path in folder.iterdir()
        if not path.name.startswith(".") and path.name.lower() not in IGNORED
    ]
    return sorted(found, key=natural)


def natural(path: pathlib.Path) -> list:
    """Sorting key: text as it is, numbers by value; equals text order for padded numbers."""
    parts = re.split(r"(\d+)", path.name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)] + [path.name]


def read_picture(path: pathlib.Path, levels: Levels | None = None) -> Picture:
    """One image file in colour; `levels` as for `pictures.to_eight_bits`.

    Raises:
      ValueError: the file is not a readable image, or as `pictures.to_eight_bits`.
    """
    content = path.read_bytes()
    pixels = pictures.to_eight_bits(_decode(content, path), levels, str(path))
    jpeg = content if path.suffix.lower() in (".jpg", ".jpeg") else None
    return Picture(pixels, str(path), jpeg)


def decode_file(path: pathlib.Path) -> np.ndarray:
    """One image file in colour, [H, W, 3], RGB, of its own depth.

    Raises:
      ValueError: the file is not a readable image.
    """
    return _decode(path.read_bytes(), path)


def _decode(content: bytes, path: pathlib.Path) -> np.ndarray:
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
