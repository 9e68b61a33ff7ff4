"""Scores of volumes → scores of frames and maps of pixels (spec eval §7). NumPy only."""

import numpy as np

from vadjax.data.video.grid import Grid

RULES = ("max", "mean")  # of the volumes that cover a pixel


def frame_scores(
    scores: np.ndarray, starts: np.ndarray, length: int, frames: int, rule: str = "max"
) -> np.ndarray:
    """Scores of volumes → scores of frames: of the volumes that cover a frame.

    Args:
      scores: [n_t, ...], at least 0.
      starts: first frame of each, [n_t]; of volumes that begin before frame 0 the rest counts.
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
        covered = slice(max(start, 0), max(start + length, 0))
        part = found[covered]
        join(part, row, out=part)
        cover[covered] += 1
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
