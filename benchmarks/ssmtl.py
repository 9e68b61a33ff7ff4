"""SSMTL: a training step and scoring beside torch, and cutting crops. Run it alone.

    python -m benchmarks.ssmtl [--runs 5] [--batch 64] [--trunk shallow_narrow] [--scoring]
        [--data data/ped2 --objects data/ped2_objects]

A step is 64 objects with all four tasks (1,080 outputs distilled): forward, losses, backward, Adam,
with batch norm over all passes. The crops are handed over as float32. "torch, each pass" has the
statistics of each pass by itself, which saves torch some copies. "plain" is ours with XLA's own
3-D convolutions. Scoring takes the same number of objects; in torch too, arrow and irregularity
share their pass. With a dataset, the program also tells how many objects a second are cut from the
prepared frames, for scoring (seven crops) and for training (up to thirteen), in one thread.
"""

import argparse
import contextlib
import functools
import time
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import table
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


def torch_programs(state, batch: dict):
    """In torch: the same step, the step with statistics of each pass, and the same scoring."""
    import torch

    from benchmarks import ssmtl_torch

    variables = {"params": state.params, "batch_stats": state.batch_stats}
    weights = {k: v.float() for k, v in ssmtl_torch.to_torch(variables).items()}
    trained = list(ssmtl_torch.to_torch({"params": state.params, "batch_stats": {}}))
    # Scoring has weights of its own: the steps change theirs
    scored = {name: value.clone() for name, value in weights.items()}
    for name in trained:
        weights[name].requires_grad_()
    optimizer = torch.optim.Adam([weights[name] for name in trained])
    inputs, targets = (
        {
            k: v.float() if v.is_floating_point() else v.long()
            for k, v in ssmtl_torch.to_tensors(arrays).items()
        }
        for arrays in tasks.training_inputs(batch)
    )

    # joint: the batch norms have the statistics of all passes together
    def step(joint):
        optimizer.zero_grad()
        outputs = ssmtl_torch.Network(weights, True, joint)(inputs)
        ssmtl_torch.training_loss(outputs, targets).backward()
        optimizer.step()

    def score():
        with torch.no_grad():
            ssmtl_torch.Network(scored).score(inputs)

    return functools.partial(step, True), functools.partial(step, False), score


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
    args = parser.parse_args(argv)
    if args.data:
        cutting(args.data, args.objects)
    # The same parameters and objects in both
    batch = batch_of(args.batch)
    system, state = system_of(args.trunk)
    system.config.eval.batch = args.batch  # else the batch would be filled up
    step, each_pass, score = torch_programs(state, jax.tree.map(jnp.asarray, batch))
    if not args.scoring:
        programs = {
            "torch": step,
            "torch, each pass": each_pass,
            "ours": our_step(args.trunk, batch),
            "plain": our_step(args.trunk, batch, plain=True),
        }
        times = table.in_turns(programs, args.runs, warm=1)
        table.show(f"training step, {args.trunk}", times, "torch", args.batch, "objects")
    detector = batch["teachers"][:, : OUTPUTS["detector"]]
    learnt = (state.variables, state.normal)
    programs = {
        "torch": score,
        "ours": lambda: system.object_scores(*learnt, batch["crops"], detector),
    }
    times = table.in_turns(programs, args.runs, warm=1)
    table.show(f"scoring, {args.trunk}", times, "torch", args.batch, "objects")


if __name__ == "__main__":
    main()
