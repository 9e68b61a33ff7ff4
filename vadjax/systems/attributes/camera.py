"""The motion of the camera itself, as an affine field of flow (spec attributes §3.5)."""

import cv2
import numpy as np

EVERY, FIRST = 8, 4  # pixels of the grid on which the flow is looked at
AROUND = 4.0  # pixels around a detected box that are left out
FEWEST = 20  # points; with fewer outside of the boxes all count
ROUNDS, LEAST_KEPT = 4, 10
SPREAD = 3.7065  # 2.5 · 1.4826: medians of |r| to two and a half deviations
FIRST_LIMIT, LIMIT = 1.0, 0.5  # pixels a frame, that a residual may have at least


def fit(flow: np.ndarray, detected: np.ndarray) -> np.ndarray:
    """The camera's motion M [3, 2]: the flow of what stands still is `[x / W, y / H, 1] · M`.

    Args:
      flow: [H, W, 2].
      detected: boxes [n, 4] of objects, in its pixels.
    """
    height, width = flow.shape[:2]
    y, x = np.mgrid[FIRST:height:EVERY, FIRST:width:EVERY]
    x, y = x.ravel(), y.ravel()
    # points of the background, by what is known of the objects
    left, top, right, bottom = (detected + AROUND * np.array([-1, -1, 1, 1])).T[..., None]
    inside = ((x >= left) & (x <= right) & (y >= top) & (y <= bottom)).any(0)
    if (~inside).sum() >= FEWEST:
        x, y = x[~inside], y[~inside]
    points = np.stack([x / width, y / height, np.ones(len(x))], 1)
    moved = flow[y, x].astype(np.float64)
    # begin with what moves like the most, and leave out what moves otherwise, again and again
    away = np.linalg.norm(moved - np.median(moved, 0), axis=1)
    kept = away <= max(FIRST_LIMIT, SPREAD * np.median(away))
    field = np.zeros((3, 2))
    field[2] = np.median(moved, 0)
    for _ in range(ROUNDS):
        if kept.sum() < LEAST_KEPT:
            break
        field = np.linalg.lstsq(points[kept], moved[kept], rcond=None)[0]
        away = np.linalg.norm(moved - points @ field, axis=1)
        kept = away <= max(LIMIT, SPREAD * np.median(away))
    return field


def field(motion: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The flow [H, W, 2] float32 of a camera's motion M [3, 2]."""
    height, width = size
    y, x = np.mgrid[:height, :width]
    points = np.stack([x / width, y / height, np.ones(size)], -1)
    return (points @ motion).astype(np.float32)


def follow(grey: np.ndarray, flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A blurred grey frame as the camera sees it after moving, and where it knows nothing.

    Args:
      grey: uint8 [H, W], of the frame before.
      flow: of the camera's motion [H, W, 2].

    Returns:
      uint8 [H, W] sampled at `(x - u, y - v)`, and bool [H, W], True where that is outside.
    """
    height, width = grey.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    columns, rows = x - flow[..., 0], y - flow[..., 1]
    moved = cv2.remap(grey, columns, rows, cv2.INTER_LINEAR)
    outside = (columns < 0) | (rows < 0) | (columns > width - 1) | (rows > height - 1)
    return moved, outside
