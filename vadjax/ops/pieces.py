"""Large batches in pieces that fit the cache, where that is faster."""

import functools
from collections.abc import Callable
from typing import Any

import jax

from vadjax.ops import forms
from vadjax.ops.cpu.pieces import in_pieces


def by_sample(function: Callable, x: jax.Array, size: int) -> Any:
    """Applies a function to a batch; on CPU to a few samples at a time.

    Args:
      function: of [n, ...] to a tree of arrays [n, ...]; it treats each sample by itself.
      x: [B, ...].
      size: bytes of memory that a sample needs at a time.

    Returns:
      The same as `function(x)`.
    """
    pieces = functools.partial(in_pieces, function, size=size)
    return forms.by_device("by_sample", x, special=pieces, plain=function)
