"""Steps on the device: their time beside the roofline, losses, memory."""

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks import i3d, memory
from benchmarks.accelerators import DATA_SHEETS, Work, roofline, work
from benchmarks.gpu_parts.settings import Settings
from tests.helpers.accelerator_cases import Case, cases, first_values
from vadjax.backbones import i3d_weights
from vadjax.runtime import mesh
from vadjax.train import Loop

COMPARED = 10  # steps on one batch after which losses of two precisions are compared
TIMED = 1.5  # seconds that a program is timed for
TOGETHER = 0.1  # seconds of work that are started at once, and waited for together


def filled(shapes: Any) -> Any:
    """Random values of the shapes of a batch: bytes, bits of integers, numbers in [0, 1)."""
    rng = np.random.default_rng(1)

    def fill(leaf):
        if leaf.dtype == np.float32:
            return rng.random(leaf.shape, np.float32)
        return rng.integers(0, 256 if leaf.dtype == np.uint8 else 2, leaf.shape, leaf.dtype)

    return jax.tree.map(fill, shapes)


class Program(NamedTuple):
    """Something compiled that is timed.

    Attributes:
      run: does it once; its result can be waited for, and is the loss of a training step.
      compiled: as of JAX.
      figures: how long tracing and compiling took, and whether the program came from the disk.
    """

    run: Callable[[], jax.Array]
    compiled: Any
    figures: dict


def training(case: Case) -> Program:
    """The step as the loop compiles it, on one batch that stays on the device."""
    shapes = case.arguments[1]
    grid = mesh.make(jax.tree.leaves(shapes)[0].shape[0], 1)
    state = mesh.put_state(grid, first_values(case.system, case.data))
    batch, rng = mesh.put_batch(grid, filled(shapes)), jax.random.key(1)
    loop = Loop(case.system.config, case.system, None, grid)
    update, figures = compiled(lambda: loop.compile(state, batch, rng))

    def step():
        nonlocal state  # each step donates the one before
        state, scalars = update(state, batch, rng)
        return scalars["loss"]

    return Program(step, update, figures)


def features(case: Case) -> Program:
    """The I3D network on clips that stay on the device."""
    variables = jax.device_put(i3d_weights.to_variables(i3d.weights(), "rgb", "here"))
    clips = jax.device_put(2 * filled(case.arguments[1]) - 1)
    apply = jax.jit(lambda *given: case.function(*given)["features"])
    program, figures = compiled(lambda: apply.lower(variables, clips).compile())
    return Program(lambda: program(variables, clips), program, figures)


def compiled(compile_it: Callable[[], Any]) -> tuple[Any, dict]:
    """What is compiled, and the `figures` of a `Program`."""
    hits = []

    def note(event: str, **_) -> None:
        if event == "/jax/compilation_cache/cache_hits":
            hits.append(event)

    jax.monitoring.register_event_listener(note)
    start = time.perf_counter()
    program = compile_it()
    return program, {"compile_s": time.perf_counter() - start, "from_disk": bool(hits)}


def run(name: str, modes: tuple[str, ...], settings: Settings) -> Iterator[dict]:
    """The training step of a system (of I3D the forward pass) in each mode, beside the roofline.

    Args:
      name: of the system.
      modes: float32 as JAX multiplies it by default, bfloat16, or float32 with the highest
        precision; the others are compared with the first.
      settings: of the command line.
    """
    first = None
    for mode in modes:
        precision = "bfloat16" if mode == "bfloat16" else "float32"
        exact = mode == "highest"
        with jax.default_matmul_precision("highest") if exact else contextlib.nullcontext():
            # Methods have one training step, and I3D none in bfloat16
            for case in cases(name, settings.size, precision):
                if case.system is not None or name == "i3d":
                    row = measure(case, mode)
                    if first is not None:
                        row |= beside(first, row)
                    first = first or row
                    yield row


def measure(case: Case, mode: str) -> dict:
    """Figures of a step.

    Raises:
      FloatingPointError: a loss is not finite.
    """
    program = training(case) if case.system is not None else features(case)
    row = {"system": case.name, "what": case.what, "mode": mode, **program.figures}
    # The losses of the first steps, which the clock does not count
    if case.system is not None:
        losses = [float(program.run()) for _ in range(COMPARED)]
        if not np.isfinite(losses).all():
            raise FloatingPointError(f"{mode}: losses {losses}")
        row |= {"loss_first": losses[0], "loss_last": losses[-1]}
    seconds, runs = timed(program.run)
    row |= {"ms": 1e3 * seconds, "per_s": 1 / seconds, "runs": runs}
    return row | predicted(counted(case), mode, seconds) | memory_of(program.compiled)


def counted(case: Case) -> Work:
    """What the step does, counted for the CPU's client where there is one.

    The plugins of other backends need not be able to count.
    """
    try:
        place = jax.devices("cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS names the GPU alone
        return work(case)
    with jax.default_device(place):
        return work(case)


def timed(run: Callable[[], Any], seconds: float = TIMED) -> tuple[float, int]:
    """Median seconds of a call, and how many calls were timed.

    As in a training, calls are started one after the other; a few of them are waited for together.
    """
    jax.block_until_ready(run())
    start = time.perf_counter()
    jax.block_until_ready(run())
    once = max(time.perf_counter() - start, 1e-6)
    together = int(np.clip(TOGETHER / once, 1, 100))
    times, begin = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        for _ in range(together):
            result = run()
        jax.block_until_ready(result)
        times.append((time.perf_counter() - start) / together)
    return statistics.median(times), together * len(times)


def predicted(done: Work, mode: str, seconds: float) -> dict:
    """What the roofline of this chip says of a step; None where its data sheet is not known."""
    chip = DATA_SHEETS.get(jax.devices()[0].device_kind)
    flop, least, most = done
    row = {"flop": flop, "bytes_least": least, "bytes_most": most, "tflops": flop / seconds / 1e12}
    if chip is None or mode not in chip.peak:
        return row | {"predicted_ms": None, "of_peak": None}
    times = [roofline(chip, mode, flop, moved) for moved in (least, most)]
    share = flop / seconds / chip.peak[mode]
    return row | {"predicted_ms": [1e3 * time for time in times], "of_peak": share}


def memory_of(compiled) -> dict:
    """GB that the program needs by the compiler, and the peaks of device and process so far."""
    sizes = compiled.memory_analysis()
    needed = sizes.argument_size_in_bytes + sizes.output_size_in_bytes
    needed += sizes.temp_size_in_bytes - sizes.alias_size_in_bytes
    peak = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    return {
        "program_gb": needed / 1e9,
        "device_peak_gb": peak and peak / 1e9,
        "process_peak_gb": memory.peak(),
    }


def beside(first: dict, row: dict) -> dict:
    """How many times faster a row is than the first one, and how far its losses are from those.

    Differences are of the first loss: later ones may be nearly 0.
    """
    found = {"speedup": first["ms"] / row["ms"]}
    for which in ("loss_first", "loss_last"):
        if which in row:
            difference = abs(row[which] - first[which]) / abs(first["loss_first"])
            found[f"difference_{which}"] = difference
    return found
