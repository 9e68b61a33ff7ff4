"""Convolution over time for XLA:CPU: x [R, T, C] and kernel [taps, C, F] → [R, T, F].

For a sum of products, one for each tap, XLA:CPU holds all products and a shifted cotangent for each
tap in memory, and keeps its copies of the kernel's slices from the forward pass to the backward. In
training a loop over the taps holds the product of one tap at a time (`in_turn`). In inference three
taps need four products for two snippets (`by_pairs`); in training the sums of all pairs would have
to be kept.
"""

import jax
import jax.numpy as jnp
from jax import lax

from vadjax.ops.plain import earlier


def in_turn(x: jax.Array, kernel: jax.Array, dilation: int) -> jax.Array:
    """Adds the products with the taps [C, F] one by one.

    The sum has margins in time, so that the parts of a shifted product that leave the video fall
    into them.
    """
    # y_(t - o_k) += x_t w_k for every tap k with its offset o_k.
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
    # gx_t = Σ_k gy_(t - o_k) w_k^T and gw_k = Σ_t x_t^T gy_(t - o_k), with o_k the offset of tap k.
    (taps, channels, features), length = kernel.shape, gy.shape[1]
    margin = dilation * (taps // 2)
    padded = jnp.pad(gy, [(0, 0), (margin, margin), (0, 0)])
    rows = x.reshape(-1, channels)

    def add(tap, totals):
        gx, gradient = totals
        shifted = lax.dynamic_slice_in_dim(padded, 2 * margin - tap * dilation, length, 1)
        shifted = shifted.reshape(-1, features)
        return gx + shifted @ kernel[tap].T, gradient.at[tap].set(rows.T @ shifted)

    zeros = _zeros(rows.shape, kernel[0, :, 0]), 0 * kernel
    gx, gradient = lax.fori_loop(0, taps, add, zeros)
    return gx.reshape(x.shape), gradient


def _zeros(shape: tuple[int, ...], channels: jax.Array) -> jax.Array:
    """Zeros computed from an input: XLA:CPU would share a constant among all loops and copy it."""
    return jnp.broadcast_to(0 * channels, shape)


def makes_pairs(x: jax.Array, kernel: jax.Array, dilation: int) -> bool:
    """Whether `by_pairs` can do this convolution."""
    return len(kernel) == 3 and x.shape[1] % (2 * dilation) == 0


def by_pairs(x: jax.Array, kernel: jax.Array, dilation: int) -> jax.Array:
    """Convolution with 3 taps as four products for two snippets, by Winograd's F(2, 3).

    With a snippet `a` and the one `dilation` later, `b`, of each pair, and taps f, g, h:

        y_a = b' f + a g + b h = b' f - b f + m + n,   m = (a + b) (f + g + h) / 2
        y_b = a f + b g + a" h = a" h - a h + m - n,   n = (b - a) (f - g + h) / 2

    where b' belongs to the pair before and a" to the pair after.

    Args:
      x: [R, T, C], T a multiple of `2 * dilation`.
      kernel: [3, C, F].
      dilation: snippets from one tap to the next.
    """
    # The first and the second snippet of every pair, then four products where taps make six.
    rows, length, channels = x.shape
    pairs = x.reshape(rows, -1, 2, dilation, channels)
    a, b = (pairs[:, :, n].reshape(rows, length // 2, channels) for n in range(2))
    f, g, h = kernel
    m = (a + b) @ ((f + h + g) / 2)
    n = (b - a) @ ((f + h - g) / 2)
    b_f, a_h = b @ f, a @ h
    y_a = earlier(b_f, -dilation) - b_f + m + n
    y_b = earlier(a_h, dilation) - a_h + m - n
    y = jnp.stack([part.reshape(rows, -1, dilation, kernel.shape[-1]) for part in (y_a, y_b)], 2)
    return y.reshape(rows, length, -1)
