"""Exemplars of EVAL: selection, scoring, and 20,000 volumes a region. Run it alone.

    python -m benchmarks.exemplars [--runs 7] [--volumes 507] [--threshold 0.8]

Features are synthetic clusters, 187 regions × 153 float32 numbers (as UCSD Ped2 has). Baselines in
the same run, in turns: selection, the rule one volume at a time in NumPy; scoring, a
pairwise-distance call per region and component (scipy and scikit-learn), and that loop. Each result
is compared with the baseline's before it is timed.
"""

import argparse
from typing import NamedTuple

import numpy as np
from rich.console import Console
from scipy.spatial.distance import cdist
from sklearn.metrics.pairwise import euclidean_distances

from benchmarks import memory, table
from vadjax.ops.distance import Metric, kernels, largest_distances, nearest, select
from vadjax.ops.distance.selection import BLOCK

SIZES = (128, 12, 12, 1)
REGIONS, TEST, MODES, MANY = 187, 390, 12, 20_000
THRESHOLD = 0.8
ENDS = np.cumsum(SIZES)
STARTS = ENDS - SIZES


def clusters(
    regions: int, volumes: int, seed: int, spread: float = 0.25, modes: int = MODES
) -> np.ndarray:
    """Volumes [R, N, 153] near a few modes of their region, the same ones for every seed."""
    middle = np.random.default_rng(0).standard_normal((regions, modes, ENDS[-1]), np.float32)
    rng = np.random.default_rng(seed)
    which = rng.integers(0, modes, (regions, volumes))
    x = np.take_along_axis(middle, which[..., None], 1)
    x += np.float32(spread) * rng.standard_normal(x.shape, np.float32)
    x[..., 128:152] = np.abs(x[..., 128:152])
    x[..., 152] = 1 / (1 + np.exp(-x[..., 152]))
    return x


def one_at_a_time(volumes: np.ndarray, exemplars: np.ndarray, inverse: np.ndarray):
    """Distances of one volume [D] to exemplars [E, D]."""
    squares = np.square(exemplars - volumes)
    return inverse @ np.sqrt(np.add.reduceat(squares, STARTS, axis=1)).T


def select_by_loop(x: np.ndarray, metric: Metric, threshold: float) -> list[list[int]]:
    """The rule of spec eval §6, one volume after the other."""
    inverse, selected = 1 / np.float32(metric.scales), []
    for region in x:
        # A volume within the threshold of an exemplar is counted there, any other becomes one
        exemplars, kept, count = np.empty_like(region), [], []
        for i, volume in enumerate(region):
            if kept:
                distances = one_at_a_time(volume, exemplars[: len(kept)], inverse)
                best = distances.argmin()
                if distances[best] <= threshold:
                    count[best] += 1
                    continue
            exemplars[len(kept)] = volume
            kept.append(i)
            count.append(1)
        selected.append(kept)
    return selected


def score_by_loop(test: np.ndarray, sets: list[np.ndarray], metric: Metric) -> np.ndarray:
    """Nearest exemplar, one volume after the other."""
    inverse = 1 / np.float32(metric.scales)
    scores = [
        one_at_a_time(volume, exemplars, inverse).min()
        for region, exemplars in zip(test, sets, strict=True)
        for volume in region
    ]
    return np.reshape(scores, test.shape[:2])


def score_by_calls(test, sets, metric: Metric, pairwise) -> np.ndarray:
    """Nearest exemplar by a pairwise-distance call for each region and component."""
    spans = list(zip(metric.spans, metric.scales, strict=True))
    scores = []
    for region, exemplars in zip(test, sets, strict=True):
        total = sum(pairwise(region[:, a:b], exemplars[:, a:b]) / scale for (a, b), scale in spans)
        best = total.argmin(1)
        scores.append(np.take_along_axis(total, best[:, None], 1)[:, 0])
    return np.stack(scores)


class Learnt(NamedTuple):
    """What selection and scoring are timed on.

    Attributes:
      volumes: that exemplars are selected of, [R, N, D].
      test: that are scored, [R, M, D].
      exemplars, offsets: the selected ones, and where those of each region begin.
      metric: of the distances.
    """

    volumes: np.ndarray
    test: np.ndarray
    exemplars: np.ndarray
    offsets: np.ndarray
    metric: Metric

    @property
    def sets(self) -> list[np.ndarray]:
        """The exemplars of each region."""
        return np.split(self.exemplars, self.offsets[1:-1])


def learnt(regions: int, volumes: int, test: int, spread: float = 0.25, threshold=THRESHOLD):
    """Clusters, and their exemplars."""
    x = clusters(regions, volumes, 1, spread)
    # Largest distances of some 4,000 volumes scale the components
    drawn = x.reshape(-1, x.shape[-1])[:: max(1, regions * volumes // 4000)]
    metric = Metric(SIZES, tuple(largest_distances(drawn, SIZES)))
    selected = select(x, metric, threshold)
    spans = zip(selected.offsets, selected.offsets[1:], strict=False)
    sets = [region[selected.index[a:b]] for region, (a, b) in zip(x, spans, strict=True)]
    tested = clusters(regions, test, 2, spread)
    return Learnt(x, tested, np.concatenate(sets), np.asarray(selected.offsets), metric)


def our_selection(*data):
    """A function that selects exemplars of `Learnt`."""
    own = Learnt(*data)
    return lambda: select(own.volumes, own.metric, THRESHOLD)


def selection_by_loop(*data):
    """The same, one volume at a time."""
    own = Learnt(*data)
    return lambda: select_by_loop(own.volumes, own.metric, THRESHOLD)


def our_scoring(*data):
    """A function that scores the test volumes of `Learnt`."""
    own = Learnt(*data)
    return lambda: nearest(own.test, own.exemplars, own.offsets, own.metric).score


def scoring_by_calls(*data):
    """The same by SciPy, a call for each region and component."""
    own = Learnt(*data)
    sets = own.sets
    return lambda: score_by_calls(own.test, sets, own.metric, cdist)


def many_volumes(metric: Metric, threshold: float, regions: int = 2) -> None:
    """20,000 volumes a region: time and memory, against a region by the loop."""
    x = clusters(regions, MANY, 1)
    before = memory.peak()
    selected = select(x, metric, threshold)
    grown = memory.peak() - before
    # What the compiler says that the kernel needs beside its inputs and results
    counts = np.diff(selected.offsets)
    slots = 2 ** int(np.ceil(np.log2(max(counts.max(), BLOCK))))
    static = {"spans": metric.spans, "capacity": slots, "block": BLOCK}
    kernel = kernels.compiled(kernels.select, None, 2, **static)
    lengths, scales = np.full(regions, MANY, np.int32), np.float32(metric.scales)
    limits = np.full(2, threshold, np.float32)
    analysis = kernel.lower(x, lengths, scales, limits).compile().memory_analysis()
    programs = {
        "numpy, one at a time": lambda: select_by_loop(x, metric, threshold),
        "ours": lambda: select(x, metric, threshold),
    }
    turns = table.in_turns(programs, 3, warm=0)
    title = f"selection, {regions} regions × {MANY} volumes, {counts.mean():.0f} exemplars"
    table.show(title, turns, "numpy, one at a time", x.shape[0] * x.shape[1], "volumes")
    product = regions * MANY * counts.max() * x.shape[2] * 4
    Console(width=120).print(
        f"memory: features {x.nbytes / 1e6:.0f} MB; the kernel's temporaries "
        f"{analysis.temp_size_in_bytes / 1e6:.1f} MB; peak of the process grew by "
        f"{1e3 * grown:.0f} MB in the first call, compiling included; "
        f"N × M × D would be {product / 1e6:,.0f} MB"
    )


def main(argv: list[str] | None = None) -> None:
    """Runs the three benchmarks and prints their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--volumes", type=int, default=507)
    parser.add_argument("--threshold", type=float, default=THRESHOLD)
    parser.add_argument("--spread", type=float, default=0.25, help="of the volumes in a cluster")
    args = parser.parse_args(argv)
    own = learnt(REGIONS, args.volumes, TEST, args.spread, args.threshold)
    x, metric = own.volumes, own.metric
    many_volumes(metric, args.threshold)

    # Selection: the same exemplars as by the loop, then the times
    selected = select(x, metric, args.threshold)
    spans = [slice(a, b) for a, b in zip(selected.offsets, selected.offsets[1:], strict=False)]
    indices = [selected.index[span].tolist() for span in spans]
    same = indices == select_by_loop(x, metric, args.threshold)
    counts = np.diff(selected.offsets)
    programs = {
        "numpy, one at a time": lambda: select_by_loop(x, metric, args.threshold),
        "ours": lambda: select(x, metric, args.threshold),
    }
    title = (
        f"selection, {REGIONS} regions × {args.volumes} volumes × {x.shape[2]}, {counts.min()} to "
        f"{counts.max()} exemplars, mean {counts.mean():.1f}; same indices: {same}"
    )
    turns = table.in_turns(programs, args.runs, warm=1)
    table.show(title, turns, "numpy, one at a time", REGIONS * args.volumes, "volumes")

    # Scoring: distances to the nearest of these exemplars
    test, exemplars, sets = own.test, own.exemplars, own.sets
    programs = {
        "numpy, one at a time": lambda: score_by_loop(test, sets, metric),
        "scipy, a call a region": lambda: score_by_calls(test, sets, metric, cdist),
        "sklearn, a call a region": lambda: score_by_calls(test, sets, metric, euclidean_distances),
        "ours": lambda: nearest(test, exemplars, own.offsets, metric).score,
    }
    exact = programs["scipy, a call a region"]()
    worst = {name: np.abs(program() - exact).max() for name, program in programs.items()}
    turns = table.in_turns(programs, args.runs, warm=1)
    title = f"scoring, {REGIONS} regions × {TEST} volumes, nearest exemplar"
    table.show(title, turns, "scipy, a call a region", REGIONS * TEST, "volumes")
    print("largest error of a score:", {name: f"{error:.1e}" for name, error in worst.items()})


if __name__ == "__main__":
    main()
