"""One table of speeds: every system's training, scoring and input beside a baseline. Run it alone.

    python -m benchmarks.all [--systems mil s3r …] [--runs 3] [--json FILE]

Every system is measured in a process of its own, one system after the other. Our program runs
alone first. That gives the compile time (of XLA, for all that the row needs, with nothing kept from
before) and the peak memory of the process so far. Then it takes turns with the baseline. Where
torch is not installed, its baselines are left out, with a note. Sizes are those of the published
runs but for the batches of S3R (8 + 8 bags), LGN-Net and MNAD (one window) and SSMTL (64 objects,
shallow and narrow trunk). LGN-Net and MNAD are bound to one core, the others take both.
docs/performance.md tells what each number is.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import memory, table
from vadjax.runtime import command

OPTIONAL = ("torch",)  # packages that only baselines need
MISSING = "not installed"


class Work(NamedTuple):
    """What is timed.

    Attributes:
      what: `"training"`, `"scoring"` or another word for the table.
      amount: units done in one call.
      unit: their name.
      ours: makes the function to call.
      baseline: makes the function of the baseline; None if there is none.
      name: name of the baseline.
    """

    what: str
    amount: float
    unit: str
    ours: Callable[[], Callable]
    baseline: Callable[[], Callable] | None = None
    name: str = ""


def mil() -> Iterator[Work]:
    """30 + 30 bags × 32 × 2048; a test split of 290 videos."""
    from benchmarks import mil_step as benchmark

    # The batch of a step, and the bags of a test split
    rng = np.random.default_rng(0)
    shape = benchmark.PAIRS, benchmark.SEGMENTS, benchmark.WIDTH
    batch = {name: rng.standard_normal(shape, np.float32) for name in ("anomalous", "normal")}
    videos = rng.standard_normal(
        (benchmark.VIDEOS, benchmark.SEGMENTS, benchmark.WIDTH), np.float32
    )
    yield Work(
        "training",
        2 * benchmark.PAIRS,
        "bags",
        lambda: benchmark.our_step(batch),
        lambda: benchmark.torch_step(batch, False),
        "torch",
    )
    yield Work(
        "scoring",
        benchmark.VIDEOS,
        "videos",
        lambda: benchmark.scoring(videos)["one batched call (ours)"],
        lambda: benchmark.torch_scoring(videos),
        "torch, video by video",
    )
    # The folder stays until all of the system is measured
    folder = tempfile.TemporaryDirectory()
    yield Work(
        "input",
        2 * benchmark.PAIRS,
        "bags",
        lambda: benchmark.reading(pathlib.Path(folder.name))["array_record, 0 threads"],
    )
    folder.cleanup()


def s3r() -> Iterator[Work]:
    """8 + 8 bags × 10 crops × 32 × 2048; a video of 200 snippets."""
    from benchmarks import s3r_step as benchmark

    # The batch of a step, the rows of the dictionary, and a long video
    rng, pairs = np.random.default_rng(0), 8
    shape = pairs, benchmark.CROPS, benchmark.SEGMENTS, benchmark.WIDTH
    batch = {label: rng.random(shape, np.float32) for label in ("normal", "anomalous")}
    atoms = rng.random((benchmark.ATOMS, benchmark.WIDTH), np.float32)
    video = rng.random((benchmark.CROPS, benchmark.SNIPPETS, benchmark.WIDTH), np.float32)
    yield Work(
        "training",
        2 * pairs,
        "bags",
        lambda: benchmark.our_step(batch, atoms),
        lambda: benchmark.torch_step(batch, atoms),
        "torch",
    )
    yield Work(
        "scoring",
        benchmark.SNIPPETS,
        "snippets",
        lambda: benchmark.our_scoring(video, atoms),
        lambda: benchmark.torch_scoring(video, atoms),
        "torch",
    )


def predictor(model: str) -> Callable[[], Iterator[Work]]:
    """One window of 256 × 256; four windows scored. One core."""

    def works() -> Iterator[Work]:
        from benchmarks import lgn_step as benchmark

        def maker(program: str) -> Callable[[], Callable]:
            return lambda: benchmark.make(program, model, 256, 1)[0]

        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # torch's threads wait busily
        for what, program, amount in (("training", "train", 1), ("scoring", "score", 4)):
            ours, torch = maker(f"ours_{program}"), maker(f"torch_{program}")
            yield Work(what, amount, "windows", ours, torch, "torch")
        yield Work("input", 4, "windows", windows)

    return works


def windows() -> Callable:
    """Reads four windows of five frames of 256 × 256."""
    from vadjax.data.clips import window_batches
    from vadjax.data.store import loader
    from vadjax.data.store.records import Dataset
    from vadjax.data.toy.datasets import write_scenes
    from vadjax.data.toy.scenes import ToyScenes

    folder = tempfile.TemporaryDirectory()
    out = pathlib.Path(folder.name) / "scenes"
    write_scenes(out, ToyScenes(train=2, test=1, frames=40, height=256, width=256))
    batches = loader.iterate(window_batches(Dataset(out), "train", 5, 4, 0, loader.Shard()), 0)
    # The function holds the folder, which is removed with it
    return lambda held=folder: next(batches)


def ssmtl() -> Iterator[Work]:
    """64 objects, four tasks, shallow and narrow trunk."""
    import jax
    import jax.numpy as jnp

    from benchmarks import ssmtl as benchmark

    # Scoring gets the outputs of the detector alone
    trunk, count = "shallow_narrow", 64
    batch = benchmark.batch_of(count)
    system, state = benchmark.system_of(trunk)
    system.config.eval.batch = count
    detector = batch["teachers"][:, : benchmark.OUTPUTS["detector"]]
    learnt = (state.variables, state.normal)

    def torch(which: int) -> Callable:
        return benchmark.torch_programs(state, jax.tree.map(jnp.asarray, batch))[which]

    yield Work(
        "training",
        count,
        "objects",
        lambda: benchmark.our_step(trunk, batch),
        lambda: torch(0),
        "torch",
    )
    yield Work(
        "scoring",
        count,
        "objects",
        lambda: lambda: system.object_scores(*learnt, batch["crops"], detector),
        lambda: torch(2),
        "torch",
    )
    yield Work("input", 64, "objects", crops)


def crops() -> Callable:
    """Cuts 64 objects from frames of 240 × 360, for training."""
    from vadjax.data.objects import ObjectSource
    from vadjax.data.store.records import Dataset
    from vadjax.data.toy.datasets import write_scenes
    from vadjax.data.toy.scenes import ToyScenes
    from vadjax.systems.ssmtl.samples import Samples

    folder = tempfile.TemporaryDirectory()
    out = pathlib.Path(folder.name) / "scenes"
    write_scenes(out, ToyScenes(train=2, test=1, frames=80, height=240, width=360))
    samples = Samples(ObjectSource(Dataset(out), ""), "train", 64, 0, False)
    places = np.random.default_rng(0).integers(0, len(samples), 64)
    # The function holds the folder, which is removed with it
    return lambda held=folder: samples.batch(np.zeros(64, int), places)


def exemplar() -> Iterator[Work]:
    """187 regions × 507 volumes × 153 features, about 13 exemplars a region; flow of 240 × 360."""
    from benchmarks import exemplars as benchmark
    from vadjax.ops.distance import Metric, largest_distances, nearest, select
    from vadjax.ops.flow import DIS, make_flow, video_flow

    threshold, volumes = 0.8, 507
    x = benchmark.clusters(benchmark.REGIONS, volumes, 1)
    metric = Metric(
        benchmark.SIZES, tuple(largest_distances(x.reshape(-1, x.shape[-1])[::25], benchmark.SIZES))
    )
    yield Work(
        "selection",
        benchmark.REGIONS * volumes,
        "volumes",
        lambda: lambda: select(x, metric, threshold),
        lambda: lambda: benchmark.select_by_loop(x, metric, threshold),
        "numpy, one at a time",
    )
    # Scoring takes the exemplars that were selected, region by region
    selected = select(x, metric, threshold)
    spans = zip(selected.offsets, selected.offsets[1:], strict=False)
    sets = [x[r, selected.index[a:b]] for r, (a, b) in enumerate(spans)]
    test, exemplars = benchmark.clusters(benchmark.REGIONS, benchmark.TEST, 2), np.concatenate(sets)
    yield Work(
        "scoring",
        benchmark.REGIONS * benchmark.TEST,
        "volumes",
        lambda: lambda: nearest(test, exemplars, selected.offsets, metric).score,
        lambda: lambda: benchmark.score_by_calls(test, sets, metric, benchmark.cdist),
        "scipy, a call a region",
    )
    frames = np.random.default_rng(0).integers(0, 256, (11, 240, 360, 3), np.uint8)
    for method in DIS:
        yield Work(
            f"input (optical flow, {method})",
            10,
            "frames",
            lambda method=method: lambda: list(video_flow(frames, make_flow(method))),
        )


def i3d() -> Iterator[Work]:
    """Four clips of 16 × 224 × 224."""
    from benchmarks import i3d as benchmark

    yield Work(
        "features",
        4,
        "clips",
        lambda: benchmark.make("ours", 4, 2),
        lambda: benchmark.make("torch", 4, 2),
        "torch",
    )


SYSTEMS: dict[str, Callable[[], Iterator[Work]]] = {
    "mil": mil,
    "s3r": s3r,
    "lgn": predictor("lgn"),
    "mnad": predictor("mnad"),
    "ssmtl": ssmtl,
    "exemplar": exemplar,
    "i3d": i3d,
}


def measure(name: str, runs: int) -> list[dict]:
    """Rows of a system, measured in this process."""
    from jax import monitoring

    works, compiled = [], []

    def note_compilation(event: str, seconds: float, **_) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(seconds)

    monitoring.register_event_duration_secs_listener(note_compilation)
    # Ours first, alone: the baselines would add to the peak memory
    for work in SYSTEMS[name]():
        compiled.clear()
        ours = work.ours()
        ours()
        row = {
            "system": name,
            "what": work.what,
            "unit": work.unit,
            "compile": sum(compiled),
            "peak_gb": memory.peak(),
        }
        works.append((work, ours, row))
    # Then each in turns with its baseline
    return [row | beside(work, ours, runs) for work, ours, row in works]


def beside(work: Work, ours: Callable, runs: int) -> dict:
    """Rates, in turns with the baseline."""
    baseline = open_baseline(work)
    programs = {work.name: baseline} if baseline is not None else {}
    times = table.in_turns({**programs, "ours": ours}, runs, warm=1)
    rate = {name: work.amount / statistics.median(seconds) for name, seconds in times.items()}
    row = {"rate": rate["ours"]}
    if work.baseline is not None:
        row["baseline"] = work.name if baseline is not None else f"{work.name} ({MISSING})"
    if baseline is not None:
        row["baseline_rate"] = rate[work.name]
        pairs = zip(times[work.name], times["ours"], strict=True)
        row["ratio"] = statistics.median(base / seconds for base, seconds in pairs)
    return row


def open_baseline(work: Work) -> Callable | None:
    """The baseline's function; None where there is none, or its package is not installed."""
    if work.baseline is None:
        return None
    try:
        return work.baseline()
    except ModuleNotFoundError as error:
        if error.name not in OPTIONAL:
            raise
        print(f"note: {error.name} is {MISSING}: {work.what} has no baseline", file=sys.stderr)
        return None


def show(rows: list[dict]) -> None:
    """Prints the table."""
    printed = Table(title="speeds, medians", title_justify="left")
    for head in ("system", "what"):
        printed.add_column(head)
    for head in ("rate", "baseline", "its rate", "ratio", "compile s", "peak GB"):
        printed.add_column(head, justify="right")

    # What was not measured is a dash
    def number(value: Any, form: str) -> str:
        return "–" if value is None else format(value, form)

    def rate(value: Any) -> str:
        return number(value, ",.3g" if value is not None and value < 10 else ",.1f")

    for row in rows:
        printed.add_row(
            row["system"],
            row["what"],
            f"{rate(row['rate'])} {row['unit']}/s",
            row.get("baseline", "–"),
            rate(row.get("baseline_rate")),
            number(row.get("ratio"), ".2f"),
            f"{row['compile']:.1f}",
            f"{row['peak_gb']:.2f}",
        )
    Console(width=120).print(printed)


def main() -> None:
    """Measures every system in a process of its own and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=pathlib.Path, help="write the rows to this file")
    parser.add_argument("--worker", choices=SYSTEMS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print("rows", json.dumps(measure(args.worker, args.runs)))
        return
    # Without a cache on disk, so that compile times are those of a first run
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    rows = []
    for name in track(args.systems, "systems"):
        command = [sys.executable, "-m", "benchmarks.all", "--worker", name]
        done = subprocess.run(
            [*command, "--runs", str(args.runs)], env=environment, text=True, stdout=subprocess.PIPE
        )
        if done.returncode:
            sys.exit(f"error: {name}: the process of this system failed")
        last = next(line for line in done.stdout.splitlines() if line.startswith("rows "))
        rows.extend(json.loads(last.removeprefix("rows ")))
    show(rows)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    command.run(main)
