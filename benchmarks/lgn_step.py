"""LGN-Net or MNAD: a training step and scoring, against the torch form, in CPU seconds.

    python -m benchmarks.lgn_step [--model lgn] [--size 256] [--batch 1] [--runs 3]

Each program runs in a process of its own on one core, one at a time in turns: so CPU seconds and
peak memory are its own. Training is the loop's compiled update (forward, losses, backward, Adam,
memory) on uint8 windows; scoring is a stretch of consecutive windows with the same weights in
both, and the largest difference of their PSNRs is printed. The torch form does each window alone,
as the original does.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import memory, table, workers
from configs import ped2_lgn, ped2_mnad
from vadjax.runtime import mesh
from vadjax.systems.lgn import convert
from vadjax.systems.lgn.step import RunningState
from vadjax.systems.lgn.stream import StreamScorer
from vadjax.systems.lgn.system import State, System
from vadjax.train import Loop

PROGRAMS = ("torch_train", "ours_train", "torch_score", "ours_score")
CONFIGS = {"lgn": ped2_lgn, "mnad": ped2_mnad}


def weights(system: System) -> dict[str, np.ndarray]:
    """The same seeded weights for both, by their published names."""
    shapes, arrays = convert.variable_shapes(system.model), {}
    rng = np.random.default_rng(0)
    for name, (collection, *path), axes in convert.weight_names(system.model):
        leaf = shapes[collection]
        for key in path:
            leaf = leaf[key]
        shape = tuple(leaf.shape[axis] for axis in np.argsort(axes))
        if len(shape) > 1:  # kernels, drawn as by He et al., ICCV 2015
            bound = np.sqrt(6 / np.prod(shape[1:]))
            arrays[name] = rng.uniform(-bound, bound, shape).astype(np.float32)
        else:
            positive = name.endswith("running_var") or path[-1] == "scale"
            arrays[name] = np.full(shape, float(positive), np.float32)
    return arrays


def make(program: str, model: str, size: int, batch: int):
    """A function without arguments that does the program's work once; and its compile time."""
    config = CONFIGS[model].get_config()
    config.train.batch = batch
    # Weights, memory items and frames are drawn from fixed seeds: the same for every program
    system, rng = System(config), np.random.default_rng(1)
    torch_weights = weights(system)
    items = rng.random((10, 512)).astype(np.float32)
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    windows = rng.integers(0, 256, (batch, 5, size, size, 3), np.uint8)
    frames = rng.integers(0, 256, (config.eval.batch + 4, size, size, 3), np.uint8)
    if program.startswith("torch"):
        return torch_program(program, config, torch_weights, items, windows, frames), 0.0
    variables, _ = convert.to_variables(torch_weights, system.model, "here")
    variables = jax.tree.map(jnp.asarray, variables)
    # Scoring compiles in the first turn, which is not timed
    if program == "ours_score":
        stream = StreamScorer(system.model, variables, items, chunk=config.eval.batch)
        floats = frames.astype(np.float32) / 127.5 - 1
        return (lambda: stream.video(floats).psnr.tolist()), 0.0
    # Training is the update as the loop compiles it; each step donates the state before
    params = variables["params"]
    running = RunningState(variables["batch_stats"], jnp.asarray(items))
    grid = mesh.make(batch, 1)
    state = mesh.put_state(
        grid, State(params, system.optimizer.init(params), running, jnp.zeros((2, 2)))
    )
    loop = Loop(config, system, None, grid)
    data, key = mesh.put_batch(grid, {"frames": windows[..., ::-1]}), jax.random.key(1)
    start = time.perf_counter()
    update = loop.compile(state, data, key)
    seconds = time.perf_counter() - start

    def step():
        nonlocal state
        state, scalars = update(state, data, key)
        return float(scalars["loss"])

    return step, seconds


def torch_program(program, config, state, items, windows, frames):
    """The same work in torch."""
    import torch

    from benchmarks import lgn_torch

    torch.set_num_threads(1)  # as measured for the spec; waiting threads would count as work
    trained = program == "torch_train"
    tensors = {
        name: torch.from_numpy(value).requires_grad_(trained and "running" not in name)
        for name, value in state.items()
    }
    net = lgn_torch.Network(tensors, torch.from_numpy(items), config.model.variant == "lgn")
    if not trained:
        return lambda: lgn_torch.psnrs(net, frames, config.eval.gamma)
    loss = config.loss.compactness_weight, config.loss.separateness_weight
    step = lgn_torch.train_step(net, loss)
    return lambda: step(windows)


def work(program: str, model: str, size: int, batch: int) -> None:
    """Serves the turns of a program: CPU seconds, peak GB so far, compile seconds, the result."""
    workers.bind_to_cores(1)
    run, compile_seconds = make(program, model, size, batch)

    def turn() -> dict:
        start = time.process_time()
        result = run()
        cpu = time.process_time() - start
        return {"cpu": cpu, "peak": memory.peak(), "compile": compile_seconds, "result": result}

    workers.serve(turn)


def compare(kind: str, windows: int, args: argparse.Namespace) -> None:
    """Prints the table of training or scoring, peak memory, compile time and the difference.

    Args:
      kind: `"train"` or `"score"`.
      windows: in one turn.
      args: of the command line.
    """
    # The programs are started one after the other, so that each compiles alone
    options = {name: getattr(args, name) for name in ("model", "size", "batch")}
    programs, first = {}, {}
    for name in PROGRAMS:
        if name.endswith(kind):
            programs[name] = workers.Worker("benchmarks.lgn_step", name, **options)
            first[name] = programs[name].run()
    answers = workers.in_turns(programs, args.runs)
    times = {name: [turn["cpu"] / windows for turn in turns] for name, turns in answers.items()}
    title = f"{args.model} {kind}: CPU time of a window of {args.size} × {args.size}"
    table.show(f"{title}, {windows} at once", times, f"torch_{kind}", 1, "windows")
    for name, turns in answers.items():
        seconds = first[name]["compile"]
        print(f"{name}: peak {turns[-1]['peak']:.2f} GB", end="")
        print(f", compiled in {seconds:.0f} s" if seconds else "")
    # The first results are compared: later training steps begin from other parameters
    ours, theirs = (np.array(first[f"{who}_{kind}"]["result"]) for who in ("ours", "torch"))
    what = "PSNRs, dB" if kind == "score" else "losses of the first step"
    print(f"largest difference of the {what}: {np.abs(ours - theirs).max():.1e}\n")


def main(argv: list[str] | None = None) -> None:
    """Prints the two tables, peak memory, compile time and the largest difference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=CONFIGS, default="lgn")
    parser.add_argument("--size", type=int, default=256, help="height and width (256)")
    parser.add_argument("--batch", type=int, default=1, help="windows a training step (1)")
    parser.add_argument("--runs", type=int, default=3, help="timed turns of each program (3)")
    parser.add_argument("--worker", choices=PROGRAMS, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.worker:
        return work(args.worker, args.model, args.size, args.batch)
    compare("train", args.batch, args)
    compare("score", CONFIGS[args.model].get_config().eval.batch, args)
    return None


if __name__ == "__main__":
    main()
