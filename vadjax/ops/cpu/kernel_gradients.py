"""Gradients of the kernels of 2-D convolutions, in machine code (see `machine`).

A piece of work makes the rows of the gradient for a block of input channels and a block of
features. It goes through the whole map in chunks whose values stay in the cache. Of a chunk it adds
up the products over all places, in registers: input values of neighbouring taps and channels times
features. So no array is turned, and few threads need memory for results of their own.

Kernels 3×3 that keep the size take minimal filtering along the height, half the products: with
y = A^T [(G w) * (B^T x)] of every four rows (`minimal_filtering`), dw = G^T sum [(A gy) * (B^T x)].
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from vadjax.ops.cpu import machine, products
from vadjax.ops.cpu.filtered import input_sums
from vadjax.ops.cpu.machine import INT, LANES, Code
from vadjax.ops.plain import Padding

PLANES = 6  # sums of four rows
LEAST_FILTERED = 32  # channels from which minimal filtering saves time
MOST_TAPS = 192  # of a row × channels of a block
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
    rows: int  # of a tile of taps

    @property
    def planes(self) -> int:
        """Products: of sums, or of rows of the kernel."""
        return PLANES if self.filtered else self.kernel[0]

    @property
    def group(self) -> int:
        """Rows of the output that sums are made of."""
        return 4 if self.filtered else 1

    @property
    def chunks(self) -> int:
        """Of a sample."""
        return -(-self.out_height // (self.group * self.at_once))

    @property
    def wide(self) -> int:
        """Features of a piece."""
        return self.vectors * LANES

    @property
    def blocks(self) -> tuple[int, int]:
        """Blocks of channels and of features; the last may overlap."""
        return -(-self.channels // self.block), -(-self.features // self.wide)

    @property
    def taps(self) -> int:
        """Rows of the result of a plane."""
        return self.kernel[1] * self.block

    @property
    def columns(self) -> int:
        """Of the input with its padding."""
        return (self.out_width - 1) * self.strides[1] + self.kernel[1]

    @property
    def inner(self) -> int:
        """Columns without the padding."""
        return min(self.width, self.columns - self.before[1])

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
        """Float32 of a chunk."""
        return (PLANES if self.filtered else 1) * self.at_once * self.out_width * self.wide

    @property
    def results(self) -> int:
        """Float32 of a piece."""
        return self.planes * self.taps * self.wide


def saves(
    x: jax.Array, gy: jax.Array, size: Sequence[int], strides: Sequence[int], padding: Padding
) -> bool:
    """Whether `kernel_gradient` can be used; then it is faster than `patches`."""
    pictures = len(size) == 2 and x.dtype == gy.dtype == jnp.float32
    if not pictures or min(min(pair) for pair in padding) < 0:
        return False
    channels, features = x.shape[-1], gy.shape[-1]
    if features < LANES:
        channels, features = features, channels
        pictures = _is_turned(size, strides, padding)
    covered = (gy.shape[2] - 1) * strides[1] + size[1] - padding[1][0]
    values = min(covered, x.shape[2]) * channels  # of a row
    return pictures and min(values, features) >= LANES


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
    if gy.shape[-1] < LANES:
        # The cotangent of the place p - k instead of the input at p + k, for the tap k from the
        # middle of the kernel
        turned = kernel_gradient(gy, x, size, strides, padding)
        return jnp.flip(turned, (0, 1)).swapaxes(2, 3)
    sizes = _sizes(x.shape, gy.shape, tuple(size), tuple(strides), padding)
    shape = sizes.parts, *sizes.kernel, sizes.channels, sizes.features
    out = jax.ShapeDtypeStruct(shape, jnp.float32)
    write = functools.partial(_write, s=sizes)
    scratch = sizes.lines * sizes.row + sizes.cotangents + sizes.results
    pieces = math.prod(sizes.blocks) * sizes.parts
    (parts,) = machine.call("kernel_gradient", sizes, write, [x, gy], [out], pieces, scratch)
    return parts[0] if sizes.parts == 1 else parts.sum(0)


def _is_turned(size, strides, padding):
    """Whether the input and the cotangent may change places: the convolution keeps the size."""
    centred = all(tuple(pair) == (k // 2, k // 2) for k, pair in zip(size, padding, strict=True))
    return centred and set(strides) == {1} and all(k % 2 for k in size)


def _sizes(x, gy, kernel, strides, padding) -> _Sizes:
    channels, features = x[3], gy[3]
    filtered = kernel == (3, 3) and _is_turned(kernel, strides, padding)
    filtered = filtered and min(channels, features) >= LEAST_FILTERED
    before = tuple(pair[0] for pair in padding)
    vectors = min(machine.tile().vectors, features // LANES)
    sizes = _Sizes(*x, *gy[1:], kernel, strides, before, filtered, channels, vectors, 1, 1, 1)
    for blocks in range(-(-sizes.taps // MOST_TAPS), channels + 1):
        block = channels if blocks == 1 else -(-channels // (blocks * LANES)) * LANES
        sizes = sizes._replace(block=min(block, channels))
        if sizes.lines * sizes.row <= MOST_VALUES or block <= LANES:
            break
    for at_once in range(2, -(-sizes.out_height // sizes.group) + 1):
        more = sizes._replace(at_once=at_once)
        if more.lines * more.row > MOST_VALUES or at_once * sizes.out_width > MOST_PLACES:
            break
        sizes = more
    parts = -(-LEAST_PIECES // math.prod(sizes.blocks))
    # Tiles of one size where there is one that is not much smaller
    most = machine.tile().rows
    rows = next((n for n in range(most, most * 2 // 3, -1) if sizes.taps % n == 0), most)
    return sizes._replace(parts=min(parts, sizes.batch * sizes.chunks), rows=rows)


def _write(code: Code, addresses, number, scratch, s: _Sizes):
    x, gy, out = addresses
    rest, block = code.divmod(number, s.blocks[1])
    feature = _start(code, block, s.wide, s.features)
    part, block = code.divmod(rest, s.blocks[0])
    channel = _start(code, block, s.block, s.channels)
    cotangents = code.at(scratch, s.lines * s.row)
    results = code.at(cotangents, s.cotangents)
    _zeros(code, scratch, results, s)

    first, last = 0, s.batch * s.chunks
    if s.parts > 1:
        first = code.b.udiv(code.mul(part, last), INT(s.parts))
        last = code.b.udiv(code.mul(code.add(part, 1), last), INT(s.parts))
    with code.loop(last, first) as chunk:
        sample, chunk = code.divmod(chunk, s.chunks)
        top = code.mul(chunk, s.group * s.at_once)
        _inputs(code, x, scratch, sample, top, channel, s)
        _cotangents(code, gy, cotangents, sample, top, feature, s)
        with code.loop(s.planes) as plane:
            of_tile = functools.partial(_product, code, scratch, cotangents, results, plane, s)
            products.tiles(code, s.taps, of_tile, s.rows)
    _outputs(code, results, out, part, channel, feature, s)


def _zeros(code, inputs, results, s):
    """Zeros for results, which are added to, and for the padding of rows."""
    zero = machine.constant(0.0)
    with code.loop(s.results, 0, LANES) as i:
        code.store(zero, results, i)
    left = s.before[1]
    with code.loop(s.lines) as line:
        for first, last in ((0, left), (left + s.inner, s.columns)):
            if last > first:
                with code.loop(last * s.block, first * s.block, LANES) as i:
                    code.store(zero, inputs, code.add(code.mul(line, s.row), i))


def _lines(code, sample, first, number, shape):
    """So many rows of maps [B, H, W, C] from one on: whether they are inside, where they begin."""
    height, width, channels = shape
    found = []
    for i in range(number):
        line = code.add(first, i)
        inside = code.below(line, height)
        line = code.choose(inside, line, 0)
        line = code.add(code.mul(sample, height), line)
        found.append((inside, code.mul(line, width * channels)))
    return found


def _read(code, memory, lines, place):
    """Vectors at a place of rows; zeros where the row is outside."""
    zero = machine.constant(0.0)
    return [
        code.choose(inside, code.load(memory, code.add(start, place)), zero)
        for inside, start in lines
    ]


def _inputs(code, x, inputs, sample, top, channel, s):
    """Rows of the input of a chunk, or six sums of them."""
    with code.loop(s.at_once if s.filtered else s.lines) as line:
        first = code.mul(top, s.strides[0])
        first = code.add(first, code.mul(line, s.group), -s.before[0])
        lines = _lines(
            code, sample, first, PLANES if s.filtered else 1, (s.height, s.width, s.channels)
        )

        def put(source, target):
            values = _read(code, x, lines, source)
            place = code.add(code.mul(line, s.row), s.before[1] * s.block, target)
            for plane, value in enumerate(input_sums(code, values) if s.filtered else values):
                code.store(value, inputs, code.add(place, plane * s.at_once * s.row))

        values = s.inner * s.channels
        if s.block < s.channels:
            with code.loop(s.inner) as column, code.loop(s.block, 0, LANES) as c:
                source = code.add(code.mul(column, s.channels), channel, c)
                put(source, code.add(code.mul(column, s.block), c))
        else:
            with code.loop(values - LANES + 1, 0, LANES) as i:
                put(i, i)
            if values % LANES:
                put(values - LANES, values - LANES)


def _cotangents(code, gy, cotangents, sample, top, feature, s):
    """Cotangents of a chunk, or six sums of four rows of them."""
    with code.loop(s.at_once) as line:
        first = code.add(top, code.mul(line, s.group))
        lines = _lines(code, sample, first, s.group, (s.out_height, s.out_width, s.features))
        with code.loop(s.out_width) as column:
            for v in range(s.vectors):
                source = code.add(code.mul(column, s.features), feature, v * LANES)
                values = _read(code, gy, lines, source)
                place = code.add(code.mul(line, s.out_width), column)
                place = code.add(code.mul(place, s.wide), v * LANES)
                size = s.at_once * s.out_width * s.wide
                for plane, value in enumerate(_output_sums(code, values) if s.filtered else values):
                    code.store(value, cotangents, code.add(place, plane * size))


def _product(code, inputs, cotangents, results, plane, s, first, taps):
    """Adds the sums over a chunk to some rows of the result of a plane."""
    sums = products.Sums(code, taps, s.vectors)
    with code.loop(s.at_once) as line:
        row, place = code.add(code.mul(line, s.strides[0]), plane), line
        if s.filtered:
            row = place = code.add(code.mul(plane, s.at_once), line)
        start = code.add(code.mul(row, s.row), first)
        cotangent = code.mul(place, s.out_width * s.wide)
        step = s.strides[1] * s.block
        sums.multiply(inputs, start, 1, cotangents, cotangent, s.out_width, step)
    place = code.add(code.mul(plane, s.taps), first)
    sums.store(results, code.mul(place, s.wide), more=True)


def _outputs(code, results, out, part, channel, feature, s):
    """Writes the result of a piece."""
    planes, rows = (PLANES, 1) if s.filtered else (1, s.kernel[0])
    with code.loop(rows) as row, code.loop(s.kernel[1]) as tap, code.loop(s.block) as c:
        for v in range(s.vectors):
            place = code.add(code.mul(row, s.taps), code.mul(tap, s.block), c)
            place = code.add(code.mul(place, s.wide), v * LANES)
            values = [
                code.load(results, code.add(place, plane * s.taps * s.wide))
                for plane in range(planes)
            ]
            for i, value in enumerate(_kernel_rows(code, values) if s.filtered else values):
                to = code.add(code.mul(part, s.kernel[0]), row, i)
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
    return code.choose(beyond, INT(total - size), start)


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
