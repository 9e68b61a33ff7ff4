"""Pixel-level criteria of score maps and masks (spec metrics §2); no JAX."""

from collections.abc import Iterable, Iterator

import numpy as np

from vadjax.data.video.boxes import cell_edges

SHARE = 0.4  # of its anomalous pixels that must reach the threshold in an anomalous frame
BLOCK = 1 << 22  # anomalous pixels that are compared at a time


def at_pixels(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Map [h, w] of cells that cover a frame → [H, W], every pixel with the value of its cell.

    Raises:
      ValueError: more cells than pixels.
    """
    # A cell is repeated over the pixels between its edges.
    for axis, (cells, pixels) in enumerate(zip(values.shape, size, strict=True)):
        if cells != pixels:
            values = np.repeat(values, np.diff(cell_edges(cells, pixels)), axis)
    return values


def frame_score(values: np.ndarray, mask: np.ndarray, share: float = SHARE) -> float:
    """Threshold up to which the 40 % rule detects a frame, or raises a false alarm in it.

    Args:
      values: [H, W], high = anomalous.
      mask: bool [H, W], anomalous pixels.
      share: share of the anomalous pixels that must reach the threshold.

    Returns:
      For a frame with n anomalous pixels, the k-th largest score among them, where k is the
      smallest number with k / n >= share; for a normal frame, its largest score.
    """
    inside = values[mask]
    if not inside.size:
        return values.max()
    needed = int(np.ceil(share * inside.size))
    # Rounding of `share * n` can be off by one either way; the rule is a division.
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
    # AUC = share of pairs with the anomalous pixel above; by both sides a tie counts one half.
    negative.sort()
    doubled_pairs = 0  # twice the number of such pairs, exact
    for start in range(0, len(positive), BLOCK):
        part = np.sort(positive[start : start + BLOCK])
        for side in ("left", "right"):
            doubled_pairs += int(np.searchsorted(negative, part, side=side).sum())
    return doubled_pairs / 2 / positive.size / negative.size


def pairs(maps: Iterable[np.ndarray], masks: Iterable[Iterable[np.ndarray]]) -> Iterator:
    """Yields `(values [H, W], mask [H, W])` of every frame; maps are spread over the pixels.

    Args:
      maps: [T, h, w] of every video.
      masks: of the same videos, bool [H, W] for every frame.

    Raises:
      ValueError: a video has another number of masks than of frames in its map.
    """
    for video_map, video_masks in zip(maps, masks, strict=True):
        count = 0
        for count, mask in enumerate(video_masks, 1):
            # One mask more than frames is enough to refuse the video.
            if count > len(video_map):
                break
            yield at_pixels(video_map[count - 1], mask.shape), mask
        if count != len(video_map):
            raise ValueError(f"a map of {len(video_map)} frames, but {count} masks or more")
