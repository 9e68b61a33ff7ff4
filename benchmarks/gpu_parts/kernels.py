"""The exemplar kernels of `vadjax/ops/distance` on many volumes."""

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.exemplars import REGIONS, SIZES, clusters, select_by_loop
from benchmarks.gpu_parts.settings import Settings
from vadjax.ops import distance
from vadjax.ops.distance import scoring


def nearest(settings: Settings) -> Iterator[dict]:
    """Nearest exemplars of one region's volumes, by tiles of several sizes."""
    volumes, count = of_kernels(settings)
    x, exemplars = clusters(1, volumes, 2), clusters(1, count, 1)[0]
    scales = distance.largest_distances(exemplars, SIZES, most=2000)
    metric = distance.Metric(SIZES, tuple(scales))
    drawn = np.random.default_rng(0).integers(0, volumes, 50)
    right = metric.distances(x[0, drawn], exemplars).argmin(1)

    def find(block: int, volumes: int) -> distance.Nearest:
        return distance.nearest(x[:, :volumes], exemplars, [0, count], metric, block)

    # A tile that suits the cache of a CPU may be too small for a GPU
    for block, tile in ((scoring.BLOCK, scoring.TILE), (4096, 2**26), (16384, 2**28)):
        block = min(block, volumes)
        warm, run = (functools.partial(find, block, size) for size in (block, volumes))
        with mock.patch.object(scoring, "TILE", tile):
            row = by_clock(run, warm) | {"kernel": "nearest"}
        found = row.pop("result").index[0, drawn]
        if not np.array_equal(found, right):
            raise AssertionError(f"{(found != right).sum()} of {len(right)} drawn are wrong")
        flop = 2.0 * volumes * count * x.shape[-1]
        sizes = {"volumes": volumes, "exemplars": count, "block": block, "tile": tile}
        yield row | sizes | {"tflops": flop / row["s"] / 1e12}


def select(settings: Settings) -> Iterator[dict]:
    """Greedy selection in many regions, the same exemplars as by the rule in NumPy."""
    volumes, count = of_kernels(settings)
    regions = 8 if settings.small else REGIONS
    x = clusters(regions, volumes // regions, 1, modes=max(count // regions, 1))
    sample = x.reshape(-1, x.shape[-1])[:: max(1, volumes // 2000)]
    metric = distance.Metric(SIZES, tuple(distance.largest_distances(sample, SIZES)))
    run = functools.partial(distance.select, x, metric, 0.8)
    row = by_clock(run, run) | {"kernel": "select", "regions": regions, "volumes": volumes}
    found = row.pop("result")
    (right,) = select_by_loop(x[:1], metric, 0.8)
    if found.index[: found.offsets[1]].tolist() != right:
        raise AssertionError("region 0: other exemplars than by the rule in NumPy")
    yield row | {"exemplars": int(found.offsets[-1])}


def of_kernels(settings: Settings) -> tuple[int, int]:
    """Volumes and exemplars, in all."""
    return (2000, 100) if settings.small else (settings.volumes, settings.exemplars)


def by_clock(run: Callable[[], Any], warm: Callable[[], Any]) -> dict:
    """Seconds and the result of a call, after one of `warm`, which compiles it."""
    start = time.perf_counter()
    warm()
    first = time.perf_counter() - start
    start = time.perf_counter()
    result = run()
    return {"s": time.perf_counter() - start, "first_s": first, "result": result}
