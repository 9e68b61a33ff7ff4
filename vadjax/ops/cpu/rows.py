"""3×3 convolutions of small maps for XLA:CPU, each product over one long row of all places.

XLA's library (jax 0.10.2) shares out the rows of a convolution over the cores, and only rows with
enough work. The six products of minimal filtering (`minimal_filtering`) have no rows of the kernel
left, so all places of a map can be one row, with a column of zeros between its own rows:

    x [B, H, W, C] → six sums of rows [B, 1, (H / 4) (W + 1), C]
                   → six convolutions with 1×3 taps → four rows each [B, H, W, F]
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from vadjax.ops import plain
from vadjax.ops.cpu.minimal_filtering import input_sums, kernel_sums, output_rows


def conv(x: jax.Array, w: jax.Array) -> jax.Array:
    """Convolution 3×3 to the same size [B, H, W, F]; heights are filled up to fours.

    Args:
      x: [B, H, W, C].
      w: [3, 3, C, F].
    """
    batch, height, width, channels = x.shape
    fours, features = -(-height // 4), w.shape[-1]
    x = jnp.pad(x, [(0, 0), (1, 1 + 4 * fours - height), (1, 0), (0, 0)])

    def convolve(part, kernel):
        part = part.reshape(batch, 1, -1, channels)
        y = plain.conv(part, kernel[None], (1, 1), ((0, 0), (0, 2)))[:, :, : part.shape[2]]
        return y.reshape(batch, fours, width + 1, features)[:, :, :width]

    m = [convolve(*pair) for pair in zip(input_sums(x, 1), kernel_sums(w), strict=True)]
    return _interleave(output_rows(m)).reshape(batch, 4 * fours, width, features)[:, :height]


def max_pool(x: jax.Array) -> jax.Array:
    """Maximum of 3 × 3 places at stride 2 [B, H / 2, W / 2, C], of sides that are even.

    A maximum of nine slices, in one pass on all cores; bitwise equal to the plain form.
    """
    height, width = x.shape[1:3]
    x = jnp.pad(x, [(0, 0), (1, 0), (1, 0), (0, 0)], constant_values=-jnp.inf)
    nine = (x[:, i : height - 1 + i : 2, j : width - 1 + j : 2] for i in range(3) for j in range(3))
    return functools.reduce(jnp.maximum, nine)


def _interleave(four: Sequence[jax.Array]) -> jax.Array:
    """As `jnp.stack(four, 2)`, in one pass with what comes before and after, on all cores."""
    a, b, c, d = (jnp.expand_dims(row, 2) for row in four)
    shape = (1, 1, 4) + (1,) * (a.ndim - 3)
    number = lax.broadcasted_iota(jnp.int32, shape, 2)
    return jnp.where(number < 2, jnp.where(number == 0, a, b), jnp.where(number == 2, c, d))
