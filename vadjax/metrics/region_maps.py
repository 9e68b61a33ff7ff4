"""RBDC and TBDC of score maps: regions above falling thresholds (spec metrics §3b).

At a threshold, cells of a frame's map at or above it that touch, also by corners, form a region.
The bounding boxes of regions are counted as in `region_boxes`. False positives need not grow as the
threshold falls, since regions merge. The regions of a frame are searched anew only at thresholds at
which the mask of this frame changes.
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
    values = np.concatenate([np.asarray(cells).ravel() for cells in maps])
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
    """Curves of score maps, one point for each threshold.

    Args:
      maps: of every video, [T, h, w], high = anomalous; compared in their own precision.
      tracks: of the same videos, [n, 6] `track, frame, x_min, y_min, x_max, y_max`, inclusive
        pixels of the frame.
      thresholds: [k], falling; a pixel is in at `map >= threshold`.
      alpha: share of its boxes that makes a track detected, above 0, up to 1.
      beta: IoU that makes a box detected, above 0, up to 1.
      min_area: regions of fewer pixels of the frame are left out.
      frame_size: (H, W) of the frames that the h x w cells cover; None if cells are pixels.

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
    # One map at a time, since `maps` may read each from its file when it is taken.
    for number in range(len(maps)):
        cells = np.asarray(maps[number])
        boxes_of_video = slice(*np.searchsorted(truth.video, (number, number + 1)))
        _check_inside(cells, truth, boxes_of_video, frame_size)
        edges = _edges(cells.shape[1:], frame_size)
        # Where the boxes of each frame begin in `truth`, which is sorted by video and frame.
        starts = boxes_of_video.start + np.searchsorted(
            truth.frame[boxes_of_video], np.arange(len(cells) + 1)
        )
        for t, values in enumerate(cells):
            boxes_of_frame = slice(starts[t], starts[t + 1])
            # False positives and detected boxes of this frame at every threshold.
            steps, boxes = regions(values, thresholds, min_area, edges)
            hit = iou(boxes[:, None], truth.boxes[None, boxes_of_frame]) >= beta
            false += _spread(steps, ~hit.any(1)[:, None], len(thresholds))[:, 0]
            hits[boxes_of_frame] = _spread(steps, hit, len(thresholds)).T > 0
        frames += len(cells)
    check_shares(alpha, beta, frames)
    # A track is detected when the share alpha of its boxes is (spec metrics §3).
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
    cells: np.ndarray, truth: Truth, boxes_of_video: slice, frame_size: tuple[int, int] | None
) -> None:
    """Raises ValueError if tracks reach beyond the frames or the picture of a map."""
    if boxes_of_video.start == boxes_of_video.stop:
        return
    if (last := truth.frame[boxes_of_video].max()) >= len(cells):
        raise ValueError(f"a track has frame {last}, but the map has {len(cells)} frames")
    # Without a size of the frames a cell is a pixel, so boxes must lie within the cells.
    last_column = truth.boxes[boxes_of_video, 2].max()
    last_row = truth.boxes[boxes_of_video, 3].max()
    height, width = cells.shape[1:]
    if frame_size is None and (last_column >= width or last_row >= height):
        raise ValueError(
            f"tracks reach to column {last_column:g}, row {last_row:g}, but the map has {height} x "
            f"{width} cells; give the size of the frames (--frame_size HxW)"
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
      `(number of its first threshold, number of its boxes)` of every mask that differs from the one
      before, and the boxes of all these masks, float64 [n, 4], inclusive.
    """
    # The first threshold, in falling order, at which each cell is inside.
    rising = thresholds[::-1].astype(values.dtype)
    inside = np.searchsorted(rising, values.ravel(), side="right")  # thresholds up to the value
    first = (len(thresholds) - inside).reshape(values.shape)
    # The mask changes only at thresholds that are the first of a cell.
    steps = np.flatnonzero(np.bincount(first.ravel(), minlength=len(thresholds))[: len(thresholds)])
    with one_thread():
        boxes = [component_boxes(first <= step, min_area, edges) for step in steps]
    counts = [(int(step), len(rows)) for step, rows in zip(steps, boxes, strict=True)]
    return counts, np.concatenate([np.zeros((0, 4)), *boxes])


def _spread(steps: list[tuple[int, int]], flags: np.ndarray, count: int) -> np.ndarray:
    """How many boxes have each flag at every threshold, int64 [count, flags].

    Args:
      steps: as from `regions`.
      flags: bool [n, flags] of its boxes.
      count: number of thresholds.
    """
    # The counts of each mask; row 0 is for thresholds above all values, which have no mask.
    totals = np.zeros((len(steps) + 1, flags.shape[1]), np.int64)
    np.add.at(totals, np.repeat(np.arange(len(steps)), [n for _, n in steps]) + 1, flags)
    # The mask of a threshold is the last one that begins at it or before.
    mask = np.searchsorted([step for step, _ in steps], np.arange(count), side="right")
    return totals[mask]
