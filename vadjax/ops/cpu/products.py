"""The inner part of convolutions in machine code: products of a tile of places, in registers."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from llvmlite import ir

from vadjax.ops.cpu import machine
from vadjax.ops.cpu.machine import LANES, Code

MOST_TERMS = 512  # of a sum in registers, after which it is added to others: more cost digits


class Sums:
    """Sums of a tile in registers: so many places, times vectors of output channels."""

    def __init__(self, code: Code, places: int, vectors: int):
        self.code, self.places, self.vectors = code, places, vectors
        self._slots = [code.slot() for _ in range(places * vectors)]
        for slot in self._slots:
            code.b.store(machine.constant(0.0), slot)

    def multiply(
        self,
        x: ir.Value,
        start: ir.Value | int,
        stride: int,
        kernel: ir.Value,
        first: ir.Value | int,
        terms: int,
        step: int = 1,
    ) -> None:
        """Adds `x[start + place · stride + k · step] · kernel[first + k · width + channel]` over k.

        Args:
          x: address of the values of places.
          start: the first value of the first place.
          stride: from one place to the next.
          kernel: address of rows of `width = vectors · LANES` values.
          first: where the first row begins.
          terms: how many k.
          step: from one value of a place to the next.
        """
        code, width = self.code, self.vectors * LANES
        with code.loop(terms) as k:
            row = code.add(first, code.mul(k, width))
            factors = [code.load(kernel, code.add(row, v * LANES)) for v in range(self.vectors)]
            for place in range(self.places):
                value = code.spread(x, code.add(start, code.mul(k, step), place * stride))
                for v, factor in enumerate(factors):
                    slot = self._slots[place * self.vectors + v]
                    old = code.b.load(slot, typ=machine.VECTOR)
                    code.b.store(code.fma(value, factor, old), slot)

    def store(self, out: ir.Value, start: ir.Value | int, more: bool = False) -> None:
        """Writes them to memory, [places, vectors, LANES], or adds them to what is there."""
        code = self.code
        for number, slot in enumerate(self._slots):
            value = code.b.load(slot, typ=machine.VECTOR)
            place = code.add(start, number * LANES)
            if more:
                value = code.sum((1, code.load(out, place)), (1, value))
            code.store(value, out, place)


def blocks(features: int) -> int:
    """Blocks of output channels; the last may be filled up with zeros."""
    return -(-features // (LANES * machine.tile().vectors))


def stride_of(channels: int) -> int:
    """Float32 from one place to the next, where the lines of places do not share a cache set."""
    return channels + LANES if channels % 512 == 0 else channels


def tiles(code: Code, width: int, write, most: int | None = None) -> None:
    """Calls `write(column, places)` in loops over a row, for tiles of nearly equal width."""
    parts = -(-width // (most or machine.tile().rows))
    base, longer = divmod(width, parts)
    for places, start, count in (
        (base + 1, 0, longer),
        (base, longer * (base + 1), parts - longer),
    ):
        if count:
            with code.loop(count) as tile:
                write(code.add(start, code.mul(tile, places)), places)


def each_block(code: Code, features: int, write) -> None:
    """Calls `write(block, vectors)` in a loop over blocks of output channels."""
    full, rest = divmod(features, LANES * machine.tile().vectors)
    if full:
        with code.loop(full) as block:
            write(block, machine.tile().vectors)
    if rest:
        write(full, rest // LANES)


def packed_taps(w: jax.Array) -> jax.Array:
    """A kernel [kh, kw, C, F], block by block: [blocks, kh · kw, C, width]."""
    taps, channels, features = w.shape[0] * w.shape[1], *w.shape[2:]
    number, width = blocks(features), machine.tile().vectors * LANES
    w = jnp.pad(w, [(0, 0)] * 3 + [(0, number * width - features)])
    return w.reshape(taps, channels, number, width).transpose(2, 0, 1, 3)


def finish(
    code: Code,
    bias: Sequence[ir.Value],
    feature: ir.Value | int,
    vectors: int,
    slope: float | None,
) -> list[Callable[[ir.Value], ir.Value]]:
    """What is done with each of the vectors of a block before it is written.

    Args:
      code: is written to.
      bias: its address; without one nothing is done.
      feature: the first of the block.
      vectors: how many.
      slope: of the leaky ReLU below 0, at most 1; None if there is none.
    """
    if not bias:
        return [lambda value: value] * vectors
    values = [code.load(bias[0], code.add(feature, v * LANES)) for v in range(vectors)]

    def of(own):
        return lambda value: _activate(code, code.sum((1, value), (1, own)), slope)

    return [of(own) for own in values]


def _activate(code, value, slope):
    if slope is None:
        return value
    less = code.b.fmul(machine.constant(slope), value)
    return code.b.select(code.b.fcmp_ordered(">", value, less), value, less)
