"""Convolutions and kernel gradients as products of patches and a matrix."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from vadjax.ops.plain import Padding

BLOCK_ROWS = 512  # output positions per block of a kernel gradient: their patches stay in cache
MORE_ROWS, FEW_COLUMNS = 2048, 400  # the same where a patch has at most so many values
MOST_JOINED = 9  # taps up to which their slices are made and joined by one kernel


def conv(x: jax.Array, w: jax.Array, strides: Sequence[int], padding: Padding) -> jax.Array:
    """As `plain.conv`: patches times a matrix."""
    x = jnp.pad(x, [(0, 0), *padding, (0, 0)])
    size = w.shape[:-2]
    out = [(n - k) // s + 1 for n, k, s in zip(x.shape[1:-1], size, strides, strict=True)]
    return _patches(x, size, out, strides) @ w.reshape(-1, w.shape[-1])


def kernel_gradient(
    x: jax.Array, gy: jax.Array, size: Sequence[int], strides: Sequence[int], padding: Padding
) -> jax.Array:
    """Gradient of the kernel of `plain.conv`: the sum over blocks of cotangents times patches.

    Args:
      x: [B, (T,) H, W, C].
      gy: cotangent [B, (T',) H', W', F].
      size: of the kernel, (kt,) kh, kw.
      strides: one for each spatial dimension.
      padding: (before, after) for each spatial dimension.

    Returns:
      [*size, C, F].
    """
    channels, features = x.shape[-1], gy.shape[-1]
    centred = all(tuple(pair) == (k // 2, k // 2) for k, pair in zip(size, padding, strict=True))
    same = centred and set(strides) == {1} and all(k % 2 for k in size)
    at_once = math.prod(gy.shape[:-1]) <= BLOCK_ROWS  # turning the result would cost more
    if channels > features and same and not at_once:
        # Patches of the narrower side: the cotangent of the place p - k instead of the input at
        # p + k, for the tap k from the middle of the kernel.
        turned = kernel_gradient(gy, x, size, strides, padding)
        return jnp.flip(turned, range(len(size))).swapaxes(-1, -2)
    x = jnp.pad(x, [(0, 0), *padding, (0, 0)])

    # The sum over blocks of output positions; each needs the part of x that its windows cover.
    def of_block(corner, block):
        start = [p * np.uint32(s) for p, s in zip(corner, (1, *strides), strict=True)]
        inner = zip(block[1:], strides, size, strict=True)
        extent = block[0], *((b - 1) * s + k for b, s, k in inner)
        part, cotangent = positive_slice(x, start, extent), positive_slice(gy, corner, block)
        return product_of_taps(part, cotangent, size, strides)

    most = MORE_ROWS if math.prod(size) * channels <= FEW_COLUMNS else BLOCK_ROWS
    start = jnp.zeros((features, math.prod(size) * channels), gy.dtype)
    total = sum_over_blocks(of_block, start, gy.shape[:-1], most)
    return total.T.reshape(*size, channels, features)


def sum_over_blocks(of_block: Callable, start, places: Sequence[int], most: int):
    """The sum of what a function gives for every block of output positions.

    Args:
      of_block: takes the first position of a block and its shape.
      start: zeros of the shapes that it gives.
      places: number of output positions [B, (T,) H, W].
      most: of a block where possible, see `_block_shape`.
    """
    block = _block_shape(places, most)
    blocks = [count // size for count, size in zip(places, block, strict=True)]

    def add_block(i, total):
        return jax.tree.map(jnp.add, total, of_block(_corner(i, block, blocks), block))

    if math.prod(blocks) == 1:
        return of_block([np.uint32(0)] * len(block), block)
    return lax.fori_loop(0, math.prod(blocks), add_block, start)


def product_of_taps(x, gy, size: Sequence[int], strides: Sequence[int]) -> jax.Array:
    """Cotangents times patches [F, prod(size) * C] of an input that is already padded."""
    rows = _joined(x, size, gy.shape[1:-1], strides).reshape(-1, math.prod(size) * x.shape[-1])
    return gy.reshape(-1, gy.shape[-1]).T @ rows


def _patches(x, size: Sequence[int], out: Sequence[int], strides):
    """Patches [B, *out, prod(size) * C] of an input that is already padded."""
    return jnp.concatenate(_shifted(x, size, out, strides), -1)


def _joined(x, size: Sequence[int], out: Sequence[int], strides):
    """As `_patches`, [B, *out, rows of the kernel, its columns, C] where that is less to compile.

    XLA:CPU compiles a concatenation of channels anew each time that it is in a program. A new axis
    is joined in a kernel with the slices, and equal kernels are compiled once. The barrier keeps
    that kernel from counting in rows of the product, which is slower.
    """
    shifted = _shifted(x, size, out, strides)
    if len(shifted) > MOST_JOINED:
        return jnp.concatenate(shifted, -1)
    # Row by row of the kernel: more than 8 slices at once would not be joined so.
    starts = range(0, len(shifted), size[-1])
    rows = [jnp.stack(shifted[start : start + size[-1]], -2) for start in starts]
    return lax.optimization_barrier(jnp.stack(rows, -3))


def _shifted(x, size: Sequence[int], out: Sequence[int], strides) -> list[jax.Array]:
    """One shifted slice [B, *out, C] of the input for each tap."""
    last = [(positions - 1) * stride + 1 for positions, stride in zip(out, strides, strict=True)]
    return [
        lax.slice(
            x,
            (0, *offset, 0),
            (x.shape[0], *(k + n for k, n in zip(offset, last, strict=True)), x.shape[-1]),
            (1, *strides, 1),
        )
        for offset in np.ndindex(*size)
    ]


def _corner(i: jax.Array, block: Sequence[int], blocks: Sequence[int]) -> list:
    """First position of block number i; with little arithmetic, which takes long to compile."""
    # Without a sign, a remainder by a power of two is one operation instead of ten.
    corner, left, i = [np.uint32(0)] * len(block), math.prod(blocks), i.astype(jnp.uint32)
    for axis in reversed(range(len(block))):
        if blocks[axis] > 1:
            left //= blocks[axis]
            count = np.uint32(blocks[axis])
            corner[axis] = (lax.rem(i, count) if left > 1 else i) * np.uint32(block[axis])
            i = lax.div(i, count) if left > 1 else i
    return corner


def positive_slice(x: jax.Array, corner: Sequence, size: Sequence[int]) -> jax.Array:
    """Part of x with all channels, from a corner without negative numbers: less to compile."""
    start = [*corner, np.uint32(0)]
    return lax.dynamic_slice(x, start, (*size, x.shape[-1]), allow_negative_indices=False)


def _block_shape(out: Sequence[int], most: int) -> tuple[int, ...]:
    """Shape of a block of output positions [B, (T,) H, W]: at most so many where possible.

    A block has whole rows, as many as divide the height; whole images where an image is within
    `most`; whole samples where all frames of a sample are.
    """
    block = [1] * (len(out) - 1) + [out[-1]]
    for axis in reversed(range(len(out) - 1)):
        count, unit = out[axis], math.prod(out[axis + 1 :])
        fits = [b for b in range(1, count + 1) if count % b == 0 and b * unit <= most]
        block[axis] = max(fits, default=1)
        if block[axis] < count:
            break
    return tuple(block)
