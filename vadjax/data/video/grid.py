"""Overlapping video volumes on a grid, and the motion in them (spec eval §2, §3.2).

A volume is a box of t frames by h by w pixels. A region is one place of the grid in the picture,
`region = row * columns + column`. NumPy only.

Windows overlap, so motion is not summed window by window: their edges cut the picture into cells,
each of which lies in or out of a window as a whole. Motion is summed once for every cell, and a
region is the sum of its cells.
"""

import dataclasses
import functools

import numpy as np

from vadjax.ops.flow import BINS, Motion, directions


def positions(length: int, window: int, step: int) -> np.ndarray:
    """Starts of windows along an axis: 0, step, 2 step … and one that touches the end.

    Args:
      length: length of the axis.
      window: length of a window, at most `length`.
      step: distance of two starts, 1 or more.

    Returns:
      int64 [n], rising, n >= 1.

    Raises:
      ValueError: the window is longer than the axis, or a number is below 1.
    """
    if not 1 <= window <= length or step < 1:
        raise ValueError(f"windows of {window} every {step} do not fit into {length}")
    starts = np.arange(0, length - window + 1, step)
    last = length - window
    return starts if starts[-1] == last else np.append(starts, last)


@dataclasses.dataclass(frozen=True)
class Grid:
    """Where the volumes of one camera lie.

    Attributes:
      frame_size: (H, W) of the frames, pixels.
      window: (t, h, w) of a volume: frames, pixels, pixels.
      step: (t, y, x) between the starts of volumes: frames, pixels, pixels.
    """

    frame_size: tuple[int, int]
    window: tuple[int, int, int]
    step: tuple[int, int, int]

    @property
    def rows(self) -> np.ndarray:
        """First pixel row of each grid row."""
        return positions(self.frame_size[0], self.window[1], self.step[1])

    @property
    def columns(self) -> np.ndarray:
        """First pixel column of each grid column."""
        return positions(self.frame_size[1], self.window[2], self.step[2])

    @property
    def regions(self) -> int:
        """Number of places of the grid, R."""
        return len(self.rows) * len(self.columns)

    def times(self, frames: int) -> np.ndarray:
        """First frame of each volume of a video; one shorter than t frames counts as t frames."""
        return positions(max(frames, self.window[0]), self.window[0], self.step[0])

    def box(self, region: int) -> tuple[int, int, int, int]:
        """`x0, y0, x1, y1` of a region in pixels; x1, y1 are one past the last."""
        row, column = divmod(region, len(self.columns))
        y, x = int(self.rows[row]), int(self.columns[column])
        return x, y, x + self.window[2], y + self.window[1]


def motion_sums(flow: np.ndarray, grid: Grid, tau: float) -> tuple[np.ndarray, np.ndarray]:
    """Counts the moving pixels of every region in each direction, and sums their speeds.

    Args:
      flow: [n, H, W, 2], u to the right and v down, pixels a frame; the n are pooled.
      grid: where the regions are.
      tau: pixels a frame from which a pixel counts as moving.

    Returns:
      Counts and sums of speeds, float64 [R, 12] each. Both add up over time: the sums of a longer
      volume are those of its flows together.
    """
    # What clearly stands still is left out first, by squares in the flow's own precision.
    u, v = flow[..., 0], flow[..., 1]
    places = np.flatnonzero(u * u + v * v >= max(tau, 0) ** 2 * (1 - 1e-5))
    vectors = flow.reshape(-1, 2)[places].astype(np.float64)
    speed = np.hypot(*vectors.T)
    moving = speed >= tau
    places, vectors, speed = places[moving], vectors[moving], speed[moving]
    # One histogram over the pairs of cell and direction of all moving pixels.
    cell = _cell_of_pixel(grid).ravel()
    key = cell[places % len(cell)] * BINS + directions(*vectors.T)
    # Cells → regions, by a matrix of 0 and 1.
    regions = _cells_of_regions(grid)
    size = regions.shape[1] * BINS
    counts = np.bincount(key, minlength=size).reshape(-1, BINS)
    totals = np.bincount(key, speed, minlength=size).reshape(-1, BINS)
    return regions @ counts, regions @ totals


def motion_of(count: np.ndarray, total: np.ndarray, pixels: int) -> Motion:
    """Motion of volumes from their sums, as `vadjax.ops.flow.targets` of each.

    Args:
      count: moving pixels in each direction, [..., 12].
      total: sum of their speeds, [..., 12].
      pixels: number of flow vectors of a volume.
    """
    moving = count.sum(-1)
    return Motion(
        count / np.maximum(moving, 1)[..., None], total / np.maximum(count, 1), 1 - moving / pixels
    )


def _edges(starts: np.ndarray, window: int, length: int) -> np.ndarray:
    """Pixels of an axis at which a window begins or ends, with both ends of the axis."""
    return np.unique(np.concatenate([[0], starts, starts + window, [length]]))


@functools.lru_cache
def _cell_of_pixel(grid: Grid) -> np.ndarray:
    """Number of the cell of every pixel, int [H, W]; pixels of a cell are in the same regions."""
    (height, width), (_, h, w) = grid.frame_size, grid.window
    # The row of cells of a pixel is the number of edges up to it, less one; columns alike.
    rows, columns = _edges(grid.rows, h, height), _edges(grid.columns, w, width)
    row = np.searchsorted(rows, np.arange(height), side="right") - 1
    column = np.searchsorted(columns, np.arange(width), side="right") - 1
    return row[:, None] * (len(columns) - 1) + column


@functools.lru_cache
def _cells_of_regions(grid: Grid) -> np.ndarray:
    """Which cells each region is made of, float64 [R, cells], 0 or 1."""
    # A cell lies in a region as a whole, so a region's cells are those of the pixels in its box.
    cell = _cell_of_pixel(grid)
    membership = np.zeros((grid.regions, int(cell.max()) + 1))
    for region in range(grid.regions):
        x0, y0, x1, y1 = grid.box(region)
        membership[region, np.unique(cell[y0:y1, x0:x1])] = 1
    return membership
