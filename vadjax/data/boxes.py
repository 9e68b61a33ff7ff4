"""Boxes and tracks: text files of any column order, overlap, and boxes of the white parts of masks.

A row of text is one box of one frame. The names of the columns say what they hold:

frame, track, score          number of the frame, label of the track, score (high = anomalous)
                             (a frame may be the name of its picture: Test001/012.jpg is 12)
x_min, y_min, x_max, y_max   first and last pixel inside the box: "inclusive"
x0, y0, x1, y1               the same, but x1 and y1 are one past the last pixel
x, y, w, h                   x_min, y_min and the size in pixels
cx, cy, w, h                 the middle, x_min + w / 2 and y_min + h / 2, and the size
class                        text, read by `words` alone
-                            anything else; not read

Fields are parted by commas, semicolons or blanks, as the first line shows; a first line without one
number is a heading. No JAX.
"""

import collections
import contextlib
import dataclasses
import math
import pathlib
import re
import warnings
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from vadjax.data.video import IMAGES

BOX_COLUMNS = ("frame", "x0", "y0", "x1", "y1", "confidence")
TRACK_COLUMNS = ("track_id", "frame_id", "x_min", "y_min", "x_max", "y_max")
DETECTION_COLUMNS = ("frame_id", "x_min", "y_min", "x_max", "y_max", "score")
SAME = {"track_id": "track", "frame_id": "frame", "confidence": "score", "x": "x_min",
        "y": "y_min", "x0": "x_min", "y0": "y_min", "width": "w", "height": "h",
        "center_x": "cx", "center_y": "cy"}  # fmt: skip
TEXT = ("-", "class")  # columns that hold no number
PICTURE = re.compile(rf"(\d+)(?:{'|'.join(map(re.escape, IMAGES))})$", re.IGNORECASE)
FIRST = {"x": ("x_min", "cx"), "y": ("y_min", "cy")}  # ways to say where a box is
LAST = {"x": ("x_max", "x1", "w"), "y": ("y_max", "y1", "h")}  # ways to say where a box ends


@dataclasses.dataclass(frozen=True)
class Layout:
    """What the columns of a text file hold (module docstring).

    Attributes:
      columns: a name for every column.
      kind: `"track"` or `"score"`: what a row has besides frame and box.
      first_frame: number that the file gives to the first frame of the video.

    Raises:
      ValueError: an unknown name, a name given twice, or something that no column says.
    """

    columns: tuple[str, ...]
    kind: str
    first_frame: int = 0

    def __post_init__(self):
        names = [SAME.get(name, name) for name in self.columns]
        needed = [(self.kind,), ("frame",), *FIRST.values(), *LAST.values()]
        known = set(TEXT).union(*needed)
        text = ",".join(self.columns)
        for name, count in collections.Counter(names).items():
            if name not in known:
                raise ValueError(
                    f"columns {text}: {name!r} is not known here; known are "
                    f"{', '.join(sorted(known))}"
                )
            if count > 1 and name != "-":
                raise ValueError(f"columns {text}: {name} is given {count} times")
        for ways in needed:
            if len(found := [name for name in ways if name in names]) != 1:
                raise ValueError(
                    f"columns {text}: expected one of {', '.join(ways)}; "
                    f"got {' and '.join(found) or 'none'}"
                )
        for (_, middle), (*_, size) in zip(FIRST.values(), LAST.values(), strict=True):
            if middle in names and size not in names:
                raise ValueError(f"columns {text}: {middle} is the middle, so {size} is needed too")

    def arrange(self, rows: np.ndarray) -> np.ndarray:
        """Rows as in the file → `kind, frame, x_min, y_min, x_max, y_max`, frames from 0."""
        names = [SAME.get(name, name) for name in self.columns]
        found = {name: rows[:, i] for i, name in enumerate(names)}
        for axis, (inclusive, past, size) in LAST.items():
            if f"c{axis}" in found:
                found[f"{axis}_min"] = found[f"c{axis}"] - found[size] / 2
            if past in found:
                found[inclusive] = found[past] - 1
            elif size in found:
                found[inclusive] = found[f"{axis}_min"] + found[size] - 1
        frames = found["frame"] - self.first_frame
        return np.stack(
            [found[self.kind], frames, *(found[n] for n in ("x_min", "y_min", "x_max", "y_max"))], 1
        )


TRACKS = Layout(TRACK_COLUMNS, "track")
DETECTIONS = Layout(DETECTION_COLUMNS, "score")


def read(
    path: pathlib.Path,
    layout: Layout,
    frames: int | None = None,
    drop_degenerate: bool = False,
    size: tuple[int, int] | None = None,
) -> np.ndarray:
    """Boxes of a text file, checked (spec metrics §3a, the table of defects).

    Args:
      path: the file; an empty one has no boxes.
      layout: what its columns hold.
      frames: number of frames of the video; None if unknown.
      drop_degenerate: leave out boxes without a pixel inside, instead of refusing the file.
      size: (H, W) of the frames; None if unknown.

    Returns:
      float64 [n, 6], `track or score, frame, x_min, y_min, x_max, y_max`; frames count from 0,
      coordinates are inclusive.

    Raises:
      ValueError: names file and line: another number of columns, not a number, NaN, a frame or
        track that is no whole number, a frame outside the video, a box without a pixel inside, a
      box that goes over the edge of the frame by more than a quarter of the frame.
    """
    rows = layout.arrange(_numbers(path, layout.columns))
    whole = rows[:, :2] if layout.kind == "track" else rows[:, 1:2]
    last = "" if frames is None else f" to {frames - 1 + layout.first_frame}"
    empty = degenerate(rows[:, 2:])
    where = "" if size is None else f" of {size[0]} x {size[1]} pixels (H x W)"
    for wrong, what in (
        (np.isnan(rows[:, 0]), f"{layout.kind} is NaN"),
        (~np.isfinite(rows[:, 1:]).all(1), "a frame or coordinate is NaN or infinite"),
        (
            (whole != np.floor(whole)).any(1),
            "the frame (or track) is not a whole number; is the order of columns right?",
        ),
        (
            (rows[:, 1] < 0) | (rows[:, 1] >= (np.inf if frames is None else frames)),
            f"no such frame; frames are numbered {layout.first_frame}{last}",
        ),
        (
            empty & (not drop_degenerate),
            "a box of width or height 0 or less; --drop_degenerate leaves it out",
        ),
        (
            _far_outside(rows[:, 2:], size) & ~empty,
            f"a box far outside its frame{where}",
        ),
    ):
        _refuse(path, len(layout.columns), wrong, what)
    return rows[~empty] if empty.any() else rows


def degenerate(boxes: np.ndarray) -> np.ndarray:
    """Which of the inclusive boxes [n, 4] have a width or height of 0 or less, bool [n]."""
    return (boxes[:, 2] - boxes[:, 0] + 1 <= 0) | (boxes[:, 3] - boxes[:, 1] + 1 <= 0)


def _far_outside(boxes: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    """Which inclusive boxes [n, 4] go over the edge by more than a quarter of the frame."""
    if size is None:
        return np.zeros(len(boxes), bool)
    side = np.array([size[1], size[0]])
    return ((boxes[:, :2] < -side / 4) | (boxes[:, 2:] >= side * 5 / 4)).any(1)


def words(
    path: pathlib.Path, columns: Sequence[str], wanted: Sequence[str]
) -> list[tuple[int, list[str]]]:
    """Some columns of a file that `read` can read, as text.

    Args:
      path: the file.
      columns: what its columns hold.
      wanted: those of them to return, by their first names (`track`, not `track_id`).

    Returns:
      Number of the line (from 1) and its fields, for every row.
    """
    names = [SAME.get(name, name) for name in columns]
    lines = _lines(path, len(columns))
    mark = _delimiter(lines[0][1]) if lines else None
    split = [(number, line.split(mark)) for number, line in lines]
    at = [names.index(name) for name in wanted]
    return [(number, [fields[i].strip() for i in at]) for number, fields in split]


def _refuse(path: pathlib.Path, width: int, wrong: np.ndarray, what: str) -> None:
    """Raises ValueError with file and line of the first wrong row, if there is one."""
    if wrong.any():
        number, line = _lines(path, width)[int(np.argmax(wrong))]
        raise ValueError(f"{path}:{number}: {what}: {line[:80]!r}")


def _lines(path: pathlib.Path, width: int) -> list[tuple[int, str]]:
    """Numbers (from 1) and text of the lines that hold a row of `width` fields."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file ({error})") from error
    found = [(i, line.strip()) for i, line in enumerate(lines, 1) if line.strip()]
    return found[1:] if found and _is_heading(found[0][1], width) else found


def _delimiter(line: str) -> str | None:
    return next((mark for mark in ",;" if mark in line), None)


def _number(field: str) -> float | None:
    try:
        return None if "_" in field else float(field)
    except ValueError:
        return None


def _frame(field: str) -> float | None:
    """Number of a frame, also from the name of its picture."""
    named = PICTURE.search(field.strip())
    return float(named[1]) if named else _number(field)


def _is_heading(line: str, width: int) -> bool:
    fields = line.split(_delimiter(line))
    return len(fields) == width and all(_frame(field) is None for field in fields)


def _numbers(path: pathlib.Path, columns: Sequence[str]) -> np.ndarray:
    """Numbers of a text file, float64 [n, columns]; NaN in columns of `TEXT`."""
    used = [i for i, name in enumerate(columns) if name not in TEXT]
    rows = _quickly(path, len(columns)) if len(used) == len(columns) else None
    return _carefully(path, columns, used) if rows is None else rows


def _quickly(path: pathlib.Path, width: int) -> np.ndarray | None:
    """The common case of numbers (below a heading) and nothing else; None if it is not that."""
    with open(path, "rb") as file:
        first = file.readline().decode("ascii", "replace")
    mark, skip = _delimiter(first), int(_is_heading(first, width))
    if len(first.split(mark)) != width:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            rows = np.loadtxt(path, delimiter=mark, comments=None, skiprows=skip, ndmin=2)
    except (ValueError, UserWarning):
        return None
    return rows if rows.shape[1] == width else None


def _carefully(path: pathlib.Path, columns: Sequence[str], used: Sequence[int]) -> np.ndarray:
    lines = _lines(path, len(columns))
    rows = np.full((len(lines), len(columns)), np.nan)
    mark = _delimiter(lines[0][1]) if lines else None
    for row, (number, line) in zip(rows, lines, strict=True):
        fields = line.split(mark)
        if len(fields) != len(columns):
            raise ValueError(
                f"{path}:{number}: {len(fields)} columns, expected {len(columns)} "
                f"({','.join(columns)}): {line[:80]!r}"
            )
        for i in used:
            convert = _frame if SAME.get(columns[i], columns[i]) == "frame" else _number
            if (value := convert(fields[i])) is None:
                raise ValueError(
                    f"{path}:{number}: {columns[i]} {fields[i].strip()[:40]!r} is not a number"
                )
            row[i] = value
    return rows


def read_boxes(path: pathlib.Path) -> np.ndarray:
    """Boxes of a CSV file with a line of `BOX_COLUMNS`, float32 [n, 6].

    Raises:
      ValueError: other columns, or a line that cannot be read.
    """
    with open(path, encoding="utf-8-sig") as file:
        first = file.readline().strip()
    if first != ",".join(BOX_COLUMNS):
        raise ValueError(
            f"{path}: begins with {first!r}, expected the columns {','.join(BOX_COLUMNS)}"
        )
    return _numbers(path, BOX_COLUMNS).astype(np.float32)


def read_tracks(path: pathlib.Path) -> np.ndarray:
    """Tracks of a text file, `TRACK_COLUMNS`, int64 [n, 6].

    Raises:
      ValueError: a line that cannot be read, or NaN or infinite.
    """
    rows = _numbers(path, TRACK_COLUMNS)
    _refuse(path, len(TRACK_COLUMNS), ~np.isfinite(rows).all(1), "NaN or infinite")
    return rows.astype(np.int64)


def iou(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Intersection over union of inclusive boxes (spec metrics §3).

    Args:
      one: float64 [..., 4], `x_min, y_min, x_max, y_max`.
      other: the same, of a shape that fits by broadcasting.

    Returns:
      float64 [...], 0 to 1.
    """
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = np.moveaxis(one, -1, 0), np.moveaxis(other, -1, 0)
    width = np.maximum(np.minimum(ax1, bx1) - np.maximum(ax0, bx0) + 1, 0)
    height = np.maximum(np.minimum(ay1, by1) - np.maximum(ay0, by0) + 1, 0)
    shared = width * height
    areas = (ax1 - ax0 + 1) * (ay1 - ay0 + 1) + (bx1 - bx0 + 1) * (by1 - by0 + 1)
    return shared / (areas - shared)


def cell_edges(cells: int, pixels: int) -> np.ndarray:
    """First pixel of every cell and the end, int64 [cells + 1], where pixel p is of cell p c // n.

    Raises:
      ValueError: more cells than pixels.
    """
    if cells > pixels:
        raise ValueError(f"{cells} cells of a map for {pixels} pixels; is the frame size right?")
    return -(-np.arange(cells + 1) * pixels // cells)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """OpenCV with one thread: to label a mask is too little work to wait for a second one."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def component_boxes(
    mask: np.ndarray, min_area: int = 1, edges: tuple[np.ndarray, np.ndarray] | None = None
) -> np.ndarray:
    """Boxes of the connected parts of a mask, corners touching (8-neighbourhood).

    Args:
      mask: bool [h, w].
      min_area: parts of fewer pixels are left out.
      edges: `cell_edges` of rows and columns, if the mask is of cells and not of pixels.

    Returns:
      float64 [n, 4], `x_min, y_min, x_max, y_max` in pixels, inclusive, from left to right.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    left, top, width, height, area = stats[1:].T  # the first is the background
    if edges is None:
        boxes = np.stack([left, top, left + width - 1, top + height - 1], 1)
    else:
        rows, columns = edges
        boxes = [columns[left], rows[top], columns[left + width] - 1, rows[top + height] - 1]
        boxes = np.stack(boxes, 1)
        if min_area > 1:
            pixels = np.outer(np.diff(rows), np.diff(columns))
            area = np.bincount(labels.ravel(), pixels.ravel(), len(stats))[1:]
    boxes = boxes[area >= min_area]
    return boxes[np.lexsort(boxes.T[::-1])].astype(np.float64)


def link(frames: Sequence[np.ndarray], min_iou: float = 0.3) -> np.ndarray:
    """Tracks from the boxes of consecutive frames.

    Boxes of a frame and of the next are linked in the order of decreasing overlap, one to one,
    without gaps; every chain of links is a track.

    Args:
      frames: boxes of every frame, [n, 4] each, inclusive.
      min_iou: smallest overlap of a link.

    Returns:
      int64 [n, 6], `TRACK_COLUMNS`, by track and frame; tracks are numbered as they begin.
    """
    rows, before, ids, count = [], np.zeros((0, 4)), [], 0
    for frame, boxes in enumerate(frames):
        linked = _one_to_one(iou(before[:, None], boxes[None]), min_iou)
        now = []
        for i in range(len(boxes)):
            now.append(ids[linked[i]] if i in linked else count)
            count += i not in linked
        rows += [(track, frame, *box) for track, box in zip(now, boxes, strict=True)]
        before, ids = boxes, now
    return np.array(sorted(rows), np.int64).reshape(-1, 6)


def _one_to_one(overlap: np.ndarray, least: float) -> dict[int, int]:
    """Column → row of the links, the largest overlap first."""
    linked: dict[int, int] = {}
    for flat in np.argsort(-overlap, axis=None, kind="stable"):
        row, column = divmod(int(flat), overlap.shape[1])
        if overlap[row, column] < least or math.isnan(overlap[row, column]):
            break
        if column not in linked and row not in linked.values():
            linked[column] = row
    return linked
