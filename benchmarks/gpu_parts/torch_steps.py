"""Training steps of the baselines in torch on the GPU, for `benchmarks.gpu`; of I3D the features.

Products of float32 may be TF32, as JAX has them by default. Arrays go to the device once and stay
there, as the batch of our step does.
"""

import statistics
import time
from collections.abc import Callable
from unittest import mock

import jax
import numpy as np
import torch

from benchmarks import i3d, i3d_torch, lgn_step, lgn_torch, mil_torch, s3r_torch, ssmtl_torch
from tests.helpers.accelerator_cases import Case, Size, batch_of, cases, first_values
from tests.helpers.systems import config_of
from vadjax.systems.ssmtl import tasks

SECONDS = 1.5  # that a step is timed for


def measure(name: str, size: Size) -> dict:
    """Figures of a step.

    Args:
      name: one of `STEPS`.
      size: of the inputs.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.manual_seed(0)
    places: dict[int, tuple] = {}  # array → itself, so that its id stays its own, and its copy

    def once(array):
        if id(array) not in places:
            places[id(array)] = array, torch.as_tensor(array, device=device)
        return places[id(array)][1]

    # Whatever the baseline makes itself lies on the device too
    with torch.device(device), mock.patch.object(torch, "from_numpy", once):
        step = STEPS[name](name, size)
        times = _times(step, device)
    row = {"system": name, "device": device, "torch": torch.__version__}
    if device == "cuda":
        row["device_peak_gb"] = torch.cuda.max_memory_allocated() / 1e9
    seconds = statistics.median(times)
    return row | {"ms": 1e3 * seconds, "per_s": 1 / seconds, "runs": len(times)}


def _times(step: Callable, device: str) -> list[float]:
    """Seconds of every step after the first three."""

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    for _ in range(3):
        step()
    wait()
    times, begin = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - begin < SECONDS:
        start = time.perf_counter()
        step()
        wait()
        times.append(time.perf_counter() - start)
    return times


def training_case(name: str, size: Size) -> Case:
    """Our step, for what it is trained on."""
    return next(case for case in cases(name, size, "float32") if case.system is not None)


def mil(name: str, size: Size) -> Callable:
    """`benchmarks.mil_torch`."""
    count = batch_of(name, config_of(name, size.variant), size)
    rng, shape = np.random.default_rng(0), (count, size.segments, size.width)
    batch = {label: rng.random(shape, np.float32) for label in ("anomalous", "normal")}
    return mil_torch.training(batch)


def s3r(name: str, size: Size) -> Callable:
    """`benchmarks.s3r_torch`."""
    count = batch_of(name, config_of(name, size.variant), size)
    rng, shape = np.random.default_rng(0), (count, size.crops, size.segments, size.width)
    batch = {label: rng.random(shape, np.float32) for label in ("normal", "anomalous")}
    return s3r_torch.training(batch, rng.random((158, size.width), np.float32))


def predictor(name: str, size: Size) -> Callable:
    """`benchmarks.lgn_torch`, at the published width whatever the size."""
    config = config_of(name, "")
    count = batch_of(name, config, size) if size.variant == "" else 1
    rng = np.random.default_rng(1)
    items = rng.random((10, 512)).astype(np.float32)
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    windows = rng.integers(0, 256, (count, 5, *size.frame, 3), np.uint8)
    weights = lgn_step.make_weights(name)
    return lgn_torch.training(lgn_step.Inputs(name, weights, items, windows, windows[0]), config)


def ssmtl(name: str, size: Size) -> Callable:
    """`benchmarks.ssmtl_torch` with the tasks of our step, which has no teachers."""
    case = training_case(name, size)
    state, used = first_values(case.system, case.data), case.system.model.tasks
    parts = {"params": state.params, "batch_stats": {}}
    trained = list(ssmtl_torch.to_torch(parts))
    every = ssmtl_torch.to_torch(parts | {"batch_stats": state.batch_stats})
    weights = {key: value.float().requires_grad_(key in trained) for key, value in every.items()}
    optimizer = torch.optim.Adam([weights[key] for key in trained])
    # The inputs of the tasks, from random crops
    rng = np.random.default_rng(0)
    batch = jax.tree.map(lambda leaf: rng.integers(0, 2, leaf.shape, leaf.dtype), case.arguments[1])
    inputs, targets = (
        {
            task: value.float() if value.is_floating_point() else value.long()
            for task, value in ssmtl_torch.to_tensors(arrays).items()
            if task in used
        }
        for arrays in jax.device_get(tasks.training_inputs(batch))
    )
    net = ssmtl_torch.Network(weights, True)

    def step():
        optimizer.zero_grad()
        ssmtl_torch.training_loss(net(inputs), targets).backward()
        optimizer.step()

    return step


def features(name: str, size: Size) -> Callable:
    """`benchmarks.i3d_torch`."""
    del name
    net = i3d_torch.Network({key: torch.from_numpy(a) for key, a in i3d.weights().items()})
    clips = np.random.default_rng(1).random((size.clips, 3, 16, 224, 224), np.float32)
    return lambda: net.features(torch.from_numpy(clips))


STEPS = {
    "mil": mil,
    "s3r": s3r,
    "lgn": predictor,
    "mnad": predictor,
    "ssmtl": ssmtl,
    "i3d": features,
}
