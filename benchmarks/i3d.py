"""Inception I3D: features of clips of 16 × 224 × 224, against the torch form, on CPU.

    python -m benchmarks.i3d [--threads 1 2] [--batch 1 4] [--runs 5]

Each program runs in a process of its own, bound to as many cores as it has threads, one at a
time in turns. The torch form is given in both layouts of memory, its own and channels last. Both
wall-clock and CPU time are printed: on a machine that others use, the wall clock of two threads
is theirs too, and torch's threads wait for each other in busy loops.
"""

import argparse

import numpy as np

from benchmarks import table, workers

PROGRAMS = ("torch", "torch_channels_last", "ours")
FRAMES = 16


def weights() -> dict[str, np.ndarray]:
    """Random weights by their torch names."""
    from flax import traverse_util

    from vadjax.backbones import i3d, i3d_weights
    from vadjax.convert.torch import AXES

    rng, arrays = np.random.default_rng(0), {}
    for path, leaf in traverse_util.flatten_dict(i3d.variable_shapes()).items():
        shape = [leaf.shape[axis] for axis in np.argsort(AXES[len(leaf.shape)])]  # torch's axes
        array = np.full(shape, path[-1] in ("scale", "var"), np.float32)
        if path[-1] == "kernel":  # drawn as by He et al., ICCV 2015
            array = rng.standard_normal(shape, np.float32) * (2 / np.prod(shape[1:])) ** 0.5
        arrays[i3d_weights._torch_name(path)] = array.astype(np.float32)
    return arrays


def make_clips(batch: int, side: int = 224) -> np.ndarray:
    """RGB clips in [-1, 1]."""
    size = (batch, FRAMES, side, side, 3)
    return np.random.default_rng(1).uniform(-1, 1, size).astype(np.float32)


def make(program: str, clips: np.ndarray):
    """A function without arguments that gives the features of clips [batch · 1024]."""
    if program.startswith("torch"):
        return torch_program(program, clips)
    import jax

    from vadjax.backbones import i3d, i3d_weights

    variables = jax.device_put(i3d_weights.to_variables(weights(), "rgb", "here"))
    apply = jax.jit(i3d.InceptionI3D().apply)
    return lambda: np.asarray(apply(variables, clips)["features"]).reshape(-1)


def torch_program(program: str, clips: np.ndarray):
    """The same work in torch."""
    from benchmarks.i3d_torch import Network, torch

    # Kernels and clips lie in the layout that the program is named after
    channels_last = program.endswith("channels_last")
    layout = torch.channels_last_3d if channels_last else torch.contiguous_format
    tensors = {name: torch.from_numpy(array) for name, array in workers.apart(weights).items()}
    for name, tensor in tensors.items():
        tensors[name] = tensor.contiguous(memory_format=layout) if tensor.ndim == 5 else tensor
    net = Network(tensors)
    x = torch.from_numpy(clips).movedim(-1, 1).contiguous(memory_format=layout)
    return lambda: net.features(x).numpy().reshape(-1)


def work(program: str, batch: int, threads: int) -> None:
    """Serves the turns of a program; its result are the features."""
    workers.use_cores(threads)
    clips = make_clips(batch)
    workers.serve(lambda: make(program, clips), tell=lambda features: features.tolist())


def compare(batch: int, threads: int, runs: int) -> None:
    """Prints the tables of one setting and the largest difference."""
    # The programs are started one after the other, so that each compiles alone
    programs, first = {}, {}
    for name in PROGRAMS:
        options = {"worker": name, "batch": batch, "threads": threads}
        programs[name] = workers.Worker("benchmarks.i3d", **options)
        first[name] = np.array(programs[name].run().result)
    turns = table.in_turns(programs, runs, warm=1)
    title = f"Inception I3D, {batch} × {FRAMES} × 224 × 224, {threads} thread(s)"
    table.show(title, turns, "torch", batch * FRAMES, "frames")
    for program in programs.values():
        program.close()
    difference = np.abs(first["ours"] - first["torch"]).max() / first["torch"].max()
    print(f"largest difference of a feature: {difference:.1e} of the largest\n")


def main(argv: list[str] | None = None) -> None:
    """Prints a table for every number of threads and every batch."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="(1 2)")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4], help="clips at once (1 4)")
    parser.add_argument("--runs", type=int, default=5, help="timed turns of each program (5)")
    parser.add_argument("--worker", choices=PROGRAMS, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.worker:
        return work(args.worker, args.batch[0], args.threads[0])
    for threads in args.threads:
        for batch in args.batch:
            compare(batch, threads, args.runs)
    return None


if __name__ == "__main__":
    main()
