"""Nearest exemplars of test volumes (spec eval §7).

R regions, M test volumes, E exemplars, D features, C components.
"""

import itertools
from typing import NamedTuple

import numpy as np
from jax.sharding import NamedSharding

from vadjax.ops.distance import kernels
from vadjax.ops.distance.metric import HOST_ELEMENTS, Metric
from vadjax.ops.distance.regions import checked, groups, padded_rows, place, refuse

BLOCK = 256  # test volumes of a region in one tile
TILE = 2**19  # numbers in one tile of a device: 2 MiB, about what the cache of a core holds
LEAST_SLOTS = 16  # smallest room for the exemplars of a region


class Nearest(NamedTuple):
    """Nearest exemplar of test volumes.

    Attributes:
      score: distance to it, float32 [R, M].
      index: its number within the region, int64 [R, M].
      terms: of the distance, float32 [R, M, C]; they sum to the score.
    """

    score: np.ndarray
    index: np.ndarray
    terms: np.ndarray


def nearest(
    x: np.ndarray,
    exemplars: np.ndarray,
    offsets: np.ndarray,
    metric: Metric,
    block: int = BLOCK,
    sharding: NamedSharding | None = None,
) -> Nearest:
    """Nearest exemplar of every volume, the first of equals (spec eval §7).

    Args:
      x: features of test volumes [R, M, D], converted to float32.
      exemplars: [total, D], float32, those of region r at `offsets[r] : offsets[r + 1]`.
      offsets: [R + 1].
      metric: the distance, of width D.
      block: test volumes of a region in one tile, rounded up to a multiple of 16; does not change
        the result.
      sharding: as in `select`.

    Raises:
      ValueError: wrong shapes, a region without exemplars, or a feature as in `select`.
    """
    x, _ = checked(x, metric.width)
    if block < 1:
        raise ValueError(f"block {block}; expected 1 or more")
    exemplars, offsets = np.asarray(exemplars, np.float32), np.asarray(offsets)
    _check_exemplars(exemplars, offsets, len(x), metric.width)
    index = np.empty(x.shape[:2], np.int64)
    terms = np.empty((*x.shape[:2], len(metric.sizes)), np.float32)
    unsure = np.empty(x.shape[:2], bool)
    tiles = _tiles(x, exemplars, offsets, metric, block, sharding)
    for (group, first, parts), _ in itertools.pairwise(itertools.chain(tiles, [None])):
        # `pairwise` has started the next tile by now and none after it: the device computes it
        # while the host reads this one.
        parts = [np.asarray(part)[: len(group), : x.shape[1]] for part in parts]
        slot, term, unclear, wrong = parts
        refuse(wrong, group, first)
        tile = group, slice(first, first + slot.shape[1])
        index[tile], terms[tile], unsure[tile] = slot, term, unclear
    _decide_again(x, exemplars, offsets, metric, index, terms, unsure)
    return Nearest(terms.sum(-1), index, terms)


def _check_exemplars(exemplars, offsets, regions, width):
    """Raises ValueError for other shapes, a region without exemplars, or a bad feature."""
    if offsets.shape != (regions + 1,) or exemplars.shape != (offsets[-1], width):
        raise ValueError(
            f"exemplars {exemplars.shape} with offsets {offsets.shape} that end at "
            f"{offsets.flat[-1]}; expected [total, {width}] and [{regions + 1}]"
        )
    counts = np.diff(offsets)
    if counts.min() < 1 or offsets[0]:
        raise ValueError(
            f"offsets start at {offsets[0]}, region {counts.argmin()} has {counts.min()} "
            "exemplars; expected 0, and one or more in each"
        )
    wrong = ~(np.abs(exemplars) <= kernels.LARGEST).all(-1)
    if wrong.any():
        raise ValueError(f"exemplar {wrong.argmax()} has a feature that is NaN, infinite or > 1e15")


def _tiles(x, exemplars, offsets, metric, block, sharding):
    """Starts the kernel on tiles of regions × volumes; yields regions, first volume, its output.

    All regions of a tile have the same room for exemplars, so that crowded ones do not slow down
    the others. The last tile of a region overlaps the one before, to fill the block.
    """
    # Room for exemplars is a power of two; the volumes are divided into blocks of one size.
    counts, volumes = np.diff(offsets), x.shape[1]
    slots = np.maximum(LEAST_SLOTS, 2 ** np.ceil(np.log2(counts)).astype(int))
    even = -(-volumes // -(-volumes // block))
    block = -(-even // 16) * 16  # blocks of one size; few sizes are ever compiled
    run = kernels.compiled(kernels.nearest, sharding, 1, spans=metric.spans)
    scales = np.asarray(metric.scales, np.float32)
    for size in np.unique(slots):
        most = TILE // (block * max(size, metric.width))
        for group, rows in groups(np.flatnonzero(slots == size), most, sharding):
            padded = padded_rows(exemplars, offsets[rows], counts[rows], size)
            lengths = counts[rows].astype(np.int32)
            for first in range(0, volumes, block):
                first = max(0, min(first, volumes - block))
                part = place(x, rows, first, block, sharding)
                yield group, first, run(part, padded, lengths, scales)


def _decide_again(x, exemplars, offsets, metric, index, terms, unsure):
    """Corrects `index` and `terms` in place where unsure, in float64."""
    # As many volumes at a time as keep the differences within `HOST_ELEMENTS`.
    counts = np.diff(offsets)
    regions, volumes = np.nonzero(unsure)
    size = counts[regions].max(initial=1)
    rows = max(1, HOST_ELEMENTS // (size * metric.width))
    for first in range(0, len(regions), rows):
        where = region, volume = regions[first : first + rows], volumes[first : first + rows]
        padded = padded_rows(exemplars, offsets[region], counts[region], size)
        exact = metric.terms(x[where][:, None], padded)
        present = np.arange(size) < counts[region][:, None]
        index[where] = best = np.where(present, exact.sum(-1), np.inf).argmin(1)
        terms[where] = exact[np.arange(len(best)), best]
