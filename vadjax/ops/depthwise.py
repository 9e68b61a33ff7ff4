"""Depthwise convolution of pictures: every channel has its own kernel."""

import functools

import jax
from jax import lax

from vadjax.ops import forms, plain
from vadjax.ops.cpu.depthwise import shifted


def depthwise(
    lhs,
    rhs,
    window_strides,
    padding,
    lhs_dilation=None,
    rhs_dilation=None,
    dimension_numbers=None,
    feature_group_count=1,
    **options,
) -> jax.Array:
    """Drop-in for `flax.linen.Conv(conv_general_dilated=...)` of two dimensions.

    Args:
      lhs: x [B, H, W, C].
      rhs: kernel [kh, kw, 1, C].
      window_strides: one per dimension.
      padding: "SAME", "VALID", or (before, after) per dimension.
      lhs_dilation: must be None or ones.
      rhs_dilation: must be None or ones.
      dimension_numbers: ignored; the layout is the one above.
      feature_group_count: C.
      **options: further arguments of Flax, ignored.

    Returns:
      [B, H', W', C].

    Raises:
      ValueError: a dilation, or another number of groups than channels.
    """
    del dimension_numbers, options
    if any(d != 1 for d in (*(lhs_dilation or ()), *(rhs_dilation or ()))):
        raise ValueError("depthwise: no dilation here; take vadjax.ops.conv")
    if not feature_group_count == lhs.shape[-1] == rhs.shape[-1]:
        raise ValueError(f"depthwise: {feature_group_count} groups, kernel {rhs.shape}")
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(lhs.shape[1:3], rhs.shape[:2], window_strides, padding)
    # One form for CPU, XLA's grouped convolution elsewhere.
    size = {"strides": tuple(window_strides), "padding": tuple(map(tuple, padding))}
    return forms.by_device(
        "depthwise",
        lhs,
        rhs,
        special=functools.partial(shifted, **size),
        plain=functools.partial(plain.conv, groups=lhs.shape[-1], **size),
    )
