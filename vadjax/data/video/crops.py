"""Crops of objects: the same box in several frames, each scaled to one size (spec ssmtl §3)."""

from collections.abc import Sequence

import cv2
import numpy as np

SIDE = 64  # pixels


def rectangles(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Whole pixels that boxes touch, within the frame; at least one pixel each.

    A box beyond an edge gets the nearest row or column of pixels.

    Args:
      boxes: float [n, 4], `x0, y0, x1, y1` in pixels, x1 and y1 one past the last.
      size: (H, W) of the frames.

    Returns:
      int64 [n, 4], `x0, y0, x1, y1` with `0 <= x0 < x1 <= W` and `0 <= y0 < y1 <= H`.

    Raises:
      ValueError: another shape, or a coordinate that is NaN or infinite.
    """
    boxes = np.asarray(boxes, np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes {boxes.shape}; expected [n, 4], x0, y0, x1, y1")
    if len(bad := np.flatnonzero(~np.isfinite(boxes).all(1))):
        raise ValueError(f"box {bad[0]} is {boxes[bad[0]].tolist()}; expected finite numbers")
    limit = np.array(size[::-1])
    first = np.clip(np.floor(boxes[:, :2]), 0, limit - 1)
    last = np.clip(np.ceil(boxes[:, 2:]), first + 1, limit)
    return np.concatenate([first, last], 1).astype(np.int64)


def cut(frames: Sequence[np.ndarray], rectangle: np.ndarray, side: int = SIDE) -> np.ndarray:
    """The same rectangle of each frame, scaled to `side` × `side`.

    Args:
      frames: uint8 [H, W, 3] each; T of them.
      rectangle: int [4], as of `rectangles`.
      side: pixels.

    Returns:
      float32 [T, side, side, 3] in [0, 1].
    """
    x0, y0, x1, y1 = (int(edge) for edge in rectangle)
    crops = np.empty((len(frames), side, side, 3), np.float32)
    for frame, crop in zip(frames, crops, strict=True):
        scale(frame[y0:y1, x0:x1], crop)
    return crops


def scale(part: np.ndarray, crop: np.ndarray) -> None:
    """Part of a frame → crop.

    Bilinear with half-pixel centres, edge-clamped, not smoothed before, in float: on uint8 OpenCV
    would round to whole grey levels.

    Args:
      part: uint8 [h, w, 3], or [h, w] if it is grey.
      crop: float32 [side, side, 3], which gets values in [0, 1].
    """
    size = crop.shape[1::-1]
    scaled = cv2.resize(part.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    if scaled.ndim == 2:
        cv2.cvtColor(np.divide(scaled, 255, out=scaled), cv2.COLOR_GRAY2RGB, crop)
    else:
        np.divide(scaled, 255, out=crop)
