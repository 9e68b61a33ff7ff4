"""Pixel-level criteria of score maps and masks (spec metrics §2); no JAX."""

from collections.abc import Iterable, Iterator

import numpy as np

from vadjax.data.video.boxes import cell_edges

SHARE = 0.4  # of its anomalous pixels that must be found in an anomalous frame
BLOCK = 1 << 22


def at_pixels(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Map [h, w] of cells that cover a frame → [H, W], every pixel with the value of its cell.

    Raises:
      ValueError: more cells than pixels.
    """
    for axis, (cells, pixels) in enumerate(zip(values.shape, size, strict=True)):
        if cells != pixels:
            values = np.repeat(values, np.diff(cell_edges(cells, pixels)), axis)
    return values


def frame_score(values: np.ndarray, mask: np.ndarray, share: float = SHARE) -> float:
    """Score by which the 40 % rule detects a frame or raises a false alarm.

    Args:
      values: [H, W], high = anomalous.
      mask: bool [H, W], anomalous pixels.
      share: of the anomalous pixels that must reach a threshold.

    Returns:
      Of an anomalous frame of n anomalous pixels the k-th largest score among them, with the
      smallest k with k / n >= share; of a normal frame the maximum.
    """
    inside = values[mask]
    if not inside.size:
        return values.max()
    needed = int(np.ceil(share * inside.size))
    needed -= (needed - 1) / inside.size >= share
    needed += needed / inside.size < share
    return np.partition(inside, -needed)[-needed]


def pixel_auc(frames: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
    """AUC with every pixel of every frame as a sample; ties count one half.

    Args:
      frames: `(values [H, W], mask bool [H, W])` of every frame. The values of all pixels are held
        in memory, in their own precision.

    Raises:
      ValueError: the pixels are all anomalous or all normal.
    """
    anomalous, normal = [], []
    for values, mask in frames:
        anomalous.append(values[mask])
        normal.append(values[~mask])
    positive, negative = (np.concatenate(part or [[]]) for part in (anomalous, normal))
    if not positive.size or not negative.size:
        which = "anomalous" if positive.size else "normal"
        raise ValueError(f"all pixels are {which}: the pixel-wise AUC is undefined")
    negative.sort()
    below = 0  # twice the pairs in the right order, exact
    for start in range(0, len(positive), BLOCK):
        part = np.sort(positive[start : start + BLOCK])
        for side in ("left", "right"):
            below += int(np.searchsorted(negative, part, side=side).sum())
    return below / 2 / positive.size / negative.size


def pairs(maps: Iterable[np.ndarray], masks: Iterable[Iterable[np.ndarray]]) -> Iterator:
    """`(values [H, W], mask [H, W])` of every frame of all videos, maps spread over the pixels.

    Args:
      maps: [T, h, w] of every video.
      masks: of the same videos, bool [H, W] for every frame.

    Raises:
      ValueError: another number of masks than of maps of a video.
    """
    for found, own in zip(maps, masks, strict=True):
        count = 0
        for count, mask in enumerate(own, 1):
            if count > len(found):
                break
            yield at_pixels(found[count - 1], mask.shape), mask
        if count != len(found):
            raise ValueError(f"a map of {len(found)} frames, but {count} masks or more")
