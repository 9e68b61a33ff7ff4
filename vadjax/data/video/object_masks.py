"""Masks whose values are numbers of objects, as UBnormal publishes them. No JAX.

`VIDEO_annotations/` holds a picture `VIDEO_NNNN_gt.png` for each frame, NNNN from 0, in which the
value of a pixel is the number of its object. Beside the pictures lies `VIDEO_tracks.txt` (or,
corrected, `VIDEO_new_tracks.txt`) with a row `object,first,last` for each anomaly; frames count
from 0, and `last` is included. An object is anomalous in these frames only.
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

ANNOTATIONS = "_annotations"  # ends the name of a folder of such masks
TRACKS, NEW_TRACKS = "_tracks.txt", "_new_tracks.txt"
PICTURE = re.compile(r"_(\d+)_gt\.png")


class ObjectMasks(Iterable[Picture]):
    """The masks of a video from the numbers of its objects: `pixels` is bool [H, W].

    A frame without a picture is normal, unless the tracks say otherwise.

    Args:
      folder: folder of pictures and tracks, as the module describes it.
      frames: the frames of the video, or only their number; None takes the frames up to the last
        picture.

    Raises:
      FileNotFoundError: there are no tracks.
      ValueError: there are no pictures, or the tracks cannot be read.

    Attributes:
      paths: number of the frame → its picture, for frames that have one.
      tracks: object, first and last frame of each anomaly.
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
            # Only objects that are anomalous in this frame count.
            shown = [number for number, first, last in self.tracks if first <= frame <= last]
            source = self.paths.get(frame, f"{self.folder}#{frame}")
            yield Picture(np.isin(values, shown), str(source))

    def values(self) -> Iterator[np.ndarray]:
        """Number of the object at every pixel, [H, W] for each frame; 0 = none.

        Raises:
          ValueError: a picture cannot be read, a frame with an anomaly has no picture, or there is
            a picture past the last frame.
        """
        if past := [path for frame, path in self.paths.items() if frame >= len(self)]:
            raise ValueError(
                f"{past[0]}: the video has {len(self):,} frames, numbered from 0; is the picture "
                "of another video?"
            )
        # Frames up to the last one of the video or of a track; one without a picture is empty.
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
    """Tracks of objects: in each frame a box around the largest part of each object.

    Args:
      values: number of the object at every pixel, [H, W], 0 = none, frame by frame.
      spans: object, first and last frame of each track; a track's number is its place in the list.
        None makes a track of every object, with the object's number.
      min_area: parts of fewer pixels are left out.

    Returns:
      The tracks, int64 [n, 6] (`boxes.TRACK_COLUMNS`); and how often a frame of a span shows no
      such part, 0 without spans.
    """
    rows, hidden = [], 0
    for frame, numbers in enumerate(values):
        # Pairs of track and object that this frame should show.
        if spans is None:
            shown = [(int(number), number) for number in np.unique(numbers) if number > 0]
        else:
            shown = [(i, row[0]) for i, row in enumerate(spans) if row[1] <= frame <= row[2]]
        for track, number in shown:
            # Stray pixels of an object must not widen its box, hence only its largest part.
            box = largest_part(numbers == number, min_area)
            hidden += box is None
            rows += [] if box is None else [(track, frame, *box)]
    return np.array(sorted(rows), np.int64).reshape(-1, 6), 0 if spans is None else hidden


def largest_part(mask: np.ndarray, min_area: int = 1) -> np.ndarray | None:
    """Box of the connected part of a mask whose box is largest, inclusive [4]; None if none is."""
    boxes = component_boxes(mask, min_area)
    if not len(boxes):
        return None
    areas = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    return boxes[int(np.argmax(areas))]


def read_objects(path: pathlib.Path) -> np.ndarray:
    """Number of the object at every pixel of a picture, [H, W], 0 = none.

    Raises:
      ValueError: the file is no readable picture, or a JPEG, or has colours.
    """
    content = read_bytes(path)
    if content.startswith(JPEG):
        raise ValueError(f"{path}: a JPEG, which changes the numbers of objects; expected PNG")
    values = read_values(content, path)
    if values.ndim == 2:
        return values
    # Grey pictures that were saved with three equal channels are fine.
    first, *others = cv2.split(values[..., :3])
    if not all(np.array_equal(first, other) for other in others):
        raise ValueError(f"{path}: in colour; expected the numbers of objects as grey values")
    return first


def _list_pictures(folder: pathlib.Path) -> dict[int, pathlib.Path]:
    """Number of the frame → path of its picture, by rising number.

    Raises:
      ValueError: no pictures, or two of one frame.
    """
    paths: dict[int, pathlib.Path] = {}
    for path in visible(folder):
        if match := PICTURE.search(path.name):
            number = int(match[1])
            if number in paths:
                raise ValueError(f"{paths[number]} and {path.name}: both of frame {number}")
            paths[number] = path
    if not paths:
        raise ValueError(f"{folder}: no pictures VIDEO_NNNN_gt.png; is the folder complete?")
    return dict(sorted(paths.items()))


def find_tracks(folder: pathlib.Path) -> pathlib.Path:
    """The file of tracks, which says which objects are anomalous; a corrected one is preferred.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: there are several.
    """
    paths = sorted(folder.glob(f"*{NEW_TRACKS}")) or sorted(folder.glob(f"*{TRACKS}"))
    if not paths:
        name = folder.name.removesuffix(ANNOTATIONS)
        raise FileNotFoundError(
            f"{folder}: no {name}{TRACKS}, which says which of the objects in the pictures are "
            "anomalous, and when. Copy it there"
        )
    if len(paths) > 1:
        raise ValueError(f"{paths[0]} and {paths[1].name}: expected one; move the other elsewhere")
    return paths[0]


def read_spans(path: pathlib.Path) -> list[tuple[int, int, int]]:
    """Object, first and last frame of each anomaly, frames from 0, from a file of tracks.

    A file without rows is taken as "no anomaly", and a note is printed.

    Raises:
      ValueError: a line is no such row; the message has its number.
    """
    rows = []
    for at, line in read_lines(path, comments=()):
        # Numbers may be written as 3.0, but must be whole.
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
