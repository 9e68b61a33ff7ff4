"""Stage 3: distance to the nearest exemplar, maps and frame scores (spec eval §7)."""

from typing import NamedTuple

import numpy as np
from jax.sharding import NamedSharding
from scipy.ndimage import gaussian_filter1d

from vadjax.data.video.grid import Grid
from vadjax.ops import distance
from vadjax.ops.distance import Metric

TIMES = 64  # videos are padded to multiples of this number of volumes in time
ALIKE = 2.0**-20  # largest relative difference of equal distances between batches in float32


class VolumeScores(NamedTuple):
    """Scores of the volumes of a video.

    Attributes:
      score: distance to the nearest exemplar, float32 [n_t, R].
      nearest: number of that exemplar in the model, int64 [n_t, R].
      terms: the parts of the distance, app, ang, mag, bkg, float32 [n_t, R, 4].
    """

    score: np.ndarray
    nearest: np.ndarray
    terms: np.ndarray


def score(
    rows: np.ndarray,
    exemplars: np.ndarray,
    offsets: np.ndarray,
    metric: Metric,
    columns: int,
    neighbours: int = 0,
    sharding: NamedSharding | None = None,
) -> VolumeScores:
    """Nearest exemplar of every volume, in its own region or also in those around it.

    Args:
      rows: compared numbers of the volumes, float32 [n_t, R, D].
      exemplars: compared numbers of the model's exemplars, float32 [total, D].
      offsets: int [R + 1].
      metric: the distance.
      columns: number of columns of the grid.
      neighbours: the exemplars of regions up to this number of rows and columns away count too; of
        equal distances (to a millionth) the volume's own region wins.
      sharding: regions over devices; None is one device.
    """
    n_t, regions, _ = rows.shape
    padded = -(-n_t // TIMES) * TIMES  # few lengths are ever compiled
    x = np.ascontiguousarray(rows[np.minimum(np.arange(padded), n_t - 1)].swapaxes(0, 1))
    # The nearest so far: of the volume's own region first, then of the regions around it.
    best = np.full((regions, padded), np.inf, np.float32)
    nearest = np.zeros((regions, padded), np.int64)
    terms = np.zeros((regions, padded, len(metric.sizes)), np.float32)
    for here, other in _shifts(regions // columns, columns, neighbours):
        candidates = _of_regions(x[here], exemplars, offsets, other, metric, sharding)
        nearer = candidates.score < best[here] * np.float32(1 - ALIKE)
        best[here] = np.where(nearer, candidates.score, best[here])
        numbers = offsets[other][:, None] + candidates.index
        nearest[here] = np.where(nearer, numbers, nearest[here])
        terms[here] = np.where(nearer[..., None], candidates.terms, terms[here])
    return VolumeScores(*(a[:, :n_t].swapaxes(0, 1) for a in (best, nearest, terms)))


def _of_regions(x, exemplars, offsets, regions, metric, sharding) -> distance.Nearest:
    """Nearest exemplars of x [n, M, D] in `regions` [n]: row i of x is compared with region i."""
    counts = np.diff(offsets)[regions]
    starts = np.concatenate([[0], np.cumsum(counts)])
    rows = np.arange(starts[-1]) + np.repeat(offsets[regions] - starts[:-1], counts)
    return distance.nearest(x, exemplars[rows], starts, metric, sharding=sharding)


def _shifts(rows: int, columns: int, reach: int):
    """Yields pairs of arrays: regions, and the regions at one fixed step (rows, columns) from them.

    The steps are at most `reach` rows and columns, the shortest first; step (0, 0) is the regions
    themselves.
    """
    row, column = np.divmod(np.arange(rows * columns), columns)
    steps = [(y, x) for y in range(-reach, reach + 1) for x in range(-reach, reach + 1)]
    for y, x in sorted(steps, key=lambda step: (max(map(abs, step)), step)):
        inside = (0 <= row + y) & (row + y < rows) & (0 <= column + x) & (column + x < columns)
        here = np.flatnonzero(inside)
        if len(here):
            yield here, here + y * columns + x


def cells(by_frame: np.ndarray, grid: Grid, rule: str = "max") -> np.ndarray:
    """Scores of regions → maps of equal cells, with the same values as the maps of pixels.

    Every edge of a region is the edge of a cell, so that all pixels of a cell have one score.

    Args:
      by_frame: float32 [frames, rows, columns], from `maps.frame_scores` with the same rule.
      grid: of the regions.
      rule: `"max"` or `"mean"` of the regions that cover a pixel.

    Returns:
      float32 [frames, h, w]; the h × w cells cover the frame evenly.
    """
    # Sides of a cell: the largest that divide all places, the frame and the windows.
    frames = len(by_frame)
    (height, width), (_, h, w) = grid.frame_size, grid.window
    y, x = (
        int(np.gcd.reduce([*starts, size, length]))
        for starts, size, length in ((grid.rows, h, height), (grid.columns, w, width))
    )
    # Maximum or sum over the regions, and the number of regions that cover each cell.
    join = np.maximum if rule == "max" else np.add
    heat = np.zeros((frames, height // y, width // x), np.float32)
    cover = np.zeros(heat.shape[1:], np.float32)
    for row, top in enumerate(grid.rows // y):
        for column, left in enumerate(grid.columns // x):
            box = slice(top, top + h // y), slice(left, left + w // x)
            part = heat[:, *box]
            join(part, by_frame[:, row, column, None, None], out=part)
            cover[box] += 1
    return heat if rule == "max" else heat / np.maximum(cover, 1)


def smooth(frame_scores: np.ndarray, sigma: float) -> np.ndarray:
    """Frame scores smoothed by a Gaussian of `sigma` frames; 0 leaves them as they are."""
    if not sigma:
        return frame_scores
    return gaussian_filter1d(frame_scores.astype(np.float64), sigma).astype(np.float32)
