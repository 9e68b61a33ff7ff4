"""Masks whose values are numbers of objects, as UBnormal publishes them. No JAX.

`VIDEO_annotations/` holds a picture `VIDEO_NNNN_gt.png` a frame, NNNN from 0, in which the value of
a pixel is the number of its object, and `VIDEO_tracks.txt` (or, corrected, `VIDEO_new_tracks.txt`):
a row `object,first,last` for each anomaly, the frames from 0 and the last one included. An object
is anomalous in these frames alone.
"""

import pathlib
import re
from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from vadjax.data.video.boxes import component_boxes
from vadjax.data.video.mask_pictures import read_values
from vadjax.data.video.pictures import JPEG, read_bytes
from vadjax.data.video.reader import Picture
from vadjax.formats.folders import visible
from vadjax.formats.text import note, read_lines

ANNOTATIONS = "_annotations"  # ends the name of a folder of them
TRACKS, NEW_TRACKS = "_tracks.txt", "_new_tracks.txt"
PICTURE = re.compile(r"_(\d+)_gt\.png")


class ObjectMasks(Iterable[Picture]):
    """The masks of a video from the numbers of its objects: `pixels` is bool [H, W].

    A frame without a picture is normal, unless the tracks say otherwise.

    Args:
      folder: of pictures and tracks (module docstring).
      frames: the frames of the video, or only their number; None if unknown: those up to the last
        picture.

    Raises:
      FileNotFoundError: there are no tracks.
      ValueError: no pictures, or tracks that cannot be read.
    """

    def __init__(self, folder: pathlib.Path, frames: Iterable[Picture] | int | None = None):
        self.folder, self._frames = folder, frames
        self.paths = _list_pictures(folder)
        self.tracks = read_spans(find_tracks(folder))

    def __len__(self) -> int:
        if self._frames is None:
            return max(self.paths) + 1
        return self._frames if isinstance(self._frames, int) else len(self._frames)

    def __iter__(self) -> Iterator[Picture]:
        for frame, values in enumerate(self.values()):
            shown = [number for number, first, last in self.tracks if first <= frame <= last]
            source = self.paths.get(frame, f"{self.folder}#{frame}")
            yield Picture(np.isin(values, shown), str(source))

    def values(self) -> Iterator[np.ndarray]:
        """Numbers of the objects in every frame, [H, W]; 0 where there is none.

        Raises:
          ValueError: a picture that cannot be read, or none of a frame with an anomaly, or one
            past the last frame.
        """
        if past := [path for frame, path in self.paths.items() if frame >= len(self)]:
            raise ValueError(
                f"{past[0]}: the video has {len(self):,} frames, numbered from 0; is the picture "
                "of another video?"
            )
        empty = np.zeros_like(read_objects(next(iter(self.paths.values()))))
        late = max((last for _, _, last in self.tracks), default=-1)
        for frame in range(max(len(self), late + 1)):
            if frame in self.paths:
                yield read_objects(self.paths[frame])
                continue
            if rows := [row for row in self.tracks if row[1] <= frame <= row[2]]:
                raise ValueError(
                    f"{self.folder}: no picture of frame {frame}, in which object {rows[0][0]} is "
                    f"anomalous by its tracks; expected …_{frame:04d}_gt.png"
                )
            yield empty


def object_tracks(
    values: Iterable[np.ndarray], spans: list[tuple[int, int, int]] | None, min_area: int = 1
) -> tuple[np.ndarray, int]:
    """Tracks of objects from their numbers: a box a frame around the largest part of the object.

    Args:
      values: number of the object at every pixel, [H, W], 0 = none, frame by frame.
      spans: object, first and last frame of each track, which is numbered by its place; None makes
        a track of every object, with its number.
      min_area: parts of fewer pixels are left out.

    Returns:
      int64 [n, 6], `boxes.TRACK_COLUMNS`; and how many frames of the spans show no such part.
    """
    rows, hidden = [], 0
    for frame, numbers in enumerate(values):
        if spans is None:
            shown = [(int(number), number) for number in np.unique(numbers) if number > 0]
        else:
            shown = [(i, row[0]) for i, row in enumerate(spans) if row[1] <= frame <= row[2]]
        for track, number in shown:
            box = largest_part(numbers == number, min_area)
            hidden += box is None
            rows += [] if box is None else [(track, frame, *box)]
    return np.array(sorted(rows), np.int64).reshape(-1, 6), 0 if spans is None else hidden


def largest_part(mask: np.ndarray, min_area: int = 1) -> np.ndarray | None:
    """Box of the connected part of a mask with the largest box, inclusive [4]; None without one."""
    boxes = component_boxes(mask, min_area)
    if not len(boxes):
        return None
    areas = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    return boxes[int(np.argmax(areas))]


def read_objects(path: pathlib.Path) -> np.ndarray:
    """Number of the object at every pixel, [H, W], 0 = none.

    Raises:
      ValueError: not a readable picture, or one in colour.
    """
    content = read_bytes(path)
    if content.startswith(JPEG):
        raise ValueError(f"{path}: a JPEG, which changes the numbers of objects; expected PNG")
    values = read_values(content, path)
    if values.ndim == 2:
        return values
    first, *others = cv2.split(values[..., :3])
    if not all(np.array_equal(first, other) for other in others):
        raise ValueError(f"{path}: in colour; expected the numbers of objects as grey values")
    return first


def _list_pictures(folder: pathlib.Path) -> dict[int, pathlib.Path]:
    """Number of the frame and path of every picture, by number."""
    found: dict[int, pathlib.Path] = {}
    for path in visible(folder):
        if match := PICTURE.search(path.name):
            number = int(match[1])
            if number in found:
                raise ValueError(f"{found[number]} and {path.name}: both of frame {number}")
            found[number] = path
    if not found:
        raise ValueError(f"{folder}: no pictures VIDEO_NNNN_gt.png; is the folder complete?")
    return dict(sorted(found.items()))


def find_tracks(folder: pathlib.Path) -> pathlib.Path:
    """The file that says which objects are anomalous.

    Raises:
      FileNotFoundError: there is none.
      ValueError: there are several.
    """
    found = sorted(folder.glob(f"*{NEW_TRACKS}")) or sorted(folder.glob(f"*{TRACKS}"))
    if not found:
        name = folder.name.removesuffix(ANNOTATIONS)
        raise FileNotFoundError(
            f"{folder}: no {name}{TRACKS}, which says which of the objects in the pictures are "
            "anomalous, and when. Copy it there"
        )
    if len(found) > 1:
        raise ValueError(f"{found[0]} and {found[1].name}: expected one; move the other elsewhere")
    return found[0]


def read_spans(path: pathlib.Path) -> list[tuple[int, int, int]]:
    """Object, first and last frame of each anomaly, frames from 0; without any, with a note.

    Raises:
      ValueError: a line that is no such row; the message has its number.
    """
    rows = []
    for at, line in read_lines(path, comments=()):
        try:
            numbers = [float(field) for field in line.replace(",", " ").split()]
            number, first, last = map(int, numbers)
        except (ValueError, OverflowError):
            numbers, number, first, last = [], 0, 0, 0
        if not (numbers == [number, first, last] and number > 0 and 0 <= first <= last):
            raise ValueError(
                f"{path}:{at}: {line[:80]!r}; expected object,first,last: a number above 0 and two "
                "frames from 0"
            )
        rows.append((number, first, last))
    if not rows:
        note(f"{path}: has no row, so no object of this video is anomalous")
    return sorted(rows)
