"""A large batch, treated so that it costs no more memory than a device is fast with."""

import functools
from collections.abc import Callable
from typing import Any

import jax
from jax import lax

from vadjax.ops.cpu.pieces import in_pieces


def by_sample(function: Callable, x: jax.Array, size: int) -> Any:
    """`function` of a batch; on CPU a few samples go through all of it before the next.

    Args:
      function: of [n, ...] to a tree of arrays [n, ...]; it treats each sample by itself.
      x: [B, ...].
      size: bytes that a sample needs at a time.

    Returns:
      What `function` gives for all of x.
    """
    cpu = functools.partial(in_pieces, function, size=size)
    return lax.platform_dependent(x, cpu=cpu, default=function)
