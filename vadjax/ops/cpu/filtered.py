"""3×3 convolutions by Winograd's minimal filtering F(4, 3), in machine code (see `machine`).

As `minimal_filtering`, which says what the sums are, but rows and sums stay in the cache, and the
sums of a product in registers.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from vadjax.ops.cpu import machine, products
from vadjax.ops.cpu.machine import LANES, Code
from vadjax.ops.plain import Padding

PLANES = 6  # products of four rows of output
MOST_PLACES, MOST_SUMS = 96, 2**18  # of a strip: places, and float32 of their sums
LEAST_PIECES = 8  # of a call, so that threads have equal work


def saves(x: jax.Array, w: jax.Array, strides: Sequence[int], padding: Padding) -> bool:
    """Whether a 3×3 convolution, and the gradient of its input, can be done so.

    Args:
      x: [B, H, W, C].
      w: kernel [kh, kw, C, F].
      strides: one for each spatial dimension.
      padding: (before, after) for each spatial dimension.
    """
    keeps_size = set(strides) == {1} and set(padding) == {(1, 1)}
    whole = all(channels % LANES == 0 for channels in w.shape[-2:])
    return w.shape[:-2] == (3, 3) and keeps_size and whole and x.dtype == jnp.float32


def conv(x: jax.Array, w: jax.Array, *after: jax.Array, turned: bool = False) -> jax.Array:
    """Convolution 3×3 to the same size [B, H, W, F].

    Args:
      x: [B, H, W, C].
      w: [3, 3, C, F], or where it is turned [3, 3, F, C]: then the result is the gradient of the
        input of a convolution with `w`, whose cotangent is `x`.
      *after: arrays that are made before (`machine.call`).
      turned: see there.
    """
    batch, height, width, channels = x.shape
    features = w.shape[2 if turned else 3]
    return _conv([x], packed(w, *after, turned=turned), features)


def activated(
    x: Sequence[jax.Array], sums: jax.Array, bias: jax.Array, slope: float | None
) -> jax.Array:
    """As `conv` of arrays whose channels count as joined, plus bias, and leaky ReLU of a slope.

    Args:
      x: [B, H, W, C] each.
      sums: `packed` kernel.
      bias: [F].
      slope: below 0, at most 1; where it is None, there is no activation.
    """
    return _conv(x, sums, bias.shape[0], bias, slope)


def packed(w: jax.Array, *after: jax.Array, turned: bool = False) -> jax.Array:
    """Six sums of the three rows of a kernel, block of features by block: [6, blocks, 3, C, f]."""
    channels, features = w.shape[2:] if not turned else w.shape[:1:-1]
    vectors = machine.tile().vectors
    blocks = products.blocks(features)
    sizes = channels, features, turned, blocks, vectors
    out = jax.ShapeDtypeStruct((PLANES, blocks, 3, channels, vectors * LANES), jnp.float32)
    write = functools.partial(_write_packed, sizes=sizes)
    (packed,) = machine.call("kernel_sums", sizes, write, [w], [out], 3 * blocks, after=after)
    return packed


def _write_packed(code: Code, addresses, number, scratch, sizes):
    del scratch
    channels, features, turned, blocks, vectors = sizes
    w, out = addresses
    block, tap = code.divmod(number, 3)
    tap_of = code.b.sub(machine.INT(2), tap) if turned else tap
    for vector in range(vectors):
        with code.loop(channels) as c:
            feature = code.add(code.mul(block, vectors * LANES), vector * LANES)
            feature = code.choose(code.below(feature, features), feature, 0)  # others are not used
            rows = []
            for row in range(3):
                at = code.add(code.mul(3, 2 - row if turned else row), tap_of)
                first = code.mul(at, channels * features)
                if turned:
                    first = code.add(first, code.mul(feature, channels), c)
                    rows.append(code.gather(w, first, channels))
                else:
                    rows.append(code.load(w, code.add(first, code.mul(c, features), feature)))
            six = kernel_sums(code, rows)
            for plane, value in enumerate(six):
                place = code.add(code.mul(block, 3), 3 * blocks * plane, tap)
                place = code.add(code.mul(place, channels), c)
                place = code.add(code.mul(place, vectors * LANES), vector * LANES)
                code.store(value, out, place)


def _conv(x, packed, features, bias=None, slope=None):
    parts = tuple(part.shape[3] for part in x)
    batch, height, width, _ = x[0].shape
    channels = sum(parts)
    groups = -(-height // 4)
    # strips of rows of which the sums stay in the cache, and enough places for each kernel
    most = min(MOST_PLACES, MOST_SUMS // (PLANES * channels)) // width
    at_once = max(g for g in range(1, groups + 1) if groups % g == 0 and g <= max(most, 1))
    sizes = (batch, height, width, channels, features, at_once, *machine.tile())
    strips, splits = batch * groups // at_once, 1
    if features % (machine.tile().vectors * LANES) == 0:
        blocks = products.blocks(features)
        enough = (n for n in range(1, blocks + 1) if blocks % n == 0 and n * strips >= LEAST_PIECES)
        splits = next(enough, blocks)
    more = parts, splits, bias is not None, slope
    write = functools.partial(_write_conv, sizes=sizes, more=more)
    stride = products.stride_of(channels)
    scratch = PLANES * (at_once * _row(width, stride) + LANES * machine.tile().vectors * 16)
    out = jax.ShapeDtypeStruct((batch, height, width, features), jnp.float32)
    inputs = [*x, packed] if bias is None else [*x, packed, bias]
    parameters, pieces = (*sizes, *more), strips * splits
    return machine.call("filtered", parameters, write, inputs, [out], pieces, scratch)[0]


def _row(width: int, stride: int) -> int:
    return -(-(width + 2) * stride // LANES) * LANES + LANES


def _write_conv(code: Code, addresses, number, scratch, sizes, more):
    batch, height, width, channels, features, at_once, _, vectors = sizes
    parts, splits, _, slope = more
    x, (packed, *bias), y = addresses[: len(parts)], addresses[len(parts) : -1], addresses[-1]
    groups = -(-height // 4)
    number, split = code.divmod(number, splits)
    sample, strip = code.divmod(number, groups // at_once)
    stride = products.stride_of(channels)
    row = _row(width, stride)
    six = code.at(scratch, PLANES * at_once * row)  # [6, places of a tile, vectors, 16]
    # Sums of six rows, with a place of zeros on either side
    with code.loop(at_once) as group:
        first = code.add(code.mul(code.add(code.mul(strip, at_once), group), 4), -1)
        inputs = []
        for i in range(6):
            number = code.add(first, i)
            inside = code.below(number, height)
            number = code.choose(inside, number, 0)
            inputs.append((inside, code.mul(code.add(code.mul(sample, height), number), width)))

        def sums(part, column, c, group=group, inputs=inputs):
            r = []
            for inside, line in inputs:
                place = code.add(code.mul(code.add(line, column), parts[part]), c)
                value = code.load(x[part], place)
                r.append(code.choose(inside, value, machine.constant(0.0)))
            place = code.add(code.mul(group, row), code.mul(code.add(column, 1), stride))
            place = code.add(place, c, sum(parts[:part]))
            for plane, value in enumerate(input_sums(code, r)):
                code.store(value, scratch, code.add(place, plane * at_once * row))

        with code.loop(width) as column:
            for part, own in enumerate(parts):
                if own >= LANES:
                    with code.loop(own - LANES + 1, 0, LANES) as c:
                        sums(part, column, c)
                if own % LANES:
                    sums(part, column, own - LANES)
        with code.loop(PLANES) as plane:
            for column in (0, width + 1):
                start = code.add(code.mul(plane, at_once * row), code.mul(group, row))
                with code.loop(channels, 0, LANES) as c:
                    place = code.add(start, column * stride, c)
                    code.store(machine.constant(0.0), scratch, place)

    # Products of every block of features and every tile of places, then rows of the output
    def of_block(block, used):
        with code.loop(at_once) as group:
            products.tiles(code, width, functools.partial(of_tile, block, used, group))

    def of_tile(block, used, group, column, places):
        _product(code, scratch, packed, six, block, group, column, places, sizes)
        top = code.mul(code.add(code.mul(strip, at_once), group), 4)
        finish = products.finish(code, bias, code.mul(block, vectors * LANES), used, slope)
        _outputs(code, six, y, sample, top, column, block, places, finish, sizes)

    if splits == 1:
        products.each_block(code, features, of_block)
    else:
        own = products.blocks(features) // splits
        with code.loop(own) as number:
            of_block(code.add(code.mul(split, own), number), vectors)


def input_sums(code: Code, r: Sequence) -> tuple:
    """Six sums of six rows of the input."""
    inner, inner_odd = code.sum((1, r[4]), (-4, r[2])), code.sum((1, r[3]), (-4, r[1]))
    outer = code.sum((1, r[4]), (-1, r[2]))
    outer_odd = code.sum((2, code.sum((1, r[3]), (-1, r[1]))))
    return (
        code.sum((1, r[4]), (4, r[0]), (-5, r[2])),
        code.sum((1, inner), (1, inner_odd)),
        code.sum((1, inner), (-1, inner_odd)),
        code.sum((1, outer), (1, outer_odd)),
        code.sum((1, outer), (-1, outer_odd)),
        code.sum((1, r[5]), (4, r[1]), (-5, r[3])),
    )


def kernel_sums(code: Code, rows: Sequence) -> tuple:
    """Six sums of the three rows of a kernel."""
    even = code.sum((-1 / 6, rows[0]), (-1 / 6, rows[2]))
    odd = code.sum((-1 / 6, rows[1]))
    outer = code.sum((1 / 24, rows[0]), (1 / 6, rows[2]))
    outer_odd = code.sum((1 / 12, rows[1]))
    return (
        code.sum((1 / 4, rows[0])),
        code.sum((1, even), (1, odd)),
        code.sum((1, even), (-1, odd)),
        code.sum((1, outer), (1, outer_odd)),
        code.sum((1, outer), (-1, outer_odd)),
        rows[2],
    )


def output_rows(code: Code, m: Sequence) -> tuple:
    """Four rows of the output, of the six products."""
    inner, inner_odd = code.sum((1, m[1]), (1, m[2])), code.sum((1, m[1]), (-1, m[2]))
    outer, outer_odd = code.sum((1, m[3]), (1, m[4])), code.sum((1, m[3]), (-1, m[4]))
    return (
        code.sum((1, m[0]), (1, inner), (1, outer)),
        code.sum((1, inner_odd), (2, outer_odd)),
        code.sum((1, inner), (4, outer)),
        code.sum((1, inner_odd), (8, outer_odd), (1, m[5])),
    )


def _product(code, sums, packed, out, block, group, column, places, sizes):
    """Six products of a tile: places × (3 C) times (3 C) × vectors."""
    _, height, width, channels, features, at_once, _, vectors = sizes
    stride = products.stride_of(channels)
    row = _row(width, stride)
    taps, terms = _segment(channels)
    with code.loop(PLANES) as plane:
        start = code.add(
            code.mul(plane, at_once * row), code.mul(group, row), code.mul(column, stride)
        )
        kernel = code.add(code.mul(plane, products.blocks(features)), block)
        kernel = code.mul(kernel, 3 * channels * vectors * LANES)
        tile = code.mul(plane, places * vectors * LANES)
        for number in range(places * vectors):
            code.store(machine.constant(0.0), out, code.add(tile, number * LANES))
        with code.loop(3, 0, taps) as first, code.loop(channels, 0, terms) as channel:
            total = products.Sums(code, places, vectors)
            with code.loop(taps) as more:
                tap = code.add(first, more)
                x = code.add(start, code.mul(tap, stride), channel)
                row_of = code.add(code.mul(tap, channels), channel)
                w = code.add(kernel, code.mul(row_of, vectors * LANES))
                total.multiply(sums, x, stride, packed, w, terms)
            total.store(out, tile, more=True)


def _segment(channels: int) -> tuple[int, int]:
    """Taps and channels of a sum in registers."""
    if 3 * channels <= products.MOST_TERMS:
        return 3, channels
    enough = -(-channels // products.MOST_TERMS)
    return 1, channels // next(n for n in range(enough, channels + 1) if channels % n == 0)


def _outputs(code, six, y, sample, top, column, block, places, finish, sizes):
    """Four rows of the output from the six products of a tile."""
    _, height, width, _, features, _, _, vectors = sizes
    with code.loop(places) as place:
        for v, finished in enumerate(finish):
            at = code.add(code.mul(place, vectors * LANES), v * LANES)
            m = [
                code.load(six, code.add(at, plane * places * vectors * LANES))
                for plane in range(PLANES)
            ]
            for i, value in enumerate(map(finished, output_rows(code, m))):
                line = code.add(top, i)

                def put(line=line, value=value, v=v):
                    at = code.add(code.mul(sample, height), line)
                    at = code.add(code.mul(at, width), column, place)
                    at = code.add(code.mul(at, features), code.mul(block, vectors * LANES))
                    code.store(value, y, code.add(at, v * LANES))

                if height % 4 == 0:
                    put()
                else:
                    with code.when(code.below(line, height)):
                        put()
