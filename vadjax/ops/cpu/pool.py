"""Maximum over windows of a volume for XLA:CPU, which visits every place of every window.

A window that spans several frames is faster as one pass over each axis. A window of one frame keeps
the plain form, since passes over large pictures are slower.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from vadjax.ops.plain import Padding


def saves(window: Sequence[int]) -> bool:
    """Whether passes are faster: the window (frames, rows, columns) spans several frames."""
    return window[0] != 1


def passes(
    x: jax.Array, window: Sequence[int], strides: Sequence[int], padding: Padding
) -> jax.Array:
    """One axis after the other, as the maximum of shifted slices; bitwise equal to the plain form.

    Args:
      x: [B, T, H, W, C].
      window: frames, rows, columns.
      strides: the same.
      padding: (before, after) of each, with -inf.

    Returns:
      [B, T', H', W', C].
    """
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)), constant_values=-jnp.inf)
    for axis in (3, 2, 1):
        size, stride = window[axis - 1], strides[axis - 1]
        last = (x.shape[axis] - size) // stride * stride + 1
        shifted = [lax.slice_in_dim(x, k, k + last, stride, axis) for k in range(size)]
        x = functools.reduce(jnp.maximum, shifted)
    return x
