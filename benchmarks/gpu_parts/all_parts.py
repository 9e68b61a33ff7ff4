"""The parts of `benchmarks.gpu`, each a function that yields rows for the JSON file.

A part runs in a worker process. Parts of one group share a process, one after the other.
"""

import functools
import os
import platform
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.accelerators import DATA_SHEETS
from benchmarks.gpu_parts import forms, golden, inputs, kernels, steps
from benchmarks.gpu_parts.settings import ROOT, LeftOut, Settings

CACHE = "JAX_COMPILATION_CACHE_DIR"
TRAINED = ("lgn", "s3r", "mil", "mnad", "ssmtl", "rtfm", "motion", "appearance")


class Part(NamedTuple):
    """A part of the program.

    Attributes:
      name: in the table.
      seconds: that it may take at the most.
      run: of the settings; yields rows.
      group: parts of one group share a process.
    """

    name: str
    seconds: float
    run: Callable[[Settings], Iterator[dict]]
    group: str


def parts() -> list[Part]:
    """All parts, the most worthy first."""

    def golden_tests(name: str) -> Part:
        return Part(f"golden {name}", 90, functools.partial(run_golden, name), "golden")

    def both(name: str) -> Part:
        run = functools.partial(steps.run, name, ("float32", "bfloat16"))
        return Part(f"steps {name}", 90, run, f"steps {name}")

    def exact(name: str) -> Part:
        run = functools.partial(steps.run, name, ("highest",))
        return Part(f"exact {name}", 60, run, f"exact {name}")

    def loading(name: str) -> Part:
        return Part(f"input {name}", 40, functools.partial(inputs.run, name), "input")

    def in_torch(name: str) -> Part:
        return Part(f"torch {name}", 60, functools.partial(run_torch, name), "torch")

    return [
        Part("device", 60, device, "golden"),
        *map(golden_tests, golden.NODES),
        *map(both, TRAINED[:3]),
        Part("nearest", 90, kernels.nearest, "kernels"),
        Part("select", 60, kernels.select, "kernels"),
        *map(both, TRAINED[3:5]),
        *map(loading, ("mil", "lgn", "ssmtl")),
        *map(in_torch, TRAINED[:3]),
        *map(both, (*TRAINED[5:], "i3d")),
        *map(in_torch, (*TRAINED[3:5], "i3d")),
        Part("forms", 150, run_forms, "forms"),
        *map(exact, TRAINED[:3]),
    ]


def environment(group: str) -> dict[str, str]:
    """Variables of the process of a group."""
    found = {
        # Memory is taken as it is needed, so that its peak is known and processes can follow
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        CACHE: os.environ.get(CACHE, str(ROOT / ".cache" / "jax")),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    if group == "golden":  # products of float32 are TF32 on a GPU unless one asks for more
        found |= {"JAX_DEFAULT_MATMUL_PRECISION": "highest", "VADJAX_TEST_PLATFORMS": ""}
    if group == "torch":  # which has the GPU for itself
        found["JAX_PLATFORMS"] = "cpu"
    return found


def device(settings: Settings) -> Iterator[dict]:
    """The machine, and how exact its products of float32 are."""
    del settings
    first = jax.devices()[0]
    chip = DATA_SHEETS.get(first.device_kind)
    limit = (first.memory_stats() or {}).get("bytes_limit")
    # Products in the default and in the highest precision, beside float64
    a, b = np.random.default_rng(0).standard_normal((2, 512, 512)).astype(np.float32)
    right = a.astype(np.float64) @ b
    errors = {
        name: float(np.abs(jnp.dot(a, b, precision=name) - right).max() / np.abs(right).max())
        for name in ("default", "highest")
    }
    yield {
        "kind": first.device_kind,
        "platform": first.platform,
        "devices": jax.device_count(),
        "memory_gb": limit and limit / 1e9,
        "data_sheet": chip and chip._asdict(),
        "driver": " ".join(first.client.platform_version.split()),
        "jax": jax.__version__,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "error_of_products": errors,
    }


def run_golden(name: str, settings: Settings) -> Iterator[dict]:
    """The golden tests of a system.

    Raises:
      AssertionError: one of them failed; what the first said.
      LeftOut: all were skipped; why the first was.
    """
    rows = golden.run(name, settings.small)
    yield from rows
    failed = [row for row in rows if row["outcome"] == "failed"]
    if failed:
        raise AssertionError(f"{len(failed)} of {len(rows)} tests: {failed[0]['said']}")
    if all(row["outcome"] == "skipped" for row in rows):
        raise LeftOut(rows[0]["said"])


def run_torch(name: str, settings: Settings) -> Iterator[dict]:
    """The same step in torch, in float32 with TF32 products where the GPU has them."""
    try:
        import torch
    except ModuleNotFoundError as error:
        raise LeftOut("torch is not installed") from error
    if not torch.cuda.is_available() and not settings.small:
        raise LeftOut("torch finds no GPU")

    from benchmarks.gpu_parts import torch_steps

    yield torch_steps.measure(name, settings.size)


def run_forms(settings: Settings) -> Iterator[dict]:
    """Both forms of every operation that has two."""
    yield from forms.run(settings.small, functools.partial(steps.timed, seconds=steps.TIMED / 5))
