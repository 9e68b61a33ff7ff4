"""Channels-last convolutions, written for XLA on CPU; the plain forms elsewhere.

What XLA does badly on CPU, and what is done instead:

kernel gradients   a convolution with an image-sized window; here blocks of about 512 output
                   positions, patches times cotangents
3-D convolutions   slow with few channels; here 2-D ones over the temporal taps, some samples at
                   a time: all of a batch would leave the cache between the passes
transposed         slow kernel gradients; here that of the stride-2 convolution that leads back
                   (spec lgn_net §8)
float64            far too slow for a whole network; here patches times a matrix
wide 3×3           at the cores' peak; in inference half the multiplications are saved instead

The functions are differentiable once in reverse mode.
"""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from vadjax.ops.cpu.pieces import in_pieces

WINOGRAD = (  # of the three taps of a column, for each of the six sums of input rows
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)

Padding = tuple[tuple[int, int], ...]

LAYOUTS = {2: ("NHWC", "HWIO", "NHWC"), 3: ("NDHWC", "DHWIO", "NDHWC")}
BLOCK_ROWS = 512  # output positions per block of a kernel gradient: their patches stay in cache
MOST_PATCHES = 64  # kernels of more taps are never written as patches (compilation time)
WINOGRAD_LEAST, WINOGRAD_MOST = 128, 256  # channels for which `conv_inference` saves time
WINOGRAD_LEAST_3D = 64
FEW_CHANNELS = 8  # below, 3-D kernel gradients too are those of the taps as channels
STACKED_CHANNELS = 64  # up to so many channels × taps, temporal taps become channels


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
    return lax.platform_dependent(
        x,
        w,
        cpu=lambda x, w: _forward_on_cpu(x, w, strides, padding),
        default=lambda x, w: _plain(x, w, strides, padding),
    )


def _conv_forward(x, w, strides, padding):
    return conv(x, w, strides, padding), (x, w)


def _conv_backward(strides, padding, residuals, gy):
    def on_cpu(x, w, gy):
        forward = functools.partial(_forward_on_cpu, strides=strides, padding=padding)
        if w.ndim == 4 and x.dtype != jnp.float64:
            gx = _input_gradient(gy, w, x.shape, strides, padding)
        elif w.ndim == 5 and x.dtype != jnp.float64 and set(strides) == {1}:
            gx = _volume_gradient(gy, w, padding)
        else:
            gx = jax.vjp(lambda x: forward(x, w), x)[1](gy)[0]
        if math.prod(w.shape[:-2]) > MOST_PATCHES:
            return gx, jax.vjp(lambda w: forward(x, w), w)[1](gy)[0]
        if w.ndim == 5 and w.shape[-2] < FEW_CHANNELS and w.dtype != jnp.float64:
            return gx, _stacked_kernel_gradient(x, gy, w.shape[:-2], strides, padding)
        return gx, _kernel_gradient(x, gy, w.shape[:-2], strides, padding)

    def plain(x, w, gy):
        return jax.vjp(lambda x, w: _plain(x, w, strides, padding), x, w)[1](gy)

    return lax.platform_dependent(*residuals, gy, cpu=on_cpu, default=plain)


conv.defvjp(_conv_forward, _conv_backward)


def conv_inference(
    x: jax.Array, w: jax.Array, strides: tuple[int, ...], padding: Padding
) -> jax.Array:
    """As `conv`, where 1e-5 of the output's spread does not matter.

    On CPU wide 3×3 and 3×3×3 kernels take Winograd's minimal filtering F(4, 3) along the height
    (Lavin and Gray, CVPR 2016), half the multiplications (scoring in `benchmarks.lgn_step`,
    features in `benchmarks.i3d`).
    """
    same = set(strides) == {1} and set(padding) == {(1, 1)}
    if not (_saves_by_winograd(x.shape, w.shape) and same and x.dtype == jnp.float32):
        return conv(x, w, strides, padding)
    return lax.platform_dependent(
        x, w, cpu=_winograd, default=lambda x, w: _plain(x, w, strides, padding)
    )


def _saves_by_winograd(size: tuple[int, ...], kernel: tuple[int, ...]) -> bool:
    """Whether kernels of this size are wide enough, and the pictures high enough."""
    channels, features = kernel[-2:]
    if kernel[:-2] == (3, 3, 3):  # rows are filled up to fours
        return channels >= WINOGRAD_LEAST_3D and features >= WINOGRAD_LEAST and size[2] > 8
    wide = kernel[:-2] == (3, 3) and WINOGRAD_LEAST <= channels <= WINOGRAD_MOST
    return wide and features >= WINOGRAD_LEAST and size[1] % 4 == 0


@jax.custom_vjp
def conv_transpose(x: jax.Array, w: jax.Array) -> jax.Array:
    """Transposed 3×3 convolution that doubles the size (torch: stride 2, padding and output 1).

    `y[2 i + k - 1] += x[i] w[k]` in each of the two dimensions.

    Args:
      x: [B, H, W, C].
      w: kernel [3, 3, C, F], taps in the order of torch (not flipped).

    Returns:
      [B, 2 H, 2 W, F].
    """
    if w.shape[:2] != (3, 3):
        raise ValueError(f"conv_transpose takes 3×3 kernels; got {w.shape}")
    return lax.platform_dependent(x, w, cpu=_transpose_on_cpu, default=_plain_transpose)


BACK = (2, 2), ((1, 0), (1, 0))  # strides and padding of the convolution that leads from y to x


def _transpose_forward(x, w):
    return conv_transpose(x, w), (x, w)


def _transpose_backward(residuals, gy):
    def on_cpu(x, w, gy):
        gx = _forward_on_cpu(gy, w.swapaxes(2, 3), *BACK)
        return gx, _kernel_gradient(gy, x, (3, 3), *BACK).swapaxes(2, 3)

    def plain(x, w, gy):
        return jax.vjp(_plain_transpose, x, w)[1](gy)

    return lax.platform_dependent(*residuals, gy, cpu=on_cpu, default=plain)


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
    """Drop-in for `flax.linen.Conv(conv_general_dilated=...)`: `form` where it applies."""
    ones = (*(lhs_dilation or ()), *(rhs_dilation or ()), feature_group_count, batch_group_count)
    special = any(one != 1 for one in ones) or precision or preferred_element_type
    if special or rhs.ndim - 2 not in LAYOUTS:
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
        rhs = rhs[padding[0][0]][None]  # a single frame: the other taps would see padding alone
        padding = (0, 0), *padding[1:]
    return form(lhs, rhs, tuple(window_strides), padding)


def conv_passes(x, w, strides, padding, *options, lengths: Sequence[int], **more):
    """As `conv_general_dilated` of volumes that follow one another in time, none seeing another.

    Args:
      x: [B, sum(lengths), H, W, C].
      w: kernel [kt, kh, kw, C, F].
      strides: with padding and all else as of `jax.lax.conv_general_dilated`.
      padding: of each volume.
      options: passed on.
      lengths: frames of each volume.
      more: passed on.
    """
    volumes = jnp.split(x, np.cumsum(lengths)[:-1], 1)
    found = [conv_general_dilated(v, w, strides, padding, *options, **more) for v in volumes]
    return jnp.concatenate(found, 1)


def conv_frames(x: jax.Array, w: jax.Array, triples: Sequence[Sequence[int]]) -> jax.Array:
    """3×3×3 convolution, padded in space, for frames whose neighbours in time are named.

    On CPU every frame meets each temporal tap once, however many triples it is in.

    Args:
      x: [B, T, H, W, C].
      w: kernel [3, 3, 3, C, F].
      triples: [M, 3], the frames that the three temporal taps see; -1 = one of zeros.

    Returns:
      [B, M, H, W, F].
    """
    seen, space = np.asarray(triples), ((1, 1), (1, 1))

    def on_cpu(x, w):
        side_by_side = jnp.moveaxis(w, 0, -2).reshape(*w.shape[1:4], -1)
        frames = x.reshape(-1, *x.shape[2:])
        y = _forward_on_cpu(frames, side_by_side, (1, 1), space)
        y = _with_zeros(y.reshape(*x.shape[:2], *y.shape[1:]))
        parts = jnp.split(y, len(w), -1)
        return sum(part[:, own] for part, own in zip(parts, seen.T, strict=True))

    def default(x, w):
        volumes = _with_zeros(x)[:, seen].reshape(-1, seen.shape[1], *x.shape[2:])
        y = _plain(volumes, w, (1, 1, 1), ((0, 0), *space))
        return y.reshape(len(x), len(seen), *y.shape[2:])

    return lax.platform_dependent(x, w, cpu=on_cpu, default=default)


def _with_zeros(x):
    """[B, T + 1, ...]: the last frame, which -1 names, is zeros."""
    return jnp.pad(x, [(0, 0), (0, 1)] + [(0, 0)] * (x.ndim - 2))


conv_general_inference = functools.partial(conv_general_dilated, form=conv_inference)


def _plain(x, w, strides, padding):
    return lax.conv_general_dilated(x, w, strides, padding, dimension_numbers=LAYOUTS[w.ndim - 2])


def _input_gradient(gy, w, shape, strides, padding):
    """Gradient of x [B, H, W, C] of `conv`, the kernel turned round in memory first.

    Within a `lax.scan` XLA:CPU (jax 0.10.2) leaves the turning to the convolution, which is then
    several times slower.
    """
    pads = []
    for size, k, s, (before, _), out in zip(
        shape[1:3], w.shape, strides, padding, gy.shape[1:3], strict=False
    ):
        first = k - 1 - before
        pads.append((first, size + k - 1 - ((out - 1) * s + 1) - first))
    turned = lax.optimization_barrier(w[::-1, ::-1].swapaxes(2, 3))
    return lax.conv_general_dilated(gy, turned, (1, 1), pads, strides, dimension_numbers=LAYOUTS[2])


def _volume_gradient(gy, w, padding):
    """As `_input_gradient` for x [B, T, H, W, C] and strides of 1."""
    turned = lax.optimization_barrier(w[::-1, ::-1, ::-1].swapaxes(3, 4))
    sides = zip(w.shape, padding, strict=False)
    pads = tuple((k - 1 - before, k - 1 - after) for k, (before, after) in sides)
    return _forward_on_cpu(gy, turned, (1, 1, 1), pads)


def _plain_transpose(x, w):
    return lax.conv_general_dilated(
        x, w[::-1, ::-1], (1, 1), ((1, 2),) * 2, (2, 2), dimension_numbers=LAYOUTS[2]
    )


def _transpose_on_cpu(x, w):
    if x.dtype != jnp.float64:
        return _plain_transpose(x, w)
    size, (strides, padding) = (x.shape[0], 2 * x.shape[1], 2 * x.shape[2], w.shape[3]), BACK
    back = functools.partial(_by_patches, w=w.swapaxes(2, 3), strides=strides, padding=padding)
    return jax.vjp(back, jnp.zeros(size, x.dtype))[1](x)[0]


def _forward_on_cpu(x, w, strides, padding):
    if x.dtype == jnp.float64 and math.prod(w.shape[:-2]) <= MOST_PATCHES:
        return _by_patches(x, w, strides, padding)
    if w.ndim == 4 or math.prod(w.shape[:3]) == 1 and strides[0] == 1 and padding[0] == (0, 0):
        return _plain(x, w, strides, padding)
    taps = functools.partial(_by_temporal_taps, w=w, strides=strides, padding=padding)
    sides = zip(x.shape[1:], w.shape, strides, padding, strict=False)
    out = [(n + sum(pad) - k) // stride + 1 for n, k, stride, pad in sides]
    channels = max(w.shape[0] * x.shape[4], w.shape[4])
    return in_pieces(taps, x, math.prod(out) * channels * x.dtype.itemsize)


def _by_temporal_taps(x, w, strides, padding):
    """3-D convolution as 2-D ones: taps stacked as channels where few, summed where many."""
    taps, channels = w.shape[0], x.shape[-1]
    shifted = _shifted_in_time(x, taps, strides[0], padding[0])
    if channels * taps <= STACKED_CHANNELS:
        kernel = jnp.moveaxis(w, 0, 2).reshape(*w.shape[1:3], taps * channels, w.shape[-1])
        y = _plain(jnp.concatenate(shifted, -1), kernel, strides[1:], padding[1:])
    else:
        y = sum(_plain(part, w[k], strides[1:], padding[1:]) for k, part in enumerate(shifted))
    return y.reshape(len(x), -1, *y.shape[1:])


def _shifted_in_time(x, taps: int, stride: int, padding: tuple[int, int]):
    """Frames [B * T', H, W, C] that each tap sees, of x [B, T, H, W, C]."""
    x = jnp.pad(x, [(0, 0), padding, (0, 0), (0, 0), (0, 0)])
    last = (x.shape[1] - taps) // stride * stride + 1
    shifted = [lax.slice_in_dim(x, k, k + last, stride, 1) for k in range(taps)]
    return [part.reshape(-1, *x.shape[2:]) for part in shifted]


def _patches(x, size: Sequence[int], out: Sequence[int], strides):
    """Patches [B, *out, prod(size) * C] of an input that is already padded."""
    last = [(o - 1) * s + 1 for o, s in zip(out, strides, strict=True)]
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


def _winograd(x, w):
    """Convolution 3×3 or 3×3×3, same size: six sums of rows for every four, 1×3 kernels on them."""
    if w.ndim == 4:
        return _winograd_taps(x[:, None], w[None])[:, 0]
    return _winograd_taps(jnp.pad(x, [(0, 0), (1, 1), (0, 0), (0, 0), (0, 0)]), w)


def _winograd_taps(x, w):
    """Of x [B, T + taps - 1, H, W, C] and w [taps, 3, 3, C, F] → [B, T, H, W, F]."""
    batch, times, height, width, channels = x.shape
    taps, times, rows = len(w), times - len(w) + 1, -(-height // 4)
    x = jnp.pad(x, [(0, 0), (0, 0), (1, 1 + 4 * rows - height), (0, 0), (0, 0)])
    r = [x[:, :, i : i + 4 * rows : 4] for i in range(6)]
    sums = (
        4 * r[0] - 5 * r[2] + r[4],
        -4 * (r[1] + r[2]) + (r[3] + r[4]),
        4 * (r[1] - r[2]) - (r[3] - r[4]),
        2 * (r[3] - r[1]) + (r[4] - r[2]),
        2 * (r[1] - r[3]) + (r[4] - r[2]),
        4 * r[1] - 5 * r[3] + r[5],
    )
    transform = jnp.asarray(WINOGRAD, w.dtype)
    kernels = jnp.einsum("ij,tjwcf->itwcf", transform, w, precision="highest")

    def convolve(part, kernel):
        shape = batch * times, rows, width, channels
        moments = [part[:, t : t + times].reshape(shape) for t in range(taps)]
        padding = (0, 0), (1, 1)
        return sum(
            _plain(p, k[None], (1, 1), padding) for p, k in zip(moments, kernel, strict=True)
        )

    m = [convolve(part, kernel) for part, kernel in zip(sums, kernels, strict=True)]
    inner, inner_odd = m[1] + m[2], m[1] - m[2]
    outer, outer_odd = m[3] + m[4], m[3] - m[4]
    four = (
        m[0] + inner + outer,
        inner_odd + 2 * outer_odd,
        inner + 4 * outer,
        inner_odd + 8 * outer_odd + m[5],
    )
    y = jnp.stack(four, 2).reshape(batch, times, 4 * rows, width, -1)
    return y[:, :, :height]


def _by_patches(x, w, strides, padding):
    """Convolution as patches times a matrix."""
    x = jnp.pad(x, [(0, 0), *padding, (0, 0)])
    size = w.shape[:-2]
    out = [(n - k) // s + 1 for n, k, s in zip(x.shape[1:-1], size, strides, strict=True)]
    return _patches(x, size, out, strides) @ w.reshape(-1, w.shape[-1])


def _kernel_gradient(x, gy, size, strides, padding):
    """Gradient of the kernel [*size, C, F] of `conv`: blocks of cotangents times patches."""
    channels, features = x.shape[-1], gy.shape[-1]
    x = jnp.pad(x, [(0, 0), *padding, (0, 0)])
    block = _block_shape(gy.shape[:-1])
    blocks = [o // b for o, b in zip(gy.shape, block, strict=False)]

    def of_block(part, cotangent):
        rows = _patches(part, size, block[1:], strides).reshape(-1, math.prod(size) * channels)
        return cotangent.reshape(-1, features).T @ rows

    def add_block(i, total):
        corner = _corner(i, block, blocks)
        start = [p * s for p, s in zip(corner, (1, *strides), strict=True)]
        inner = zip(block[1:], strides, size, strict=True)
        extent = block[0], *((b - 1) * s + k for b, s, k in inner), channels
        part = _positive_slice(x, (*start, 0), extent)
        return total + of_block(part, _positive_slice(gy, (*corner, 0), (*block, features)))

    if math.prod(blocks) == 1:
        total = of_block(x, gy)
    else:
        start = jnp.zeros((features, math.prod(size) * channels), gy.dtype)
        total = lax.fori_loop(0, math.prod(blocks), add_block, start)
    return total.T.reshape(*size, channels, features)


def _corner(i: jax.Array, block: Sequence[int], blocks: Sequence[int]) -> list:
    """First position of block number i; little arithmetic, which takes long to compile."""
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


def _stacked_kernel_gradient(x, gy, size, strides, padding):
    """As `_kernel_gradient` of a 3-D kernel, its temporal taps as channels of a 2-D one."""
    stacked = jnp.concatenate(_shifted_in_time(x, size[0], strides[0], padding[0]), -1)
    frames = gy.reshape(-1, *gy.shape[2:])
    total = _kernel_gradient(stacked, frames, size[1:], strides[1:], padding[1:])
    return jnp.moveaxis(total.reshape(*size[1:], size[0], x.shape[-1], -1), 2, 0)


def _block_shape(out: Sequence[int]) -> tuple[int, ...]:
    """Whole rows of [B, (T,) H, W], as many as divide the height and stay within `BLOCK_ROWS`.

    Where an image is within it, whole images; where all frames of a sample are, whole samples.
    """
    block = [1] * (len(out) - 1) + [out[-1]]
    for axis in reversed(range(len(out) - 1)):
        count, unit = out[axis], math.prod(out[axis + 1 :])
        fits = [b for b in range(1, count + 1) if count % b == 0 and b * unit <= BLOCK_ROWS]
        block[axis] = max(fits, default=1)
        if block[axis] < count:
            break
    return tuple(block)
