"""Operations as XLA has them: used on GPU and TPU, and by the forms for CPU.

Models call the operations of `vadjax.ops.conv` and its neighbours, which choose the form.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Padding = tuple[tuple[int, int], ...]  # (before, after) of each spatial dimension

LAYOUTS = {2: ("NHWC", "HWIO", "NHWC"), 3: ("NDHWC", "DHWIO", "NDHWC")}


def conv(
    x: jax.Array, w: jax.Array, strides: Sequence[int], padding: Padding, groups: int = 1
) -> jax.Array:
    """Convolution [B, (T',) H', W', F] of x [B, (T,) H, W, C], kernel [(kt,) kh, kw, C/groups, F].

    Args:
      x: the input.
      w: the kernel.
      strides: one for each spatial dimension.
      padding: (before, after) for each spatial dimension.
      groups: number of groups of channels that are convolved separately.
    """
    layout = LAYOUTS[w.ndim - 2]
    return lax.conv_general_dilated(
        x, w, strides, padding, dimension_numbers=layout, feature_group_count=groups
    )


def conv_activated(
    x: Sequence[jax.Array],
    w: jax.Array,
    bias: jax.Array,
    packed: None = None,
    *,
    strides: Sequence[int],
    padding: Padding,
    slope: float | None,
) -> jax.Array:
    """Convolution of joined arrays, plus bias, and leaky ReLU where there is a slope."""
    del packed
    y = conv(jnp.concatenate(x, -1), w, strides, padding) + bias
    return y if slope is None else jnp.where(y > 0, y, slope * y)


def conv_gradients(
    x: jax.Array, w: jax.Array, gy: jax.Array, strides: Sequence[int], padding: Padding
) -> tuple[jax.Array, jax.Array]:
    """JAX's gradients of x and w of `conv` for the cotangent gy."""
    return jax.vjp(lambda x, w: conv(x, w, strides, padding), x, w)[1](gy)


def conv_transpose(x: jax.Array, w: jax.Array) -> jax.Array:
    """Transposed convolution [B, 2 H, 2 W, F] of x [B, H, W, C] with a kernel [3, 3, C, F]."""
    return lax.conv_general_dilated(
        x, w[::-1, ::-1], (1, 1), ((1, 2),) * 2, (2, 2), dimension_numbers=LAYOUTS[2]
    )


def conv_transpose_gradients(
    x: jax.Array, w: jax.Array, gy: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """JAX's gradients of x and w of `conv_transpose` for the cotangent gy."""
    return jax.vjp(conv_transpose, x, w)[1](gy)


def conv_frames(x: jax.Array, w: jax.Array, triples: np.ndarray) -> jax.Array:
    """3×3×3 convolution [B, M, H, W, F] of the frames of x [B, T, H, W, C] that `triples` names.

    Args:
      x: the frames.
      w: kernel [3, 3, 3, C, F].
      triples: int [M, 3]; -1 is a frame of zeros.
    """
    volumes = with_zeros(x)[:, triples].reshape(-1, triples.shape[1], *x.shape[2:])
    y = conv(volumes, w, (1, 1, 1), ((0, 0), (1, 1), (1, 1)))
    return y.reshape(len(x), len(triples), *y.shape[2:])


def conv_joined(x: jax.Array, w: jax.Array, lengths: Sequence[int]) -> jax.Array:
    """3×3×3 convolution [B, sum(lengths), H, W, F] of volumes joined in time, each by itself.

    Args:
      x: [B, sum(lengths), H, W, C].
      w: kernel [3, 3, 3, C, F].
      lengths: frames of each volume.
    """

    def of_volume(volume):
        single = volume.shape[1] == 1  # all temporal taps but one would see zeros only
        kernel, in_time = (w[1:2], (0, 0)) if single else (w, (1, 1))
        return conv(volume, kernel, (1, 1, 1), (in_time, (1, 1), (1, 1)))

    volumes = jnp.split(x, np.cumsum(lengths)[:-1], 1)
    return jnp.concatenate([of_volume(volume) for volume in volumes], 1)


def with_zeros(x: jax.Array) -> jax.Array:
    """Frames [B, T + 1, ...] of x [B, T, ...]: the last one, at index -1, is zeros."""
    return jnp.pad(x, [(0, 0), (0, 1)] + [(0, 0)] * (x.ndim - 2))


def earlier(x: jax.Array, snippets: int) -> jax.Array:
    """Moves x [R, T, C] to earlier snippets (negative: later); zeros come in."""
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), (-snippets, snippets, 0), (0, 0, 0)])
