"""Inception I3D: features of clips of 16 × 224 × 224, against the torch form, on CPU.

    python -m benchmarks.i3d [--threads 1 2] [--batch 1 4] [--runs 5]

Each program runs in a process of its own, bound to as many cores as it has threads, one at a
time in turns. The torch form is given in both layouts of memory, its own and channels last. Both
wall-clock and CPU time are printed: on a machine that others use, the wall clock of two threads
is theirs too, and torch's threads wait for each other in busy loops.
"""

import argparse
import statistics
import time

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


def make(program: str, batch: int, threads: int):
    """A function without arguments that gives the features [batch · 1024]."""
    from vadjax.backbones import i3d

    size = (batch, FRAMES, i3d.SIZE, i3d.SIZE, i3d.CHANNELS["rgb"])
    clips = np.random.default_rng(1).uniform(-1, 1, size).astype(np.float32)
    if program.startswith("torch"):
        return torch_program(program, clips, threads)
    import jax

    from vadjax.backbones import i3d_weights

    variables = jax.device_put(i3d_weights.to_variables(weights(), "rgb", "here"))
    apply = jax.jit(i3d.InceptionI3D().apply)
    return lambda: np.asarray(apply(variables, clips)["features"]).reshape(-1)


def torch_program(program: str, clips: np.ndarray, threads: int):
    """The same work in torch."""
    import torch

    from benchmarks.i3d_torch import Network

    torch.set_num_threads(threads)
    # Kernels and clips lie in the layout that the program is named after
    channels_last = program.endswith("channels_last")
    layout = torch.channels_last_3d if channels_last else torch.contiguous_format
    tensors = {name: torch.from_numpy(array) for name, array in weights().items()}
    for name, tensor in tensors.items():
        tensors[name] = tensor.contiguous(memory_format=layout) if tensor.ndim == 5 else tensor
    net = Network(tensors)
    x = torch.from_numpy(clips).movedim(-1, 1).contiguous(memory_format=layout)
    return lambda: net.features(x).numpy().reshape(-1)


def work(program: str, batch: int, threads: int) -> None:
    """Serves the turns of a program: seconds of wall clock and of the CPU, and the features."""
    workers.bind_to_cores(threads)
    run = make(program, batch, threads)

    def turn() -> dict:
        start, cpu = time.perf_counter(), time.process_time()
        result = run()
        seconds = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - start}
        return seconds | {"result": result.tolist()}

    workers.serve(turn)


def compare(batch: int, threads: int, runs: int) -> None:
    """Prints the tables of one setting and the largest difference."""
    # The programs are started one after the other, so that each compiles alone
    programs, first = {}, {}
    for name in PROGRAMS:
        programs[name] = workers.Worker("benchmarks.i3d", name, batch=batch, threads=threads)
        first[name] = np.array(programs[name].run()["result"])
        programs[name].run()  # warms up
    answers = workers.in_turns(programs, runs, table.PAUSE)
    times = {
        kind: {name: [turn[kind] for turn in turns] for name, turns in answers.items()}
        for kind in ("wall", "cpu")
    }
    title = f"Inception I3D, {batch} × {FRAMES} × 224 × 224, {threads} thread(s): wall clock"
    table.show(title, times["wall"], "torch", batch * FRAMES, "frames")
    for name, seconds in times["cpu"].items():
        ratio = statistics.median(
            torch / this for torch, this in zip(times["cpu"]["torch"], seconds, strict=True)
        )
        print(f"{name}: CPU {1e3 * statistics.median(seconds):.0f} ms, {ratio:.2f} times torch")
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
