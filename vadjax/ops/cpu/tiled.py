"""3×3 convolutions by Winograd's minimal filtering of tiles, F(4 × 2, 3 × 3), in machine code.

As `filtered`, but along the width too: every 4 × 2 places of the output take 24 products in place
of 72 (Lavin and Gray, CVPR 2016).
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from vadjax.ops.cpu import machine, products
from vadjax.ops.cpu.filtered import input_sums, kernel_sums, output_rows
from vadjax.ops.cpu.machine import LANES, Code

ROWS, COLUMNS = 6, 4  # sums along the height and the width
PLANES = ROWS * COLUMNS  # products of 4 × 2 places of output
MOST_SUMS = 2**18  # float32 of the sums of a strip
LEAST_WIDTH, LEAST_CHANNELS = 64, 64  # from which it saves time
MOST_PLACES = 128  # of a strip, each 4 × 2 of the output
LEAST_PIECES = 2  # of a call, where a strip may be shorter


def saves(x: jax.Array, w: jax.Array) -> bool:
    """Whether it is faster than `filtered`, for the same x and w: there is a row of many places."""
    return x.shape[2] >= LEAST_WIDTH and min(w.shape[2:]) >= LEAST_CHANNELS


def conv(x: jax.Array, w: jax.Array, *after: jax.Array, turned: bool = False) -> jax.Array:
    """As `filtered.conv`."""
    features = w.shape[2 if turned else 3]
    return _conv([x], packed(w, *after, turned=turned), features)


def activated(
    x: Sequence[jax.Array], sums: jax.Array, bias: jax.Array, slope: float | None
) -> jax.Array:
    """As `filtered.activated`."""
    return _conv(x, sums, bias.shape[0], bias, slope)


def packed(w: jax.Array, *after: jax.Array, turned: bool = False) -> jax.Array:
    """24 sums of a kernel, block of features by block: [24, blocks, C, f]."""
    channels, features = w.shape[2:] if not turned else w.shape[:1:-1]
    vectors, blocks = machine.tile().vectors, products.blocks(features)
    sizes = channels, features, turned, blocks, vectors
    out = jax.ShapeDtypeStruct((PLANES, blocks, channels, vectors * LANES), jnp.float32)
    write = functools.partial(_write_packed, sizes=sizes)
    parts = max(n for n in (1, 2, 4) if channels % n == 0)
    return machine.call("tile_sums", sizes, write, [w], [out], parts * blocks, after=after)[0]


def _write_packed(code: Code, addresses, number, scratch, sizes):
    del scratch
    channels, features, turned, blocks, vectors = sizes
    w, out = addresses
    parts = max(n for n in (1, 2, 4) if channels % n == 0)
    block, part = code.divmod(number, parts)
    first = code.mul(part, channels // parts)
    with code.loop(code.add(first, channels // parts), first) as c, code.loop(vectors) as vector:
        feature = code.mul(code.add(code.mul(block, vectors), vector), LANES)
        feature = code.choose(code.below(feature, features), feature, 0)  # others are not used
        # Nine taps; where it is turned, the kernel is flipped and its channels change places
        taps = []
        for i in range(3):
            for j in range(3):
                tap = 3 * (2 - i) + 2 - j if turned else 3 * i + j
                at = tap * channels * features
                if turned:
                    at = code.add(code.mul(feature, channels), c, at)
                    taps.append(code.gather(w, at, channels))
                else:
                    taps.append(code.load(w, code.add(code.mul(c, features), feature, at)))
        columns = [_kernel_columns(code, taps[3 * i : 3 * i + 3]) for i in range(3)]
        by_column = [kernel_sums(code, column) for column in zip(*columns, strict=True)]
        for plane in range(PLANES):
            row, column = divmod(plane, COLUMNS)
            place = code.add(block, plane * blocks)
            place = code.add(code.mul(place, channels), c)
            place = code.mul(code.add(code.mul(place, vectors), vector), LANES)
            code.store(by_column[column][row], out, place)


def _kernel_columns(code, taps):
    even, odd = code.sum((0.5, taps[0]), (0.5, taps[2])), code.sum((0.5, taps[1]))
    return taps[0], code.sum((1, even), (1, odd)), code.sum((1, even), (-1, odd)), taps[2]


def _strips(batch, height, width, channels):
    """Groups of four rows in a strip, and parts of a row of pairs: the sums stay in the cache."""
    groups, pairs = -(-height // 4), -(-width // 2)
    most = min(MOST_PLACES, max(MOST_SUMS // (PLANES * channels), 28))
    parts = next(n for n in range(1, pairs + 1) if -(-pairs // n) <= most)
    if parts > 1:
        return 1, parts
    fitting = [g for g in range(1, groups + 1) if groups % g == 0 and g * pairs <= max(most, pairs)]
    shared = [g for g in fitting if batch * groups // g >= LEAST_PIECES]
    return max(shared or fitting), 1


def _conv(x, packed, features, bias=None, slope=None):
    channels = tuple(part.shape[3] for part in x)
    batch, height, width, _ = x[0].shape
    at_once, parts = _strips(batch, height, width, sum(channels))
    every = -(-width // 2)
    pairs = -(-every // parts)  # of a part
    sizes = (batch, height, width, sum(channels), features, at_once, parts, pairs, *machine.tile())
    groups = -(-height // 4)
    more = channels, bias is not None, slope
    write = functools.partial(_write_conv, sizes=sizes, more=more)
    block = machine.tile().vectors * LANES
    scratch = PLANES * at_once * pairs * (products.stride_of(sum(channels)) + block)
    out = jax.ShapeDtypeStruct((batch, height, width, features), jnp.float32)
    pieces = batch * groups // at_once * parts
    inputs = [*x, packed] if bias is None else [*x, packed, bias]
    return machine.call("tiled", (*sizes, *more), write, inputs, [out], pieces, scratch)[0]


def _write_conv(code: Code, addresses, number, scratch, sizes, more):
    batch, height, width, channels, features, at_once, parts, pairs, _, vectors = sizes
    of_inputs, _, slope = more
    x, (packed, *bias), y = (
        addresses[: len(of_inputs)],
        addresses[len(of_inputs) : -1],
        addresses[-1],
    )
    strip, part = code.divmod(number, parts)
    sample, strip = code.divmod(strip, -(-height // 4) // at_once)
    six = code.at(scratch, PLANES * at_once * pairs * products.stride_of(channels))
    first_pair = code.mul(part, pairs)
    _input_sums(code, x, scratch, sample, strip, first_pair, sizes, of_inputs)

    # Products of a block of features; one plane after the other, so that its kernel stays in cache
    def of_block(block, used):
        with code.loop(PLANES) as plane:
            of_tile = functools.partial(_product, code, scratch, packed, six, block, plane, sizes)
            products.tiles(code, at_once * pairs, of_tile)
        finish = products.finish(code, bias, code.mul(block, vectors * LANES), used, slope)
        with code.loop(at_once) as group, code.loop(pairs) as pair:
            top = code.mul(code.add(code.mul(strip, at_once), group), 4)
            place = code.add(code.mul(group, pairs), pair)
            column = code.mul(code.add(first_pair, pair), 2)
            _outputs(code, six, y, sample, top, column, block, place, finish, sizes)

    products.each_block(code, features, of_block)


def _input_sums(code, x, scratch, sample, strip, first_pair, sizes, of_inputs):
    """24 sums of 6 × 4 places of the input, for all pairs of places of a strip."""
    _, height, width, channels, _, at_once, _, pairs, _, _ = sizes
    b, stride = code.b, products.stride_of(channels)
    plane_size = at_once * pairs * stride
    with code.loop(at_once) as group:
        top = code.add(code.mul(code.add(code.mul(strip, at_once), group), 4), -1)
        rows = []
        for i in range(ROWS):
            line = code.add(top, i)
            inside = code.below(line, height)
            line = code.add(code.mul(sample, height), code.choose(inside, line, 0))
            rows.append((inside, code.mul(line, width)))

        def of_channels(x, own, before, c, group=group, rows=rows):
            def column_sums(column):
                within = code.below(column, width)
                column = code.choose(within, column, 0)
                values = []
                for inside, start in rows:
                    place = code.mul(code.add(start, column), own)
                    value = code.load(x, code.add(place, c))
                    values.append(code.choose(b.and_(inside, within), value, machine.constant(0.0)))
                return input_sums(code, values)

            # The sums of two columns are kept for the next pair of places, which sees them too
            carried = [[code.slot() for _ in range(ROWS)] for _ in range(2)]
            for offset, slots in zip((-1, 0), carried, strict=True):
                values = column_sums(code.add(code.mul(first_pair, 2), offset))
                for slot, value in zip(slots, values, strict=True):
                    b.store(value, slot)
            with code.loop(pairs) as pair:
                column = code.mul(code.add(first_pair, pair), 2)
                d = [[b.load(slot, typ=machine.VECTOR) for slot in slots] for slots in carried]
                d += [column_sums(code.add(column, 1)), column_sums(code.add(column, 2))]
                place = code.mul(code.add(code.mul(group, pairs), pair), stride)
                place = code.add(place, before, c)
                # The same along the width: four sums of four columns
                for row in range(ROWS):
                    four = (
                        code.sum((1, d[0][row]), (-1, d[2][row])),
                        code.sum((1, d[1][row]), (1, d[2][row])),
                        code.sum((1, d[2][row]), (-1, d[1][row])),
                        code.sum((1, d[1][row]), (-1, d[3][row])),
                    )
                    for column, value in enumerate(four):
                        plane = row * COLUMNS + column
                        code.store(value, scratch, code.add(place, plane * plane_size))
                for slots, values in zip(carried, d[2:], strict=True):
                    for slot, value in zip(slots, values, strict=True):
                        b.store(value, slot)

        for part, own in enumerate(of_inputs):
            with code.loop(own, 0, LANES) as c:
                of_channels(x[part], own, sum(of_inputs[:part]), c)


def _product(code, sums, packed, out, block, plane, sizes, place, places):
    """Products of one plane and a tile of places."""
    _, _, _, channels, features, at_once, _, pairs, _, vectors = sizes
    stride, parts = products.stride_of(channels), -(-channels // products.MOST_TERMS)
    terms = channels // next(n for n in range(parts, channels + 1) if channels % n == 0)
    number = code.add(code.mul(plane, at_once * pairs), place)
    start, tile = code.mul(number, stride), code.mul(number, vectors * LANES)
    kernel = code.add(code.mul(plane, products.blocks(features)), block)
    kernel = code.mul(kernel, channels * vectors * LANES)
    if terms < channels:
        for i in range(places * vectors):
            code.store(machine.constant(0.0), out, code.add(tile, i * LANES))
    with code.loop(channels, 0, terms) as channel:
        total = products.Sums(code, places, vectors)
        w = code.add(kernel, code.mul(channel, vectors * LANES))
        total.multiply(sums, code.add(start, channel), stride, packed, w, terms)
        total.store(out, tile, more=terms < channels)


def _outputs(code, six, y, sample, top, column, block, place, finish, sizes):
    """4 × 2 places of the output."""
    _, height, width, _, features, at_once, parts, pairs, _, vectors = sizes
    b = code.b
    for v, finished in enumerate(finish):
        at = code.add(code.mul(place, vectors * LANES), v * LANES)
        # Two columns of four products, then four rows of six
        by_column: list = [[], []]
        for row in range(ROWS):
            planes = range(row * COLUMNS, (row + 1) * COLUMNS)
            size = at_once * pairs * vectors * LANES
            m = [code.load(six, code.add(at, plane * size)) for plane in planes]
            by_column[0].append(code.sum((1, m[1]), (1, m[2]), (1, m[0])))
            by_column[1].append(code.sum((1, m[1]), (-1, m[2]), (-1, m[3])))
        for more, rows in enumerate(by_column):
            for i, value in enumerate(map(finished, output_rows(code, rows))):
                line, to = code.add(top, i), code.add(column, more)
                where = code.add(code.mul(sample, height), line)
                where = code.add(code.mul(where, width), to)
                where = code.add(code.mul(where, features), code.mul(block, vectors * LANES))
                where = code.add(where, v * LANES)
                # Places beyond the map are made, but not written
                conditions = []
                if height % 4:
                    conditions.append(code.below(line, height))
                if width % 2 or parts > 1:
                    conditions.append(code.below(to, width))
                if conditions:
                    with code.when(functools.reduce(b.and_, conditions)):
                        code.store(value, y, where)
                else:
                    code.store(value, y, where)
