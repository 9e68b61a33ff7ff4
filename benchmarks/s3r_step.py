"""S3R: a training step, and scoring a long video, beside the same in torch. Run it alone.

    python -m benchmarks.s3r_step [--runs 5] [--pairs 8] [--memory] [--cores 1]

A step is 8 + 8 bags × 10 crops × 32 × 2048 float32: forward, loss, backward, Adam, with dropout.
The batch is handed over from NumPy. `--memory` runs two steps of ours alone and prints the largest
memory that the process had, imports and compilation included.
"""

import argparse

import jax
import numpy as np

from benchmarks import memory, table, workers
from configs import shanghaitech_s3r
from vadjax.data.bags import Bag
from vadjax.runtime import mesh
from vadjax.systems.s3r.system import State, System
from vadjax.train import Loop

CROPS, SEGMENTS, WIDTH, ATOMS, SNIPPETS = 10, 32, 2048, 158, 200


def our_system(dictionary: np.ndarray) -> tuple[System, State]:
    """The published system with fresh parameters."""
    system = System(shanghaitech_s3r.get_config())
    shape = np.zeros((1, 1, 1, dictionary.shape[-1]), np.float32)
    variables = jax.jit(system.model.init)(jax.random.key(0), shape, dictionary)
    params, batch_stats = variables["params"], variables["batch_stats"]
    return system, State(params, batch_stats, system.optimizer.init(params), dictionary)


def our_step(batch: dict, dictionary: np.ndarray):
    """A function that does one step of the loop's compiled update."""
    system, state = our_system(dictionary)
    grid = mesh.make(len(batch["normal"]), 1)
    state, rng = mesh.put_state(grid, state), jax.random.key(1)
    first = mesh.put_batch(grid, batch)
    update = Loop(system.config, system, None, grid).compile(state, first, rng)

    def step():
        nonlocal state  # each step donates the one before
        state, scalars = update(state, mesh.put_batch(grid, batch), rng)
        return float(scalars["loss"])

    return step


def our_scoring(video: np.ndarray, dictionary: np.ndarray):
    """A function that scores one video [N, T, C]."""
    system, state = our_system(dictionary)
    bag = Bag("video", 0, "normal", 16 * video.shape[1], np.zeros((0, 2), np.int32), video)
    return lambda: system.snippet_scores(state, [bag])


def main(argv: list[str] | None = None) -> None:
    """Runs both benchmarks and prints their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--cores", type=int, default=0, help="(0: all)")
    args = parser.parse_args(argv)
    workers.use_cores(args.cores)
    rng = np.random.default_rng(0)
    shape = (args.pairs, CROPS, SEGMENTS, WIDTH)
    batch = {label: rng.random(shape, np.float32) for label in ("normal", "anomalous")}
    dictionary = rng.random((ATOMS, WIDTH), np.float32)
    if args.memory:
        step = our_step(batch, dictionary)
        step(), step()
        bags = f"{args.pairs} + {args.pairs} bags"
        print(f"peak memory of the process, {bags}: {memory.peak():.2f} GB")
        return
    from benchmarks import s3r_torch

    # A training step; what it holds is freed before scoring
    programs = {
        "torch": s3r_torch.training(batch, dictionary),
        "ours": our_step(batch, dictionary),
    }
    title = f"training step, {args.pairs} + {args.pairs} bags × {CROPS} × {SEGMENTS} × {WIDTH}"
    turns = table.in_turns(programs, args.runs, warm=1)
    table.show(title, turns, "torch", 2 * args.pairs, "bags")
    del programs
    video = rng.random((CROPS, SNIPPETS, WIDTH), np.float32)
    programs = {
        "torch": s3r_torch.scoring(video, dictionary),
        "ours": our_scoring(video, dictionary),
    }
    title = f"scoring a video of {SNIPPETS} snippets × {CROPS} crops × {WIDTH}"
    table.show(title, table.in_turns(programs, args.runs), "torch", SNIPPETS, "snippets")


if __name__ == "__main__":
    main()
