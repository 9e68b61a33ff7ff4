"""Scores of volumes → scores of frames and maps of pixels (spec eval §7). NumPy only."""

import numpy as np

from vadjax.data.video.grid import Grid

RULES = ("max", "mean")  # how the scores of the volumes that cover a pixel are combined


def frame_scores(
    scores: np.ndarray, starts: np.ndarray, length: int, frames: int, rule: str = "max"
) -> np.ndarray:
    """Scores of volumes → scores of frames, each from the volumes that cover the frame.

    Args:
      scores: [n_t, ...], at least 0.
      starts: first frame of each volume, [n_t]; of one that begins before frame 0 the rest counts.
      length: number of frames of a volume.
      frames: number of frames of the video.
      rule: the highest (`"max"`) or their `"mean"`.

    Returns:
      [frames, ...] in the type of `scores`; 0 where no volume reaches.

    Raises:
      ValueError: another rule.
    """
    check_rule(rule)
    # Maximum or sum over the volumes, and the number of volumes that cover each frame.
    join = np.maximum if rule == "max" else np.add
    by_frame = np.zeros((frames, *scores.shape[1:]), scores.dtype)
    cover = np.zeros((frames, *(1,) * (scores.ndim - 1)), scores.dtype)
    for start, row in zip(starts, scores, strict=True):
        covered = slice(max(start, 0), max(start + length, 0))
        part = by_frame[covered]
        join(part, row, out=part)
        cover[covered] += 1
    return by_frame if rule == "max" else by_frame / np.maximum(cover, 1)


def check_rule(rule: str) -> None:
    """Raises ValueError unless `rule` is one of `RULES`."""
    if rule not in RULES:
        raise ValueError(f"rule {rule!r}; expected {' or '.join(RULES)}")


def pixel_maps(scores: np.ndarray, grid: Grid, frames: int, rule: str = "max") -> np.ndarray:
    """Scores of volumes → a score for every pixel of every frame.

    Args:
      scores: [n_t, rows, columns] of the volumes of a video, at least 0.
      grid: of the volumes.
      frames: number of frames of the video.
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
    # Maximum or sum over the volumes, and the number of volumes that cover each pixel.
    join = np.maximum if rule == "max" else np.add
    pixels = np.zeros((frames, *grid.frame_size), scores.dtype)
    cover = np.zeros(pixels.shape, np.int32)
    for start, rows in zip(starts, scores, strict=True):
        time = slice(start, start + grid.window[0])
        for y, row in zip(grid.rows, rows, strict=True):
            for x, score in zip(grid.columns, row, strict=True):
                box = time, slice(y, y + grid.window[1]), slice(x, x + grid.window[2])
                join(pixels[box], score, out=pixels[box])
                cover[box] += 1
    return pixels if rule == "max" else pixels / np.maximum(cover, 1).astype(scores.dtype)
