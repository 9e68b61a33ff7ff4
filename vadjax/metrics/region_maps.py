"""RBDC and TBDC of score maps: regions above falling thresholds (spec metrics §3b).

At a threshold the parts of a frame's map at or above it that touch, also by corners, give one box
each, and boxes are counted as in `region_boxes`. False positives need not grow as the threshold
falls, since regions merge. A frame is labelled anew only where its own mask changes.
"""

from collections.abc import Sequence

import numpy as np

from vadjax.data.video.boxes import cell_edges, component_boxes, iou, one_thread
from vadjax.metrics.region_boxes import RegionCurve, Truth, check_shares, gather


def default_thresholds(maps: Sequence[np.ndarray], count: int = 200) -> np.ndarray:
    """Falling thresholds at equally spaced quantiles of all values, and their maximum.

    Args:
      maps: float [T, h, w] of every video.
      count: number of quantiles, at i / count.

    Returns:
      [k], k <= count + 1, falling, distinct.

    Raises:
      ValueError: a count below 1.
    """
    if count < 1:
        raise ValueError(f"{count} thresholds; expected at least 1")
    values = np.concatenate([np.asarray(found).ravel() for found in maps])
    levels = np.quantile(values, np.append(np.arange(count) / count, 1.0))
    return np.unique(levels.astype(values.dtype))[::-1]


def curve(
    maps: Sequence[np.ndarray],
    tracks: Sequence[np.ndarray],
    thresholds: np.ndarray,
    alpha: float = 0.1,
    beta: float = 0.1,
    min_area: int = 1,
    frame_size: tuple[int, int] | None = None,
) -> RegionCurve:
    """Curves of score maps, one point a threshold.

    Args:
      maps: of every video, [T, h, w], high = anomalous; compared in their own precision.
      tracks: of the same videos, [n, 6] `track, frame, x_min, y_min, x_max, y_max`, inclusive
        pixels of the frame.
      thresholds: [k], falling; a pixel is in at `map >= threshold`.
      alpha: share of its boxes that makes a track detected, above 0, up to 1.
      beta: IoU that makes a box detected, above 0, up to 1.
      min_area: regions of fewer pixels of the frame are left out.
      frame_size: (H, W) of the frames which the h x w cells cover; None if cells are pixels.

    Raises:
      ValueError: thresholds that rise, no ground truth, or an argument out of its range.
    """
    thresholds = np.asarray(thresholds)
    if (np.diff(thresholds) > 0).any():
        raise ValueError("thresholds rise; expected them in falling order")
    if min_area < 1:
        raise ValueError(f"min_area {min_area}; expected at least 1")
    truth = gather(tracks)
    hits = np.zeros((len(truth.boxes), len(thresholds)), bool)
    false, frames = np.zeros(len(thresholds), np.int64), 0
    for number in range(len(maps)):
        found = np.asarray(maps[number])
        own = slice(*np.searchsorted(truth.video, (number, number + 1)))
        _check_inside(found, truth, own, frame_size)
        edges = _edges(found.shape[1:], frame_size)
        starts = own.start + np.searchsorted(truth.frame[own], np.arange(len(found) + 1))
        for t, values in enumerate(found):
            there = slice(starts[t], starts[t + 1])
            steps, boxes = regions(values, thresholds, min_area, edges)
            hit = iou(boxes[:, None], truth.boxes[None, there]) >= beta
            false += _spread(steps, ~hit.any(1)[:, None], len(thresholds))[:, 0]
            hits[there] = _spread(steps, hit, len(thresholds)).T > 0
        frames += len(found)
    check_shares(alpha, beta, frames)
    counts = np.zeros((len(truth.sizes), len(thresholds)), np.int64)
    np.add.at(counts, truth.track, hits)
    tracked = (counts / truth.sizes[:, None] >= alpha).sum(0) / len(truth.sizes)
    return RegionCurve(thresholds, false / frames, hits.sum(0) / len(truth.boxes), tracked)


def _edges(cells: tuple[int, int], frame_size: tuple[int, int] | None):
    """First pixels of rows and columns of cells; None where cells are pixels."""
    if frame_size is None or tuple(cells) == tuple(frame_size):
        return None
    return tuple(map(cell_edges, cells, frame_size))


def _check_inside(
    found: np.ndarray, truth: Truth, own: slice, frame_size: tuple[int, int] | None
) -> None:
    """Refuses tracks that cannot belong to a map."""
    if own.start == own.stop:
        return
    if (last := truth.frame[own].max()) >= len(found):
        raise ValueError(f"a track has frame {last}, but the map has {len(found)} frames")
    right, bottom = truth.boxes[own, 2].max(), truth.boxes[own, 3].max()
    height, width = found.shape[1:]
    if frame_size is None and (right >= width or bottom >= height):
        raise ValueError(
            f"tracks reach to column {right:g}, row {bottom:g}, but the map has {height} x {width} "
            "cells; give the size of the frames (--frame_size HxW)"
        )


def regions(
    values: np.ndarray,
    thresholds: np.ndarray,
    min_area: int = 1,
    edges: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[list[tuple[int, int]], np.ndarray]:
    """Boxes of the regions of one frame at every threshold.

    Args:
      values: [h, w], the map of the frame.
      thresholds: [k], falling.
      min_area: regions of fewer pixels are left out.
      edges: `cell_edges` of rows and columns; None if cells are pixels.

    Returns:
      `(first threshold, number of boxes)` of every mask that differs from the one before, and the
      boxes of all of them, float64 [n, 4], inclusive.
    """
    rising = thresholds[::-1].astype(values.dtype)
    inside = np.searchsorted(rising, values.ravel(), side="right")  # thresholds up to the value
    first = (len(thresholds) - inside).reshape(values.shape)  # the first that lets the cell in
    steps = np.flatnonzero(np.bincount(first.ravel(), minlength=len(thresholds))[: len(thresholds)])
    with one_thread():
        found = [component_boxes(first <= step, min_area, edges) for step in steps]
    counts = [(int(step), len(boxes)) for step, boxes in zip(steps, found, strict=True)]
    return counts, np.concatenate([np.zeros((0, 4)), *found])


def _spread(steps: list[tuple[int, int]], flags: np.ndarray, count: int) -> np.ndarray:
    """How many boxes have each flag at every threshold, int64 [count, flags].

    Args:
      steps: as from `regions`.
      flags: bool [n, flags] of its boxes.
      count: number of thresholds.
    """
    totals = np.zeros((len(steps) + 1, flags.shape[1]), np.int64)  # the first: no mask yet
    np.add.at(totals, np.repeat(np.arange(len(steps)), [n for _, n in steps]) + 1, flags)
    mask = np.searchsorted([step for step, _ in steps], np.arange(count), side="right")
    return totals[mask]
