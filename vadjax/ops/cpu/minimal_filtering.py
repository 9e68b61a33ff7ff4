"""Winograd's minimal filtering F(4, 3) along the height (Lavin and Gray, CVPR 2016).

Wide 3×3 convolutions run at the cores' peak on CPU; this form needs half the multiplications. The
gradient of the input is such a convolution again (`filtered`); that of the kernel is the
transposed identity, F(3, 4) (`kernel_gradients`). Errors are 5e-6 to 9e-6 of the largest value,
those of the plain form about 1e-6 (`benchmarks.lgn_step` measures the speed, `tests.gradients` the
gradients).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from vadjax.ops import plain
from vadjax.ops.plain import Padding

LEAST_3D, LEAST = 64, 128  # input and output channels from which it saves time, in inference


def saves_volumes(x: jax.Array, w: jax.Array, strides: Sequence[int], padding: Padding) -> bool:
    """Whether a 3×3×3 convolution can be done so, and that saves time; rows are filled up to fours.

    Args:
      x: [B, T, H, W, C].
      w: kernel [kt, kh, kw, C, F].
      strides: one for each spatial dimension.
      padding: (before, after) for each spatial dimension.
    """
    wide = w.shape[-2] >= LEAST_3D and w.shape[-1] >= LEAST
    fits = w.shape[:-2] == (3, 3, 3) and x.shape[2] > 8
    return fits and wide and _keeps_size(x, strides, padding)


def _keeps_size(x, strides, padding):
    return set(strides) == {1} and set(padding) == {(1, 1)} and x.dtype == jnp.float32


def conv(x: jax.Array, w: jax.Array) -> jax.Array:
    """Convolution 3×3×3 to the same size [B, T, H, W, F].

    Args:
      x: [B, T, H, W, C].
      w: [3, 3, 3, C, F].
    """
    x = jnp.pad(x, [(0, 0), (1, 1), (0, 0), (0, 0), (0, 0)])
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
