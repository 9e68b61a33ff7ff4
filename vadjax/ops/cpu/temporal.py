"""Convolution over time for XLA:CPU: x [R, T, C] and kernel [taps, C, F] → [R, T, F].

Of a sum of products, one for each tap, XLA:CPU has all products in memory to add them at once, a
moved cotangent for each tap, and keeps its copies of the kernel's slices from the forward pass to
the backward. In training a loop over the taps holds the product of one. In inference three taps
take four products for two snippets; in training the sums of pairs would all be kept.
"""

import jax
import jax.numpy as jnp
from jax import lax

from vadjax.ops.plain import earlier


def in_turn(x: jax.Array, kernel: jax.Array, dilation: int) -> jax.Array:
    """Adds the products with the taps [C, F] one by one, into a sum with margins in time."""
    (taps, channels, features), (size, length, _) = kernel.shape, x.shape
    margin = dilation * (taps // 2)
    rows = x.reshape(-1, channels)

    def add(tap, total):
        start = 2 * margin - tap * dilation
        part = (rows @ kernel[tap]).reshape(size, length, features)
        part += lax.dynamic_slice_in_dim(total, start, length, 1)
        return lax.dynamic_update_slice_in_dim(total, part, start, 1)

    total = _zeros((size, length + 2 * margin, features), kernel[0, 0])
    return lax.fori_loop(0, taps, add, total)[:, margin : margin + length]


def in_turn_gradients(
    x: jax.Array, kernel: jax.Array, gy: jax.Array, dilation: int
) -> tuple[jax.Array, jax.Array]:
    """Gradients of x and kernel for the cotangent gy [R, T, F]."""
    (taps, channels, features), length = kernel.shape, gy.shape[1]
    margin = dilation * (taps // 2)
    padded = jnp.pad(gy, [(0, 0), (margin, margin), (0, 0)])
    rows = x.reshape(-1, channels)

    def add(tap, totals):
        gx, gradient = totals
        moved = lax.dynamic_slice_in_dim(padded, 2 * margin - tap * dilation, length, 1)
        moved = moved.reshape(-1, features)
        return gx + moved @ kernel[tap].T, gradient.at[tap].set(rows.T @ moved)

    zeros = _zeros(rows.shape, kernel[0, :, 0]), 0 * kernel
    gx, gradient = lax.fori_loop(0, taps, add, zeros)
    return gx.reshape(x.shape), gradient


def _zeros(shape: tuple[int, ...], channels: jax.Array) -> jax.Array:
    """Zeros that are no constant: XLA:CPU would share one among all loops, and copy it for each."""
    return jnp.broadcast_to(0 * channels, shape)


def makes_pairs(x: jax.Array, kernel: jax.Array, dilation: int) -> bool:
    """Whether `by_pairs` can do this convolution."""
    return len(kernel) == 3 and x.shape[1] % (2 * dilation) == 0


def by_pairs(x: jax.Array, kernel: jax.Array, dilation: int) -> jax.Array:
    """Convolution with 3 taps as four products for two snippets, by Winograd's F(2, 3).

    With a snippet `a` and the one `dilation` later, `b`, of each pair, and taps f, g, h:

        y_a = b' f + a g + b h = b' f - b f + m + n,   m = (a + b) (f + g + h) / 2
        y_b = a f + b g + a" h = a" h - a h + m - n,   n = (b - a) (f - g + h) / 2

    where b' is of the pair before and a" of the pair behind.

    Args:
      x: [R, T, C], T a multiple of `2 * dilation`.
      kernel: [3, C, F].
      dilation: snippets from one tap to the next.
    """
    rows, length, channels = x.shape
    pairs = x.reshape(rows, -1, 2, dilation, channels)
    a, b = (pairs[:, :, n].reshape(rows, length // 2, channels) for n in range(2))
    f, g, h = kernel
    m = (a + b) @ ((f + h + g) / 2)
    n = (b - a) @ ((f + h - g) / 2)
    last, next_ = b @ f, a @ h
    y_a = earlier(last, -dilation) - last + m + n
    y_b = earlier(next_, dilation) - next_ + m - n
    y = jnp.stack([part.reshape(rows, -1, dilation, kernel.shape[-1]) for part in (y_a, y_b)], 2)
    return y.reshape(rows, length, -1)
