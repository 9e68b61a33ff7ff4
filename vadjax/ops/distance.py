"""Distances between volumes, greedy exemplars and nearest exemplars, all regions at once.

Spec eval §5-7. Features are float32; every decision is the one of float64 arithmetic on direct
differences (`Metric.terms`), whatever the device, the block or the capacity:

1. The device works in float32 with matrix products and keeps, for every distance, an interval
   that holds the true one. A decision that the intervals leave open is flagged.
2. Flagged volumes (some in a hundred thousand) are decided again in float64 on the host. Where that
   finds a selection to have gone wrong, the region is continued there from that volume on.

R regions, N volumes or candidates, M test volumes, E exemplars, D features, C components.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import NamedSharding

from vadjax.ops import distance_kernels as kernels

COMPONENTS = ("app", "ang", "mag", "bkg")
VERSIONS = {  # components that a version of the model uses (spec §5)
    "appearance": ("app",),
    "motion": ("ang", "mag", "bkg"),
    "speed": ("mag",),
    "appearance_motion": COMPONENTS,
}
CAPACITY, BLOCK = 32, 32  # exemplars of a region at first; volumes taken at once
TEST_BLOCK = 64  # test volumes taken at once
ROWS = 256  # taken at once in the search for the largest distance
LEAST_SLOTS = 16  # for exemplars of a region in scoring
HOST_ELEMENTS = 2**21  # of a float64 difference on the host: 16 MiB


@dataclasses.dataclass(frozen=True)
class Metric:
    """Sum over components of the L2 distance divided by a scale (spec eval §5).

    sizes: features of each component, in the order in which they are concatenated.
    scales: Z of each component; `inf` leaves the component out.
    """

    sizes: tuple[int, ...]
    scales: tuple[float, ...]

    def __post_init__(self):
        sizes = tuple(int(size) for size in self.sizes)
        scales = tuple(float(scale) for scale in self.scales)
        if len(sizes) != len(scales) or min(sizes, default=0) < 1:
            raise ValueError(f"sizes {sizes} and scales {scales}: expected as many, sizes >= 1")
        used = [scale for scale in scales if scale != np.inf]
        if not used or not all(1e-15 <= scale <= 1e15 for scale in used):
            raise ValueError(f"scales are {scales}; expected 1e-15 to 1e15, or inf but not all")
        object.__setattr__(self, "sizes", sizes)
        object.__setattr__(self, "scales", scales)

    @classmethod
    def version(cls, name: str, sizes: Sequence[int], largest: Sequence[float]) -> "Metric":
        """Metric of a version of the model.

        Args:
          name: one of `VERSIONS`.
          sizes: features of app, ang, mag, bkg.
          largest: largest distance of each in training; where it is 0 the scale is 1.

        Raises:
          ValueError: there is no such version.
        """
        if name not in VERSIONS:
            raise ValueError(f"version {name!r}; expected one of {', '.join(VERSIONS)}")
        used = [component in VERSIONS[name] for component in COMPONENTS]
        scales = [(z or 1.0) if use else np.inf for z, use in zip(largest, used, strict=True)]
        return cls(tuple(sizes), tuple(scales))

    @property
    def width(self) -> int:
        """Features of all components together, D."""
        return sum(self.sizes)

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """First and last + 1 feature of each component that counts; (0, 0) of the others."""
        stops = np.cumsum(self.sizes).tolist()
        spans = zip(stops, self.sizes, self.scales, strict=True)
        return tuple((e - n, e) if np.isfinite(z) else (0, 0) for e, n, z in spans)

    def terms(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Terms [..., C] of the distance, float64, of features [..., D] that broadcast."""
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        norms = [
            np.sqrt(np.square(a[..., start:stop] - b[..., start:stop]).sum(-1))
            for start, stop in self.spans
        ]
        return np.stack(norms, -1) / np.asarray(self.scales)

    def distances(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Distances [N, E], float64, of features [N, D] and [E, D], some rows at a time."""
        found = np.empty((len(a), len(b)))
        rows = max(1, HOST_ELEMENTS // max(1, b.size))
        for start in range(0, len(a), rows):
            part = a[start : start + rows, None]
            found[start : start + rows] = self.terms(part, b).sum(-1)
        return found


class Exemplars(NamedTuple):
    """Exemplars of all regions, flat; those of region r are `offsets[r] : offsets[r + 1]`.

    offsets [R + 1], index [total]: volume, in order of selection, count [total]: volumes that it
    stands for. All int64.
    """

    offsets: np.ndarray
    index: np.ndarray
    count: np.ndarray


class Merged(NamedTuple):
    """As `Exemplars`, and `sequence` [total] says of which sequence `index` is a volume."""

    offsets: np.ndarray
    sequence: np.ndarray
    index: np.ndarray
    count: np.ndarray


class Nearest(NamedTuple):
    """Nearest exemplar of test volumes.

    score [R, M] float32, index [R, M] int64 (counted within the region), terms [R, M, C] float32,
    which sum to the score.
    """

    score: np.ndarray
    index: np.ndarray
    terms: np.ndarray


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
      x: features [R, N, D], taken as float32.
      metric: the distance, of width D.
      threshold: 0 or more, in units of the distance.
      lengths: [R] volumes of each region, the first ones of N; all N if None.
      weights: [R, N] how much each volume counts, whole numbers; 1 if None.
      capacity: exemplars of a region that there is room for at first; regions that need more
        are done again with twice as much, until all have room.
      block: volumes taken at once. Neither of the two changes the result.
      sharding: regions over the devices of its mesh (`mesh.by_row`); None is one device.

    Raises:
      ValueError: wrong shapes, a region without volumes, a threshold below 0 or a feature that
        is NaN, infinite or larger than 1e15; it names region and volume.
    """
    x, lengths = _checked(x, metric, lengths)
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
    offsets = np.concatenate([[0], np.cumsum(keep.sum(1))])
    region, index = np.nonzero(keep)
    there = np.arange(x.shape[1]) < lengths[:, None]
    flat = (offsets[:-1, None] + nearest)[there]
    count = np.zeros(offsets[-1], np.int64)
    np.add.at(count, flat, weights[there])
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
    regions = {len(one.offsets) - 1 for one in chosen}
    if len(regions) != 1 or len(features) != len(chosen):
        raise ValueError(
            f"{len(features)} arrays of features, {len(chosen)} sets of exemplars with "
            f"{sorted(regions)} regions; expected one each, of the same regions"
        )
    owner = [np.repeat(np.arange(len(one.offsets) - 1), np.diff(one.offsets)) for one in chosen]
    rows = np.concatenate(
        [
            np.asarray(f)[r, one.index] if np.ndim(f) == 3 else np.asarray(f)
            for f, r, one in zip(features, owner, chosen, strict=True)
        ]
    )
    sequence = np.repeat(np.arange(len(chosen)), [len(one.index) for one in chosen])
    order = np.argsort(np.concatenate(owner), kind="stable")  # by region, then by sequence
    index, count = (np.concatenate([getattr(one, k) for one in chosen]) for k in ("index", "count"))
    lengths = sum(np.diff(one.offsets) for one in chosen)
    starts = np.cumsum(lengths) - lengths
    if len(rows) != len(order):
        raise ValueError(f"{len(rows)} rows of features for {len(order)} exemplars")
    padded = padded_rows(rows[order], starts, lengths, max(lengths))
    weights = padded_rows(count[order], starts, lengths, max(lengths))
    kept = select(padded, metric, threshold, lengths, weights, **options)
    source = order[np.repeat(starts, np.diff(kept.offsets)) + kept.index]
    return Merged(kept.offsets, sequence[source], index[source], kept.count)


def nearest(
    x: np.ndarray,
    exemplars: np.ndarray,
    offsets: np.ndarray,
    metric: Metric,
    block: int = TEST_BLOCK,
    sharding: NamedSharding | None = None,
) -> Nearest:
    """Nearest exemplar of every volume, the first of equals (spec eval §7).

    Args:
      x: features of test volumes [R, M, D], taken as float32.
      exemplars: [total, D], float32, those of region r at `offsets[r] : offsets[r + 1]`.
      offsets: [R + 1].
      metric: the distance, of width D.
      block: test volumes taken at once; does not change the result.
      sharding: as in `select`.

    Raises:
      ValueError: wrong shapes, a region without exemplars, or a feature as in `select`.
    """
    x, _ = _checked(x, metric, None)
    exemplars, offsets = np.asarray(exemplars, np.float32), np.asarray(offsets)
    counts = np.diff(offsets)
    if offsets.shape != (len(x) + 1,) or exemplars.shape != (offsets[-1], metric.width):
        raise ValueError(
            f"exemplars {exemplars.shape} with offsets {offsets.shape} that end at "
            f"{offsets.flat[-1]}; expected [total, {metric.width}] and [{len(x) + 1}]"
        )
    if counts.min() < 1 or offsets[0]:
        raise ValueError(
            f"offsets start at {offsets[0]}, region {counts.argmin()} has {counts.min()} "
            "exemplars; expected 0, and one or more in each"
        )
    wrong = ~(np.abs(exemplars) <= kernels.LARGEST).all(-1)
    if wrong.any():
        raise ValueError(f"exemplar {wrong.argmax()} has a feature that is NaN, infinite or > 1e15")
    slots = np.maximum(LEAST_SLOTS, 2 ** np.ceil(np.log2(counts)).astype(int))
    index = np.empty(x.shape[:2], np.int64)
    terms = np.empty((*x.shape[:2], len(metric.sizes)), np.float32)
    for size in np.unique(slots):  # crowded regions need not slow down the others
        group = np.flatnonzero(slots == size)
        there = padded_rows(exemplars, offsets[group], counts[group], size)
        parts = _nearest_on_device(x, group, there, counts[group], metric, block, sharding)
        index[group], terms[group], unsure = parts
        for row, volume in np.argwhere(unsure):
            own = there[row, : counts[group[row]]]
            found = metric.terms(x[group[row], volume], own)
            best = found.sum(-1).argmin()
            index[group[row], volume], terms[group[row], volume] = best, found[best]
    return Nearest(terms.sum(-1), index, terms)


def largest_distances(
    x: np.ndarray, sizes: Sequence[int], most: int = 20_000, seed: int = 0
) -> np.ndarray:
    """Largest distance between any two volumes, of each component: Z of spec eval §5.

    Args:
      x: features [N, D] of training volumes of all regions together, taken as float32.
      sizes: features of each component; they sum to D.
      most: with more volumes than this, so many are drawn.
      seed: of the draw.

    Returns:
      [C] float64, exact among the volumes used.

    Raises:
      ValueError: wrong shapes or a feature that is NaN, infinite or larger than 1e15.
    """
    metric = Metric(tuple(sizes), (1.0,) * len(sizes))
    x, _ = _checked(np.asarray(x)[None], metric, None)
    _refuse(~(np.abs(x) <= kernels.LARGEST).all(-1), [0])
    x = x[0]
    if len(x) > most:
        x = x[np.sort(np.random.default_rng(seed).choice(len(x), most, replace=False))]
    return np.array([_largest_distance(np.unique(x[:, a:b], axis=0)) for a, b in metric.spans])


def _largest_distance(x):
    """Exact, of distinct rows [N, n]: on the host only for rows that may be one end of it."""
    if x.shape[1] == 1:
        return float(x.max()) - float(x.min())
    metric = Metric((x.shape[1],), (1.0,))
    rows = np.arange(-(-len(x) // ROWS) * ROWS) % len(x)
    run = kernels.compiled(kernels.farthest, None, 0, spans=metric.spans, block=ROWS)
    upper, largest = (np.asarray(a) for a in run(x[None, rows], np.ones(1, np.float32)))
    upper, best = upper[: len(x)], 0.0
    ends = np.flatnonzero(upper >= largest)
    for row in ends[np.argsort(-upper[ends])]:
        if upper[row] > best:
            best = max(best, metric.distances(x[row : row + 1], x).max())
    return best


def padded_rows(rows: np.ndarray, starts: np.ndarray, lengths: np.ndarray, size: int) -> np.ndarray:
    """Ragged rows → [len(starts), size, ...]: `lengths` rows from `starts` on, then zeros."""
    there = np.arange(size) < np.asarray(lengths)[:, None]
    padded = np.zeros((*there.shape, *rows.shape[1:]), rows.dtype)
    padded[there] = rows[np.repeat(starts, lengths) + np.nonzero(there)[1]]
    return padded


def _checked(x, metric, lengths):
    x = np.asarray(x, np.float32)
    if x.ndim != 3 or x.shape[2] != metric.width or 0 in x.shape:
        raise ValueError(
            f"features {x.shape}; expected [regions, volumes, {metric.width}], none of them 0 "
            f"(sizes {metric.sizes})"
        )
    lengths = np.full(len(x), x.shape[1]) if lengths is None else np.asarray(lengths)
    if lengths.shape != (len(x),):
        raise ValueError(f"lengths {lengths.shape} of {len(x)} regions: expected one each")
    outside = (lengths < 1) | (lengths > x.shape[1])
    if outside.any():
        region = outside.argmax()
        raise ValueError(
            f"region {region} has {lengths[region]} volumes; expected 1 to {x.shape[1]}"
        )
    return x, lengths


def _place(x, rows, volumes, sharding):
    """Chosen regions, with zeros up to so many volumes, on the devices."""
    if len(rows) != len(x) or volumes != x.shape[1]:
        size = len(rows) * volumes * x.shape[2]
        buffer = np.empty(
            size + 16, np.float32
        )  # at a multiple of 64 bytes a CPU takes it as it is
        first = -(buffer.ctypes.data // 4) % 16
        padded = buffer[first : first + size].reshape(len(rows), volumes, x.shape[2])
        padded[:, x.shape[1] :] = 0
        for row, region in enumerate(rows):
            padded[row, : x.shape[1]] = x[region]
        x = padded
    return jax.device_put(x, sharding)


def _rows(group, sharding):
    """The regions of a group, the first one repeated until the devices share them evenly."""
    devices = 1 if sharding is None else sharding.mesh.size
    return np.concatenate([group, np.full(-len(group) % devices, group[0])])


def _refuse(wrong, rows):
    if wrong.any():
        row, volume = np.argwhere(wrong)[0]
        raise ValueError(
            f"region {rows[row]}, volume {volume}: a feature is NaN, infinite or larger than "
            f"{kernels.LARGEST:g}"
        )


def _nearest_on_device(x, group, exemplars, counts, metric, block, sharding):
    """Slot, terms and unsure of a group of regions, from the device."""
    rows = _rows(group, sharding)
    own = np.concatenate([np.arange(len(group)), np.zeros(len(rows) - len(group), int)])
    block = min(block, x.shape[1])
    placed = _place(x, rows, -(-x.shape[1] // block) * block, sharding)
    run = kernels.compiled(kernels.nearest, sharding, 1, spans=metric.spans, block=block)
    scales = np.asarray(metric.scales, np.float32)
    parts = run(placed, exemplars[own], counts[own].astype(np.int32), scales)
    slot, terms, unsure, wrong = (np.asarray(a)[: len(group), : x.shape[1]] for a in parts)
    _refuse(wrong, rows)
    return slot, terms, unsure


def _select_on_device(x, lengths, metric, threshold, capacity, block, sharding):
    """Keep and nearest [R, N], by the device, checked."""
    keep, unsure = np.zeros((2, *x.shape[:2]), bool)
    slot = np.zeros(x.shape[:2], np.int64)
    scales = np.asarray(metric.scales, np.float32)
    limits = _around(threshold)
    block = min(block, x.shape[1])
    pending = np.arange(len(x))
    while len(pending):
        size = len(pending)
        capacity = min(capacity, x.shape[1])
        if size < len(x):  # a power of two: few sizes are ever compiled
            pending = np.resize(pending, min(len(x), 2 ** int(np.ceil(np.log2(size)))))
        rows = _rows(pending, sharding)
        static = {"spans": metric.spans, "capacity": capacity, "block": block}
        run = kernels.compiled(kernels.select, sharding, 2, **static)
        placed = _place(x, rows, -(-x.shape[1] // block) * block, sharding)
        found, *parts = run(placed, lengths[rows].astype(np.int32), scales, limits)
        parts = [np.asarray(a)[:size, : x.shape[1]] for a in parts]
        _refuse(parts[3], rows)
        fits = np.asarray(found)[:size] <= capacity
        done = pending[:size][fits]
        keep[done], slot[done], unsure[done] = (a[fits] for a in parts[:3])
        pending, capacity = pending[:size][~fits], 2 * capacity
    for region in np.flatnonzero(unsure.any(1)):
        own = x[region, : lengths[region]]
        _decide_again(own, metric, threshold, keep[region], slot[region], unsure[region])
    return keep, slot


def _around(threshold):
    """The float32 numbers next to the threshold, [2]; twice the same if it is one itself."""
    near = np.float32(min(threshold, 1e38))
    down = near if float(near) <= threshold else np.nextafter(near, np.float32(-np.inf))
    up = near if float(near) >= threshold else np.nextafter(near, np.float32(np.inf))
    return np.asarray([down, up], np.float32)


def _decide_again(x, metric, threshold, keep, slot, unsure):
    """Checks the unsure volumes of a region [N, D] in order; mends `keep` and `slot` in place.

    If all that were unsure before a volume turn out right, so are the exemplars before it.
    """
    for volume in np.flatnonzero(unsure):
        before = np.flatnonzero(keep[:volume])
        found = metric.distances(x[volume][None], x[before])[0]
        best = found.argmin()
        if (found[best] > threshold) != keep[volume]:
            return _select_from(volume, x, metric, threshold, keep, slot)
        if not keep[volume]:
            slot[volume] = best
    return None


def _select_from(first, x, metric, threshold, keep, slot):
    """Selection in float64 from a volume on, given that all before it is right."""
    keep[first:] = False
    for start in range(first, len(x), BLOCK):
        part = x[start : start + BLOCK]
        before = metric.distances(part, x[np.flatnonzero(keep[:start])])
        among, new = metric.distances(part, part), []
        for row in range(len(part)):
            found = np.concatenate([before[row], among[row, new]])
            slot[start + row] = best = found.argmin()
            if found[best] > threshold:
                keep[start + row], slot[start + row] = True, len(found)
                new.append(row)
