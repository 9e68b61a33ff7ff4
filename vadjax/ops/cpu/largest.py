"""The maximum of 3 × 3 places that halves a map, in machine code (see `machine`)."""

import functools
import itertools

import jax
import jax.numpy as jnp

from vadjax.ops.cpu import machine
from vadjax.ops.cpu.machine import LANES, Code


def saves(x: jax.Array) -> bool:
    """Whether it can be done so: x [B, H, W, C], sides even."""
    return x.shape[-1] % LANES == 0 and x.dtype == jnp.float32


def max_pool(x: jax.Array) -> jax.Array:
    """Maximum of 3 × 3 places at stride 2 [B, H / 2, W / 2, C]; bitwise that of the plain form."""
    batch, height, width, channels = x.shape
    out = jax.ShapeDtypeStruct((batch, height // 2, width // 2, channels), jnp.float32)
    write = functools.partial(_write, sizes=x.shape)
    return machine.call("max_pool", x.shape, write, [x], [out], batch * height // 2)[0]


def _write(code: Code, addresses, number, scratch, sizes):
    del scratch
    _, height, width, channels = sizes
    x, y = addresses
    _, row = code.divmod(number, height // 2)
    # Of the three, only the first may lie outside, and a place may as well count twice
    first_row = code.b.icmp_signed("==", row, machine.INT(0))
    above = code.choose(first_row, machine.INT(0), machine.INT(-1))
    with code.loop(width // 2) as column:
        column = column if not isinstance(column, int) else machine.INT(column)
        first = code.b.icmp_signed("==", column, machine.INT(0))
        before = code.choose(first, machine.INT(0), machine.INT(-1))
        with code.loop(channels, 0, LANES) as c:
            largest = None
            for i, j in itertools.product((above, 0, 1), (before, 0, 1)):
                line = code.add(code.mul(number, 2), i)
                place = code.add(code.mul(line, width), code.mul(column, 2), j)
                value = code.load(x, code.add(code.mul(place, channels), c))
                if largest is not None:
                    more = code.b.fcmp_unordered(">", value, largest)
                    value = code.choose(more, value, largest)
                largest = value
            out = code.add(code.mul(number, width // 2), column)
            code.store(largest, y, code.add(code.mul(out, channels), c))
