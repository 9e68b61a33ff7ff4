"""Convolutions of pictures in machine code (see `machine`), bias and activation in the same pass.

The input may be several arrays whose channels count as joined, which then are never joined in
memory. Kernels are packed beforehand, so that a network can keep them for all its calls. A 3×3
convolution that keeps the size takes minimal filtering (`filtered`), all others their own sums.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from vadjax.ops.cpu import filtered, machine, products, tiled
from vadjax.ops.cpu.machine import LANES, Code
from vadjax.ops.plain import Padding

MOST_PLACES, MOST_VALUES = 512, 2**15  # of a piece: places of output, float32 of its input
LEAST_PIECES = 8  # of a call, so that threads have equal work
LEAST_WIDTH = 32  # of a map from which `tiled` saves time


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


def pack(w: jax.Array, strides: tuple[int, int], padding: Padding, width: int) -> jax.Array:
    """A kernel as `conv` wants it for inputs of a width."""
    form = _form(w, strides, padding, width)
    if form is not None:
        return form.packed(w)
    taps, width = math.prod(w.shape[:3]), machine.tile().vectors * LANES
    w = w.reshape(taps, -1)
    missing = max(width - w.shape[1], 0)
    w = jnp.pad(w, ((0, 0), (0, missing)))
    return jnp.stack([w[:, first : first + width] for first in _firsts(w.shape[1])])


def _form(w, strides, padding, width):
    """The module with the minimal filtering that is faster, or None if there is none."""
    if not filtered.saves(w, w, strides, padding):
        return None
    tiles = width >= LEAST_WIDTH and min(w.shape[2:]) >= tiled.LEAST_CHANNELS
    return tiled if tiles else filtered


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
    """As `plain.conv_activated`, with a kernel that may have been packed beforehand.

    Raises:
      ValueError: it was packed for inputs of another width.
    """
    wanted = jax.eval_shape(lambda w: pack(w, strides, padding, x[0].shape[2]), w).shape
    if packed is None:
        packed = pack(w, strides, padding, x[0].shape[2])
    if packed.shape != wanted:
        raise ValueError(f"a kernel packed for another width: {packed.shape}, expected {wanted}")
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
    form = _form(kernel, strides, padding, x[0].shape[2])
    if form is not None:
        return form.activated(x, packed, bias, slope)
    s = _sizes(x, shape, strides, padding, slope)
    write = functools.partial(_write, s=s)
    scratch = s.lines * s.row + LANES + s.wide * machine.tile().rows
    pieces = s.batch * s.strips * s.splits
    result = jax.ShapeDtypeStruct((s.batch, *s.out, s.features), jnp.float32)
    return machine.call("direct", s, write, [*x, packed, bias], [result], pieces, scratch)[0]


class _DirectSizes(NamedTuple):
    """What the code depends on."""

    batch: int
    height: int
    width: int
    channels: tuple[int, ...]  # of every input
    out: tuple[int, int]  # height and width of the output
    kernel: tuple[int, int]
    features: int
    strides: tuple[int, int]
    padding: Padding
    slope: float | None
    tile: machine.Tile
    at_once: int  # rows of the output in a piece
    splits: int  # of the blocks of features, each a piece

    @property
    def total(self) -> int:
        """Channels of all inputs."""
        return sum(self.channels)

    @property
    def in_place(self) -> bool:
        """Whether the inputs are read where they are: each place of the output sees one of them."""
        ones = self.kernel == self.strides == (1, 1) and not any(map(sum, self.padding))
        return ones and self.total <= products.MOST_TERMS

    @property
    def stride(self) -> int:
        """Float32 from one place to the next in memory of a thread."""
        apart = self.strides[1] * self.total % 512 == 0
        return self.total + LANES if apart else self.total

    @property
    def row(self) -> int:
        """Float32 of a row of the input with its padding, and a vector beyond."""
        return -(-(self.width + sum(self.padding[1])) * self.stride // LANES) * LANES + LANES

    @property
    def lines(self) -> int:
        """Rows of the input that a piece copies."""
        return 0 if self.in_place else (self.at_once - 1) * self.strides[0] + self.kernel[0]

    @property
    def strips(self) -> int:
        """Of a sample."""
        return -(-self.out[0] // self.at_once)

    @property
    def wide(self) -> int:
        """Features of a block."""
        return self.tile.vectors * LANES


def _sizes(x, shape, strides, padding, slope) -> _DirectSizes:
    batch, height, width, _ = x[0].shape
    channels = tuple(part.shape[-1] for part in x)
    out = tuple(
        (n + sum(pad) - k) // stride + 1
        for n, k, stride, pad in zip((height, width), shape, strides, padding, strict=False)
    )
    kernel, features, blocks = tuple(shape[:2]), shape[3], products.blocks(shape[3])
    # Rows of a piece, and so many parts of the blocks that there are enough pieces
    values = strides[0] * width * sum(channels)
    at_once = max(1, min(MOST_PLACES // out[1], MOST_VALUES // values, out[0]))
    at_once = -(-out[0] // -(-out[0] // at_once))
    strips = batch * -(-out[0] // at_once)
    enough = (n for n in range(1, blocks + 1) if blocks % n == 0 and n * strips >= LEAST_PIECES)
    splits = next(enough, blocks)
    size = batch, height, width, channels, out, kernel, features, strides, padding, slope
    return _DirectSizes(*size, machine.tile(), at_once, splits)


def _write(code: Code, addresses, number, scratch, s: _DirectSizes):
    *x, packed, bias, y = addresses
    number, split = code.divmod(number, s.splits)
    sample, strip = code.divmod(number, s.strips)
    # The last strip begins earlier where it would be too long
    top, last = code.mul(strip, s.at_once), machine.INT(s.out[0] - s.at_once)
    top = code.choose(code.below(top, last), top, last)
    sums = code.at(scratch, s.lines * s.row)
    if not s.in_place:
        _copy_rows(code, x, scratch, sample, top, s)

    def of_tile(block, row, column, places):
        line = code.add(code.mul(sample, s.out[0]), top, row)
        place = code.add(code.mul(line, s.out[1]), column)
        kernel = code.mul(block, math.prod(s.kernel) * s.total * s.wide)
        if s.in_place:
            _multiply_in_place(code, x, packed, sums, kernel, place, places, s)
        else:
            start = code.mul(row, s.strides[0] * s.row)
            start = code.add(start, code.mul(column, s.strides[1] * s.stride))
            _multiply(code, scratch, packed, sums, kernel, start, places, s)
        _outputs(code, sums, bias, y, block, place, places, s)

    own = products.blocks(s.features) // s.splits
    with code.loop(own) as block:
        block = code.add(code.mul(split, own), block)
        with code.loop(s.at_once) as row:
            products.tiles(code, s.out[1], functools.partial(of_tile, block, row))


def _copy_rows(code, x, rows, sample, top, s):
    """Copies the rows of the input that a piece sees, with zeros around."""
    zeros = machine.constant(0.0)
    before = s.padding[1][0] * s.stride
    with code.loop(s.lines) as i:
        line = code.add(code.mul(top, s.strides[0]), i, -s.padding[0][0])
        inside = code.below(line, s.height)
        line = code.add(code.mul(sample, s.height), code.choose(inside, line, 0))
        target = code.mul(i, s.row)
        # Zeros before the row; then each input's channels of all places; then zeros after it
        for c in range(0, before, LANES):
            code.store(zeros, rows, code.add(target, c))
        for part, (own, offset) in enumerate(_parts(s.channels)):
            source = code.mul(line, s.width * own)

            def copy(column, c, part=part, own=own, offset=offset, source=source, target=target):
                value = code.load(x[part], code.add(source, code.mul(column, own), c))
                value = code.choose(inside, value, zeros)  # noqa: B023
                place = code.add(target, before + offset, code.mul(column, s.stride), c)
                code.store(value, rows, place)

            # A single input without gaps between places is copied as one run
            if s.stride == own:
                with code.loop(s.width * own // LANES * LANES, 0, LANES) as c:
                    copy(0, c)
                if s.width * own % LANES:
                    copy(0, s.width * own - LANES)
            else:
                with code.loop(s.width) as column, code.loop(own // LANES * LANES, 0, LANES) as c:
                    copy(column, c)
        for c in range(0, s.padding[1][1] * s.stride, LANES):
            code.store(zeros, rows, code.add(target, before + s.width * s.stride + c))


def _parts(channels: Sequence[int]) -> list[tuple[int, int]]:
    """Channels of every array, and how many come before them."""
    return [(own, sum(channels[:part])) for part, own in enumerate(channels)]


def _multiply_in_place(code, x, packed, sums, kernel, place, places, s):
    """Sums of a tile over the channels of all inputs."""
    tile = products.Sums(code, places, s.tile.vectors)
    for part, (own, offset) in enumerate(_parts(s.channels)):
        weights = code.add(kernel, offset * s.wide)
        tile.multiply(x[part], code.mul(place, own), own, packed, weights, own)
    tile.store(sums, 0)


def _multiply(code, rows, packed, sums, kernel, start, places, s):
    """Sums of a tile over taps and channels; taps beside each other are one run of memory."""
    (kh, kw), run = s.kernel, s.kernel[1] * s.total
    runs, terms = (kh, run) if s.stride == s.total else (kh * kw, s.total)
    if terms > products.MOST_TERMS:
        runs, terms = kh * kw, s.total
    at_a_time = max(
        n
        for n in range(1, runs + 1)
        if runs % n == 0 and (n == 1 or n * terms <= products.MOST_TERMS)
    )
    for n in range(places * s.tile.vectors if at_a_time < runs else 0):
        code.store(machine.constant(0.0), sums, n * LANES)
    with code.loop(runs, 0, at_a_time) as first:
        tile = products.Sums(code, places, s.tile.vectors)
        with code.loop(at_a_time) as more:
            number = code.add(first, more)
            i, j = code.divmod(number, runs // kh)
            at = code.add(start, code.mul(i, s.row), code.mul(j, s.stride))
            weights = code.add(kernel, code.mul(number, terms * s.wide))
            tile.multiply(rows, at, s.strides[1] * s.stride, packed, weights, terms)
        tile.store(sums, 0, more=at_a_time < runs)


def _outputs(code, sums, bias, y, block, place, places, s):
    """Writes a block of features of a tile of places, with bias and activation."""
    last = _firsts(max(s.features, s.wide))[-1]
    feature = code.mul(block, s.wide)
    if last % s.wide:
        feature = code.choose(code.below(feature, last), feature, machine.INT(last))
    used = min(s.tile.vectors, s.features // LANES)
    finish = products.finish(code, [bias], feature, used, s.slope)
    first = code.add(code.mul(place, s.features), feature)
    for number in range(places):
        for v, finished in enumerate(finish):
            value = finished(code.load(sums, (number * s.tile.vectors + v) * LANES))
            code.store(value, y, code.add(first, number * s.features + v * LANES))
