"""What runs on the device: float32, with an interval round every distance.

Each interval [low, high] holds the distance that float64 arithmetic finds, on CPU, GPU and TPU. A
decision that two intervals leave open is reported, never guessed silently. Distances lie as
[R, E, B]: what is done with them runs along the volumes, side by side in memory.

R regions, N volumes, M test volumes, E slots for exemplars, D features, C components, B block.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

UNIT = 2.0**-24  # of rounding in float32
SLACK = 64 * UNIT  # of roots, scales and the sum over components; GPU and TPU roots are coarser
FLOOR = 1e-33  # of a sum of squares: more than what underflows in it
LARGEST = 1e15  # of a feature: squares and their sums stay finite
CENTRED = 32  # components of more features than this are centred before they are multiplied

Spans = tuple[tuple[int, int], ...]


@functools.lru_cache
def compiled(kernel: Callable, sharding: NamedSharding | None, shared: int, **static) -> Callable:
    """A kernel, compiled; with a sharding, every device does its own regions and waits for none.

    Args:
      kernel: function of arrays whose first axis is R, then of `shared` arrays without it.
      sharding: over its mesh's only axis; None is one device.
      shared: how many arrays have no regions.
      **static: the kernel's keyword arguments.
    """
    function = functools.partial(kernel, **static)
    if sharding is None:
        return jax.jit(function)
    rows = sharding.spec

    def by_region(*arguments):
        specs = [rows] * (len(arguments) - shared) + [PartitionSpec()] * shared
        return jax.shard_map(
            function, mesh=sharding.mesh, in_specs=tuple(specs), out_specs=rows, check_vma=False
        )(*arguments)

    return jax.jit(by_region)


def bounds(y: jax.Array, e: jax.Array, scales: jax.Array, spans: Spans):
    """Intervals of the distances: [R, B, D], [R, E, D] → two arrays [R, E, B].

    Components of one feature take the difference. The others take `a.a + b.b - 2 a.b`, whose
    rounding error is at most (n + 8) units of 2 (a.a + b.b) for n features; the large ones are
    centred beforehand, to keep that small, the small ones not, so that volumes without motion,
    which are zero there, are exactly 0 apart.
    """
    low = high = jnp.zeros((), y.dtype)
    for (start, stop), scale in zip(spans, scales, strict=True):
        n, a, b = stop - start, y[..., start:stop], e[..., start:stop]
        if n == 0:
            continue
        if n == 1:
            square = jnp.square(b - a.swapaxes(1, 2))
            error = 8 * UNIT * square + FLOOR
        else:
            norms = jnp.square(b).sum(-1)[:, :, None] + jnp.square(a).sum(-1)[:, None, :]
            square = norms - 2 * jnp.einsum("red,rbd->reb", b, a, precision="highest")
            error = 2 * (n + 8) * UNIT * norms + FLOOR
        low += jnp.sqrt(jnp.maximum(square - error, 0)) / scale
        high += jnp.sqrt(jnp.maximum(square, 0) + error) / scale
    return low * (1 - SLACK), high * (1 + SLACK)


def select(x, lengths, scales, limits, *, spans: Spans, capacity: int, block: int):
    """Greedy exemplars (spec eval §6), a block of volumes at a time.

    Args:
      x: [R, N, D], N a multiple of `block`.
      lengths: int32 [R], volumes that are there.
      scales: [C].
      limits: [2], the threshold rounded down and up to float32.
      spans: of each component, (0, 0) of one that is left out.
      capacity: slots, E.
      block: B.

    Returns:
      found int32 [R], more than `capacity` where the region must be done again with more slots;
      keep bool [R, N]; slot int32 [R, N] of the nearest exemplar (its own, if kept); unsure bool
      [R, N], the intervals leave `keep` or `slot` open; wrong bool [R, N], a feature is NaN,
      infinite or too large.
    """
    regions, volumes, _ = x.shape
    center = _center(x[:, :block], lengths, spans)
    region, at = jnp.arange(regions), jnp.arange(block)
    slots = jnp.arange(capacity, dtype=jnp.int32)

    def one_block(state, start):
        exemplars, found = state
        y = lax.dynamic_slice_in_dim(x, start, block, 1)
        wrong = ~(jnp.abs(y) <= LARGEST).all(-1)
        y = y - center
        there = start + at < lengths[:, None]

        def is_far(low, high, others):  # the middle of the interval decides, for the time being
            return there & (jnp.minimum(low, others) / 2 + high / 2 > limits[1])

        def add_one(state):
            exemplars, found, keep, todo, low, high, others, slot = state
            some, first = todo.any(-1), jnp.argmax(todo, -1)
            new = some[:, None] & (at == first[:, None])
            volume = y[region, first]
            place = jnp.where(some, found, capacity)  # past the end: not written
            exemplars = exemplars.at[region, place].set(volume, mode="drop")
            later = some[:, None] & (at > first[:, None])
            to_new = bounds(y, volume[:, None], scales, spans)
            new_low, new_high = (jnp.where(later, side[:, 0], jnp.inf) for side in to_new)
            nearer = new_high < high
            others = jnp.minimum(others, jnp.where(nearer, low, new_low))
            low, high = jnp.where(nearer, new_low, low), jnp.where(nearer, new_high, high)
            slot = jnp.where(nearer | new, found[:, None], slot)
            todo = todo & later & is_far(low, high, others)
            return exemplars, found + some, keep | new, todo, low, high, others, slot

        low, high, slot, single = _nearest(y, exemplars, slots < found[:, None], scales, spans)
        others = jnp.where(single, jnp.inf, low)  # low end of the nearest but one
        todo = is_far(low, high, others)
        state = exemplars, found, jnp.zeros_like(todo), todo, low, high, others, slot
        state = lax.while_loop(lambda state: state[3].any(), add_one, state)
        exemplars, found, keep, _, low, high, others, slot = state
        unsure = (jnp.minimum(low, others) <= limits[1]) & (high > limits[0])
        unsure = there & (unsure | (~keep & (others <= high)))
        return (exemplars, found), (keep, slot, unsure, wrong & there)

    empty = jnp.zeros((regions, capacity, x.shape[2]), x.dtype), jnp.zeros(regions, jnp.int32)
    starts = jnp.arange(0, volumes, block)
    (_, found), parts = lax.scan(one_block, empty, starts)
    return found, *(jnp.moveaxis(a, 0, 1).reshape(regions, volumes) for a in parts)


def nearest(x, exemplars, counts, scales, *, spans: Spans):
    """Nearest exemplar of every test volume (spec eval §7).

    Args:
      x: [R, B, D].
      exemplars: [R, E, D].
      counts: int32 [R], exemplars that are there.
      scales: [C].
      spans: as in `select`.

    Returns:
      slot int32 [R, B]; terms [R, B, C] by direct differences; unsure bool [R, B], another
      exemplar may be as near; wrong bool [R, B] as in `select`.
    """
    center = _center(exemplars, counts, spans)
    there = jnp.arange(exemplars.shape[1]) < counts[:, None]
    wrong = ~(jnp.abs(x) <= LARGEST).all(-1)
    _, _, slot, single = _nearest(x - center, exemplars - center, there, scales, spans)
    slot = jnp.where(single, slot, 0)
    square = jnp.square(x - jnp.take_along_axis(exemplars, slot[..., None], 1))
    norms = jnp.stack([jnp.sqrt(square[..., a:b].sum(-1)) for a, b in spans], -1)
    return slot, norms / scales, ~single, wrong


def farthest(x, scales, *, spans: Spans, block: int):
    """Upper bound [N] of each volume's largest distance to any, and a lower bound of the largest.

    x: [1, N, D], N a multiple of `block`; rows may repeat.
    """
    y = x - _center(x, jnp.full(1, x.shape[1]), spans)

    def one_block(largest, start):
        part = lax.dynamic_slice_in_dim(y, start, block, 1)
        low, high = bounds(part, y, scales, spans)
        return jnp.maximum(largest, low.max()), high[0].max(0)

    largest, rows = lax.scan(one_block, jnp.zeros((), x.dtype), jnp.arange(0, x.shape[1], block))
    return rows.reshape(-1), largest


def _center(x, lengths, spans):
    """Mean [R, 1, D] of the volumes that are there, 0 where a component is not centred.

    x [R, N, D] may be the first volumes only: any point near them does.
    """
    large = np.zeros(x.shape[-1], bool)
    for start, stop in spans:
        large[start:stop] = stop - start > CENTRED
    there = (jnp.arange(x.shape[1]) < lengths[:, None])[..., None]
    mean = jnp.where(there, x, 0).sum(1, keepdims=True) / there.sum(1, keepdims=True)
    return jnp.where(large, mean, 0)


def _nearest(y, exemplars, there, scales, spans):
    """Interval of the distance to the nearest exemplar, its slot, and whether that is certain.

    y [R, B, D], exemplars [R, E, D], there bool [R, E].  Returns low, high, slot, certain, all
    [R, B]; sums, not `argmin`, which is slow on CPU.
    """
    low, high = bounds(y, exemplars, scales, spans)
    low, high = (jnp.where(there[..., None], side, jnp.inf) for side in (low, high))
    smallest = high.min(1)
    candidate = low <= smallest[:, None]
    slots = jnp.arange(exemplars.shape[1], dtype=jnp.int32)[:, None]
    slot = jnp.where(candidate, slots, 0).sum(1, dtype=jnp.int32)
    return low.min(1), smallest, slot, candidate.sum(1, dtype=jnp.int32) == 1
