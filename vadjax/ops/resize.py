"""Maps made twice and half as large, and added to others; not to be differentiated."""

import functools

import jax

from vadjax.ops import forms
from vadjax.ops.cpu import machine, resized


def add_twice_inference(y: jax.Array, x: jax.Array) -> jax.Array:
    """A map plus another, which is made twice as large: bilinear, edges held.

    Args:
      y: [B, 2 H, 2 W, C].
      x: [B, H, W, C].

    Returns:
      [B, 2 H, 2 W, C].
    """
    return _by_device("add_twice_inference", _add_twice, resized.add_twice, y, x)


def add_half_inference(y: jax.Array, x: jax.Array) -> jax.Array:
    """A map plus another, which is made half as large: means of 2 × 2 places.

    Args:
      y: [B, H, W, C].
      x: [B, 2 H, 2 W, C].

    Returns:
      [B, H, W, C].
    """
    return _by_device("add_half_inference", _add_half, resized.add_half, y, x)


def _by_device(operation, plain, in_code, y, x):
    if not resized.saves(x):
        return plain(y, x)
    special = functools.partial(machine.or_plain, in_code, plain)
    return forms.by_device(operation, y, x, special=special, plain=plain)


def _add_twice(y, x):
    return y + jax.image.resize(x, y.shape, "bilinear")


def _add_half(y, x):
    batch, height, width, channels = y.shape
    return y + x.reshape(batch, height, 2, width, 2, channels).mean((2, 4))
