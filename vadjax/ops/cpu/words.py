"""Random words of 16 bits for dropout.

Drawing takes a noticeable part of a training step on CPU, so that one draw of 32 bits serves two
values, and the generator is written out: JAX's own form for CPU goes through memory after every
four of its twenty rounds, and takes longer to compile. All devices use these words: a seed means
the same masks everywhere.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax

COUNT = 2**16  # number of different words
ROTATIONS = (13, 15, 26, 6), (17, 29, 16, 24)  # bits, of four rounds and of the next four
PARITY = 0x1BD11BDA


def draw(rng: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Words uint16 of that shape, each equally likely; two neighbours come from one draw."""
    *rows, width = shape
    pairs = bits(rng, (*rows, -(-width // 2)))
    return lax.bitcast_convert_type(pairs, jnp.uint16).reshape(*rows, -1)[..., :width]


@functools.partial(jax.jit, static_argnums=1)
def bits(rng: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """The same words uint32 as `jax.random.bits(rng, shape)`: Threefry-2x32 of their places.

    Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

    Args:
      rng: a key of Threefry, JAX's default.
      shape: of fewer than 2^32 words.
    """
    key = jax.random.key_data(rng)
    keys = key[0], key[1], key[0] ^ key[1] ^ jnp.uint32(PARITY)
    # The place of a word is the low half of what is encrypted; the high half is 0
    low = lax.iota(jnp.uint32, math.prod(shape)).reshape(shape) + keys[1]
    high = jnp.full(shape, keys[0])
    for turn in range(5):
        for rotation in ROTATIONS[turn % 2]:
            high = high + low
            low = high ^ (low << rotation | low >> 32 - rotation)
        high = high + keys[(turn + 1) % 3]
        low = low + keys[(turn + 2) % 3] + jnp.uint32(turn + 1)
    return high ^ low
