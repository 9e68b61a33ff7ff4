"""The distance between two volumes, and the scales of its components (spec eval §5).

R regions, N, E volumes, D features, C components.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from vadjax.ops.distance import kernels
from vadjax.ops.distance.regions import checked, refuse

COMPONENTS = ("app", "ang", "mag", "bkg")
VERSIONS = {  # components that a version of the model uses (spec §5)
    "appearance": ("app",),
    "motion": ("ang", "mag", "bkg"),
    "speed": ("mag",),
    "appearance_motion": COMPONENTS,
}
ROWS = 256  # rows of a block in the search for the largest distance
HOST_ELEMENTS = 2**21  # numbers of a float64 difference on the host: 16 MiB


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
          largest: largest distance of each component in training; where it is 0 the scale is 1.

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
        return tuple(
            (stop - size, stop) if np.isfinite(scale) else (0, 0) for stop, size, scale in spans
        )

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
        distances = np.empty((len(a), len(b)))
        rows = max(1, HOST_ELEMENTS // max(1, b.size))
        for start in range(0, len(a), rows):
            part = a[start : start + rows, None]
            distances[start : start + rows] = self.terms(part, b).sum(-1)
        return distances


def largest_distances(
    x: np.ndarray, sizes: Sequence[int], most: int = 20_000, seed: int = 0
) -> np.ndarray:
    """Largest distance between any two volumes, of each component: Z of spec eval §5.

    Args:
      x: features [N, D] of training volumes of all regions together, converted to float32.
      sizes: features of each component; they sum to D.
      most: of more volumes than this, this number is drawn at random.
      seed: of the draw.

    Returns:
      [C] float64, exact among the volumes used.

    Raises:
      ValueError: wrong shapes or a feature that is NaN, infinite or larger than 1e15.
    """
    metric = Metric(tuple(sizes), (1.0,) * len(sizes))
    x, _ = checked(np.asarray(x)[None], metric.width)
    refuse(~(np.abs(x) <= kernels.LARGEST).all(-1), [0])
    x = x[0]
    if len(x) > most:
        x = x[np.sort(np.random.default_rng(seed).choice(len(x), most, replace=False))]
    return np.array([_largest_distance(np.unique(x[:, a:b], axis=0)) for a, b in metric.spans])


def _largest_distance(x):
    """Largest distance between distinct rows [N, n], exact.

    The device bounds every row's largest distance; the host measures only rows whose upper bound
    reaches the lower bound of the overall largest one.
    """
    if x.shape[1] == 1:
        return float(x.max()) - float(x.min())
    metric = Metric((x.shape[1],), (1.0,))
    rows = np.arange(-(-len(x) // ROWS) * ROWS) % len(x)
    run = kernels.compiled(kernels.farthest, None, 0, spans=metric.spans, block=ROWS)
    upper, largest = (np.asarray(a) for a in run(x[None, rows], np.ones(1, np.float32)))
    upper, best = upper[: len(x)], 0.0
    # Candidates for one end of the largest distance, the highest bound first, in float64.
    ends = np.flatnonzero(upper >= largest)
    for row in ends[np.argsort(-upper[ends])]:
        if upper[row] > best:
            best = max(best, metric.distances(x[row : row + 1], x).max())
    return best
