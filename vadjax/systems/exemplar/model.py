"""Stage 2: exemplars of each training video, merged into the model of the scene (spec eval §6)."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jax.sharding import NamedSharding

from vadjax.ops import distance
from vadjax.ops.distance import Exemplars, Metric
from vadjax.systems.exemplar.features import Features
from vadjax.systems.exemplar.space import Space

READABLE = ("app", "ang", "mag", "bkg", "app_prob", "speeds", "hidden")  # kept of an exemplar


class Model(NamedTuple):
    """Exemplars of all regions, flat: those of region r are `offsets[r] : offsets[r + 1]`.

    Attributes:
      app: appearance, float32 [total, A]; ang, mag, bkg, app_prob, speeds, hidden likewise, as in
        `Features`.
      offsets: int32 [R + 1].
      count: how many training volumes each stands for, int32 [total].
      source_sequence: number of the training video that it is from, int32 [total].
      source_t: first frame there, int32 [total].
      Z: scale of each component, float32 [4].
      threshold: of the selection, float32.
      names: names of the training videos, UTF-8 padded with zeros, uint8 [videos, longest].
      classes: names of the classes of `app_prob`, likewise.
    """

    app: np.ndarray
    ang: np.ndarray
    mag: np.ndarray
    bkg: np.ndarray
    app_prob: np.ndarray
    speeds: np.ndarray
    hidden: np.ndarray
    offsets: np.ndarray
    count: np.ndarray
    source_sequence: np.ndarray
    source_t: np.ndarray
    Z: np.ndarray
    threshold: np.ndarray
    names: np.ndarray
    classes: np.ndarray

    def state(self) -> "Model":
        """The same with None in place of empty arrays, which no checkpoint takes."""
        return Model(*(array if array.size else None for array in self))

    @classmethod
    def of(cls, state: "Model") -> "Model":
        """What `state` was made of, as NumPy arrays."""
        total = len(state.count)
        empty = dict.fromkeys(READABLE, np.zeros((total, 0), np.float32))
        empty["classes"] = np.zeros((0, 1), np.uint8)
        return cls(
            **{
                name: empty[name] if array is None else np.asarray(array)
                for name, array in state._asdict().items()
            }
        )

    def features(self) -> Features:
        """The exemplars' features, [total, ...]."""
        return as_features(self._asdict())


def as_features(own: dict[str, np.ndarray]) -> Features:
    """Features of the exemplars in the arrays of a file of stage 2."""
    return Features(*(own[name] for name in READABLE), own["source_t"])


def digest(found: Model) -> str:
    """SHA-256 of a model."""
    total = hashlib.sha256()
    for name, array in found._asdict().items():
        array = np.ascontiguousarray(array)
        total.update(f"{name} {array.dtype} {array.shape}".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def to_bytes(names: Sequence[str]) -> np.ndarray:
    """Names as uint8 [n, longest], UTF-8 padded with zeros."""
    coded = [name.encode() for name in names]
    found = np.zeros((len(coded), max(map(len, coded), default=1)), np.uint8)
    for row, name in zip(found, coded, strict=True):
        row[: len(name)] = np.frombuffer(name, np.uint8)
    return found


def from_bytes(names: np.ndarray) -> list[str]:
    """What `to_bytes` was given."""
    return [np.asarray(row, np.uint8).tobytes().rstrip(b"\0").decode() for row in names]


def by_region(rows: np.ndarray) -> np.ndarray:
    """[n_t, R, D] → [R, n_t, D], contiguous."""
    return np.ascontiguousarray(rows.swapaxes(0, 1))


def select(
    features: Features,
    space: Space,
    metric: Metric,
    threshold: float,
    sharding: NamedSharding | None = None,
) -> tuple[Exemplars, dict[str, np.ndarray]]:
    """Exemplars of one video, and their features and times by name."""
    found = distance.select(by_region(space.rows(features)), metric, threshold, sharding=sharding)
    region = np.repeat(np.arange(len(found.offsets) - 1), np.diff(found.offsets))
    own = {name: getattr(features, name)[found.index, region] for name in READABLE}
    return found, own | {"source_t": features.t_start[found.index]}


def merge(
    parts: Sequence[tuple[Exemplars, dict]],
    space: Space,
    metric: Metric,
    threshold: float,
    sharding: NamedSharding | None = None,
) -> dict[str, np.ndarray]:
    """The exemplars of all videos, by name as in `Model`, of those of each video in order."""
    chosen = [found for found, _ in parts]
    rows = [space.rows(as_features(own)) for _, own in parts]
    merged = distance.merge(rows, chosen, metric, threshold, sharding=sharding)
    region = np.repeat(np.arange(len(merged.offsets) - 1), np.diff(merged.offsets))
    at = np.empty(len(region), np.int64)  # row of each kept exemplar among those of its video
    for sequence, found in enumerate(chosen):
        own = merged.sequence == sequence
        at[own] = _row(found, region[own], merged.index[own])
    starts = np.cumsum([0, *(len(found.index) for found in chosen)])[merged.sequence]
    kept = {
        name: np.concatenate([own[name] for _, own in parts])[starts + at]
        for name in (*READABLE, "source_t")
    }
    numbers = {
        "source_t": kept["source_t"],
        "offsets": merged.offsets,
        "count": merged.count,
        "source_sequence": merged.sequence,
    }
    return kept | {name: array.astype(np.int32) for name, array in numbers.items()}


def _row(found: Exemplars, region: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Rows of the exemplars that are volume `index` of `region`."""
    regions = np.repeat(np.arange(len(found.offsets) - 1), np.diff(found.offsets))
    volumes = int(found.index.max()) + 1
    keys = regions * volumes + found.index  # rising: by region, then by volume
    return np.searchsorted(keys, region * volumes + index)


def describe(offsets: np.ndarray, columns: int, by_row: bool = True) -> str:
    """How many exemplars each region has, and the total.

    Args:
      offsets: of the model, [R + 1].
      columns: of the grid.
      by_row: a line a row of the grid; else a line `(row, column): n` a region.
    """
    counts = np.diff(offsets).reshape(-1, columns)
    width = len(f"{counts.max():,}") + 1
    if by_row:
        lines = [
            f"row {row:3}: " + "".join(f"{number:{width},}" for number in numbers)
            for row, numbers in enumerate(counts)
        ]
    else:
        lines = [f"({row}, {column}): {number}" for (row, column), number in np.ndenumerate(counts)]
    return "\n".join([*lines, f"{counts.sum():,} exemplars in {counts.size:,} regions"])
