"""Transposed 3×3 convolutions to twice the size, in machine code (see `machine`).

Even places of the output see one tap of the kernel in each dimension, odd ones two.
"""

import functools
import itertools

import jax
import jax.numpy as jnp

from vadjax.ops.cpu import machine, products
from vadjax.ops.cpu.machine import LANES, Code

SEEN = ((((1, 0),)), ((0, 1), (2, 0)))  # of even and odd places: tap, and how many places after
MOST_PLACES, MOST_VALUES = 96, 2**18  # of a strip of the input: places, and float32


def saves(x: jax.Array, w: jax.Array) -> bool:
    """Whether it can be done so: x [B, H, W, C], w [3, 3, C, F]."""
    return x.dtype == jnp.float32 and all(channels % LANES == 0 for channels in w.shape[2:])


def conv(x: jax.Array, w: jax.Array, *after: jax.Array) -> jax.Array:
    """As `plain.conv_transpose`: [B, 2 H, 2 W, F] of x [B, H, W, C] and w [3, 3, C, F].

    Args:
      x: the input.
      w: the kernel.
      *after: arrays that are made before (`machine.call`).
    """
    batch, height, width, channels = x.shape
    features, stride = w.shape[3], products.stride_of(channels)
    most = max(min(MOST_PLACES, MOST_VALUES // stride) // width, 1)
    at_once = max(rows for rows in range(1, height + 1) if height % rows == 0 and rows <= most)
    sizes = (*x.shape, features, at_once, *machine.tile())
    tile = machine.tile().rows * machine.tile().vectors * LANES
    scratch = _values(at_once, width, stride) + tile
    out = jax.ShapeDtypeStruct((batch, 2 * height, 2 * width, features), jnp.float32)
    write = functools.partial(_write, sizes=sizes)
    inputs, pieces = [x, products.packed_taps(w)], batch * height // at_once
    return machine.call("transposed", sizes, write, inputs, [out], pieces, scratch, after)[0]


def _values(rows, width, stride):
    return (rows + 1) * (width + 1) * stride


def _write(code: Code, addresses, number, scratch, sizes):
    batch, height, width, channels, features, at_once, _, _ = sizes
    x, kernel, y = addresses
    sample, strip = code.divmod(number, height // at_once)
    stride = products.stride_of(channels)
    sums_at = _values(at_once, width, stride)
    top = code.mul(strip, at_once)

    # Rows of the strip and the one after, with a place of zeros at the end of each
    with code.loop(at_once + 1) as row:
        line = code.add(top, row)
        inside = code.below(line, height)
        line = code.choose(inside, line, 0)
        source = code.mul(code.add(code.mul(sample, height), line), width * channels)
        target = code.mul(row, (width + 1) * stride)
        with code.loop(width) as column, code.loop(channels, 0, LANES) as c:
            value = code.load(x, code.add(source, code.mul(column, channels), c))
            value = code.choose(inside, value, machine.constant(0.0))
            code.store(value, scratch, code.add(target, code.mul(column, stride), c))
        with code.loop(channels, 0, LANES) as c:
            code.store(machine.constant(0.0), scratch, code.add(target, width * stride, c))

    def of_block(block, vectors):
        with code.loop(at_once) as row:
            products.tiles(code, width, functools.partial(of_tile, block, vectors, row))

    def of_tile(block, vectors, row, column, places):
        for parity in itertools.product((0, 1), (0, 1)):
            _sums(code, scratch, sums_at, kernel, block, row, column, places, parity, sizes)
            line = code.add(code.mul(code.add(top, row), 2), parity[0])
            line = code.add(code.mul(sample, 2 * height), line)
            with code.loop(places) as place:
                at = code.add(code.mul(code.add(column, place), 2), parity[1])
                at = code.mul(code.add(code.mul(line, 2 * width), at), features)
                at = code.add(at, code.mul(block, machine.tile().vectors * LANES))
                for v in range(vectors):
                    source = code.mul(place, machine.tile().vectors * LANES)
                    value = code.load(scratch, code.add(source, sums_at + v * LANES))
                    code.store(value, y, code.add(at, v * LANES))

    products.each_block(code, features, of_block)


def _sums(code, scratch, sums_at, kernel, block, row, column, places, parity, sizes):
    """Sums of a tile of the output of one parity, over the taps that it sees."""
    _, _, width, channels, _, _, _, vectors = sizes
    stride = products.stride_of(channels)
    taps = list(itertools.product(SEEN[parity[0]], SEEN[parity[1]]))
    at_once = max(products.MOST_TERMS // channels, 1)
    for first in range(0, len(taps), at_once):
        sums = products.Sums(code, places, vectors)
        for (i, below), (j, after) in taps[first : first + at_once]:
            start = code.add(code.mul(code.add(row, below), (width + 1) * stride), after * stride)
            start = code.add(start, code.mul(column, stride))
            of_tap = code.mul(code.add(code.mul(block, 9), 3 * i + j), channels * vectors * LANES)
            sums.multiply(scratch, start, stride, kernel, of_tap, channels)
        sums.store(scratch, sums_at, more=first > 0)
