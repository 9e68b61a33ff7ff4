"""MIL ranker: a training step, scoring a test split, and reading bags. Run it alone.

    python -m benchmarks.mil_step [--runs 15]

A step is 30 + 30 bags × 32 × 2048 float32: forward, loss, backward, Adagrad, with dropout. The
batch is handed over from NumPy. If torch is installed, there are two baselines in the same run, in
turns: the step as the original programs write it (a loop over the pairs, spec mil §6), and the same
step without the loop.
"""

import argparse
import pathlib
import tempfile

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import table
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
    """A function that does one step of the loop's compiled update."""
    system = System(ucf_mil.get_config())
    params = system.ranker.init(jax.random.key(0), jnp.zeros((1, WIDTH)))
    grid = mesh.make(PAIRS, 1)
    state = mesh.put_state(grid, State(params, system.optimizer.init(params)))
    update = Loop(system.config, system, None, grid).update
    rng = jax.random.key(1)

    def step():
        nonlocal state  # each step donates the one before
        state, scalars = update(state, mesh.put_batch(grid, batch), rng)
        return float(scalars["loss"])

    return step


def torch_net():
    """The ranker of spec mil §5 in torch."""
    from torch import nn

    return nn.Sequential(
        nn.Linear(WIDTH, 512),
        nn.ReLU(),
        nn.Dropout(0.6),
        nn.Linear(512, 32),
        nn.Dropout(0.6),
        nn.Linear(32, 1),
        nn.Sigmoid(),
    )


def torch_step(batch: dict, loop: bool):
    """The same step in torch, with the loss looped over the pairs or not (spec mil §6)."""
    import torch

    net = torch_net()
    optimizer = torch.optim.Adagrad(net.parameters(), lr=1e-3, weight_decay=0.001)

    # Both losses see the first 30 of the 32 segments in their hinge and sparsity terms
    def looped(anomalous, normal):
        total = 0.0
        for a, n in zip(anomalous, normal, strict=True):
            order = torch.randperm(30)
            total = total + torch.relu(1 - a[order].max() + n[order].max())
            total = total + 8e-5 * a[order].sum() + 8e-5 * ((a[:-1] - a[1:]) ** 2).sum()
        return total / PAIRS

    def together(a, n):
        hinge = torch.relu(1 - a[:, :30].amax(1) + n[:, :30].amax(1))
        smooth = ((a[:, :-1] - a[:, 1:]) ** 2).sum(1)
        return (hinge + 8e-5 * a[:, :30].sum(1) + 8e-5 * smooth).mean()

    def step():
        x = torch.cat([torch.from_numpy(batch["anomalous"]), torch.from_numpy(batch["normal"])], 1)
        scores = net(x.reshape(-1, WIDTH)).reshape(PAIRS, 2 * SEGMENTS)
        loss = (looped if loop else together)(scores[:, :SEGMENTS], scores[:, SEGMENTS:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def scoring(features: np.ndarray) -> dict:
    """290 bags in one call, and bag by bag, in ours and in torch."""
    system = System(ucf_mil.get_config())
    params = system.ranker.init(jax.random.key(0), jnp.zeros((1, WIDTH)))
    one_bag = jax.jit(lambda x: system.ranker.apply(params, x))

    def eager():
        for bag in features:
            np.asarray(system.ranker.apply(params, bag))

    state = State(params, ())
    programs = {
        "one by one, not compiled": eager,
        "one by one, compiled": lambda: [np.asarray(one_bag(bag)) for bag in features],
        "one batched call (ours)": lambda: system.segment_scores(state, features),
    }
    try:
        return {"torch, one by one": torch_scoring(features), **programs}
    except ImportError:
        return programs


def torch_scoring(features: np.ndarray):
    """The same, bag by bag, in torch."""
    import torch

    net = torch_net().eval()

    def torch_alone():
        with torch.no_grad():
            return [net(torch.from_numpy(bag)).numpy() for bag in features]

    return torch_alone


def reading(folder: pathlib.Path) -> dict:
    """A batch of 30 + 30 bags from each format, without and with threads that read ahead."""
    programs = {}
    for file_format in ("array_record", "tfrecord"):
        out = folder / file_format
        write_bags(out, ToyBags(train=(120, 120), test=(1, 1), width=WIDTH // 2), file_format)
        for threads in (0, 2):
            stream = bags.paired_bags(Dataset(out), "train", "TWO", PAIRS, 0, loader.Shard())
            batches = loader.iterate(stream, threads, 2)
            programs[f"{file_format}, {threads} threads"] = lambda batches=batches: next(batches)
    return programs


def main(argv: list[str] | None = None) -> None:
    """Runs the three benchmarks and prints their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15)
    args = parser.parse_args(argv)
    rng = np.random.default_rng(0)
    batch = {
        name: rng.standard_normal((PAIRS, SEGMENTS, WIDTH), np.float32)
        for name in ("anomalous", "normal")
    }
    # A training step
    programs, baseline = {"ours": our_step(batch)}, "ours"
    try:
        programs = {
            "torch, looped": torch_step(batch, loop=True),
            "torch, no loop": torch_step(batch, loop=False),
            **programs,
        }
        baseline = "torch, looped"
    except ImportError:
        print("torch is not installed: no baseline of it")
    title = f"training step, {PAIRS} + {PAIRS} bags × {SEGMENTS} × {WIDTH}"
    table.show(title, table.in_turns(programs, args.runs), baseline, 2 * PAIRS, "bags")

    # Scoring a test split
    features = rng.standard_normal((VIDEOS, SEGMENTS, WIDTH), np.float32)
    times = table.in_turns(scoring(features), max(args.runs // 3, 3), warm=1)
    baseline = "one by one, not compiled"
    table.show(f"scoring {VIDEOS} bags × {SEGMENTS} × {WIDTH}", times, baseline, VIDEOS, "bags")

    # Reading
    with tempfile.TemporaryDirectory() as folder:
        times = table.in_turns(reading(pathlib.Path(folder)), args.runs)
    first = "array_record, 0 threads"
    table.show(f"reading a batch of {PAIRS} + {PAIRS} bags", times, first, 2 * PAIRS, "bags")


if __name__ == "__main__":
    main()
