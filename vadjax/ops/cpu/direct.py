"""Convolutions of pictures in machine code (see `machine`), bias and activation in the same pass.

The input may be several arrays whose channels count as joined, which then are never joined in
memory. Kernels are packed beforehand, so that a network can keep them for all its calls. A 3×3
convolution that keeps the size takes minimal filtering (`filtered`), all others their own sums.
"""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from vadjax.ops.cpu import filtered, machine, products
from vadjax.ops.cpu.machine import LANES, Code
from vadjax.ops.plain import Padding

MOST_PLACES, MOST_VALUES = 512, 2**17  # of a piece: places of output, float32 of its input
LEAST_PIECES = 8  # of a call, so that threads have equal work


def saves(x: Sequence[jax.Array], w: jax.Array) -> bool:
    """Whether it can be done so.

    Args:
      x: [B, H, W, C] each.
      w: kernel [kh, kw, sum of C, F].
    """
    whole = len(x) == 1 or all(part.shape[-1] % LANES == 0 for part in x)
    row = min(part.shape[2] * part.shape[3] for part in x)
    few = w.shape[-1] % LANES and w.shape[-1] < machine.tile().vectors * LANES
    return w.ndim == 4 and w.dtype == jnp.float32 and whole and row >= LANES and not few


def pack(w: jax.Array, strides: tuple[int, int], padding: Padding) -> jax.Array:
    """A kernel as `conv` wants it."""
    if filtered.saves(w, w, strides, padding):
        return filtered.packed(w)
    taps, width = math.prod(w.shape[:3]), machine.tile().vectors * LANES
    w = w.reshape(taps, -1)
    missing = max(width - w.shape[1], 0)
    w = jnp.pad(w, ((0, 0), (0, missing)))
    return jnp.stack([w[:, first : first + width] for first in _firsts(w.shape[1])])


def _firsts(features: int) -> list[int]:
    """The first output channel of every block; the last block may overlap the one before."""
    width = machine.tile().vectors * LANES
    last = max(features - width, 0)
    return [min(width * block, last) for block in range(products.blocks(features))]


def conv_activated(
    x: Sequence[jax.Array],
    w: jax.Array,
    bias: jax.Array,
    packed: jax.Array | None,
    strides: tuple[int, int],
    padding: Padding,
    slope: float | None,
) -> jax.Array:
    """As `plain.conv_activated`, with a kernel that may have been packed beforehand."""
    if packed is None:
        packed = pack(w, strides, padding)
    return conv(x, packed, bias, w.shape, strides, padding, slope)


def conv(
    x: Sequence[jax.Array],
    packed: jax.Array,
    bias: jax.Array,
    shape: tuple[int, ...],
    strides: tuple[int, int],
    padding: Padding,
    slope: float | None = None,
) -> jax.Array:
    """Convolution, plus bias, and leaky ReLU of a slope where there is one: [B, H', W', F].

    Args:
      x: [B, H, W, C] each.
      packed: of `pack`.
      bias: [F].
      shape: of the kernel [kh, kw, sum of C, F].
      strides: of rows and columns.
      padding: (before, after) of rows and columns.
      slope: below 0, at most 1.
    """
    kernel = jax.ShapeDtypeStruct(shape, jnp.float32)
    if filtered.saves(kernel, kernel, strides, padding):
        return filtered.activated(x, packed, bias, slope)
    batch, height, width, _ = x[0].shape
    channels = tuple(part.shape[-1] for part in x)
    out = [
        (n + sum(pad) - k) // stride + 1
        for n, k, stride, pad in zip((height, width), shape, strides, padding, strict=False)
    ]
    sizes = (height, width, channels, *out, *shape, strides, padding, slope, *machine.tile())
    blocks = products.blocks(shape[-1])
    at_once, splits = _pieces(batch, out, blocks, strides[0] * width * sum(channels))
    write = functools.partial(_write, sizes=(*sizes, at_once, splits))
    row, rows = _row(sizes), (at_once - 1) * strides[0] + shape[0]
    scratch = rows * row + LANES * (1 + machine.tile().rows * machine.tile().vectors)
    pieces = batch * -(-out[0] // at_once) * splits
    result = jax.ShapeDtypeStruct((batch, *out, shape[-1]), jnp.float32)
    parameters = (*sizes, at_once, splits)
    inputs = [*x, packed, bias]
    return machine.call("direct", parameters, write, inputs, [result], pieces, scratch)[0]


def _pieces(batch: int, out: Sequence[int], blocks: int, values: int) -> tuple[int, int]:
    """Rows of a piece, and how many parts the blocks of output channels are split into."""
    at_once = max(1, min(MOST_PLACES // out[1], MOST_VALUES // values, out[0]))
    at_once = -(-out[0] // -(-out[0] // at_once))
    strips = batch * -(-out[0] // at_once)
    enough = (n for n in range(1, blocks + 1) if blocks % n == 0 and n * strips >= LEAST_PIECES)
    return at_once, next(enough, blocks)


def _stride(sizes) -> int:
    """Float32 from one place to the next in memory of a thread."""
    channels, strides = sum(sizes[2]), sizes[9]
    return channels + LANES if strides[1] * channels % 512 == 0 else channels


def _row(sizes) -> int:
    width, padding = sizes[1], sizes[10]
    return -(-(width + sum(padding[1])) * _stride(sizes) // LANES) * LANES + LANES


def _write(code: Code, addresses, number, scratch, sizes):
    height, width, channels, out_height, out_width, kh, kw, _, features = sizes[:9]
    strides, padding, slope, _, vectors, at_once, splits = sizes[9:]
    *x, packed, bias, y = addresses
    strips, blocks = -(-out_height // at_once), products.blocks(features)
    number, split = code.divmod(number, splits)
    sample, strip = code.divmod(number, strips)
    # The last strip begins earlier where it would be too long
    top = code.mul(strip, at_once)
    last = machine.INT(out_height - at_once)
    top = code.choose(code.below(top, last), top, last)
    stride, row, total = _stride(sizes), _row(sizes), sum(channels)
    sums_at = ((at_once - 1) * strides[0] + kh) * row

    # Rows of the input with zeros around
    zeros = machine.constant(0.0)
    before = padding[1][0] * stride
    with code.loop((at_once - 1) * strides[0] + kh) as i:
        line = code.add(code.mul(top, strides[0]), i, -padding[0][0])
        inside = code.below(line, height)
        line = code.choose(inside, line, 0)
        line = code.add(code.mul(sample, height), line)
        target = code.mul(i, row)
        for c in range(0, before, LANES):
            code.store(zeros, scratch, code.add(target, c))
        for part, (own, offset) in enumerate(_parts(channels)):
            source = code.mul(line, width * own)

            def copy(column, c, part=part, own=own, offset=offset, source=source, target=target):
                value = code.load(x[part], code.add(source, code.mul(column, own), c))
                value = code.choose(inside, value, zeros)  # noqa: B023
                place = code.add(target, before + offset, code.mul(column, stride), c)
                code.store(value, scratch, place)

            if stride == own:
                with code.loop(width * own // LANES * LANES, 0, LANES) as c:
                    copy(0, c)
                if width * own % LANES:
                    copy(0, width * own - LANES)
            else:
                with code.loop(width) as column:
                    with code.loop(own // LANES * LANES, 0, LANES) as c:
                        copy(column, c)
        for c in range(0, padding[1][1] * stride, LANES):
            code.store(zeros, scratch, code.add(target, before + width * stride + c))

    # Taps beside each other are one run of memory where places are
    runs, terms = (kh, kw * total) if stride == total else (kh * kw, total)
    if terms > products.MOST_TERMS:
        runs, terms = kh * kw, total
    per_row = runs // kh
    at_a_time = max(n for n in range(1, runs + 1) if runs % n == 0 and _few(n * terms, n))
    first_of = _firsts(max(features, vectors * LANES))

    def of_tile(block, row_of, column, places):
        kernel = code.mul(block, kh * kw * total * vectors * LANES)
        start = code.add(code.mul(row_of, strides[0] * row), code.mul(column, strides[1] * stride))
        for n in range(places * vectors if at_a_time < runs else 0):
            code.store(zeros, scratch, sums_at + n * LANES)
        with code.loop(runs, 0, at_a_time) as first:
            sums = products.Sums(code, places, vectors)
            with code.loop(at_a_time) as more:
                run = code.add(first, more)
                if isinstance(run, int):
                    i, j = divmod(run, per_row)
                else:
                    i, j = code.divmod(run, per_row)
                at = code.add(start, code.mul(i, row), code.mul(j, stride))
                weights = code.add(kernel, code.mul(run, terms * vectors * LANES))
                sums.multiply(scratch, at, strides[1] * stride, packed, weights, terms)
            sums.store(scratch, sums_at, more=at_a_time < runs)
        feature = code.mul(block, vectors * LANES)
        if first_of[-1] % (vectors * LANES):
            end = code.below(feature, first_of[-1])
            feature = code.choose(end, feature, machine.INT(first_of[-1]))
        line = code.add(code.mul(sample, out_height), top, row_of)
        out = code.mul(code.add(code.mul(line, out_width), column), features)
        used = min(vectors, features // LANES)
        biases = [code.load(bias, code.add(feature, v * LANES)) for v in range(used)]
        for place in range(places):
            for v in range(used):
                value = code.load(scratch, sums_at + (place * vectors + v) * LANES)
                value = products.activate(code, value, biases[v], slope)
                code.store(value, y, code.add(out, place * features + v * LANES, feature))

    with code.loop(blocks // splits) as b:
        block = code.add(code.mul(split, blocks // splits), b)
        block = machine.INT(block) if isinstance(block, int) else block
        with code.loop(at_once) as row_of:
            products.tiles(code, out_width, functools.partial(of_tile, block, row_of))


def _few(terms: int, runs: int) -> bool:
    return runs == 1 or terms <= products.MOST_TERMS


def _parts(channels: Sequence[int]) -> list[tuple[int, int]]:
    """Channels of every array, and how many come before them."""
    return [(own, sum(channels[:part])) for part, own in enumerate(channels)]
