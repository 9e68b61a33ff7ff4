"""Depthwise convolution, written for XLA on CPU; the plain form elsewhere.

XLA:CPU does a convolution with as many groups as channels one channel at a time; a sum of shifted
inputs, each times one row of the kernel, is one loop over memory.
"""

import functools

import jax
from jax import lax

from vadjax.ops.conv import LAYOUTS


def depthwise(
    lhs,
    rhs,
    window_strides,
    padding,
    lhs_dilation=None,
    rhs_dilation=None,
    dimension_numbers=None,
    feature_group_count=1,
    **plain,
) -> jax.Array:
    """Drop-in for `flax.linen.Conv(conv_general_dilated=...)` of two dimensions.

    Args:
      lhs: x [B, H, W, C].
      rhs: kernel [kh, kw, 1, C].
      window_strides: one per dimension.
      padding: "SAME", "VALID", or (before, after) per dimension.
      lhs_dilation: none is known here.
      rhs_dilation: none is known here.
      dimension_numbers: ignored; the layout is the one above.
      feature_group_count: C.
      **plain: further arguments of the plain form.

    Returns:
      [B, H', W', C].

    Raises:
      ValueError: a dilation, or another number of groups than channels.
    """
    del dimension_numbers, plain
    if any(d != 1 for d in (*(lhs_dilation or ()), *(rhs_dilation or ()))):
        raise ValueError("depthwise: no dilation here; take vadjax.ops.conv")
    if not feature_group_count == lhs.shape[-1] == rhs.shape[-1]:
        raise ValueError(f"depthwise: {feature_group_count} groups, kernel {rhs.shape}")
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(lhs.shape[1:3], rhs.shape[:2], window_strides, padding)
    options = {"strides": tuple(window_strides), "padding": tuple(map(tuple, padding))}
    return lax.platform_dependent(
        lhs,
        rhs,
        cpu=functools.partial(_shifted, **options),
        default=functools.partial(_plain, **options),
    )


def _plain(x, w, strides, padding):
    return lax.conv_general_dilated(
        x, w, strides, padding, dimension_numbers=LAYOUTS[2], feature_group_count=x.shape[-1]
    )


def _shifted(x, w, strides, padding):
    pads = [(0, 0, 0), *((*pair, 0) for pair in padding), (0, 0, 0)]
    # Kept apart, or XLA would look at the border again for every tap.
    x = lax.optimization_barrier(lax.pad(x, x.dtype.type(0), pads))
    size = w.shape[:2]
    last = [(n - k) // s * s + 1 for n, k, s in zip(x.shape[1:3], size, strides, strict=True)]
    total = 0
    for i in range(size[0]):
        for j in range(size[1]):
            stop = (x.shape[0], i + last[0], j + last[1], x.shape[3])
            total += lax.slice(x, (0, i, j, 0), stop, (1, *strides, 1)) * w[i, j, 0]
    return total
