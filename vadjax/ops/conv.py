"""Channels-last convolutions: plain ones, and on CPU the forms of `vadjax.ops.cpu`.

The functions are differentiable once in reverse mode.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_derivatives import SymbolicZero

from vadjax.ops import forms, plain
from vadjax.ops.cpu import conv as on_cpu
from vadjax.ops.cpu import direct, machine, minimal_filtering, narrow
from vadjax.ops.plain import LAYOUTS, Padding


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def conv(x: jax.Array, w: jax.Array, strides: tuple[int, ...], padding: Padding) -> jax.Array:
    """Convolution in two or three dimensions.

    Args:
      x: [B, (T,) H, W, C].
      w: kernel [(kt,) kh, kw, C, F].
      strides: one per spatial dimension.
      padding: (before, after) per spatial dimension.

    Returns:
      [B, (T',) H', W', F].
    """
    size = {"strides": strides, "padding": padding}
    return forms.by_device("conv", x, w, special=on_cpu.forward, plain=plain.conv, options=size)


def _conv_forward(x, w, strides, padding):
    of_kernel = () if w.perturbed else None  # a flag: residuals are arrays, or hold none
    return conv(x.value, w.value, strides, padding), (x.value, w.value, of_kernel)


def _conv_backward(strides, padding, residuals, gy):
    x, w, of_kernel = residuals
    if isinstance(gy, SymbolicZero):
        gy = jnp.zeros(gy.shape, gy.dtype)
    return forms.by_device(
        "conv_gradient",
        x,
        w,
        gy,
        special=on_cpu.unordered_gradients if of_kernel is None else on_cpu.gradients,
        plain=plain.conv_gradients,
        options={"strides": strides, "padding": padding},
    )


conv.defvjp(_conv_forward, _conv_backward, symbolic_zeros=True)


def conv_inference(
    x: jax.Array, w: jax.Array, strides: tuple[int, ...], padding: Padding
) -> jax.Array:
    """As `conv`, but faster on CPU in three dimensions; not meant to be differentiated.

    Errors there are about 1e-5 of the output's spread.
    """
    if not minimal_filtering.saves_volumes(x, w, strides, padding):
        return conv(x, w, strides, padding)
    default = functools.partial(plain.conv, strides=strides, padding=padding)
    special = minimal_filtering.conv
    return forms.by_device("conv_inference", x, w, special=special, plain=default)


def conv_activated_inference(
    x: Sequence[jax.Array],
    w: jax.Array,
    bias: jax.Array,
    strides: tuple[int, int],
    padding: Padding,
    slope: float | None = None,
    packed: jax.Array | None = None,
) -> jax.Array:
    """Convolution of pictures, plus bias, and leaky ReLU; not meant to be differentiated.

    Args:
      x: arrays [B, H, W, C], whose channels count as joined.
      w: kernel [kh, kw, sum of C, F].
      bias: [F].
      strides: of rows and columns.
      padding: (before, after) of rows and columns.
      slope: of the leaky ReLU below 0, at most 1; without it there is none.
      packed: of `pack_inference`; without it CPU packs the kernel in every call.

    Returns:
      [B, H', W', F].

    Raises:
      ValueError: the kernel was packed for inputs of another width.
    """
    size = {"strides": strides, "padding": padding, "slope": slope}
    default = functools.partial(plain.conv_activated, **size)
    if not direct.saves(x, w):
        return default(x, w, bias, packed)
    in_code = functools.partial(direct.conv_activated, **size)
    special = functools.partial(machine.or_plain, in_code, default)
    return forms.by_device(
        "conv_activated_inference", x, w, bias, packed, special=special, plain=default
    )


def in_machine_code() -> bool:
    """Whether this process's device runs `conv_activated_inference` in machine code.

    Then it takes packed kernels, and gives a picture the same bits alone and among others.
    """
    chosen = forms.platforms("conv_activated_inference")
    return jax.default_backend() in chosen and not forms.plain_only() and machine.usable()


def pack_inference(
    w: jax.Array, strides: tuple[int, int], padding: Padding, width: int
) -> jax.Array:
    """A kernel as the form for CPU of `conv_activated_inference` wants it for inputs of a width."""
    return direct.pack(w, strides, padding, width)


@jax.custom_vjp
def conv_transpose(x: jax.Array, w: jax.Array) -> jax.Array:
    """Transposed 3×3 convolution that doubles the size (torch: stride 2, padding and output 1).

    `y[2 i + k - 1] += x[i] w[k]` in each of the two dimensions.

    Args:
      x: [B, H, W, C].
      w: kernel [3, 3, C, F], taps in the order of torch (not flipped).

    Returns:
      [B, 2 H, 2 W, F].

    Raises:
      ValueError: a kernel of another size.
    """
    if w.shape[:2] != (3, 3):
        raise ValueError(f"conv_transpose takes 3×3 kernels; got {w.shape}")
    default = plain.conv_transpose
    return forms.by_device(
        "conv_transpose", x, w, special=on_cpu.transpose, plain=default, options={}
    )


def _transpose_forward(x, w):
    return conv_transpose(x, w), (x, w)


def _transpose_backward(residuals, gy):
    return forms.by_device(
        "conv_transpose_gradient",
        *residuals,
        gy,
        special=on_cpu.transpose_gradients,
        plain=plain.conv_transpose_gradients,
        options={},
    )


conv_transpose.defvjp(_transpose_forward, _transpose_backward)


def conv_general_dilated(
    lhs,
    rhs,
    window_strides,
    padding,
    lhs_dilation=None,
    rhs_dilation=None,
    dimension_numbers=None,
    feature_group_count=1,
    batch_group_count=1,
    precision=None,
    preferred_element_type=None,
    form=conv,
):
    """Drop-in for `flax.linen.Conv(conv_general_dilated=...)`.

    Calls `form` (`conv` or `conv_inference`) where that can do the convolution, and
    `lax.conv_general_dilated` for dilations, groups, a precision or other dimensions.
    """
    extended = _extended(
        lhs_dilation,
        rhs_dilation,
        None,
        feature_group_count,
        batch_group_count,
        precision,
        preferred_element_type,
    )
    if extended or rhs.ndim - 2 not in LAYOUTS:
        return lax.conv_general_dilated(
            lhs,
            rhs,
            window_strides,
            padding,
            lhs_dilation,
            rhs_dilation,
            dimension_numbers,
            feature_group_count,
            batch_group_count,
            precision,
            preferred_element_type,
        )
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(lhs.shape[1:-1], rhs.shape[:-2], window_strides, padding)
    padding = tuple(tuple(pair) for pair in padding)
    if rhs.ndim == 5 and lhs.shape[1] == 1 and sum(padding[0]) == rhs.shape[0] - 1:
        # For a single frame all temporal taps but one would see padding only.
        rhs = rhs[padding[0][0]][None]
        padding = (0, 0), *padding[1:]
    return form(lhs, rhs, tuple(window_strides), padding)


def _extended(
    lhs_dilation=None,
    rhs_dilation=None,
    dimension_numbers=None,
    feature_group_count=1,
    batch_group_count=1,
    precision=None,
    preferred_element_type=None,
) -> bool:
    """Whether arguments of `jax.lax.conv_general_dilated` ask for more than a plain convolution."""
    del dimension_numbers
    factors = (*(lhs_dilation or ()), *(rhs_dilation or ()), feature_group_count, batch_group_count)
    return any(factor != 1 for factor in factors) or bool(precision or preferred_element_type)


conv_general_inference = functools.partial(conv_general_dilated, form=conv_inference)


def conv_passes(x, w, strides, padding, *options, lengths: Sequence[int], **more):
    """As `conv_general_dilated`, of volumes joined in time and each convolved separately.

    Args:
      x: [B, sum(lengths), H, W, C].
      w: kernel [kt, kh, kw, C, F].
      strides: as for `jax.lax.conv_general_dilated`.
      padding: of each volume, likewise.
      options: passed on to it.
      lengths: frames of each volume.
      more: passed on to it.
    """
    named = isinstance(padding, str)  # "SAME" or "VALID", of each volume
    if not named and not _extended(*options, **more) and narrow.saves(x, w, strides, padding):
        return conv_joined(x, w, tuple(lengths))
    volumes = jnp.split(x, np.cumsum(lengths)[:-1], 1)
    outputs = [conv_general_dilated(v, w, strides, padding, *options, **more) for v in volumes]
    return jnp.concatenate(outputs, 1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def conv_joined(x: jax.Array, w: jax.Array, lengths: tuple[int, ...]) -> jax.Array:
    """3×3×3 convolution of volumes that are joined in time, with zeros around each.

    Args:
      x: [B, sum(lengths), H, W, C].
      w: kernel [3, 3, 3, C, F].
      lengths: frames of each volume.

    Returns:
      [B, sum(lengths), H, W, F].
    """
    return forms.by_device(
        "conv_joined",
        x,
        w,
        special=functools.partial(narrow.conv, lengths=lengths),
        plain=functools.partial(plain.conv_joined, lengths=lengths),
    )


def _joined_forward(x, w, lengths):
    return conv_joined(x, w, lengths), (x, w)


def _joined_backward(lengths, residuals, gy):
    def default(x, w, gy):
        return jax.vjp(lambda x, w: plain.conv_joined(x, w, lengths), x, w)[1](gy)

    special = functools.partial(narrow.gradients, lengths=lengths)
    return forms.by_device("conv_joined_gradient", *residuals, gy, special=special, plain=default)


conv_joined.defvjp(_joined_forward, _joined_backward)


def conv_frames(x: jax.Array, w: jax.Array, triples: Sequence[Sequence[int]]) -> jax.Array:
    """3×3×3 convolution, padded in space, of frames that are given with their neighbours in time.

    Args:
      x: [B, T, H, W, C].
      w: kernel [3, 3, 3, C, F].
      triples: [M, 3], indices of the frames that the three temporal taps see; -1 is a frame of
        zeros.

    Returns:
      [B, M, H, W, F].
    """
    named = {"triples": np.asarray(triples)}
    return forms.by_device(
        "conv_frames",
        x,
        w,
        special=functools.partial(on_cpu.frames, **named),
        plain=functools.partial(plain.conv_frames, **named),
    )
