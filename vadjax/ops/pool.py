"""Maximum over windows of a volume, written for XLA on CPU; the plain form elsewhere.

XLA:CPU looks at every place of a window on its own. A window that spans frames is done faster as
one pass over each axis, the larger of shifted slices; one that spans none is left as it is, since
passes over large pictures lose (stack.md, "Convolution speed on CPU"). Both forms agree to the
bit, and give the gradient to the first of equal largest values.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

Padding = tuple[tuple[int, int], ...]


def max_pool3d(
    x: jax.Array,
    window: tuple[int, int, int],
    strides: tuple[int, int, int],
    padding: str | Sequence[tuple[int, int]] = "VALID",
) -> jax.Array:
    """Maximum of every window.

    Args:
      x: [B, T, H, W, C].
      window: frames, rows, columns.
      strides: the same.
      padding: "SAME" (more at the end), "VALID", or (before, after) per axis; with -inf.

    Returns:
      [B, T', H', W', C].
    """
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(x.shape[1:-1], window, strides, padding)
    padding = tuple((int(before), int(after)) for before, after in padding)
    plain = functools.partial(_plain, window=window, strides=strides, padding=padding)
    if window[0] == 1:
        return plain(x)
    passes = functools.partial(_passes, window=window, strides=strides, padding=padding)
    return lax.platform_dependent(x, cpu=passes, default=plain)


def _plain(x, window, strides, padding):
    return lax.reduce_window(
        x,
        -jnp.inf,
        lax.max,
        (1, *window, 1),
        (1, *strides, 1),
        ((0, 0), *padding, (0, 0)),
    )


def _passes(x, window, strides, padding):
    """One axis after the other; columns first, so that ties go to the first place of a window."""
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)), constant_values=-jnp.inf)
    for axis in (3, 2, 1):
        size, stride = window[axis - 1], strides[axis - 1]
        last = (x.shape[axis] - size) // stride * stride + 1
        shifted = [lax.slice_in_dim(x, k, k + last, stride, axis) for k in range(size)]
        x = functools.reduce(_larger, shifted)
    return x


@jax.custom_vjp
def _larger(a: jax.Array, b: jax.Array) -> jax.Array:
    """Maximum whose gradient goes to `a` where both are equal."""
    return jnp.maximum(a, b)


def _larger_forward(a, b):
    return jnp.maximum(a, b), a >= b


def _larger_backward(first, gradient):
    zero = jnp.zeros_like(gradient)
    return jnp.where(first, gradient, zero), jnp.where(first, zero, gradient)


_larger.defvjp(_larger_forward, _larger_backward)
