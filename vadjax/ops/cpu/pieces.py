"""Batches in pieces that stay in the cache of a CPU."""

from collections.abc import Callable

import jax
from jax import lax

CACHE = 2**23  # bytes that the samples of a piece may need together


def in_pieces(function: Callable, x: jax.Array, size: int):
    """Applies a function to as many samples of a batch at once as stay in the cache.

    Args:
      function: of [n, ...] to a tree of arrays [n, ...]; it treats each sample by itself.
      x: [B, ...].
      size: bytes of memory that a sample needs at a time.

    Returns:
      The same as `function(x)`.
    """
    most = max(CACHE // max(size, 1), 1)
    if len(x) <= most:
        return function(x)
    # The largest piece that divides the batch: all pieces have one shape.
    piece = max(n for n in range(1, most + 1) if len(x) % n == 0)
    outputs = lax.map(function, x.reshape(-1, piece, *x.shape[1:]))
    return jax.tree.map(lambda y: y.reshape(len(x), *y.shape[2:]), outputs)
