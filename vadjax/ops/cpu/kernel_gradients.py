"""Gradients of the kernels of 2-D convolutions, in machine code (see `machine`).

A piece of work makes the rows of the gradient for a block of input channels and a block of
features. It goes through the whole map in chunks whose values stay in the cache. Of a chunk it adds
up the products over all places, in registers: input values of neighbouring taps and channels times
features. So no array is turned, and few threads need memory for results of their own.

Kernels 3×3 that keep the size take minimal filtering along the height: with y = A^T [(G w) *
(B^T x)] of every four rows (`minimal_filtering`), dw = G^T sum [(A gy) * (B^T x)], half the products.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vadjax.ops.cpu import machine, products
from vadjax.ops.cpu.filtered import input_sums
from vadjax.ops.cpu.machine import INT, LANES, Code
from vadjax.ops.plain import Padding

PLANES = 6  # sums of four rows
LEAST_FILTERED = 32  # channels from which minimal filtering saves time
MOST_ROWS = 192  # taps of a row × channels of a block
MOST_PLACES, MOST_VALUES = 256, 2**18  # of a chunk: places, and float32 of its input
LEAST_PIECES = 4


class _Sizes(NamedTuple):
    """What the code depends on; heights and widths are those of the input and of the output."""

    batch: int
    height: int
    width: int
    channels: int
    out_height: int
    out_width: int
    features: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    before: tuple[int, int]
    filtered: bool
    block: int  # channels of a piece
    vectors: int  # of features of a piece
    at_once: int  # rows of the output in a chunk, or fours of them
    parts: int  # of the chunks, each with a result of its own
    rows: int  # of a tile

    @property
    def planes(self) -> int:
        return PLANES if self.filtered else self.kernel[0]

    @property
    def chunks(self) -> int:
        """Of a sample."""
        rows = 4 * self.at_once if self.filtered else self.at_once
        return -(-self.out_height // rows)

    @property
    def blocks(self) -> tuple[int, int]:
        """Blocks of channels and of features; the last may overlap."""
        return -(-self.channels // self.block), -(-self.features // (self.vectors * LANES))

    @property
    def taps(self) -> int:
        """Rows of the result of a plane."""
        return self.kernel[1] * self.block

    @property
    def columns(self) -> int:
        """Of the input with its padding."""
        return (self.out_width - 1) * self.strides[1] + self.kernel[1]

    @property
    def row(self) -> int:
        """Float32 of a row of the input with its padding, and a vector beyond."""
        return (-(-self.columns * self.block // LANES) + 1) * LANES

    @property
    def lines(self) -> int:
        """Rows of the input, or of sums of it, that a chunk needs."""
        if self.filtered:
            return PLANES * self.at_once
        return (self.at_once - 1) * self.strides[0] + self.kernel[0]

    @property
    def cotangents(self) -> int:
        """Float32 of a plane of cotangents of a chunk."""
        return self.at_once * self.out_width * self.vectors * LANES


def fits(
    x: jax.Array,
    gy: jax.Array,
    size: Sequence[int],
    strides: Sequence[int],
    padding: Padding,
) -> bool:
    """Whether `kernel_gradient` can be used."""
    pictures = len(size) == 2 and x.dtype == gy.dtype == jnp.float32
    if not pictures or min(min(pair) for pair in padding) < 0:
        return False
    whole = x.shape[-1] * min(x.shape[2], 1) >= 1 and x.shape[2] * x.shape[-1] >= LANES
    return whole and gy.shape[-1] >= LANES


def kernel_gradient(
    x: jax.Array, gy: jax.Array, size: Sequence[int], strides: Sequence[int], padding: Padding
) -> jax.Array:
    """Gradient [kh, kw, C, F] of the kernel of `plain.conv`.

    Args:
      x: [B, H, W, C].
      gy: cotangent [B, H', W', F].
      size: of the kernel, kh, kw.
      strides: one for each spatial dimension.
      padding: (before, after) for each spatial dimension.
    """
    sizes = _sizes(x.shape, gy.shape, tuple(size), tuple(strides), padding)
    shape = sizes.parts, *sizes.kernel, sizes.channels, sizes.features
    write = functools.partial(_write, sizes=sizes)
    planes = sizes.planes if sizes.filtered else 1
    scratch = sizes.lines * sizes.row + planes * sizes.cotangents
    scratch += sizes.planes * sizes.taps * sizes.vectors * LANES
    out = jax.ShapeDtypeStruct(shape, jnp.float32)
    pieces = math.prod(sizes.blocks) * sizes.parts
    (parts,) = machine.call("kernel_gradient", sizes, write, [x, gy], [out], pieces, scratch)
    return parts[0] if sizes.parts == 1 else parts.sum(0)


def _sizes(x, gy, kernel, strides, padding) -> _Sizes:
    channels, features = x[3], gy[3]
    same = kernel == (3, 3) and set(strides) == {1} and {tuple(p) for p in padding} == {(1, 1)}
    filtered = same and min(channels, features) >= LEAST_FILTERED
    before = tuple(pair[0] for pair in padding)
    vectors = min(machine.tile().vectors, features // LANES)
    sizes = _Sizes(
        *x, *gy[1:], kernel, strides, before, filtered, 0, vectors, 1, 1, machine.tile().rows
    )
    for blocks in range(-(-channels * kernel[1] // MOST_ROWS), channels + 1):
        block = channels if blocks <= 1 else -(-channels // blocks // LANES) * LANES
        block = min(block, channels)
        sizes = sizes._replace(block=block)
        if sizes.lines * sizes.row <= MOST_VALUES or block <= 2 * LANES:
            break
    rows = -(-sizes.out_height // 4) if filtered else sizes.out_height
    for at_once in range(2, rows + 1):
        more = sizes._replace(at_once=at_once)
        if more.lines * more.row > MOST_VALUES or at_once * sizes.out_width > MOST_PLACES:
            break
        sizes = more
    parts = -(-LEAST_PIECES // math.prod(sizes.blocks))
    return sizes._replace(parts=min(parts, sizes.batch * sizes.chunks))


def _write(code: Code, addresses, number, scratch, sizes: _Sizes):
    x, gy, out = addresses
    b, s = code.b, sizes
    of_channels, of_features = s.blocks
    rest, feature_block = code.divmod(number, of_features)
    part, channel_block = code.divmod(rest, of_channels)
    channel = _start(code, channel_block, s.block, s.channels)
    feature = _start(code, feature_block, s.vectors * LANES, s.features)
    width = s.vectors * LANES
    cotangents = code.at(scratch, s.lines * s.row)
    results = code.at(cotangents, (s.planes if s.filtered else 1) * s.cotangents)
    zero = machine.constant(0.0)

    # Zeros where results are added to, and for the padding of rows
    with code.loop(s.planes * s.taps * width, 0, LANES) as i:
        code.store(zero, results, i)
    left, inner = s.before[1], min(s.width, s.columns - s.before[1])
    with code.loop(s.lines) as line:
        start = code.mul(line, s.row)
        for first, last in ((0, left), (left + inner, s.columns)):
            if last > first:
                with code.loop(last * s.block, first * s.block, LANES) as i:
                    code.store(zero, scratch, code.add(start, i))

    def rows(total, first, count):
        """Whether so many rows from one on are inside of a map, and their numbers."""
        found = []
        for i in range(count):
            line = code.add(first, i)
            inside = b.icmp_unsigned("<", line, INT(total))
            found.append((inside, b.select(inside, line, INT(0))))
        return found

    def masked(memory, inside, place):
        return b.select(inside, code.load(memory, place), zero)

    def of_chunk(chunk):
        sample, chunk = code.divmod(INT(chunk) if isinstance(chunk, int) else chunk, s.chunks)
        top = code.mul(chunk, 4 * s.at_once if s.filtered else s.at_once)
        # Inputs, or sums of six rows
        taken = 6 if s.filtered else 1
        with code.loop(s.at_once if s.filtered else s.lines) as line:
            if s.filtered:
                first = code.add(top, code.mul(line, 4), -1)
            else:
                first = code.add(code.mul(top, s.strides[0]), line, -s.before[0])
            found = [
                (inside, code.mul(code.add(code.mul(sample, s.height), row), s.width * s.channels))
                for inside, row in rows(s.height, first, taken)
            ]

            def put(source, target):
                values = [
                    masked(x, inside, code.add(start, source)) for inside, start in found  # noqa: B023
                ]
                sums = input_sums(code, values) if s.filtered else values
                place = code.add(code.mul(line, s.row), left * s.block, target)  # noqa: B023
                for plane, value in enumerate(sums):
                    code.store(value, scratch, code.add(place, plane * s.at_once * s.row))

            if s.block == s.channels:
                values = inner * s.channels
                if values >= LANES:
                    with code.loop(values - LANES + 1, 0, LANES) as i:
                        put(i, i)
                if values % LANES:
                    put(values - LANES, values - LANES)
            else:
                with code.loop(inner) as column, code.loop(s.block, 0, LANES) as c:
                    source = code.add(code.mul(column, s.channels), channel, c)
                    put(source, code.add(code.mul(column, s.block), c))
        # Cotangents, or six sums of four rows
        taken = 4 if s.filtered else 1
        with code.loop(s.at_once) as line:
            found = [
                (
                    inside,
                    code.mul(code.add(code.mul(sample, s.out_height), row), s.out_width * s.features),
                )
                for inside, row in rows(
                    s.out_height, code.add(top, code.mul(line, taken)), taken
                )
            ]
            with code.loop(s.out_width) as column:
                for v in range(s.vectors):
                    source = code.add(code.mul(column, s.features), feature, v * LANES)
                    values = [
                        masked(gy, inside, code.add(start, source)) for inside, start in found
                    ]
                    sums = _output_sums(code, values) if s.filtered else values
                    place = code.add(code.mul(line, s.out_width), column)
                    place = code.add(code.mul(place, width), v * LANES)
                    for plane, value in enumerate(sums):
                        code.store(value, cotangents, code.add(place, plane * s.cotangents))
        with code.loop(s.planes) as plane:
            products.tiles(code, s.taps, functools.partial(of_tile, plane))

    def of_tile(plane, first, count):
        sums = products.Sums(code, count, s.vectors)
        with code.loop(s.at_once) as line:
            if s.filtered:
                row = code.add(code.mul(plane, s.at_once), line)
                cotangent = code.mul(plane, s.cotangents)
            else:
                row, cotangent = code.add(code.mul(line, s.strides[0]), plane), 0
            start = code.add(code.mul(row, s.row), first)
            cotangent = code.add(cotangent, code.mul(line, s.out_width * width))
            step = s.strides[1] * s.block
            sums.multiply(scratch, start, 1, cotangents, cotangent, s.out_width, step)
        place = code.mul(code.add(code.mul(plane, s.taps), first), width)
        sums.store(results, place, more=True)

    total = s.batch * s.chunks
    first = b.udiv(b.mul(part, INT(total)), INT(s.parts)) if s.parts > 1 else 0
    last = total
    if s.parts > 1:
        last = b.udiv(b.mul(b.add(part, INT(1)), INT(total)), INT(s.parts))
    with code.loop(last, first) as chunk:
        of_chunk(chunk)

    # Rows of the kernel
    with code.loop(1 if s.filtered else s.kernel[0]) as plane, code.loop(s.kernel[1]) as tap:
        with code.loop(s.block) as c:
            for v in range(s.vectors):
                place = code.add(code.mul(plane, s.taps), code.mul(tap, s.block), c)
                place = code.add(code.mul(place, width), v * LANES)
                size = s.taps * width
                read = [
                    code.load(results, code.add(place, i * size))
                    for i in range(PLANES if s.filtered else 1)
                ]
                for i, value in enumerate(_kernel_rows(code, read) if s.filtered else read):
                    to = code.add(code.mul(part, s.kernel[0]), plane, i)
                    to = code.add(code.mul(to, s.kernel[1]), tap)
                    to = code.add(code.mul(to, s.channels), channel, c)
                    to = code.add(code.mul(to, s.features), feature, v * LANES)
                    code.store(value, out, to)


def _start(code: Code, block, size: int, total: int):
    """Where a block begins; the last one ends with the others."""
    start = code.mul(block, size)
    if total % size == 0:
        return start
    beyond = code.b.icmp_signed(">", start, INT(total - size))
    return code.b.select(beyond, INT(total - size), start)


def _output_sums(code: Code, g: Sequence) -> tuple:
    """Six sums of four rows of a cotangent: `filtered.output_rows`, turned."""
    even, odd = code.sum((1, g[0]), (1, g[2])), code.sum((1, g[1]), (1, g[3]))
    outer, outer_odd = code.sum((1, g[0]), (4, g[2])), code.sum((2, g[1]), (8, g[3]))
    return (
        g[0],
        code.sum((1, even), (1, odd)),
        code.sum((1, even), (-1, odd)),
        code.sum((1, outer), (1, outer_odd)),
        code.sum((1, outer), (-1, outer_odd)),
        g[3],
    )


def _kernel_rows(code: Code, six: Sequence) -> tuple:
    """Three rows of the gradient from six: `filtered.kernel_sums`, turned."""
    inner, inner_odd = code.sum((1, six[1]), (1, six[2])), code.sum((1, six[2]), (-1, six[1]))
    outer, outer_odd = code.sum((1, six[3]), (1, six[4])), code.sum((1, six[3]), (-1, six[4]))
    return (
        code.sum((1 / 4, six[0]), (-1 / 6, inner), (1 / 24, outer)),
        code.sum((1 / 6, inner_odd), (1 / 12, outer_odd)),
        code.sum((1, six[5]), (-1 / 6, inner), (1 / 6, outer)),
    )
