"""A batch treated in pieces that stay in the cache of a CPU."""

from collections.abc import Callable

import jax
from jax import lax

CACHE = 2**23  # bytes


def in_pieces(function: Callable, x: jax.Array, size: int):
    """`function` of a batch, applied to so many of its samples at once as stay in the cache.

    Args:
      function: of [n, ...] to a tree of arrays [n, ...]; it treats each sample by itself.
      x: [B, ...].
      size: bytes that a sample needs at a time.

    Returns:
      What `function` gives for all of x.
    """
    most = max(CACHE // max(size, 1), 1)
    if len(x) <= most:
        return function(x)
    piece = max(n for n in range(1, most + 1) if len(x) % n == 0)
    found = lax.map(function, x.reshape(-1, piece, *x.shape[1:]))
    return jax.tree.map(lambda y: y.reshape(len(x), *y.shape[2:]), found)
