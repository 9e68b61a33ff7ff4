"""Overlapping video volumes on a grid, and score maps of frames (spec eval §2, §7).

A volume is a box of t frames by h by w pixels; a region is one place of the grid in the picture,
`region = row * columns + column`. NumPy only.
"""

import dataclasses

import numpy as np

RULES = ("max", "mean")  # of the volumes that cover a pixel


def positions(length: int, window: int, step: int) -> np.ndarray:
    """Starts of windows along an axis: 0, step, 2 step … and one that touches the end.

    Args:
      length: of the axis.
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
    """Volumes of one camera.

    Attributes:
      frame_size: (H, W) of the frames, pixels.
      window: (t, h, w) of a volume: frames, pixels, pixels.
      step: (t, y, x) between volumes.
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
        """Places of the grid."""
        return len(self.rows) * len(self.columns)

    def times(self, frames: int) -> np.ndarray:
        """First frame of each volume of a video; one shorter than t frames is padded to t."""
        return positions(max(frames, self.window[0]), self.window[0], self.step[0])

    def box(self, region: int) -> tuple[int, int, int, int]:
        """`x0, y0, x1, y1` of a region in pixels; x1, y1 are one past the last."""
        row, column = divmod(region, len(self.columns))
        y, x = int(self.rows[row]), int(self.columns[column])
        return x, y, x + self.window[2], y + self.window[1]


def frame_scores(
    scores: np.ndarray, starts: np.ndarray, length: int, frames: int, rule: str = "max"
) -> np.ndarray:
    """Scores of volumes → scores of frames: of the volumes that cover a frame.

    Args:
      scores: [n_t, ...], at least 0.
      starts: first frame of each, [n_t].
      length: frames of a volume.
      frames: frames of the video.
      rule: the highest (`"max"`) or their `"mean"`.

    Returns:
      [frames, ...] in the type of `scores`; 0 where no volume reaches.

    Raises:
      ValueError: another rule.
    """
    check_rule(rule)
    join = np.maximum if rule == "max" else np.add
    found = np.zeros((frames, *scores.shape[1:]), scores.dtype)
    cover = np.zeros((frames, *(1,) * (scores.ndim - 1)), scores.dtype)
    for start, row in zip(starts, scores, strict=True):
        part = found[start : start + length]
        join(part, row, out=part)
        cover[start : start + length] += 1
    return found if rule == "max" else found / np.maximum(cover, 1)


def check_rule(rule: str) -> None:
    """Raises ValueError unless `rule` is one of `RULES`."""
    if rule not in RULES:
        raise ValueError(f"rule {rule!r}; expected {' or '.join(RULES)}")


def pixel_maps(scores: np.ndarray, grid: Grid, frames: int, rule: str = "max") -> np.ndarray:
    """Scores of volumes → a score a pixel of every frame.

    Args:
      scores: [n_t, rows, columns] of the volumes of a video, at least 0.
      grid: where they are.
      frames: frames of the video.
      rule: `"max"` of the volumes that cover a pixel, or their `"mean"`.

    Returns:
      float [frames, H, W] in the type of `scores`.

    Raises:
      ValueError: another rule, or scores of another shape.
    """
    starts = grid.times(frames)
    shape = len(starts), len(grid.rows), len(grid.columns)
    check_rule(rule)
    if scores.shape != shape:
        raise ValueError(f"scores {scores.shape}; the volumes of {frames} frames are {shape}")
    join = np.maximum if rule == "max" else np.add
    found = np.zeros((frames, *grid.frame_size), scores.dtype)
    cover = np.zeros(found.shape, np.int32)
    for start, rows in zip(starts, scores, strict=True):
        time = slice(start, start + grid.window[0])
        for y, row in zip(grid.rows, rows, strict=True):
            for x, score in zip(grid.columns, row, strict=True):
                at = time, slice(y, y + grid.window[1]), slice(x, x + grid.window[2])
                join(found[at], score, out=found[at])
                cover[at] += 1
    return found if rule == "max" else found / np.maximum(cover, 1).astype(scores.dtype)
