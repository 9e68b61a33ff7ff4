"""Crops of objects: the same box in several frames, each scaled to one size (spec ssmtl §3)."""

from collections.abc import Sequence

import cv2
import numpy as np

SIDE = 64  # pixels of a side of a crop


def rectangles(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The rectangles of whole pixels that boxes touch, within the frame.

    Every rectangle has at least one pixel: a box beyond an edge gets the nearest row or column.

    Args:
      boxes: float [n, 4], `x0, y0, x1, y1` in pixels, x1 and y1 one past the last.
      size: (H, W) of the frames.

    Returns:
      int64 [n, 4], `x0, y0, x1, y1` with `0 <= x0 < x1 <= W` and `0 <= y0 < y1 <= H`.

    Raises:
      ValueError: boxes of another shape, or a coordinate that is NaN or infinite.
    """
    boxes = np.asarray(boxes, np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes {boxes.shape}; expected [n, 4], x0, y0, x1, y1")
    if len(wrong := np.flatnonzero(~np.isfinite(boxes).all(1))):
        raise ValueError(f"box {wrong[0]} is {boxes[wrong[0]].tolist()}; expected finite numbers")
    # x0 = floor, clipped to [0, W - 1]; x1 = ceil, clipped to [x0 + 1, W]; y alike (spec ssmtl §3).
    limit = np.array(size[::-1])
    first = np.clip(np.floor(boxes[:, :2]), 0, limit - 1)
    last = np.clip(np.ceil(boxes[:, 2:]), first + 1, limit)
    return np.concatenate([first, last], 1).astype(np.int64)


def cut(frames: Sequence[np.ndarray], rectangle: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Cuts the same rectangle out of each frame and scales it to `side` × `side`.

    Args:
      frames: uint8 [H, W, 3] each; T of them.
      rectangle: int [4], as of `rectangles`.
      side: pixels of a side of the crops.

    Returns:
      float32 [T, side, side, 3] in [0, 1].
    """
    x0, y0, x1, y1 = (int(edge) for edge in rectangle)
    crops = np.empty((len(frames), side, side, 3), np.float32)
    for frame, crop in zip(frames, crops, strict=True):
        scale(frame[y0:y1, x0:x1], crop)
    return crops


def scale(part: np.ndarray, crop: np.ndarray) -> None:
    """Scales a part of a frame to a crop, in place.

    Bilinear with half-pixel centres, edge-clamped, without antialiasing. The computation is in
    float, because OpenCV rounds to whole grey levels on uint8 (spec ssmtl §3).

    Args:
      part: uint8 [h, w, 3], or [h, w] if it is grey.
      crop: float32 [side, side, 3], filled with values in [0, 1].
    """
    size = crop.shape[1::-1]
    scaled = cv2.resize(part.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    if scaled.ndim == 2:
        cv2.cvtColor(np.divide(scaled, 255, out=scaled), cv2.COLOR_GRAY2RGB, crop)
    else:
        np.divide(scaled, 255, out=crop)
