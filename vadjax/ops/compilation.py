"""How programs are compiled: with the compiler's own choices, but for what a CPU needs.

JAX takes options of the compiler only for a program that is compiled by itself, not for a part of
one that is being traced. So nothing that `jax.eval_shape` or `jax.jit` traces may call `run_once`.
"""

import contextlib
import gc
from collections.abc import Callable, Iterator
from typing import Any

import jax

from vadjax.ops import forms
from vadjax.ops.cpu import compiler


def compile_step(jitted: Callable, *arguments, saves_memory: bool = True) -> Callable:
    """A jitted step, compiled for arguments like these; the compiler's memory is given back.

    Args:
      jitted: the step.
      *arguments: of it.
      saves_memory: as of `step_options`.
    """
    with _without_garbage_collection():
        compiled = jitted.lower(*arguments).compile(step_options(saves_memory))
    compiler.trim_heap()
    return compiled


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Tracing makes many objects and little garbage; looking for it takes a fifth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def step_options(saves_memory: bool = True) -> dict:
    """Options of the compiler for a training step on this machine's devices.

    Args:
      saves_memory: whether a CPU takes an order of operations that needs little memory.
    """
    return _on_cpu(compiler.STEP if saves_memory else {})


def run_once(function: Callable, *arguments) -> Any:
    """What `function` gives, compiled to be run this one time: sooner on CPU, to the same bits."""
    return jax.jit(function, compiler_options=_on_cpu(compiler.ONCE))(*arguments)


def _on_cpu(options: dict) -> dict:
    return options if jax.default_backend() == "cpu" and not forms.plain_only() else {}
