"""MIL ranker: a training step, scoring a test split, and reading bags. Run it alone.

    python -m benchmarks.mil_step [--runs 15] [--cores 1]

A step is 30 + 30 bags × 32 × 2048 float32: forward, loss, backward, Adagrad, with dropout. Both
programs are handed the same batch, from NumPy. If torch is installed, its step without a loop is
the baseline, and the step as the original programs write it (a loop over the pairs, spec mil §6) is
beside it.
"""

import argparse
import importlib.util
import pathlib
import tempfile

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import table, workers
from configs import ucf_mil
from vadjax.data import bags
from vadjax.data.store import loader
from vadjax.data.store.records import Dataset
from vadjax.data.toy.datasets import ToyBags, write_bags
from vadjax.runtime import mesh
from vadjax.systems.mil.system import State, System
from vadjax.train import Loop

PAIRS, SEGMENTS, WIDTH, VIDEOS = 30, 32, 2048, 290


def our_step(batch: dict):
    """A function that does one step of the loop's compiled update on `anomalous`, `normal`."""
    pairs, _, width = batch["normal"].shape
    system = System(ucf_mil.get_config())
    params = system.ranker.init(jax.random.key(0), jnp.zeros((1, width)))
    grid, rng = mesh.make(pairs, 1), jax.random.key(1)
    state = mesh.put_state(grid, State(params, system.optimizer.init(params)))
    update = Loop(system.config, system, None, grid).compile(
        state, mesh.put_batch(grid, batch), rng
    )

    def step():
        nonlocal state  # each step donates the one before
        state, scalars = update(state, mesh.put_batch(grid, batch), rng)
        return float(scalars["loss"])

    return step


def our_scoring(features: np.ndarray):
    """A function that scores bags [B, S, D] in one call."""
    return scoring(features)["one batched call (ours)"]


def scoring(features: np.ndarray) -> dict:
    """The bags in one call, and bag by bag."""
    system = System(ucf_mil.get_config())
    params = system.ranker.init(jax.random.key(0), jnp.zeros((1, features.shape[-1])))
    one_bag = jax.jit(lambda x: system.ranker.apply(params, x))

    def eager():
        for bag in features:
            np.asarray(system.ranker.apply(params, bag))

    state = State(params, ())
    return {
        "one by one, not compiled": eager,
        "one by one, compiled": lambda: [np.asarray(one_bag(bag)) for bag in features],
        "one batched call (ours)": lambda: system.segment_scores(state, features),
    }


def write(folder: pathlib.Path, pairs: int, width: int, file_format: str = "array_record") -> None:
    """Writes toy bags for four batches."""
    toy = ToyBags(train=(4 * pairs, 4 * pairs), test=(1, 1), width=width // 2)
    write_bags(folder, toy, file_format)


def reading(folder: pathlib.Path, pairs: int, threads: int = 0):
    """A function that reads a batch of a folder of bags."""
    stream = bags.paired_bags(Dataset(folder), "train", "TWO", pairs, 0, loader.Shard())
    batches = loader.iterate(stream, threads, 2)
    return lambda: next(batches)


def readers(folder: pathlib.Path) -> dict:
    """Of each format, without and with threads that read ahead."""
    programs = {}
    for file_format in ("array_record", "tfrecord"):
        out = folder / file_format
        write(out, PAIRS, WIDTH, file_format)
        for threads in (0, 2):
            programs[f"{file_format}, {threads} threads"] = reading(out, PAIRS, threads)
    return programs


def main(argv: list[str] | None = None) -> None:
    """Runs the three benchmarks and prints their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--cores", type=int, default=0, help="(0: all)")
    args = parser.parse_args(argv)
    workers.use_cores(args.cores)
    # Our programs, and those of torch where it is installed
    rng = np.random.default_rng(0)
    batch = {
        name: rng.standard_normal((PAIRS, SEGMENTS, WIDTH), np.float32)
        for name in ("anomalous", "normal")
    }
    features = rng.standard_normal((VIDEOS, SEGMENTS, WIDTH), np.float32)
    training, scored = {"ours": our_step(batch)}, scoring(features)
    baseline, baseline_scoring = "ours", "one by one, not compiled"
    if importlib.util.find_spec("torch"):
        from benchmarks import mil_torch

        baseline = "torch, no loop"
        training = {
            baseline: mil_torch.training(batch),
            "torch, looped": mil_torch.training(batch, mil_torch.looped),
            **training,
        }
        scored = {"torch, one by one": mil_torch.scoring(features), **scored}
    else:
        print("torch is not installed: no baseline of it")
    # The three tables
    title = f"training step, {PAIRS} + {PAIRS} bags × {SEGMENTS} × {WIDTH}"
    table.show(title, table.in_turns(training, args.runs), baseline, 2 * PAIRS, "bags")
    turns = table.in_turns(scored, max(args.runs // 3, 3), warm=1)
    title = f"scoring {VIDEOS} bags × {SEGMENTS} × {WIDTH}"
    table.show(title, turns, baseline_scoring, VIDEOS, "bags")
    with tempfile.TemporaryDirectory() as folder:
        turns = table.in_turns(readers(pathlib.Path(folder)), args.runs)
    first = "array_record, 0 threads"
    table.show(f"reading a batch of {PAIRS} + {PAIRS} bags", turns, first, 2 * PAIRS, "bags")


if __name__ == "__main__":
    main()
