"""Maps made twice and half as large, and added to others, in machine code (see `machine`)."""

import functools

import jax
import jax.numpy as jnp

from vadjax.ops.cpu import machine
from vadjax.ops.cpu.machine import LANES, Code

NEAR, FAR = 0.75, 0.25  # shares of the nearest place and of the next


def saves(x: jax.Array) -> bool:
    """Whether it can be done so: x [B, H, W, C]."""
    return x.shape[-1] % LANES == 0 and x.dtype == jnp.float32


def add_twice(y: jax.Array, x: jax.Array) -> jax.Array:
    """Y [B, 2 H, 2 W, C] plus x [B, H, W, C] twice as large, bilinear, edges held."""
    return _added("add_twice", _write_twice, y, x, x.shape)


def add_half(y: jax.Array, x: jax.Array) -> jax.Array:
    """Y [B, H, W, C] plus the means of 2 × 2 places of x [B, 2 H, 2 W, C]."""
    return _added("add_half", _write_half, y, x, y.shape)


def _added(kind, write, y, x, small):
    """A piece is a row of the small map."""
    out = jax.ShapeDtypeStruct(y.shape, jnp.float32)
    write = functools.partial(write, sizes=small)
    return machine.call(kind, small, write, [y, x], [out], small[0] * small[1])[0]


def _write_twice(code: Code, addresses, number, scratch, sizes):
    del scratch
    _, height, width, channels = sizes
    y, x, out = addresses
    _, row = code.divmod(number, height)
    rows = _neighbours(code, row, height)
    with code.loop(width) as column, code.loop(channels, 0, LANES) as c:
        # Three columns of the rows above and below the middle
        above, below = [], []
        for j in _neighbours(code, column, width):
            values = []
            for i in rows:
                place = code.add(code.mul(code.add(number, i), width), column, j)
                values.append(code.load(x, code.add(code.mul(place, channels), c)))
            above.append(code.sum((NEAR, values[1]), (FAR, values[0])))
            below.append(code.sum((NEAR, values[1]), (FAR, values[2])))
        for i, three in enumerate((above, below)):
            for j in range(2):
                value = code.sum((NEAR, three[1]), (FAR, three[2 * j]))
                line = code.add(code.mul(number, 2), i)
                place = code.add(code.mul(line, 2 * width), code.mul(column, 2), j)
                place = code.add(code.mul(place, channels), c)
                code.store(code.sum((1, code.load(y, place)), (1, value)), out, place)


def _neighbours(code: Code, place, size: int) -> tuple:
    """Steps to the place before, to itself and to the next; none leaves the map."""
    place = machine.INT(place) if isinstance(place, int) else place
    first = code.b.icmp_signed("==", place, machine.INT(0))
    last = code.b.icmp_signed("==", place, machine.INT(size - 1))
    return code.choose(first, 0, -1), 0, code.choose(last, 0, 1)


def _write_half(code: Code, addresses, number, scratch, sizes):
    del scratch
    _, _, width, channels = sizes
    y, x, out = addresses
    with code.loop(width) as column, code.loop(channels, 0, LANES) as c:
        values = []
        for i in range(2):
            for j in range(2):
                line = code.add(code.mul(number, 2), i)
                place = code.add(code.mul(line, 2 * width), code.mul(column, 2), j)
                values.append(code.load(x, code.add(code.mul(place, channels), c)))
        place = code.add(code.mul(code.add(code.mul(number, width), column), channels), c)
        mean = code.sum(*((1, value) for value in values))
        code.store(code.sum((0.25, mean), (1, code.load(y, place))), out, place)
