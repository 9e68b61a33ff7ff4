"""LGN-Net or MNAD: a training step and scoring, beside the original's form in torch.

    python -m benchmarks.lgn_step [--model lgn|mnad] [--cores 1] [--size 256] [--batch 1] [--runs 3]

Each program runs in a process of its own on all cores (or on as many as asked for), one at a time
in turns: wall clock, CPU seconds and peak memory are its own. Training is the loop's compiled
update (forward, losses, backward, Adam, memory) on uint8 windows; scoring is a stretch of
consecutive windows with the same weights in both. The largest difference of the losses of the first
step, and of the PSNRs, is printed. The torch form does each window alone, as the original does.
"""

import argparse
import time
from typing import NamedTuple

import numpy as np

from benchmarks import table, workers
from configs import ped2_lgn, ped2_mnad

PROGRAMS = ("torch_train", "ours_train", "torch_score", "ours_score")
CONFIGS = {"lgn": ped2_lgn, "mnad": ped2_mnad}


class Inputs(NamedTuple):
    """What both forms are given.

    Attributes:
      model: `"lgn"` or `"mnad"`.
      weights: by their published names.
      items: of the memory, float32 [10, 512].
      windows: of a training step, uint8 [B, 5, H, W, 3].
      frames: that are scored, uint8 [T, H, W, 3].
    """

    model: str
    weights: dict[str, np.ndarray]
    items: np.ndarray
    windows: np.ndarray
    frames: np.ndarray


def make_inputs(model: str, size: int, batch: int) -> Inputs:
    """Weights, memory items and frames of fixed seeds: the same for every program."""
    config, rng = CONFIGS[model].get_config(), np.random.default_rng(1)
    items = rng.random((10, 512)).astype(np.float32)
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    windows = rng.integers(0, 256, (batch, 5, size, size, 3), np.uint8)
    frames = rng.integers(0, 256, (config.eval.batch + 4, size, size, 3), np.uint8)
    return Inputs(model, workers.apart(make_weights, model), items, windows, frames)


def make_weights(model: str) -> dict[str, np.ndarray]:
    """Weights by their published names."""
    from vadjax.systems.lgn import convert
    from vadjax.systems.lgn.system import System

    net = System(CONFIGS[model].get_config()).model
    shapes, arrays = convert.variable_shapes(net), {}
    rng = np.random.default_rng(0)
    for name, (collection, *path), axes in convert.weight_names(net):
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


def our_step(inputs: Inputs, fresh: bool = False):
    """A function that does one step of the loop's compiled update and gives its loss.

    Args:
      inputs: windows, weights and items.
      fresh: whether the first state is drawn as in a new run, not made of the weights and items.
    """
    import jax
    import jax.numpy as jnp

    from vadjax.data.store.records import Description
    from vadjax.runtime import mesh
    from vadjax.systems.lgn.step import RunningState
    from vadjax.systems.lgn.system import State, System
    from vadjax.train import Loop

    config = CONFIGS[inputs.model].get_config()
    config.train.batch = len(inputs.windows)
    system, key = System(config), jax.random.key(1)
    if fresh:
        state = system.init(key, Description("", {"size": inputs.windows.shape[2:4]}, ""))
    else:
        variables = our_variables(system, inputs)
        running = RunningState(variables["batch_stats"], jnp.asarray(inputs.items))
        params = variables["params"]
        state = State(params, system.optimizer.init(params), running, jnp.zeros((2, 2)))
    # Each step donates the state before
    grid, batch = mesh.make(len(inputs.windows), 1), {"frames": inputs.windows[..., ::-1]}
    state = mesh.put_state(grid, state)
    loop = Loop(config, system, None, grid)
    update = loop.compile(state, mesh.put_batch(grid, batch), key)

    def step():
        nonlocal state
        state, scalars = update(state, mesh.put_batch(grid, batch), key)
        return float(scalars["loss"])

    return step


def our_scoring(inputs: Inputs):
    """A function that gives the PSNRs of the windows of the frames."""
    from vadjax.systems.lgn.stream import StreamScorer
    from vadjax.systems.lgn.system import System

    config = CONFIGS[inputs.model].get_config()
    system = System(config)
    variables = our_variables(system, inputs)
    stream = StreamScorer(system.model, variables, inputs.items, chunk=config.eval.batch)
    floats = inputs.frames.astype(np.float32) / 127.5 - 1
    return lambda: stream.video(floats).psnr.tolist()


def our_variables(system, inputs: Inputs) -> dict:
    """The weights as variables of our network."""
    import jax
    import jax.numpy as jnp

    from vadjax.systems.lgn import convert

    return jax.tree.map(jnp.asarray, convert.to_variables(inputs.weights, system.model, "here")[0])


def work(program: str, model: str, size: int, batch: int) -> None:
    """Serves the turns of a program; its result is the loss, or the PSNRs."""
    trained = program.endswith("train")
    if program == "ours_train":
        workers.train_as_main()
    inputs = make_inputs(model, size, batch)
    if program.startswith("torch"):
        from benchmarks import lgn_torch

        make = lgn_torch.training if trained else lgn_torch.scoring
        settings = (CONFIGS[model].get_config(),)
    else:
        workers.watch_compiler()
        make, settings = our_step if trained else our_scoring, ()
    workers.serve(lambda: make(inputs, *settings), tell=lambda result: result)


def compare(kind: str, windows: int, args: argparse.Namespace) -> None:
    """Prints the table of training or scoring, peak memory, compile time and the difference.

    Args:
      kind: `"train"` or `"score"`.
      windows: in one turn.
      args: of the command line.
    """
    # The programs are started one after the other, so that each compiles alone
    options = {name: getattr(args, name) for name in ("model", "size", "batch", "cores")}
    programs, first = {}, {}
    for name in PROGRAMS:
        if name.endswith(kind):
            programs[name] = workers.Worker("benchmarks.lgn_step", worker=name, **options)
            first[name] = programs[name].run()
            time.sleep(table.PAUSE)
    turns = table.in_turns(programs, args.runs, warm=1)
    title = f"{args.model} {kind}: {windows} window(s) of {args.size} × {args.size}"
    title = f"{title}, {workers.cores()} core(s)"
    table.show(title, turns, f"torch_{kind}", windows, "windows")
    for name, program in programs.items():
        program.close()
        print(f"{name}: peak {turns[name][-1].peak:.2f} GB", end="")
        compiled = first[name].compiled
        print(f", compiled in {compiled:.0f} s" if compiled else "")
    # The first results are compared: later training steps begin from other parameters
    ours, theirs = (np.array(first[f"{who}_{kind}"].result) for who in ("ours", "torch"))
    what = "PSNRs, dB" if kind == "score" else "losses of the first step"
    print(f"largest difference of the {what}: {np.abs(ours - theirs).max():.1e}\n")


def main(argv: list[str] | None = None) -> None:
    """Prints the two tables, peak memory, compile time and the largest difference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=CONFIGS, default="lgn")
    parser.add_argument("--cores", type=int, default=0, help="that both may use (0: all)")
    parser.add_argument("--size", type=int, default=256, help="height and width (256)")
    parser.add_argument("--batch", type=int, default=1, help="windows a training step (1)")
    parser.add_argument("--runs", type=int, default=3, help="timed turns of each program (3)")
    parser.add_argument("--worker", choices=PROGRAMS, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    workers.use_cores(args.cores)
    if args.worker:
        return work(args.worker, args.model, args.size, args.batch)
    compare("train", args.batch, args)
    compare("score", CONFIGS[args.model].get_config().eval.batch, args)
    return None


if __name__ == "__main__":
    main()
