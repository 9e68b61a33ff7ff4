"""Winograd's minimal filtering F(4, 3) along the height (Lavin and Gray, CVPR 2016).

Wide 3×3 convolutions run at the cores' peak on CPU; this form needs half the multiplications. The
gradient of the input is such a convolution again; that of the kernel is the transposed identity,
F(3, 4). Errors are 5e-6 to 9e-6 of the largest value, those of the plain form about 1e-6
(`benchmarks.lgn_step` measures the speed, `tests.gradients` the gradients).
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from vadjax.ops import plain
from vadjax.ops.cpu import patches
from vadjax.ops.plain import Padding

LEAST = 128  # channels from which it saves time
LEAST_KERNEL = 64  # the same of kernel gradients, on the narrower side; the wider has `LEAST`
LEAST_3D = 64  # input channels of 3×3×3 kernels from which it saves time, in inference
BLOCK_PLACES = 1024  # of four rows each, in a block of a kernel gradient: they stay in cache


def saves(
    x: jax.Array, w: jax.Array, strides: Sequence[int], padding: Padding, least: int = LEAST
) -> bool:
    """Whether a 3×3 convolution or its gradients can be done so, and that saves time.

    Args:
      x: [B, H, W, C].
      w: kernel [kh, kw, C, F].
      strides: one for each spatial dimension.
      padding: (before, after) for each spatial dimension.
      least: channels on the narrower side of the kernel.
    """
    narrow, wide = sorted(w.shape[-2:])
    fits = w.shape[:-2] == (3, 3) and x.shape[1] % 4 == 0 and _keeps_size(x, strides, padding)
    return fits and narrow >= least and wide >= LEAST


def saves_volumes(x: jax.Array, w: jax.Array, strides: Sequence[int], padding: Padding) -> bool:
    """As `saves`, for 3×3×3 convolutions; rows are filled up to fours."""
    wide = w.shape[-2] >= LEAST_3D and w.shape[-1] >= LEAST
    fits = w.shape[:-2] == (3, 3, 3) and x.shape[2] > 8
    return fits and wide and _keeps_size(x, strides, padding)


def _keeps_size(x, strides, padding):
    return set(strides) == {1} and set(padding) == {(1, 1)} and x.dtype == jnp.float32


def conv(x: jax.Array, w: jax.Array) -> jax.Array:
    """Convolution 3×3 or 3×3×3 to the same size [B, (T,) H, W, F]."""
    if w.ndim == 4:
        return _by_taps(x[:, None], w[None])[:, 0]
    return _by_taps(jnp.pad(x, [(0, 0), (1, 1), (0, 0), (0, 0), (0, 0)]), w)


def _by_taps(x, w):
    """Convolves six sums of rows for every four rows of the output with 1×3 kernels.

    Args:
      x: [B, T + taps - 1, H, W, C].
      w: [taps, 3, 3, C, F].

    Returns:
      [B, T, H, W, F].
    """
    # Every four rows of the output depend on six rows of the input, of which six sums are made.
    batch, times, height, width, channels = x.shape
    taps, times, rows = len(w), times - len(w) + 1, -(-height // 4)
    x = jnp.pad(x, [(0, 0), (0, 0), (1, 1 + 4 * rows - height), (0, 0), (0, 0)])
    sums = input_sums(x, 2)
    six = kernel_sums([w[:, row] for row in range(3)])

    def convolve(part, kernel):
        shape = batch * times, rows, width, channels
        moments = [part[:, t : t + times].reshape(shape) for t in range(taps)]
        padding = (0, 0), (1, 1)
        return sum(
            plain.conv(p, k[None], (1, 1), padding) for p, k in zip(moments, kernel, strict=True)
        )

    # Six products instead of twelve; their sums are the four rows of the output.
    m = [convolve(part, kernel) for part, kernel in zip(sums, six, strict=True)]
    y = jnp.stack(output_rows(m), 2).reshape(batch, times, 4 * rows, width, -1)
    return y[:, :, :height]


def kernel_gradient(x: jax.Array, gy: jax.Array) -> jax.Array:
    """Gradient [3, 3, C, F] of the kernel of a same-size 3×3 convolution.

    Args:
      x: [B, H, W, C], H a multiple of 4.
      gy: cotangent [B, H, W, F].
    """
    channels, features = x.shape[-1], gy.shape[-1]
    at_once = math.prod(gy.shape[:-1]) // 4 <= BLOCK_PLACES  # turning the result would cost more
    if channels > features and not at_once:  # patches of the narrower side, see `patches`
        return jnp.flip(kernel_gradient(gy, x), (0, 1)).swapaxes(-1, -2)
    x = jnp.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])

    # With y = A^T [(G w) * (B^T x)] of every four rows, dw = G^T sum [(A gy) * (B^T x)].
    def of_block(corner, block):
        samples, fours, width = block
        first = corner[0], 4 * corner[1], corner[2]
        part = patches.positive_slice(x, first, (samples, 4 * fours + 2, width + 2))
        rows = patches.positive_slice(gy, first, (samples, 4 * fours, width))
        inputs, outputs = input_sums(part, 1), _output_sums([rows[:, i::4] for i in range(4)])
        pairs = zip(inputs, outputs, strict=True)
        return [patches.product_of_taps(a, b, (1, 3), (1, 1)) for a, b in pairs]

    places = gy.shape[0], gy.shape[1] // 4, gy.shape[2]
    start = [jnp.zeros((features, 3 * channels), gy.dtype)] * 6
    six = patches.sum_over_blocks(of_block, start, places, BLOCK_PLACES)
    # Sums of arrays that are turned meanwhile are slow
    six = lax.optimization_barrier([total.T.reshape(3, channels, features) for total in six])
    inner, inner_odd = six[1] + six[2], six[2] - six[1]
    outer, outer_odd = six[3] + six[4], six[3] - six[4]
    rows = (
        six[0] / 4 - inner / 6 + outer / 24,
        inner_odd / 6 + outer_odd / 12,
        six[5] - inner / 6 + outer / 6,
    )
    return jnp.stack(rows)


def input_sums(x: jax.Array, axis: int) -> tuple[jax.Array, ...]:
    """Six sums of the six rows that four rows of the output depend on.

    Args:
      x: with rows along the axis: those of the output, and one more on either side.
      axis: of the rows.
    """

    def every_fourth(x, i):
        return lax.slice_in_dim(x, i, i + rows - 3, 4, axis)

    def of_one_side(first):
        part = _at(x, first, rows + 1, axis)
        return 4 * every_fourth(part, 0) - 5 * every_fourth(part, 2) + every_fourth(part, 4)

    rows = x.shape[axis] - 2
    r = [every_fourth(x, i) for i in range(6)]
    inner, inner_odd = r[4] - 4 * r[2], r[3] - 4 * r[1]
    outer, outer_odd = r[4] - r[2], 2 * (r[3] - r[1])
    before, after = map(of_one_side, _unknown(0, 1))
    return before, *_both_ways(inner, inner_odd), *_both_ways(outer, outer_odd), after


def output_rows(m: Sequence[jax.Array]) -> tuple[jax.Array, ...]:
    """Four rows of the output, of the six products."""
    inner, inner_odd = m[1] + m[2], m[1] - m[2]
    outer, outer_odd = m[3] + m[4], m[3] - m[4]
    return (
        m[0] + inner + outer,
        inner_odd + 2 * outer_odd,
        inner + 4 * outer,
        inner_odd + 8 * outer_odd + m[5],
    )


def _output_sums(g):
    """Six sums of four rows of a cotangent: what `_by_taps` does with its six products, back."""
    even, odd = g[0] + g[2], g[1] + g[3]
    even_outer, odd_outer = g[0] + 4 * g[2], 2 * g[1] + 8 * g[3]
    return g[0], *_both_ways(even, odd), *_both_ways(even_outer, odd_outer), g[3]


def kernel_sums(rows: Sequence[jax.Array]) -> list[jax.Array]:
    """Six sums of the three rows of a kernel; one pass each, where a product would need copies."""
    even, odd = -(rows[0] + rows[2]) / 6, -rows[1] / 6
    outer, outer_odd = rows[0] / 24 + rows[2] / 6, rows[1] / 12
    pairs = *_both_ways(even, odd), *_both_ways(outer, outer_odd)
    six = rows[0] / 4, *pairs, rows[2]
    return [lax.optimization_barrier(total) for total in six]


def _at(x: jax.Array, start: jax.Array, size: int, axis: int) -> jax.Array:
    """So many places of one axis, from a number `_unknown`."""
    starts, sizes = [jnp.uint32(0)] * x.ndim, list(x.shape)
    starts[axis], sizes[axis] = start.astype(jnp.uint32), size
    return lax.dynamic_slice(x, starts, sizes)


def _both_ways(even: jax.Array, odd: jax.Array) -> list[jax.Array]:
    """`even + odd` and `even - odd`, by the same kernel."""
    signs = [lax.convert_element_type(value - 3, even.dtype) for value in _unknown(4, 2)]
    return [lax.add(even, lax.mul(lax.broadcast(sign, odd.shape), odd)) for sign in signs]


def _unknown(*values: int) -> list[jax.Array]:
    """These numbers, float32; kernels that differ by them alone are equal and compiled once.

    XLA:CPU (jax 0.10.2) makes a constant part of the kernel that it goes into, but not what comes
    of a root, which is exact for squares.
    """
    return [lax.sqrt(lax.optimization_barrier(jnp.float32(value**2))) for value in values]
