"""Boxes and tracks of datasets: their files, their overlap, and the boxes of parts of masks.

Boxes are `x_min, y_min, x_max, y_max`, inclusive: both the first and the last pixel are inside.
Files of `BOX_COLUMNS` are the exception: there x1 and y1 are one past the last pixel. Files of
other programs are read by `vadjax.formats`. No JAX.
"""

import contextlib
import math
import pathlib
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from vadjax.formats import table, tracks
from vadjax.formats.columns import Layout, whole
from vadjax.formats.text import read_text
from vadjax.ops import opencv

BOX_COLUMNS = ("frame", "x0", "y0", "x1", "y1", "confidence")
MOST_PIXELS = 1e6  # largest coordinate that is accepted
TRACK_COLUMNS = tracks.COLUMNS


def read_boxes(path: pathlib.Path) -> np.ndarray:
    """Boxes of a CSV file whose first line names `BOX_COLUMNS`, float32 [n, 6].

    Raises:
      ValueError: the file has other columns; or a line cannot be read, holds NaN or infinite
        numbers, a frame that is no whole number, or pixels that no frame has.
    """
    # The heading is the whole format: without it, columns could be taken for others.
    first = read_text(path).split("\n", 1)[0].strip()
    if first != ",".join(BOX_COLUMNS):
        raise ValueError(
            f"{path}: begins with {first!r:.80}, expected the columns {','.join(BOX_COLUMNS)}"
        )
    parsed = table.parse(path, Layout(BOX_COLUMNS, "score"))
    # Numbers too large for float32 become infinite, and are refused as such.
    with np.errstate(over="ignore"):
        rows = parsed.rows.astype(np.float32)
    table.refuse(parsed, ~np.isfinite(rows).all(1), "NaN or infinite")
    table.refuse(parsed, (rows[:, 0] < 0) | (rows[:, 0] % 1 != 0), "no such frame")
    table.refuse(parsed, (np.abs(rows[:, 1:5]) > MOST_PIXELS).any(1), "a box far outside")
    return rows


def read_tracks(path: pathlib.Path) -> np.ndarray:
    """Tracks of a text file, int64 [n, 6], in the order of `TRACK_COLUMNS`.

    The columns of the file are those of its heading, or `TRACK_COLUMNS` if it has none.

    Raises:
      ValueError: a line cannot be read, or holds a number that is NaN, infinite or not whole.
    """
    parsed = table.parse(path, tracks.TRACKS)
    rows = parsed.layout.arrange(parsed.rows)
    table.refuse(parsed, ~np.isfinite(rows).all(1), "NaN or infinite")
    table.refuse(parsed, ~whole(rows).all(1), "not whole numbers")
    return rows.astype(np.int64)


def iou(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Intersection over union of inclusive boxes (spec metrics §3).

    Args:
      one: float64 [..., 4], `x_min, y_min, x_max, y_max`.
      other: boxes of the same form; the leading axes of both are broadcast.

    Returns:
      float64 [...], 0 to 1.
    """
    # Inclusive: a box from pixel 3 to pixel 5 is 3 pixels wide.
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = np.moveaxis(one, -1, 0), np.moveaxis(other, -1, 0)
    width = np.maximum(np.minimum(ax1, bx1) - np.maximum(ax0, bx0) + 1, 0)
    height = np.maximum(np.minimum(ay1, by1) - np.maximum(ay0, by0) + 1, 0)
    shared = width * height
    areas = (ax1 - ax0 + 1) * (ay1 - ay0 + 1) + (bx1 - bx0 + 1) * (by1 - by0 + 1)
    return shared / (areas - shared)


def cell_edges(cells: int, pixels: int) -> np.ndarray:
    """First pixel of every cell and the end, int64 [cells + 1].

    Pixel p belongs to cell `p * cells // pixels`.

    Raises:
      ValueError: more cells than pixels.
    """
    if cells > pixels:
        raise ValueError(f"{cells} cells of a map for {pixels} pixels; is the frame size right?")
    return -(-np.arange(cells + 1) * pixels // cells)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Runs OpenCV with one thread: labelling a mask is too little work to wait for a second."""
    with opencv.threads():
        yield


def component_boxes(
    mask: np.ndarray, min_area: int = 1, edges: tuple[np.ndarray, np.ndarray] | None = None
) -> np.ndarray:
    """Boxes of the connected parts of a mask; pixels that touch at a corner are connected.

    Args:
      mask: bool [h, w].
      min_area: parts of fewer pixels are left out.
      edges: `cell_edges` of rows and columns, if an element of the mask is a cell and no pixel.

    Returns:
      float64 [n, 4], `x_min, y_min, x_max, y_max` in pixels, inclusive, from left to right.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    left, top, width, height, area = stats[1:].T  # the first is the background
    if edges is None:
        boxes = np.stack([left, top, left + width - 1, top + height - 1], 1)
    else:
        # Cells → pixels: the edges of the first cell and of the one after the last.
        rows, columns = edges
        boxes = [columns[left], rows[top], columns[left + width] - 1, rows[top + height] - 1]
        boxes = np.stack(boxes, 1)
        # Cells may differ in size by a pixel, so areas are sums over the pixels of the cells.
        if min_area > 1:
            pixels = np.outer(np.diff(rows), np.diff(columns))
            area = np.bincount(labels.ravel(), pixels.ravel(), len(stats))[1:]
    boxes = boxes[area >= min_area]
    return boxes[np.lexsort(boxes.T[::-1])].astype(np.float64)


def link(frames: Sequence[np.ndarray], min_iou: float = 0.3) -> np.ndarray:
    """Links the boxes of consecutive frames to tracks.

    Boxes of a frame and of the next are linked one to one, the largest overlap first. Every chain
    of links is a track; no link skips a frame.

    Args:
      frames: boxes of every frame, [n, 4] each, inclusive.
      min_iou: smallest intersection over union of a link.

    Returns:
      int64 [n, 6], `TRACK_COLUMNS`, by track and frame; tracks are numbered as they begin.
    """
    rows, last_boxes, last_ids, count = [], np.zeros((0, 4)), [], 0
    for frame, boxes in enumerate(frames):
        linked = _one_to_one(iou(last_boxes[:, None], boxes[None]), min_iou)
        # A linked box takes the track of the box before it; any other begins a track.
        track_ids = []
        for i in range(len(boxes)):
            track_ids.append(last_ids[linked[i]] if i in linked else count)
            count += i not in linked
        rows += [(track, frame, *box) for track, box in zip(track_ids, boxes, strict=True)]
        last_boxes, last_ids = boxes, track_ids
    return np.array(sorted(rows), np.int64).reshape(-1, 6)


def _one_to_one(overlap: np.ndarray, min_overlap: float) -> dict[int, int]:
    """Column → row of the links, made greedily from the largest overlap to the least one."""
    linked: dict[int, int] = {}
    for flat in np.argsort(-overlap, axis=None, kind="stable"):
        row, column = divmod(int(flat), overlap.shape[1])
        if overlap[row, column] < min_overlap or math.isnan(overlap[row, column]):
            break
        if column not in linked and row not in linked.values():
            linked[column] = row
    return linked
