"""Convolutions and kernel gradients as products of patches and a matrix."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from vadjax.ops.plain import Padding

BLOCK_ROWS = 512  # output positions per block of a kernel gradient: their patches stay in cache
MORE_ROWS, FEW_COLUMNS = 2048, 400  # the same where a patch has at most so many values
NARROW, WIDTH_ROWS = range(48, 97), 4096  # channels of patches of one row, and positions per block


def conv(x: jax.Array, w: jax.Array, strides: Sequence[int], padding: Padding) -> jax.Array:
    """As `plain.conv`: patches times a matrix."""
    x = jnp.pad(x, [(0, 0), *padding, (0, 0)])
    size = w.shape[:-2]
    out = [(n - k) // s + 1 for n, k, s in zip(x.shape[1:-1], size, strides, strict=True)]
    return _patches(x, size, out, strides) @ w.reshape(-1, w.shape[-1])


def is_product(w: jax.Array, strides: Sequence[int], padding: Padding) -> bool:
    """Whether a convolution with kernel w is a product of its input and a matrix."""
    at_once = math.prod(w.shape[:-2]) == 1 and set(strides) == {1}
    return at_once and all(tuple(pair) == (0, 0) for pair in padding)


def product(x: jax.Array, w: jax.Array) -> jax.Array:
    """Convolution [B, …, F] of x [B, …, C] with a kernel of one tap, without patches."""
    return jnp.dot(x, w.reshape(w.shape[-2:]))


def kernel_gradient(
    x: jax.Array,
    gy: jax.Array,
    size: Sequence[int],
    strides: Sequence[int],
    padding: Padding,
    most: int = BLOCK_ROWS,
) -> jax.Array:
    """Gradient of the kernel of `plain.conv`: the sum over blocks of cotangents times patches.

    Args:
      x: [B, (T,) H, W, C].
      gy: cotangent [B, (T',) H', W', F].
      size: of the kernel, (kt,) kh, kw.
      strides: one for each spatial dimension.
      padding: (before, after) for each spatial dimension.
      most: output positions per block, if a patch has many values.

    Returns:
      [*size, C, F].
    """
    channels, features = x.shape[-1], gy.shape[-1]
    centred = all(tuple(pair) == (k // 2, k // 2) for k, pair in zip(size, padding, strict=True))
    same = centred and set(strides) == {1} and all(k % 2 for k in size)
    at_once = math.prod(gy.shape[:-1]) <= most  # turning the result would cost more
    if channels > features and same and not at_once:
        # Patches of the narrower side: the cotangent of the place p - k instead of the input at
        # p + k, for the tap k from the middle of the kernel.
        turned = kernel_gradient(gy, x, size, strides, padding, most)
        return jnp.flip(turned, range(len(size))).swapaxes(-1, -2)
    x = jnp.pad(x, [(0, 0), *padding, (0, 0)])
    if same and tuple(size) == (3, 3) and channels in NARROW and gy.shape[2] <= WIDTH_ROWS:
        return _by_rows(x, gy)
    # Blocks of output positions; each needs the part of the input that its windows cover.
    most = max(most, MORE_ROWS) if math.prod(size) * channels <= FEW_COLUMNS else most
    block = _block_shape(gy.shape[:-1], most)
    blocks = [o // b for o, b in zip(gy.shape, block, strict=False)]

    def patches_of(part):
        return _patches(part, size, block[1:], strides).reshape(-1, math.prod(size) * channels)

    if math.prod(blocks) == 1:
        total = patches_of(x).T @ gy.reshape(-1, features)
        return total.reshape(*size, channels, features)

    def add_block(i, total):
        corner = _corner(i, block, blocks)
        start = [p * s for p, s in zip(corner, (1, *strides), strict=True)]
        inner = zip(block[1:], strides, size, strict=True)
        extent = block[0], *((b - 1) * s + k for b, s, k in inner), channels
        part = _positive_slice(x, (*start, 0), extent)
        cotangent = _positive_slice(gy, (*corner, 0), (*block, features)).reshape(-1, features)
        return total + cotangent.T @ patches_of(part)

    start = jnp.zeros((features, math.prod(size) * channels), gy.dtype)
    total = lax.fori_loop(0, math.prod(blocks), add_block, start)
    return total.T.reshape(*size, channels, features)


def _by_rows(x, gy):
    """`kernel_gradient` of 3×3 kernels: patches of one row each, for three products.

    Fewer copies than patches of three rows; with many channels the copies count less.

    Args:
      x: [B, H + 2, W + 2, C].
      gy: [B, H, W, F].

    Returns:
      [3, 3, C, F].
    """
    batch, height, width, features = gy.shape
    channels = x.shape[-1]
    _, rows, _ = _block_shape((1, height, width), WIDTH_ROWS)
    blocks = height // rows

    def add_block(i, totals):
        sample, row = lax.div(i, blocks), lax.rem(i, blocks) * rows
        part = _positive_slice(x, (sample, row, 0, 0), (1, rows + 2, width + 2, channels))
        cotangent = _positive_slice(gy, (sample, row, 0, 0), (1, rows, width, features))
        turned = cotangent.reshape(-1, features).T
        wide = _patches(part, (1, 3), (rows + 2, width), (1, 1))
        return tuple(
            total + turned @ wide[:, k : k + rows].reshape(-1, 3 * channels)
            for k, total in enumerate(totals)
        )

    start = (jnp.zeros((features, 3 * channels), gy.dtype),) * 3
    totals = lax.fori_loop(0, batch * blocks, add_block, start)
    return jnp.stack([total.T.reshape(3, channels, features) for total in totals])


def _patches(x, size: Sequence[int], out: Sequence[int], strides):
    """Patches [B, *out, prod(size) * C] of an input that is already padded."""
    # One shifted slice of the input for each tap, joined on the channels.
    last = [(positions - 1) * stride + 1 for positions, stride in zip(out, strides, strict=True)]
    shifted = [
        lax.slice(
            x,
            (0, *offset, 0),
            (x.shape[0], *(k + n for k, n in zip(offset, last, strict=True)), x.shape[-1]),
            (1, *strides, 1),
        )
        for offset in np.ndindex(*size)
    ]
    return jnp.concatenate(shifted, -1)


def _corner(i: jax.Array, block: Sequence[int], blocks: Sequence[int]) -> list:
    """First position of block number i; with little arithmetic, which takes long to compile."""
    corner, left = [0] * len(block), math.prod(blocks)
    for axis in reversed(range(len(block))):
        if blocks[axis] > 1:
            left //= blocks[axis]
            corner[axis] = (lax.rem(i, blocks[axis]) if left > 1 else i) * block[axis]
            i = lax.div(i, blocks[axis]) if left > 1 else i
    return corner


def _positive_slice(x, start, size):
    """`lax.dynamic_slice` from indices that are known to be positive: less to compile."""
    return lax.dynamic_slice(x, start, size, allow_negative_indices=False)


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
