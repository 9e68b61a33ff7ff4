"""What runs on the device: float32, with an interval around every distance.

Each interval [low, high] holds the distance that float64 arithmetic gives, on CPU, GPU and TPU. A
decision that the intervals leave open is reported, never guessed silently. Distances are stored as
[R, E, B], so that operations on them run along the volumes, which are adjacent in memory.

R regions, N volumes, M test volumes, E slots for exemplars, D features, C components, B block.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

UNIT = 2.0**-24  # unit of rounding in float32
SLACK = 64 * UNIT  # error of roots, scales and the sum over components; GPU and TPU are coarser
FLOOR = 1e-33  # added error of a sum of squares: more than what underflows in it
LARGEST = 1e15  # largest feature that is accepted: squares and their sums stay finite
CENTRED = 32  # components of more features than this are centred before they are multiplied

Spans = tuple[tuple[int, int], ...]


@functools.lru_cache
def compiled(kernel: Callable, sharding: NamedSharding | None, shared: int, **static) -> Callable:
    """Compiles a kernel; with a sharding, every device computes its own regions independently.

    Args:
      kernel: function of arrays whose first axis is R, then of `shared` arrays without it.
      sharding: of the regions, over the single axis of its mesh; None is one device.
      shared: number of trailing arrays that all regions share.
      **static: the kernel's keyword arguments.
    """
    function = functools.partial(kernel, **static)
    if sharding is None:
        return jax.jit(function)
    rows = sharding.spec

    # Arrays by region are divided among the devices, the shared ones are copied to each.
    def by_region(*arguments):
        specs = [rows] * (len(arguments) - shared) + [PartitionSpec()] * shared
        return jax.shard_map(
            function, mesh=sharding.mesh, in_specs=tuple(specs), out_specs=rows, check_vma=False
        )(*arguments)

    return jax.jit(by_region)


def bounds(y: jax.Array, e: jax.Array, scales: jax.Array, spans: Spans):
    """Intervals of the distances: [R, B, D], [R, E, D] → two arrays [R, E, B].

    Components of one feature take the difference. The others take `a.a + b.b - 2 a.b`, whose
    rounding error is at most (n + 8) units of 2 (a.a + b.b) for n features. Large components are
    centred beforehand, which keeps that error small. Small ones are not, so that volumes without
    motion, which are zero there, are exactly 0 apart.
    """
    # d = Σ_c |a_c - b_c| / Z_c (spec eval §5); both ends of the interval are summed side by side.
    low = high = jnp.zeros((), y.dtype)
    for (start, stop), scale in zip(spans, scales, strict=True):
        n, a, b = stop - start, y[..., start:stop], e[..., start:stop]
        if n == 0:  # the version of the model leaves this component out
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
      lengths: int32 [R], number of volumes of each region; the rest of N is padding.
      scales: [C].
      limits: [2], the threshold rounded down and up to float32.
      spans: first and last + 1 feature of each component, (0, 0) of one that is left out.
      capacity: slots, E.
      block: B.

    Returns:
      counts int32 [R] of exemplars, more than `capacity` where the region must be done again with
      more slots;
      keep bool [R, N]; slot int32 [R, N] of the nearest exemplar (its own slot, if kept); unsure
      bool [R, N], the intervals leave `keep` or `slot` open; wrong bool [R, N], a feature is NaN,
      infinite or too large.
    """
    regions, volumes, _ = x.shape
    center = _center(x[:, :block], lengths, spans)
    region, position = jnp.arange(regions), jnp.arange(block)
    slots = jnp.arange(capacity, dtype=jnp.int32)

    def one_block(state, start):
        exemplars, counts = state
        y = lax.dynamic_slice_in_dim(x, start, block, 1)
        wrong = ~(jnp.abs(y) <= LARGEST).all(-1)
        y = y - center
        present = start + position < lengths[:, None]  # False for the padding behind a region

        # The distance to the nearest exemplar lies in [min(low, rest_low), high]. The middle of
        # that interval decides for now; what it leaves open is flagged below.
        def is_far(low, high, rest_low):
            return present & (jnp.minimum(low, rest_low) / 2 + high / 2 > limits[1])

        # The first far volume of each region becomes an exemplar, and the later volumes of the
        # block are compared with it. The earlier ones were decided without it.
        def add_one(state):
            exemplars, counts, keep, pending, low, high, rest_low, slot = state
            has_pending, first = pending.any(-1), jnp.argmax(pending, -1)
            new = has_pending[:, None] & (position == first[:, None])
            volume = y[region, first]
            place = jnp.where(has_pending, counts, capacity)  # past the end: not written
            exemplars = exemplars.at[region, place].set(volume, mode="drop")
            later = has_pending[:, None] & (position > first[:, None])
            to_new = bounds(y, volume[:, None], scales, spans)
            new_low, new_high = (jnp.where(later, side[:, 0], jnp.inf) for side in to_new)
            # The exemplar with the smaller upper end counts as the nearest; the lower end of the
            # other one joins those of the rest.
            nearer = new_high < high
            rest_low = jnp.minimum(rest_low, jnp.where(nearer, low, new_low))
            low, high = jnp.where(nearer, new_low, low), jnp.where(nearer, new_high, high)
            slot = jnp.where(nearer | new, counts[:, None], slot)
            pending = pending & later & is_far(low, high, rest_low)
            return exemplars, counts + has_pending, keep | new, pending, low, high, rest_low, slot

        # Distances of the whole block to the exemplars of the blocks before, then one new exemplar
        # a turn until no volume of any region is far from all of them. `rest_low` bounds the other
        # exemplars that may be nearest; there is none where the slot is certain.
        low, high, slot, single = _nearest(y, exemplars, slots < counts[:, None], scales, spans)
        rest_low = jnp.where(single, jnp.inf, low)
        pending = is_far(low, high, rest_low)
        state = exemplars, counts, jnp.zeros_like(pending), pending, low, high, rest_low, slot
        state = lax.while_loop(lambda state: state[3].any(), add_one, state)
        exemplars, counts, keep, _, low, high, rest_low, slot = state
        # Open is `keep` where the interval holds the threshold, and `slot` of a volume that is not
        # kept where another exemplar may be as near.
        unsure = (jnp.minimum(low, rest_low) <= limits[1]) & (high > limits[0])
        unsure = present & (unsure | (~keep & (rest_low <= high)))
        return (exemplars, counts), (keep, slot, unsure, wrong & present)

    empty = jnp.zeros((regions, capacity, x.shape[2]), x.dtype), jnp.zeros(regions, jnp.int32)
    starts = jnp.arange(0, volumes, block)
    (_, counts), parts = lax.scan(one_block, empty, starts)
    return counts, *(jnp.moveaxis(a, 0, 1).reshape(regions, volumes) for a in parts)


def nearest(x, exemplars, counts, scales, *, spans: Spans):
    """Nearest exemplar of every test volume (spec eval §7).

    Args:
      x: [R, B, D].
      exemplars: [R, E, D].
      counts: int32 [R], number of exemplars of each region; the rest of E is padding.
      scales: [C].
      spans: as in `select`.

    Returns:
      slot int32 [R, B]; terms [R, B, C] by direct differences; unsure bool [R, B], another
      exemplar may be as near; wrong bool [R, B] as in `select`.
    """
    center = _center(exemplars, counts, spans)
    present = jnp.arange(exemplars.shape[1]) < counts[:, None]
    wrong = ~(jnp.abs(x) <= LARGEST).all(-1)
    _, _, slot, single = _nearest(x - center, exemplars - center, present, scales, spans)
    slot = jnp.where(single, slot, 0)
    # The terms of the chosen exemplar are direct differences: the expansion in `bounds` errs by
    # about 3e-4 (spec eval §5, "Numerical note").
    square = jnp.square(x - jnp.take_along_axis(exemplars, slot[..., None], 1))
    norms = jnp.stack([jnp.sqrt(square[..., start:stop].sum(-1)) for start, stop in spans], -1)
    return slot, norms / scales, ~single, wrong


def farthest(x, scales, *, spans: Spans, block: int):
    """Upper bounds [N] of each volume's largest distance, and a lower bound of the overall largest.

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
    """Mean [R, 1, D] of the volumes, without padding; 0 where a component is not centred.

    x [R, N, D] may be the first volumes only: any point near them serves.
    """
    large = np.zeros(x.shape[-1], bool)
    for start, stop in spans:
        large[start:stop] = stop - start > CENTRED
    present = (jnp.arange(x.shape[1]) < lengths[:, None])[..., None]
    mean = jnp.where(present, x, 0).sum(1, keepdims=True) / present.sum(1, keepdims=True)
    return jnp.where(large, mean, 0)


def _nearest(y, exemplars, present, scales, spans):
    """Interval of the distance to the nearest exemplar, its slot, and whether that is certain.

    Args:
      y: centred volumes [R, B, D].
      exemplars: [R, E, D].
      present: bool [R, E], False for slots without an exemplar.
      scales: [C].
      spans: as in `select`.

    Returns:
      low, high, slot, certain, all [R, B]; the slot has no meaning where it is not certain.
    """
    low, high = bounds(y, exemplars, scales, spans)
    low, high = (jnp.where(present[..., None], side, jnp.inf) for side in (low, high))
    smallest = high.min(1)
    candidate = low <= smallest[:, None]
    slots = jnp.arange(exemplars.shape[1], dtype=jnp.int32)[:, None]
    # Where one candidate is left, the sum of the candidates' slots is its slot; `argmin` is slow on
    # CPU.
    slot = jnp.where(candidate, slots, 0).sum(1, dtype=jnp.int32)
    return low.min(1), smallest, slot, candidate.sum(1, dtype=jnp.int32) == 1
