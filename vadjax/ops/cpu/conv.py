"""Convolutions for XLA:CPU.

What XLA:CPU does slowly, and what is done instead:

kernel gradients   XLA convolves with an image-sized window; here machine code for 2-D ones
                   (`kernel_gradients`), and patches times cotangents, in blocks (`patches`)
input gradients    slow within a `lax.scan`; here the kernel is flipped beforehand
3-D convolutions   slow with few channels; here 2-D ones over the temporal taps, a few samples at
                   a time, since a whole batch would leave the cache between the passes
transposed         slow both ways; here machine code (`transposed`), also as the input gradient of
                   stride 2; its kernel gradient is that of the stride-2 convolution in the opposite
                   direction (spec lgn_net §8)
3×3×3, narrow      with few channels on one core alone; here rows as channels (`narrow`)
wide 3×3           two to three times as many products as needed; here minimal filtering, in
                   machine code (`filtered`, `tiled`)
float64            far too slow for a whole network; here patches times a matrix
"""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from vadjax.ops import plain
from vadjax.ops.cpu import (
    filtered,
    kernel_gradients,
    machine,
    narrow,
    patches,
    tiled,
    transposed,
)
from vadjax.ops.cpu.pieces import in_pieces
from vadjax.ops.plain import LAYOUTS, Padding

MOST_PATCHES = 64  # kernels of more taps are never written as patches (compilation time)
FEW_CHANNELS = 8  # with fewer channels, 3-D kernel gradients too have temporal taps as channels
STACKED_CHANNELS = 64  # up to this number of channels × taps, temporal taps become channels
BACK = {"strides": (2, 2), "padding": ((1, 0), (1, 0))}  # from the transposed output to its input


def forward(x: jax.Array, w: jax.Array, strides: Sequence[int], padding: Padding) -> jax.Array:
    """As `plain.conv`."""
    if x.dtype == jnp.float64 and math.prod(w.shape[:-2]) <= MOST_PATCHES:
        return patches.conv(x, w, strides, padding)
    if filtered.saves(x, w, strides, padding):
        form = (tiled if tiled.saves(x, w) else filtered).conv
        default = functools.partial(plain.conv, strides=strides, padding=padding)
        return machine.or_plain(form, default, x, w)
    if w.ndim == 4 or math.prod(w.shape[:3]) == 1 and strides[0] == 1 and padding[0] == (0, 0):
        return plain.conv(x, w, strides, padding)
    if narrow.saves(x, w, strides, padding):
        return narrow.conv(x, w, x.shape[1:2])
    # Another 3-D convolution, with as many samples at a time as keep the larger of its input taps
    # and its output in the cache.
    taps = functools.partial(_by_temporal_taps, w=w, strides=strides, padding=padding)
    sides = zip(x.shape[1:], w.shape, strides, padding, strict=False)
    out = [(n + sum(pad) - k) // stride + 1 for n, k, stride, pad in sides]
    channels = max(w.shape[0] * x.shape[4], w.shape[4])
    return in_pieces(taps, x, math.prod(out) * channels * x.dtype.itemsize)


def gradients(
    x: jax.Array, w: jax.Array, gy: jax.Array, strides: Sequence[int], padding: Padding
) -> tuple[jax.Array, jax.Array]:
    """Gradients of x and w of `plain.conv` for the cotangent gy [B, (T',) H', W', F].

    That of w is made first. XLA would leave it for the end of a training step, and keep x and gy of
    all layers until then.
    """
    return _gradients(x, w, gy, strides, padding, ordered=True)


def unordered_gradients(
    x: jax.Array, w: jax.Array, gy: jax.Array, strides: Sequence[int], padding: Padding
) -> tuple[jax.Array, jax.Array]:
    """As `gradients`, but neither waits for the other, so that XLA leaves out what is not used."""
    return _gradients(x, w, gy, strides, padding, ordered=False)


def _gradients(x, w, gy, strides, padding, ordered):
    if narrow.saves(x, w, strides, padding):
        return narrow.gradients(x, w, gy, x.shape[1:2])
    gw = _gradient_of_w(x, w, gy, strides, padding)
    first = [gw] if ordered else []
    return _gradient_of_x(x, w, gy, strides, padding, *first), gw


def _gradient_of_x(x, w, gy, strides, padding, *first):
    """Gradient of x: a convolution of gy with the flipped kernel where the strides allow it.

    Machine code waits for the arrays of `first`.
    """
    if filtered.saves(x, w, strides, padding):
        form = functools.partial((tiled if tiled.saves(gy, w) else filtered).conv, turned=True)
        size = {"shape": x.shape, "strides": strides, "padding": padding}
        return machine.or_plain(form, functools.partial(_picture_gradient, **size), gy, w, *first)
    if _is_transposed(x, w, strides, padding):
        return machine.or_plain(transposed.conv, _by_parity, gy, w.swapaxes(2, 3), *first)
    if w.ndim == 4 and x.dtype != jnp.float64:
        return _picture_gradient(gy, w, shape=x.shape, strides=strides, padding=padding)
    if w.ndim == 5 and x.dtype != jnp.float64 and set(strides) == {1}:
        return _volume_gradient(gy, w, padding)
    return jax.vjp(lambda x: forward(x, w, strides, padding), x)[1](gy)[0]


def _gradient_of_w(x, w, gy, strides, padding):
    """Gradient of w, unless so many taps would take long to compile as patches."""
    size = w.shape[:-2]
    if kernel_gradients.saves(x, gy, size, strides, padding):
        return _kernel_gradient(x, gy, size, strides, padding)
    if math.prod(size) > MOST_PATCHES:
        return jax.vjp(lambda w: forward(x, w, strides, padding), w)[1](gy)[0]
    if w.ndim == 5 and w.shape[-2] < FEW_CHANNELS and w.dtype != jnp.float64:
        return _stacked_kernel_gradient(x, gy, size, strides, padding)
    return patches.kernel_gradient(x, gy, size, strides, padding)


def _kernel_gradient(x, gy, size, strides, padding):
    """Gradient of a 2-D kernel: in machine code, or patches times cotangents."""
    sizes = {"size": tuple(size), "strides": tuple(strides), "padding": tuple(padding)}
    default = functools.partial(patches.kernel_gradient, **sizes)
    if not kernel_gradients.saves(x, gy, **sizes):
        return default(x, gy)
    form = functools.partial(kernel_gradients.kernel_gradient, **sizes)
    return machine.or_plain(form, default, x, gy)


def transpose(x: jax.Array, w: jax.Array) -> jax.Array:
    """As `plain.conv_transpose`."""
    if transposed.saves(x, w):
        return machine.or_plain(transposed.conv, _by_parity, x, w)
    if x.dtype != jnp.float64:
        return _by_parity(x, w)
    size = x.shape[0], 2 * x.shape[1], 2 * x.shape[2], w.shape[3]
    back = functools.partial(patches.conv, w=w.swapaxes(2, 3), **BACK)
    return jax.vjp(back, jnp.zeros(size, x.dtype))[1](x)[0]


def _by_parity(x: jax.Array, w: jax.Array, *_: jax.Array) -> jax.Array:
    """As `plain.conv_transpose`: even and odd rows, each with their even and odd columns.

    Even places of the output see one tap of the kernel, odd ones two. It waits for no other array.
    """
    # Output channels of both columns side by side: [B, H, W, 2 F] is [B, H, 2 W, F].
    even, odd = jnp.zeros_like(w[:, 0]), w[:, 0]
    columns = jnp.stack(
        [jnp.concatenate([w[:, 1], w[:, 2]], -1), jnp.concatenate([even, odd], -1)], 1
    )
    beyond = ((0, 0), (0, 1))
    of_even = plain.conv(x, columns[1:2], (1, 1), beyond)
    of_odd = plain.conv(x, columns[::-2], (1, 1), ((0, 1), (0, 1)))
    batch, height, width, _ = x.shape
    rows = [part.reshape(batch, height, 2 * width, -1) for part in (of_even, of_odd)]
    return jnp.stack(rows, 2).reshape(batch, 2 * height, 2 * width, -1)


def transpose_gradients(x: jax.Array, w: jax.Array, gy: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Gradients of x and w of `plain.conv_transpose` for the cotangent gy [B, 2 H, 2 W, F]."""
    gw = _kernel_gradient(gy, x, (3, 3), **BACK).swapaxes(2, 3)
    return forward(gy, w.swapaxes(2, 3), **BACK), gw


def frames(x: jax.Array, w: jax.Array, triples: np.ndarray) -> jax.Array:
    """As `plain.conv_frames`; each frame is convolved with each temporal tap once.

    The triples then add up the results, however many of them a frame is in.
    """
    side_by_side = jnp.moveaxis(w, 0, -2).reshape(*w.shape[1:4], -1)
    y = forward(x.reshape(-1, *x.shape[2:]), side_by_side, (1, 1), ((1, 1), (1, 1)))
    y = plain.with_zeros(y.reshape(*x.shape[:2], *y.shape[1:]))
    parts = jnp.split(y, len(w), -1)
    return sum(part[:, chosen] for part, chosen in zip(parts, triples.T, strict=True))


def _is_transposed(x, w, strides, padding):
    """Whether the gradient of x is a transposed convolution to twice the size."""
    halves = x.shape[1] % 2 == x.shape[2] % 2 == 0 and set(strides) == {2}
    return w.shape[:-2] == (3, 3) and halves and set(padding) == {(1, 1)} and transposed.saves(x, w)


def _picture_gradient(gy, w, *_, shape, strides, padding):
    """Gradient of x [B, H, W, C]: gy convolved with the kernel, which is flipped in memory first.

    Within a `lax.scan` XLA:CPU (jax 0.10.2) leaves the flip to the convolution, which is then
    several times slower. The barrier prevents that. It waits for no other array.
    """
    # Padding so that the output, the gradient, has the size of x whatever the stride left over.
    pads = []
    for size, k, stride, (before, _), out in zip(
        shape[1:3], w.shape, strides, padding, gy.shape[1:3], strict=False
    ):
        start = k - 1 - before
        pads.append((start, size + k - 1 - ((out - 1) * stride + 1) - start))
    flipped = lax.optimization_barrier(w[::-1, ::-1].swapaxes(2, 3))
    return lax.conv_general_dilated(
        gy, flipped, (1, 1), pads, strides, dimension_numbers=LAYOUTS[2]
    )


def _volume_gradient(gy, w, padding):
    """As `_picture_gradient` for x [B, T, H, W, C] and strides of 1."""
    flipped = lax.optimization_barrier(w[::-1, ::-1, ::-1].swapaxes(3, 4))
    sides = zip(w.shape, padding, strict=False)
    pads = tuple((k - 1 - before, k - 1 - after) for k, (before, after) in sides)
    return forward(gy, flipped, (1, 1, 1), pads)


def _by_temporal_taps(x, w, strides, padding):
    """3-D convolution as 2-D ones: temporal taps are channels where few, else a sum over them."""
    # y_t = Σ_k conv2d(x_(s t + k), w_k) with stride s, the taps joined as channels or summed.
    taps, channels = w.shape[0], x.shape[-1]
    shifted = _shifted_in_time(x, taps, strides[0], padding[0])
    if channels * taps <= STACKED_CHANNELS:
        kernel = jnp.moveaxis(w, 0, 2).reshape(*w.shape[1:3], taps * channels, w.shape[-1])
        y = plain.conv(jnp.concatenate(shifted, -1), kernel, strides[1:], padding[1:])
    else:
        y = sum(plain.conv(part, w[k], strides[1:], padding[1:]) for k, part in enumerate(shifted))
    return y.reshape(len(x), -1, *y.shape[1:])


def _shifted_in_time(x, taps: int, stride: int, padding: tuple[int, int]):
    """For each temporal tap the frames [B * T', H, W, C] that it sees, of x [B, T, H, W, C]."""
    x = jnp.pad(x, [(0, 0), padding, (0, 0), (0, 0), (0, 0)])
    last = (x.shape[1] - taps) // stride * stride + 1
    shifted = [lax.slice_in_dim(x, k, k + last, stride, 1) for k in range(taps)]
    return [part.reshape(-1, *x.shape[2:]) for part in shifted]


def _stacked_kernel_gradient(x, gy, size, strides, padding):
    """As `patches.kernel_gradient` of a 3-D kernel, its temporal taps as channels of a 2-D one."""
    stacked = jnp.concatenate(_shifted_in_time(x, size[0], strides[0], padding[0]), -1)
    pictures = gy.reshape(-1, *gy.shape[2:])
    total = _kernel_gradient(stacked, pictures, size[1:], strides[1:], padding[1:])
    return jnp.moveaxis(total.reshape(*size[1:], size[0], x.shape[-1], -1), 2, 0)
