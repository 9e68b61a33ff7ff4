"""The parts of `benchmarks.gpu`, each a function that yields rows for the JSON file.

A part runs in a worker process. Parts of one group share a process, one after the other.
"""

import contextlib
import functools
import os
import pathlib
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import gpu_golden, memory
from benchmarks.accelerators import DATA_SHEETS, Work, roofline, work
from tests.helpers import accelerator_cases
from tests.helpers.accelerator_cases import PUBLISHED, SMALL, cases, first_values
from tests.helpers.systems import config_of
from vadjax.data.store import loader
from vadjax.data.store.records import Dataset
from vadjax.data.toy.datasets import ToyBags, write_bags, write_scenes
from vadjax.data.toy.scenes import ToyScenes
from vadjax.runtime import mesh
from vadjax.system import load_system
from vadjax.train import Loop

ROOT = pathlib.Path(__file__).parents[1]
CACHE = "JAX_COMPILATION_CACHE_DIR"
COMPARED = 10  # steps on one batch after which losses of two precisions are compared
TIMED = 1.5  # seconds that a program is timed for
TOGETHER = 0.1  # seconds of work that are started at once, and waited for together
TRAINED = ("lgn", "s3r", "mil", "mnad", "ssmtl", "rtfm", "motion", "appearance")


class LeftOut(Exception):
    """Why a part has nothing to measure on this machine."""


class Settings(NamedTuple):
    """Of the command line.

    Attributes:
      small: whether all sizes are those of tests.
      volumes: that the exemplar kernels see, in all.
      exemplars: that they compare them with, in all.
    """

    small: bool
    volumes: int
    exemplars: int

    @property
    def size(self) -> accelerator_cases.Size:
        """Of the inputs of steps."""
        return SMALL if self.small else PUBLISHED


class Part(NamedTuple):
    """A part of the program.

    Attributes:
      name: in the table.
      seconds: that it may take at the most.
      run: of the settings; yields rows.
      group: parts of one group share a process.
    """

    name: str
    seconds: float
    run: Callable[[Settings], Iterator[dict]]
    group: str


def parts(settings: Settings) -> list[Part]:
    """All parts, the most worthy first."""

    def golden(name: str) -> Part:
        return Part(f"golden {name}", 90, functools.partial(run_golden, name), "golden")

    def steps(name: str) -> Part:
        run = functools.partial(run_steps, name, ("float32", "bfloat16"))
        return Part(f"steps {name}", 90, run, f"steps {name}")

    def exact(name: str) -> Part:
        run = functools.partial(run_steps, name, ("highest",))
        return Part(f"exact {name}", 60, run, f"exact {name}")

    def loading(name: str) -> Part:
        return Part(f"input {name}", 40, functools.partial(run_input, name), "input")

    def torch(name: str) -> Part:
        return Part(f"torch {name}", 60, functools.partial(run_torch, name), "torch")

    return [
        Part("device", 60, device, "golden"),
        *map(golden, gpu_golden.NODES),
        *map(steps, TRAINED[:3]),
        Part("nearest", 90, nearest, "kernels"),
        Part("select", 60, select, "kernels"),
        *map(steps, TRAINED[3:5]),
        *map(loading, ("mil", "lgn", "ssmtl")),
        *map(torch, TRAINED[:3]),
        *map(steps, (*TRAINED[5:], "i3d")),
        *map(torch, (*TRAINED[3:5], "i3d")),
        Part("forms", 150, run_forms, "forms"),
        *map(exact, TRAINED[:3]),
    ]


def environment(group: str) -> dict[str, str]:
    """Variables of the process of a group."""
    found = {
        # Memory is taken as it is needed, so that its peak is known and processes can follow
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        CACHE: os.environ.get(CACHE, str(ROOT / ".cache" / "jax")),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    if group == "golden":  # products of float32 are TF32 on a GPU unless one asks for more
        found |= {"JAX_DEFAULT_MATMUL_PRECISION": "highest", "VADJAX_TEST_PLATFORMS": ""}
    if group == "torch":  # which has the GPU for itself
        found["JAX_PLATFORMS"] = "cpu"
    return found


def device(settings: Settings) -> Iterator[dict]:
    """The machine, and how exact its products of float32 are."""
    del settings
    first = jax.devices()[0]
    chip, limit = (
        DATA_SHEETS.get(first.device_kind),
        (first.memory_stats() or {}).get("bytes_limit"),
    )
    a, b = np.random.default_rng(0).standard_normal((2, 512, 512)).astype(np.float32)
    right = a.astype(np.float64) @ b
    errors = {
        name: float(np.abs(jnp.dot(a, b, precision=name) - right).max() / np.abs(right).max())
        for name in ("default", "highest")
    }
    yield {
        "kind": first.device_kind,
        "platform": first.platform,
        "devices": jax.device_count(),
        "memory_gb": limit and limit / 1e9,
        "data_sheet": chip and chip._asdict(),
        "driver": " ".join(first.client.platform_version.split()),
        "jax": jax.__version__,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "error_of_products": errors,
    }


def run_golden(name: str, settings: Settings) -> Iterator[dict]:
    """The golden tests of a system.

    Raises:
      AssertionError: one of them failed; what the first said.
      LeftOut: all were skipped; why the first was.
    """
    rows = gpu_golden.run(name, settings.small)
    yield from rows
    failed = [row for row in rows if row["outcome"] == "failed"]
    if failed:
        raise AssertionError(f"{len(failed)} of {len(rows)} tests: {failed[0]['said']}")
    if all(row["outcome"] == "skipped" for row in rows):
        raise LeftOut(rows[0]["said"])


# Steps


def filled(shapes: Any) -> Any:
    """Random values of the shapes of a batch: bytes, bits of integers, numbers in [0, 1)."""
    rng = np.random.default_rng(1)

    def fill(leaf):
        if leaf.dtype == np.float32:
            return rng.random(leaf.shape, np.float32)
        return rng.integers(0, 256 if leaf.dtype == np.uint8 else 2, leaf.shape, leaf.dtype)

    return jax.tree.map(fill, shapes)


class Program(NamedTuple):
    """Something compiled that is timed.

    Attributes:
      run: does it once; its result can be waited for, and is the loss of a training step.
      compiled: as of JAX.
      figures: how long tracing and compiling took, and whether the program came from the disk.
    """

    run: Callable[[], jax.Array]
    compiled: Any
    figures: dict


def training(case: accelerator_cases.Case) -> Program:
    """The step as the loop compiles it, on one batch that stays on the device."""
    shapes = case.arguments[1]
    grid = mesh.make(jax.tree.leaves(shapes)[0].shape[0], 1)
    state = mesh.put_state(grid, first_values(case.system, case.data))
    batch, rng = mesh.put_batch(grid, filled(shapes)), jax.random.key(1)
    loop = Loop(case.system.config, case.system, None, grid)
    update, figures = compiled(lambda: loop.compile(state, batch, rng))

    def step():
        nonlocal state  # each step donates the one before
        state, scalars = update(state, batch, rng)
        return scalars["loss"]

    return Program(step, update, figures)


def features(case: accelerator_cases.Case) -> Program:
    """The I3D network on clips that stay on the device."""
    from benchmarks import i3d
    from vadjax.backbones import i3d_weights

    variables = jax.device_put(i3d_weights.to_variables(i3d.weights(), "rgb", "here"))
    clips = jax.device_put(2 * filled(case.arguments[1]) - 1)
    apply = jax.jit(lambda *given: case.function(*given)["features"])
    program, figures = compiled(lambda: apply.lower(variables, clips).compile())
    return Program(lambda: program(variables, clips), program, figures)


def compiled(compile_it: Callable[[], Any]) -> tuple[Any, dict]:
    """What is compiled, and the `figures` of a `Program`."""
    hits = []

    def note(event: str, **_) -> None:
        if event == "/jax/compilation_cache/cache_hits":
            hits.append(event)

    jax.monitoring.register_event_listener(note)
    start = time.perf_counter()
    program = compile_it()
    return program, {"compile_s": time.perf_counter() - start, "from_disk": bool(hits)}


def run_steps(name: str, modes: tuple[str, ...], settings: Settings) -> Iterator[dict]:
    """The training step of a system (of I3D the forward pass) in each mode, beside the roofline.

    Args:
      name: of the system.
      modes: float32 as JAX multiplies it by default, bfloat16, or float32 with the highest
        precision; the others are compared with the first.
      settings: of the command line.
    """
    first = None
    for mode in modes:
        precision = "bfloat16" if mode == "bfloat16" else "float32"
        exact = mode == "highest"
        with jax.default_matmul_precision("highest") if exact else contextlib.nullcontext():
            # Methods have one training step, and I3D none in bfloat16
            for case in cases(name, settings.size, precision):
                if case.system is not None or name == "i3d":
                    row = measure(case, mode)
                    if first is not None:
                        row |= beside(first, row)
                    first = first or row
                    yield row


def measure(case: accelerator_cases.Case, mode: str) -> dict:
    """Figures of a step.

    Raises:
      FloatingPointError: a loss is not finite.
    """
    program = training(case) if case.system is not None else features(case)
    row = {"system": case.name, "what": case.what, "mode": mode, **program.figures}
    # The losses of the first steps, which the clock does not count
    if case.system is not None:
        losses = [float(program.run()) for _ in range(COMPARED)]
        if not np.isfinite(losses).all():
            raise FloatingPointError(f"{mode}: losses {losses}")
        row |= {"loss_first": losses[0], "loss_last": losses[-1]}
    seconds, runs = timed(program.run)
    row |= {"ms": 1e3 * seconds, "per_s": 1 / seconds, "runs": runs}
    return row | predicted(counted(case), mode, seconds) | memory_of(program.compiled)


def counted(case: accelerator_cases.Case) -> Work:
    """What the step does, counted for the CPU's client where there is one.

    The plugins of other backends need not be able to count.
    """
    try:
        place = jax.devices("cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS names the GPU alone
        return work(case)
    with jax.default_device(place):
        return work(case)


def timed(run: Callable[[], Any], seconds: float = TIMED) -> tuple[float, int]:
    """Median seconds of a call, and how many calls were timed.

    As in a training, calls are started one after the other; a few of them are waited for together.
    """
    jax.block_until_ready(run())
    start = time.perf_counter()
    jax.block_until_ready(run())
    once = max(time.perf_counter() - start, 1e-6)
    together = int(np.clip(TOGETHER / once, 1, 100))
    times, begin = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        for _ in range(together):
            result = run()
        jax.block_until_ready(result)
        times.append((time.perf_counter() - start) / together)
    return statistics.median(times), together * len(times)


def predicted(done: Work, mode: str, seconds: float) -> dict:
    """What the roofline of this chip says of a step; None where its data sheet is not known."""
    chip = DATA_SHEETS.get(jax.devices()[0].device_kind)
    flop, least, most = done
    row = {"flop": flop, "bytes_least": least, "bytes_most": most, "tflops": flop / seconds / 1e12}
    if chip is None or mode not in chip.peak:
        return row | {"predicted_ms": None, "of_peak": None}
    times = [roofline(chip, mode, flop, moved) for moved in (least, most)]
    share = flop / seconds / chip.peak[mode]
    return row | {"predicted_ms": [1e3 * time for time in times], "of_peak": share}


def memory_of(compiled) -> dict:
    """GB that the program needs by the compiler, and the peaks of device and process so far."""
    sizes = compiled.memory_analysis()
    needed = sizes.argument_size_in_bytes + sizes.output_size_in_bytes
    needed += sizes.temp_size_in_bytes - sizes.alias_size_in_bytes
    peak = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    return {
        "program_gb": needed / 1e9,
        "device_peak_gb": peak and peak / 1e9,
        "process_peak_gb": memory.peak(),
    }


def beside(first: dict, row: dict) -> dict:
    """How a row differs from the first one: relative losses, and how many times faster it is."""
    found = {"speedup": first["ms"] / row["ms"]}
    for which in ("loss_first", "loss_last"):
        if which in row:
            difference = abs(row[which] - first[which]) / max(abs(first[which]), 1e-12)
            found[f"difference_{which}"] = difference
    return found


def run_torch(name: str, settings: Settings) -> Iterator[dict]:
    """The same step in torch, in float32 with TF32 products where the GPU has them."""
    try:
        import torch
    except ModuleNotFoundError as error:
        raise LeftOut("torch is not installed") from error
    if not torch.cuda.is_available() and not settings.small:
        raise LeftOut("torch finds no GPU")

    from benchmarks import gpu_torch

    yield gpu_torch.measure(name, settings.size)


# Exemplar kernels


def nearest(settings: Settings) -> Iterator[dict]:
    """Nearest exemplars of one region's volumes, by tiles of several sizes."""
    from unittest import mock

    from benchmarks.exemplars import SIZES, clusters
    from vadjax.ops import distance
    from vadjax.ops.distance import scoring

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
    from benchmarks.exemplars import REGIONS, SIZES, clusters, select_by_loop
    from vadjax.ops import distance

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


# Input


def run_input(name: str, settings: Settings) -> Iterator[dict]:
    """Batches a second of the loader, and as the loop hands them to the device."""
    config = config_of(name, settings.size.variant)
    config.train.batch = accelerator_cases.batch_of(name, config, settings.size)
    if name == "ssmtl":  # as the step that it is compared with
        config.model.tasks = tuple(task for task in config.model.tasks if task != "distillation")
    grid = mesh.make(config.train.batch, 1)
    with tempfile.TemporaryDirectory() as folder:
        batches = dataset_batches(config, pathlib.Path(folder) / "data", settings)
        for threads in sorted({config.data.threads, os.cpu_count()}):
            stream = loader.iterate(batches, threads, config.data.prefetch)
            read, _ = timed(functools.partial(next, stream))
            handed, _ = timed(lambda stream=stream: mesh.put_batch(grid, next(stream)))
            row = {"system": name, "threads": threads, "batch": config.train.batch}
            yield row | {"batches_per_s": 1 / read, "on_device_per_s": 1 / handed}


def dataset_batches(config, out: pathlib.Path, settings: Settings):
    """Batches of a toy set of the published sizes."""
    system = load_system(config)
    height, width = settings.size.frame
    if system.kind == "features":
        count = 2 * config.train.batch
        write_bags(out, ToyBags((count, count), (1, 1), width=settings.size.width // 2))
    else:
        write_scenes(out, ToyScenes(train=2, test=1, frames=40, height=height, width=width))
    return system.batches(Dataset(out), loader.Shard())


def run_forms(settings: Settings) -> Iterator[dict]:
    """Both forms of every operation that has two."""
    from benchmarks import gpu_forms

    yield from gpu_forms.run(settings.small, functools.partial(timed, seconds=TIMED / 5))
