"""Greedy exemplars of all regions at once, and their merging (spec eval §6).

R regions, N volumes or candidates, D features.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jax.sharding import NamedSharding

from vadjax.ops.distance import kernels
from vadjax.ops.distance.metric import Metric
from vadjax.ops.distance.regions import checked, groups, padded_rows, place, refuse

CAPACITY = 32  # slots for the exemplars of a region at first
BLOCK = 32  # volumes that are compared at once
REGIONS = 16  # regions that a device selects at once


class Exemplars(NamedTuple):
    """Exemplars of all regions, flat; those of region r are `offsets[r] : offsets[r + 1]`.

    Attributes:
      offsets: int64 [R + 1].
      index: number of the volume, in order of selection, int64 [total].
      count: number of volumes that the exemplar stands for, int64 [total].
    """

    offsets: np.ndarray
    index: np.ndarray
    count: np.ndarray


class Merged(NamedTuple):
    """As `Exemplars`; `sequence` [total] is the number of the sequence that `index` belongs to."""

    offsets: np.ndarray
    sequence: np.ndarray
    index: np.ndarray
    count: np.ndarray


def select(
    x: np.ndarray,
    metric: Metric,
    threshold: float,
    lengths: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    capacity: int = CAPACITY,
    block: int = BLOCK,
    sharding: NamedSharding | None = None,
) -> Exemplars:
    """Greedy exemplars of every region (spec eval §6).

    In order, a volume becomes an exemplar iff its distance to every exemplar so far is greater
    than the threshold; else it counts for the nearest of them, the first of equals.

    Args:
      x: features [R, N, D], converted to float32.
      metric: the distance, of width D.
      threshold: 0 or more, in units of the distance.
      lengths: [R] volumes of each region, the first ones of N; all N if None.
      weights: [R, N] how much each volume counts, whole numbers; 1 if None.
      capacity: slots for the exemplars of a region at first; regions that need more are selected
        again with twice as many, until all have room.
      block: volumes that are compared at once. Neither of the two changes the result.
      sharding: regions over the devices of its mesh (`mesh.by_row`); None is one device.

    Raises:
      ValueError: wrong shapes, a region without volumes, a threshold below 0 or a feature that
        is NaN, infinite or larger than 1e15; it names region and volume.
    """
    x, lengths = checked(x, metric.width, lengths)
    if not (np.isfinite(threshold) and threshold >= 0) or min(capacity, block) < 1:
        raise ValueError(
            f"threshold {threshold}, capacity {capacity}, block {block}; expected a finite "
            "threshold of 0 or more, the others 1 or more"
        )
    keep, nearest = _select_on_device(x, lengths, metric, threshold, capacity, block, sharding)
    weights = np.ones(x.shape[:2], np.int64) if weights is None else np.asarray(weights)
    if weights.shape != x.shape[:2] or weights.dtype.kind not in "iu":
        raise ValueError(
            f"weights {weights.dtype} {weights.shape}; expected whole numbers {x.shape[:2]}"
        )
    # Every volume adds its weight to its nearest exemplar, a kept one to itself.
    offsets = np.concatenate([[0], np.cumsum(keep.sum(1))])
    region, index = np.nonzero(keep)
    present = np.arange(x.shape[1]) < lengths[:, None]
    flat = (offsets[:-1, None] + nearest)[present]
    count = np.zeros(offsets[-1], np.int64)
    np.add.at(count, flat, weights[present])
    return Exemplars(offsets, index, count)


def merge(
    features: Sequence[np.ndarray],
    chosen: Sequence[Exemplars],
    metric: Metric,
    threshold: float,
    **options,
) -> Merged:
    """One set of exemplars from those of the sequences (spec eval §6, "Merge").

    Args:
      features: of each sequence [R, N_s, D], or those of its exemplars only, [total_s, D].
      chosen: the exemplars of each sequence.
      metric: the distance.
      threshold: as in selection.
      **options: capacity, block, sharding of `select`.

    Raises:
      ValueError: the sequences disagree about the number of regions, or as in `select`.
    """
    regions = {len(exemplars.offsets) - 1 for exemplars in chosen}
    if len(regions) != 1 or len(features) != len(chosen):
        raise ValueError(
            f"{len(features)} arrays of features, {len(chosen)} sets of exemplars with "
            f"{sorted(regions)} regions; expected one each, of the same regions"
        )
    # One list of candidates in the order of the spec: by region, then by sequence, then by time.
    owner = [
        np.repeat(np.arange(len(exemplars.offsets) - 1), np.diff(exemplars.offsets))
        for exemplars in chosen
    ]
    rows = np.concatenate(
        [
            np.asarray(array)[region, exemplars.index] if np.ndim(array) == 3 else np.asarray(array)
            for array, region, exemplars in zip(features, owner, chosen, strict=True)
        ]
    )
    sequence = np.repeat(np.arange(len(chosen)), [len(exemplars.index) for exemplars in chosen])
    order = np.argsort(np.concatenate(owner), kind="stable")  # keeps the order within a region
    index, count = (
        np.concatenate([getattr(exemplars, field) for exemplars in chosen])
        for field in ("index", "count")
    )
    lengths = sum(np.diff(exemplars.offsets) for exemplars in chosen)
    starts = np.cumsum(lengths) - lengths
    if len(rows) != len(order):
        raise ValueError(f"{len(rows)} rows of features for {len(order)} exemplars")
    # The same greedy rule selects among the candidates, each weighted by its count.
    padded = padded_rows(rows[order], starts, lengths, max(lengths))
    weights = padded_rows(count[order], starts, lengths, max(lengths))
    kept = select(padded, metric, threshold, lengths, weights, **options)
    source = order[np.repeat(starts, np.diff(kept.offsets)) + kept.index]
    return Merged(kept.offsets, sequence[source], index[source], kept.count)


def _select_on_device(x, lengths, metric, threshold, capacity, block, sharding):
    """Which volumes are kept, and the slot of each one's nearest exemplar, [R, N] each.

    The device decides; what it leaves open is decided again on the host.
    """
    keep, unsure = np.zeros((2, *x.shape[:2]), bool)
    slot = np.zeros(x.shape[:2], np.int64)
    pending = range(len(x))
    scales, limits = np.asarray(metric.scales, np.float32), _around(threshold)
    size = -(-x.shape[1] // block) * block
    while len(pending):
        static = {"spans": metric.spans, "capacity": capacity, "block": block}
        run = kernels.compiled(kernels.select, sharding, 2, **static)
        launched = []
        for group, rows in groups(np.asarray(pending), REGIONS, sharding):
            part, filled = place(x, rows, 0, size, sharding), lengths[rows].astype(np.int32)
            launched.append((group, run(part, filled, scales, limits)))
        # Regions with more exemplars than slots are selected again, with twice as many.
        pending = []
        for group, (counts, *parts) in launched:
            parts = [np.asarray(a)[: len(group), : x.shape[1]] for a in parts]
            refuse(parts[3], group)
            fits = np.asarray(counts)[: len(group)] <= capacity
            done = group[fits]
            keep[done], slot[done], unsure[done] = (a[fits] for a in parts[:3])
            pending.extend(group[~fits])
        capacity *= 2
    # What float32 cannot tell is decided in float64.
    for region in np.flatnonzero(unsure.any(1)):
        volumes = x[region, : lengths[region]]
        _decide_again(volumes, metric, threshold, keep[region], slot[region], unsure[region])
    return keep, slot


def _around(threshold):
    """The float32 numbers next to the threshold, [2]; twice the same if it is one itself."""
    near = np.float32(min(threshold, 1e38))
    down = near if float(near) <= threshold else np.nextafter(near, np.float32(-np.inf))
    up = near if float(near) >= threshold else np.nextafter(near, np.float32(np.inf))
    return np.asarray([down, up], np.float32)


def _decide_again(x, metric, threshold, keep, slot, unsure):
    """Checks the unsure volumes of a region [N, D] in order; corrects `keep` and `slot` in place.

    If all unsure volumes before one turn out right, so are the exemplars before it.
    """
    for volume in np.flatnonzero(unsure):
        before = np.flatnonzero(keep[:volume])
        distances = metric.distances(x[volume][None], x[before])[0]
        best = distances.argmin()
        # A wrong decision changes the exemplars of all volumes behind it.
        if (distances[best] > threshold) != keep[volume]:
            return _select_from(volume, x, metric, threshold, keep, slot)
        if not keep[volume]:
            slot[volume] = best
    return None


def _select_from(first, x, metric, threshold, keep, slot):
    """Selects in float64 from a volume on; all decisions before it are right."""
    keep[first:] = False
    # In blocks: distances to the exemplars before a block at once, then the block in order, also
    # against the exemplars that it adds itself.
    for start in range(first, len(x), BLOCK):
        part = x[start : start + BLOCK]
        before = metric.distances(part, x[np.flatnonzero(keep[:start])])
        among, new = metric.distances(part, part), []
        for row in range(len(part)):
            distances = np.concatenate([before[row], among[row, new]])
            slot[start + row] = best = distances.argmin()
            if distances[best] > threshold:
                keep[start + row], slot[start + row] = True, len(distances)
                new.append(row)
