"""3×3×3 convolutions of volumes with few channels for XLA:CPU, and their kernel gradients.

A convolution of so few channels keeps one core busy: XLA's library (jax 0.10.2) shares out rows of
a picture, and only those with enough work. Here a row is a whole frame: the three rows that a
kernel sees become channels, and frames and their places the two dimensions of a convolution.

    x [B, T, H, W, C] → rows above, at and below as channels [B, T, H (W + 1), 3 C]
                      → 3×3 convolution over time and place [B, T, H (W + 1), F]

A column of zeros between the rows of a frame separates them. The kernel gradient is a product of
both sides, so both have a part of the taps as channels: few copies, and a product of good shape.

    x → frames and columns around each place [B, T H W, 9 C]     y → rows around it [B, T H W, 3 F]

Several volumes joined in time (`lengths`) are convolved each by itself, without taking the batch
apart.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from vadjax.ops import plain
from vadjax.ops.cpu.pieces import CACHE, in_pieces
from vadjax.ops.plain import Padding

MOST_CHANNELS = 64  # of either side
FEW_CHANNELS = 5  # up to these, two neighbouring pixels are one: wider products
TOGETHER = 2 * CACHE  # bytes of both sides of a product


def saves(x: jax.Array, w: jax.Array, strides: Sequence[int], padding: Padding) -> bool:
    """Whether these forms are faster: small kernels that keep the size, few channels, float32."""
    same = set(strides) == {1} and all(tuple(pair) == (1, 1) for pair in padding)
    few = max(w.shape[-2:]) <= MOST_CHANNELS
    return x.dtype == jnp.float32 and w.shape[:-2] == (3, 3, 3) and same and few


def conv(x: jax.Array, w: jax.Array, lengths: Sequence[int]) -> jax.Array:
    """Convolution of volumes, with zeros around each.

    Args:
      x: [B, sum(lengths), H, W, C], volumes that follow one another in time.
      w: [3, 3, 3, C, F].
      lengths: frames of each volume.

    Returns:
      [B, sum(lengths), H, W, F].
    """
    of_volumes = functools.partial(_of_volumes, functools.partial(_conv, w=w), lengths=lengths)
    height, width = x.shape[2:4]
    size = max(lengths) * height * (width + 1) * max(3 * w.shape[3], w.shape[4])
    return in_pieces(of_volumes, x, size * x.dtype.itemsize)


def gradients(
    x: jax.Array, w: jax.Array, gy: jax.Array, lengths: Sequence[int]
) -> tuple[jax.Array, jax.Array]:
    """Gradients of x and w of `conv` for the cotangent gy [B, sum(lengths), H, W, F]."""
    flipped = jnp.flip(w, (0, 1, 2)).swapaxes(3, 4)
    return conv(gy, flipped, lengths), kernel_gradient(x, gy, lengths)


def kernel_gradient(x: jax.Array, gy: jax.Array, lengths: Sequence[int]) -> jax.Array:
    """Gradient of w [3, 3, 3, C, F] of `conv` for the cotangent gy.

    A few samples at a time, so that both sides of the product stay in the cache; at least two,
    since their products run side by side.
    """
    if x.shape[-1] > gy.shape[-1]:  # more taps for the narrower side
        turned = kernel_gradient(gy, x, lengths)
        return jnp.flip(turned, (0, 1, 2)).swapaxes(3, 4)
    height, width, channels, features = *x.shape[2:], gy.shape[-1]
    size = max(lengths) * height * width * (9 * channels + 3 * features) * x.dtype.itemsize
    most = max(TOGETHER // size, 2)
    piece = max(n for n in range(1, min(most, len(x)) + 1) if len(x) % n == 0)
    ends = np.cumsum(lengths)[:-1]

    def add_piece(i, total):
        parts = (
            jnp.split(lax.dynamic_slice_in_dim(side, i * piece, piece, 0), ends, 1)
            for side in (x, gy)
        )
        return sum((_kernel_gradient(*part) for part in zip(*parts, strict=True)), total)

    start = jnp.zeros((3, 3, 3, channels, features), gy.dtype)
    return lax.fori_loop(0, len(x) // piece, add_piece, start)


def _of_volumes(function: Callable, x, lengths: Sequence[int]):
    """Applies a function to each of the volumes that are joined in time."""
    volumes = jnp.split(x, np.cumsum(lengths)[:-1], 1)
    return jnp.concatenate([function(volume) for volume in volumes], 1)


def _conv(x, w):
    """`conv` of one volume: rows as channels, then a convolution over time and place."""
    batch, length, height, width, channels = x.shape
    w = w[1:2] if length == 1 else w  # the other taps see zeros alone
    taps, features, pixels = len(w), w.shape[-1], _pixels(x)
    # `pixels` neighbours are one pixel with more channels
    x = x.reshape(batch, length, height, width // pixels, pixels * channels)
    x = jnp.pad(x, ((0, 0), (0, 0), (1, 1), (0, 1), (0, 0)))
    rows = jnp.concatenate([x[:, :, k : k + height] for k in range(3)], -1)
    rows = rows.reshape(batch, length, -1, rows.shape[-1])
    kernel = _joined_pixels(w, pixels).swapaxes(1, 2).reshape(taps, 3, -1, pixels * features)
    y = plain.conv(rows, kernel, (1, 1), ((taps // 2, taps // 2), (1, 1)))
    y = y.reshape(batch, length, height, -1, pixels * features)[:, :, :, :-1]
    return y.reshape(batch, length, height, width, features)


def _pixels(x) -> int:
    """How many neighbouring pixels are taken as one."""
    return 2 if x.shape[-1] <= FEW_CHANNELS and x.shape[-2] % 2 == 0 else 1


def _joined_pixels(w, pixels: int):
    """Kernel [kt, 3, 3, pixels * C, pixels * F] for pixels that are joined, of w [kt, 3, 3, C, F].

    It has a tap from each of the pixels in three joined ones to each in the middle one, most of
    which are 0.
    """
    taps, rows, columns, channels, features = w.shape
    # For output pixel o the three columns start at o - 1 within the middle one
    around = [(pixels - 1 + o, 2 * pixels - 2 - o) for o in range(pixels)]
    each = [jnp.pad(w, ((0, 0), (0, 0), pair, (0, 0), (0, 0))) for pair in around]
    return jnp.stack(each, -2).reshape(taps, rows, columns, pixels * channels, pixels * features)


def _kernel_gradient(x, gy):
    """`kernel_gradient` of one volume: [3, 3, 3, C, F]."""
    batch, length, height, width, channels = x.shape
    features, pixels = gy.shape[-1], _pixels(x)
    taps = 1 if length == 1 else 3
    across = (0, 0) if length == 1 else (1, 1)
    # Frames and columns around each place (of `pixels` pixels), and rows of the other side
    x = jnp.pad(x, ((0, 0), across, (0, 0), (1, 1), (0, 0)))
    columns = [_every(x[..., k:, :], pixels, width) for k in range(pixels + 2)]
    around = [column[:, t : t + length] for t in range(taps) for column in columns]
    gy = gy.reshape(batch, length, height, width // pixels, pixels * features)
    gy = jnp.pad(gy, ((0, 0), (0, 0), (1, 1), (0, 0), (0, 0)))
    rows = [gy[:, :, 2 - k : 2 - k + height] for k in range(3)]
    left, right = (
        lax.optimization_barrier(jnp.concatenate(side, -1)).reshape(
            batch, length * height * width // pixels, -1
        )
        for side in (rows, around)
    )
    total = jnp.einsum("bpf,bpc->bfc", left, right).sum(0)
    # Of every pixel its own three columns
    total = total.reshape(3, pixels, features, taps, pixels + 2, channels)
    total = sum(total[:, o, :, :, o : o + 3] for o in range(pixels)).transpose(2, 0, 3, 4, 1)
    return total if taps == 3 else jnp.pad(total, ((1, 1), *[(0, 0)] * 4))


def _every(x, pixels: int, width: int):
    """Every `pixels`-th of the first `width` columns."""
    return x[:, :, :, : width - pixels + 1 : pixels]
