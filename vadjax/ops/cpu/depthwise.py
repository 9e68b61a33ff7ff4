"""Depthwise convolution for XLA:CPU.

XLA:CPU computes a convolution with as many groups as channels one channel at a time. The sum of
shifted inputs, each multiplied by one tap of the kernel, is a single loop over memory.
"""

from collections.abc import Sequence

import jax
from jax import lax

from vadjax.ops.plain import Padding


def shifted(x: jax.Array, w: jax.Array, strides: Sequence[int], padding: Padding) -> jax.Array:
    """As `plain.conv` with as many groups as channels, of pictures.

    Args:
      x: [B, H, W, C].
      w: kernel [kh, kw, 1, C].
      strides: of rows and columns.
      padding: (before, after) of rows and columns.

    Returns:
      [B, H', W', C].
    """
    pads = [(0, 0, 0), *((*pair, 0) for pair in padding), (0, 0, 0)]
    # The barrier keeps the padding a step of its own; fused, XLA would check the border for every
    # tap.
    x = lax.optimization_barrier(lax.pad(x, x.dtype.type(0), pads))
    size = w.shape[:2]
    # One slice and one product for each tap.
    last = [(n - k) // s * s + 1 for n, k, s in zip(x.shape[1:3], size, strides, strict=True)]
    total = 0
    for i in range(size[0]):
        for j in range(size[1]):
            stop = (x.shape[0], i + last[0], j + last[1], x.shape[3])
            total += lax.slice(x, (0, i, j, 0), stop, (1, *strides, 1)) * w[i, j, 0]
    return total
