"""Maximum over windows, with gradients that never compare a value with a maximum.

A gradient that asks which value equals the maximum can be wrong inside large steps on CPU. The
reason is inferred: XLA (jax 0.10.2) may compute a value again where it is used, rounded
differently, so that nothing equals the maximum computed elsewhere and the gradient is lost. The
gradient of `jnp.maximum` is of this kind, and with it that of a maximum of slices. Here adjacent
windows keep the place of their first largest value (`max_pool`), and all others take the gradient
of `lax.reduce_window` (`max_pool3d`). Both give the gradient of a window to the first of equal
largest values, as torch does.
"""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from vadjax.ops import forms
from vadjax.ops.cpu import largest, machine
from vadjax.ops.cpu import pool as on_cpu


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def max_pool(x: jax.Array, window: tuple[int, ...] = (2, 2)) -> jax.Array:
    """Maximum of adjacent windows that do not overlap.

    Args:
      x: [B, *sides, C], each side a multiple of the window's.
      window: one size per side, at most 127 values in all.

    Returns:
      [B, *(side / size), C].

    Raises:
      ValueError: a side that is no multiple of the window's.
    """
    return _reduce(x, _checked(x, window))


def _checked(x: jax.Array, window: tuple[int, ...]) -> tuple[int, ...]:
    sides = x.shape[1:-1]
    if len(sides) != len(window) or any(n % k for n, k in zip(sides, window, strict=True)):
        raise ValueError(f"max_pool: sides {sides}; expected multiples of the window {window}")
    return window


def _reduce(x, window):
    """Maximum of windows; on CPU of slices.

    XLA:CPU (jax 0.10.2) may make one kernel of its library of a scale, a shift, a ReLU and
    `lax.reduce_window`, whose results are wrong (found in LGN-Net's encoder).
    """
    return forms.by_device(
        "max_pool",
        x,
        special=lambda x: functools.reduce(jnp.maximum, _values(x, window)),
        plain=functools.partial(_windows, window=(1, *window, 1)),
    )


def _windows(x, window):
    return lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")


def _max_pool_forward(x, window):
    return _reduce(x, _checked(x, window)), largest_of_windows(x, window)[1]


def largest_of_windows(x: jax.Array, window: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
    """Maximum of adjacent windows and the rank of the first largest value within each, int8.

    Args:
      x: [B, *sides, C], each side a multiple of the window's.
      window: one size per side, at most 127 values in all.

    Returns:
      Both [B, *(side / size), C].
    """
    candidates = list(zip(_values(x, window), range(math.prod(window)), strict=True))
    # Neighbours are compared in pairs, as in a knockout tournament; only a larger value beats an
    # earlier one, so that of equal values the first wins.
    while len(candidates) > 1:
        pairs = zip(candidates[::2], candidates[1::2], strict=False)
        rest = candidates[2 * (len(candidates) // 2) :]
        candidates = [_winner(first, second) for first, second in pairs] + rest
    largest, rank = candidates[0]
    return largest, jnp.broadcast_to(rank, largest.shape).astype(jnp.int8)


def values_at(x: jax.Array, place: jax.Array, window: tuple[int, ...]) -> jax.Array:
    """The value of each window of x that has the rank `place` [B, *(side / size), C]."""
    first, *others = _values(x, window)
    for rank, value in enumerate(others, 1):
        first = jnp.where(place == rank, value, first)
    return first


def _values(x, window) -> list[jax.Array]:
    """The first value of every window, the second one, and so on."""
    split = _split(x, window)
    return [split[_at(place)] for place in np.ndindex(*window)]


def _winner(first, second):
    (a, rank_a), (b, rank_b) = first, second
    return jnp.maximum(a, b), jnp.where(b > a, rank_b, rank_a)


def _split(x: jax.Array, window: tuple[int, ...]) -> jax.Array:
    """[B, *(side / size, size), C]: every window's own values as axes of their own."""
    sides = ((n // k, k) for n, k in zip(x.shape[1:-1], window, strict=True))
    return x.reshape(x.shape[0], *(size for pair in sides for size in pair), x.shape[-1])


def _at(place: tuple[int, ...]) -> tuple:
    """Index of one value of every window in `_split`."""
    return (slice(None), *(part for i in place for part in (slice(None), i)))


def _max_pool_backward(window, place, gradient):
    return (put_at(gradient, place, window),)


def put_at(gradient: jax.Array, place: jax.Array, window: tuple[int, ...]) -> jax.Array:
    """Gradient of `max_pool`: that of each window at the rank that `place` names, all others 0."""
    # Rank of every value in its window, as an array that broadcasts over all windows.
    inner = tuple(size for k in window for size in (1, k))  # (1, 2, 1, 2) for squares
    ranks = jnp.arange(math.prod(window), dtype=jnp.int8).reshape(1, *inner, 1)
    inner_axes = [2 * axis + 2 for axis in range(len(window))]
    spread = jnp.where(
        jnp.expand_dims(place, inner_axes) == ranks,
        jnp.expand_dims(gradient, inner_axes),
        jnp.zeros((), gradient.dtype),
    )
    sides = (n * k for n, k in zip(place.shape[1:-1], window, strict=True))
    return spread.reshape(place.shape[0], *sides, place.shape[-1])


max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def max_pool3d(
    x: jax.Array,
    window: tuple[int, int, int],
    strides: tuple[int, int, int],
    padding: str | Sequence[tuple[int, int]] = "VALID",
) -> jax.Array:
    """Maximum of every window of a volume; values and gradient are the same on every device.

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
    return _max_pool3d(x, tuple(window), tuple(strides), padding)


def max_pool_inference(x: jax.Array) -> jax.Array:
    """Maximum of 3 × 3 places at stride 2, padded by 1 with -inf; not to be differentiated.

    Args:
      x: [B, H, W, C], sides even.

    Returns:
      [B, H / 2, W / 2, C].
    """

    def plain(x):
        return _plain(x[:, None], (1, 3, 3), (1, 2, 2), ((0, 0), (1, 1), (1, 1)))[:, 0]

    if not largest.saves(x):
        return plain(x)
    special = functools.partial(machine.or_plain, largest.max_pool, plain)
    return forms.by_device("max_pool_inference", x, special=special, plain=plain)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _max_pool3d(x, window, strides, padding):
    size = {"window": window, "strides": strides, "padding": padding}
    plain = functools.partial(_plain, **size)
    if not on_cpu.saves(window):
        return plain(x)
    passes = functools.partial(on_cpu.passes, **size)
    return forms.by_device("max_pool3d", x, special=passes, plain=plain)


def _max_pool3d_forward(x, window, strides, padding):
    return _max_pool3d(x, window, strides, padding), x


def _max_pool3d_backward(window, strides, padding, x, gradient):
    plain = functools.partial(_plain, window=window, strides=strides, padding=padding)
    return jax.vjp(plain, x)[1](gradient)


_max_pool3d.defvjp(_max_pool3d_forward, _max_pool3d_backward)


def _plain(x, window, strides, padding):
    return lax.reduce_window(
        x,
        -jnp.inf,
        lax.max,
        (1, *window, 1),
        (1, *strides, 1),
        ((0, 0), *padding, (0, 0)),
    )
