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

READABLE = ("app", "ang", "mag", "bkg", "app_prob", "speeds", "hidden")  # features of an exemplar


class Model(NamedTuple):
    """Exemplars of all regions, flat: those of region r are `offsets[r] : offsets[r + 1]`.

    Attributes:
      app: appearance, float32 [total, A]; ang, mag, bkg, app_prob, speeds, hidden likewise, as in
        `Features`.
      offsets: int32 [R + 1].
      count: number of training volumes that each exemplar stands for, int32 [total].
      source_sequence: number of its training video, int32 [total].
      source_t: its first frame there, int32 [total].
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
        """The same with None in place of empty arrays, which a checkpoint cannot hold."""
        return Model(*(array if array.size else None for array in self))

    @classmethod
    def of(cls, state: "Model") -> "Model":
        """The model of a `state`, as NumPy arrays."""
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
    """Features of the exemplars whose arrays are given by name (those of a file of stage 2)."""
    return Features(*(own[name] for name in READABLE), own["source_t"])


def digest(found: Model) -> str:
    """SHA-256 of the arrays of a model, with their names, types and shapes."""
    total = hashlib.sha256()
    for name, array in found._asdict().items():
        array = np.ascontiguousarray(array)
        total.update(f"{name} {array.dtype} {array.shape}".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def to_bytes(names: Sequence[str]) -> np.ndarray:
    """Names as uint8 [n, longest], UTF-8 padded with zeros."""
    coded = [name.encode() for name in names]
    rows = np.zeros((len(coded), max(map(len, coded), default=1)), np.uint8)
    for row, name in zip(rows, coded, strict=True):
        row[: len(name)] = np.frombuffer(name, np.uint8)
    return rows


def from_bytes(names: np.ndarray) -> list[str]:
    """The names that `to_bytes` was given."""
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
    """Exemplars of one video, and their features and times by name (spec §6).

    Args:
      features: of all volumes of the video.
      space: the numbers that are compared.
      metric: the distance.
      threshold: of the selection.
      sharding: of regions over the devices; None is one device.
    """
    rows = by_region(space.rows(features))
    chosen = distance.select(rows, metric, threshold, sharding=sharding)
    # `index` counts the times within a region, in which an exemplar is volume [index, region].
    region = np.repeat(np.arange(len(chosen.offsets) - 1), np.diff(chosen.offsets))
    arrays = {name: getattr(features, name)[chosen.index, region] for name in READABLE}
    return chosen, arrays | {"source_t": features.t_start[chosen.index]}


def merge(
    parts: Sequence[tuple[Exemplars, dict]],
    space: Space,
    metric: Metric,
    threshold: float,
    sharding: NamedSharding | None = None,
) -> dict[str, np.ndarray]:
    """The arrays of the merged model by name, as in `Model` (spec §6, "Merge").

    Args:
      parts: what `select` returned for each training video, in order.
      space: the numbers that are compared.
      metric: the distance.
      threshold: of the selection.
      sharding: of regions over the devices; None is one device.
    """
    chosen = [exemplars for exemplars, _ in parts]
    rows = [space.rows(as_features(arrays)) for _, arrays in parts]
    merged = distance.merge(rows, chosen, metric, threshold, sharding=sharding)
    # The row of each merged exemplar in the arrays of its video.
    region = np.repeat(np.arange(len(merged.offsets) - 1), np.diff(merged.offsets))
    row = np.empty(len(region), np.int64)
    for sequence, exemplars in enumerate(chosen):
        of_video = merged.sequence == sequence
        row[of_video] = _row(exemplars, region[of_video], merged.index[of_video])
    # Its features, from the arrays of all videos joined.
    starts = np.cumsum([0, *(len(exemplars.index) for exemplars in chosen)])[merged.sequence]
    kept = {
        name: np.concatenate([arrays[name] for _, arrays in parts])[starts + row]
        for name in (*READABLE, "source_t")
    }
    numbers = {
        "source_t": kept["source_t"],
        "offsets": merged.offsets,
        "count": merged.count,
        "source_sequence": merged.sequence,
    }
    return kept | {name: array.astype(np.int32) for name, array in numbers.items()}


def _row(exemplars: Exemplars, region: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Rows of the exemplars that are volume `index` of `region`."""
    regions = np.repeat(np.arange(len(exemplars.offsets) - 1), np.diff(exemplars.offsets))
    volumes = int(exemplars.index.max()) + 1
    keys = regions * volumes + exemplars.index  # rising: by region, then by volume
    return np.searchsorted(keys, region * volumes + index)


def describe(offsets: np.ndarray, columns: int, by_row: bool = True) -> str:
    """Text with the number of exemplars of each region, and the total.

    Args:
      offsets: of the model, [R + 1].
      columns: number of columns of the grid.
      by_row: one line per row of the grid; else one line `(row, column): n` per region.
    """
    # All counts are as wide as the largest, so that the rows of the grid line up.
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
