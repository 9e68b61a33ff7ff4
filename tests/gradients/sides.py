"""Which sides a step's units took, and a step whose units take given sides.

A ReLU asks of every unit whether it is above zero, a pooling which of its inputs is the largest,
and an absolute difference in a loss which sign it has. A unit that is nearly at such a corner
changes sides by any rounding, and the gradient jumps. Two steps can only be compared to a rounding
when all units took the same sides.

    with sides.recorded() as taken:
        ...  # a step in float32, as it is compiled
    with sides.forced(taken):
        ...  # the plain step in float64, on the sides that were recorded

Recording hands the sides of every ReLU, `max_pool` and `jnp.abs` out of the compiled step. That it
changes nothing is shown by the gradient, which must be that of the step alone to the bit.
"""

import contextlib
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vadjax.ops import pool


@contextlib.contextmanager
def recorded() -> Iterator[list[np.ndarray]]:
    """Sides of every ReLU, pooling and absolute value in the order of the step; filled at the end.

    Of a ReLU for every unit whether it is above zero (bool), of a pooling the place of the first
    largest in each window (int32), of an absolute value the sign (float). The step is traced and
    run within.
    """
    taken, found, calls = [], {}, itertools.count()
    relu, max_pool, absolute = jax.nn.relu, pool.max_pool, jnp.abs

    def keep(side: jax.Array) -> None:
        number = next(calls)
        jax.debug.callback(lambda side: found.__setitem__(number, np.array(side)), side)

    def kept_relu(x):
        keep(x > 0)
        return relu(x)

    def kept_pool(x, window=(2, 2)):
        keep(_windows(x, window).argmax(-1).astype(jnp.int32))
        return max_pool(x, window)

    def kept_absolute(x):
        keep(jnp.sign(x))
        return absolute(x)

    with _replaced(kept_relu, kept_pool, kept_absolute):
        yield taken
        jax.effects_barrier()
    taken.extend(found[number] for number in sorted(found))


@contextlib.contextmanager
def forced(taken: Sequence[np.ndarray]) -> Iterator[None]:
    """What is traced within takes these sides, whatever its own numbers are.

    Args:
      taken: as recorded, of the same step. The step may be traced several times.

    Raises:
      ValueError: they are of another step.
    """
    calls = itertools.count()

    def next_side(shape):
        side = taken[next(calls) % len(taken)]
        if side.shape != shape:
            raise ValueError(f"sides of {side.shape} for a layer of {shape}: another step")
        return side

    def relu(x):
        return jnp.where(next_side(x.shape), x, 0)

    def max_pool(x, window=(2, 2)):
        x = _windows(x, window)
        place = next_side(x.shape[:-1])
        return jnp.where(place[..., None] == np.arange(x.shape[-1]), x, 0).sum(-1)

    def absolute(x):
        return x * next_side(x.shape)

    with _replaced(relu, max_pool, absolute):
        yield


@contextlib.contextmanager
def _replaced(relu: Callable, max_pool: Callable, absolute: Callable) -> Iterator[None]:
    """Every module of the package calls these instead."""
    own = [module for name, module in sys.modules.items() if name.startswith("vadjax.")]
    with contextlib.ExitStack() as stack:
        for module in (nn, jax.nn):
            stack.enter_context(mock.patch.object(module, "relu", relu))
        for module in own:
            if getattr(module, "max_pool", None) is pool.max_pool and module is not pool:
                stack.enter_context(mock.patch.object(module, "max_pool", max_pool))
        stack.enter_context(mock.patch.object(pool, "max_pool", max_pool))
        stack.enter_context(mock.patch.object(jnp, "abs", absolute))
        yield


def _windows(x, window: tuple[int, ...]):
    """Array [B, *sides, C] as [B, *(side / size), C, places of a window]."""
    split = [x.shape[0]]
    for side, size in zip(x.shape[1:-1], window, strict=True):
        split += [side // size, size]
    n = len(window)
    order = [0, *range(1, 2 * n, 2), 2 * n + 1, *range(2, 2 * n + 1, 2)]
    x = x.reshape(*split, x.shape[-1]).transpose(order)
    return x.reshape(*x.shape[: n + 2], -1)
