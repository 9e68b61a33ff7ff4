"""SSMTL: a training step and scoring beside torch, and cutting crops. Run it alone.

    python -m benchmarks.ssmtl [--runs 5] [--batch 64] [--trunk shallow_narrow] [--scoring]
        [--cores 1] [--data data/ped2 --objects data/ped2_objects]

A step is 64 objects with all four tasks (1,080 outputs distilled): forward, losses, backward, Adam,
with batch norm over all passes. The crops are handed over as float32. "torch, each pass" has the
statistics of each pass by itself, which saves torch some copies. "plain" is ours with XLA's own
3-D convolutions. Scoring takes the same number of objects; in torch too, arrow and irregularity
share their pass. With a dataset, the program also tells how many objects a second are cut from the
prepared frames, for scoring (seven crops) and for training (up to thirteen), in one thread.
"""

import argparse
import contextlib
import time
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import table, workers
from configs import ped2_ssmtl
from vadjax.backbones import layers
from vadjax.data.objects import ObjectSource
from vadjax.data.store.cache import Cache
from vadjax.data.store.records import Dataset, Description
from vadjax.ops import conv
from vadjax.runtime import mesh
from vadjax.systems.ssmtl import tasks
from vadjax.systems.ssmtl.samples import Samples
from vadjax.systems.ssmtl.system import System
from vadjax.train import Loop

OUTPUTS = {"detector": 80, "classifier": 1000}
SIDE = 64


def system_of(trunk: str) -> tuple[System, dict]:
    """The system with `OUTPUTS` of teachers, and its first state."""
    config = ped2_ssmtl.get_config("short")
    config.model.trunk = trunk
    description = Description("", {"outputs": OUTPUTS, "size": [240, 360]}, "")
    with mock.patch.object(Cache, "fact", lambda *_: description):  # the dataset of objects
        system = System(config)
    return system, system.init(jax.random.key(0), description)


def batch_of(count: int) -> dict:
    """Random objects as `tasks.training_inputs` takes them."""
    rng = np.random.default_rng(0)
    shape = (count, tasks.LENGTH, SIDE, SIDE, 3)
    return {
        "crops": rng.random(shape, np.float32),
        "irregular_crops": rng.random(shape, np.float32),
        "backward": rng.integers(0, 2, count, np.int32),
        "irregular": rng.integers(0, 2, count, np.int32),
        "teachers": rng.standard_normal((count, sum(OUTPUTS.values())), np.float32),
    }


def our_step(trunk: str, batch: dict, plain: bool = False):
    """A function that does one step of the loop's compiled update."""
    system, state = system_of(trunk)
    grid = mesh.make(len(batch["backward"]), 1)
    state, rng = mesh.put_state(grid, state), jax.random.key(1)
    with plain_convolutions() if plain else contextlib.nullcontext():
        loop = Loop(system.config, system, None, grid)
        update = loop.compile(state, mesh.put_batch(grid, batch), rng)

    def step():
        nonlocal state  # each step donates the one before
        state, scalars = update(state, mesh.put_batch(grid, batch), rng)
        return float(scalars["loss"])

    return step


def plain_convolutions():
    """Within it networks are traced with XLA's own convolutions."""
    patches = contextlib.ExitStack()
    for module in (conv, layers):
        patches.enter_context(
            mock.patch.object(module, "conv_general_dilated", jax.lax.conv_general_dilated)
        )
    return patches


def our_scoring(trunk: str, batch: dict):
    """A function that scores the objects of a batch."""
    system, state = system_of(trunk)
    system.config.eval.batch = len(batch["crops"])  # else the batch would be filled up
    detector = batch["teachers"][:, : OUTPUTS["detector"]]
    learnt = state.variables, state.normal
    return lambda: system.object_scores(*learnt, batch["crops"], detector)


def torch_arrays(trunk: str, batch: dict) -> tuple[dict, dict, dict]:
    """First variables, inputs and targets as NumPy arrays, for `ssmtl_torch.programs`."""
    _, state = system_of(trunk)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    inputs, targets = tasks.training_inputs(jax.tree.map(jnp.asarray, batch))
    return jax.tree.map(np.asarray, (variables, inputs, targets))


def cutting(data: str, folder: str, count: int = 2000) -> None:
    """Prints how many objects a second are cut from prepared frames, in one thread."""
    samples = Samples(ObjectSource(Dataset(data, "size"), folder), "train", SIDE, 0, False)
    places = np.random.default_rng(0).choice(len(samples), min(count, len(samples)), replace=False)
    for name, cut in (
        ("scoring", lambda: [samples.plain([i]) for i in places]),
        ("training", lambda: [samples.batch(np.zeros(1, int), [i]) for i in places]),
    ):
        cut()
        start = time.perf_counter()
        cut()
        rate = len(places) / (time.perf_counter() - start)
        print(f"cutting for {name}: {rate:,.0f} objects/s from prepared frames, one thread")


def main(argv: list[str] | None = None) -> None:
    """Runs the benchmarks and prints their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--trunk", default="shallow_narrow")
    parser.add_argument("--scoring", action="store_true", help="scoring alone")
    parser.add_argument("--data", help="dataset of frames")
    parser.add_argument("--objects", default="", help="dataset of its objects")
    parser.add_argument("--cores", type=int, default=0, help="(0: all)")
    args = parser.parse_args(argv)
    workers.use_cores(args.cores)
    if args.data:
        cutting(args.data, args.objects)
    from benchmarks import ssmtl_torch

    # The same parameters and objects in both
    batch = batch_of(args.batch)
    step, each_pass, score = ssmtl_torch.programs(*torch_arrays(args.trunk, batch))
    if not args.scoring:
        programs = {
            "torch": step,
            "torch, each pass": each_pass,
            "ours": our_step(args.trunk, batch),
            "plain": our_step(args.trunk, batch, plain=True),
        }
        turns = table.in_turns(programs, args.runs, warm=1)
        table.show(f"training step, {args.trunk}", turns, "torch", args.batch, "objects")
    programs = {"torch": score, "ours": our_scoring(args.trunk, batch)}
    turns = table.in_turns(programs, args.runs, warm=1)
    table.show(f"scoring, {args.trunk}", turns, "torch", args.batch, "objects")


if __name__ == "__main__":
    main()
