"""Masks of dropout. The probability to keep a value is rounded to 1 / 65,536, on every device."""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from vadjax.ops import forms
from vadjax.ops.cpu import words


def kept(rng: jax.Array, shape: tuple[int, ...], rate: float) -> jax.Array:
    """Bool mask of that shape, True with probability `1 - rate`."""
    return words.draw(rng, shape) < _kept_words(rate)


def kept_in_time(rng: jax.Array, shape: tuple[int, int, int], rate: float) -> jax.Array:
    """As `kept` for the shape [R, T, C], with a separate key for each of the T snippets."""
    rows, length, channels = shape
    draw = functools.partial(kept, shape=(rows, channels), rate=rate)
    keys = jax.random.split(rng, length)
    # On CPU in a loop: otherwise the random words, not the mask, are kept for the gradient.
    loop = functools.partial(lax.map, draw)
    masks = forms.by_device("dropout_in_time", keys, special=loop, plain=jax.vmap(draw))
    return masks.swapaxes(0, 1)


def scaled(rng: jax.Array, shape: tuple[int, ...], rate: float) -> jax.Array:
    """Factors, float32 of that shape: 0 with probability `rate`, else 1 / (probability to keep)."""
    return jnp.where(kept(rng, shape, rate), jnp.float32(words.COUNT / _kept_words(rate)), 0)


def _kept_words(rate: float) -> int:
    """Number of the 65,536 words that mean "keep"."""
    return round((1 - rate) * words.COUNT)
