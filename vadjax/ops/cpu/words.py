"""Random words of 16 bits for dropout.

Drawing takes a noticeable part of a training step on CPU, so that one draw of 32 bits serves two
values. All devices use these words: a seed means the same masks everywhere.
"""

import jax
import jax.numpy as jnp
from jax import lax

COUNT = 2**16  # number of different words


def draw(rng: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Words uint16 of that shape, each equally likely; two neighbours come from one draw."""
    *rows, width = shape
    pairs = jax.random.bits(rng, (*rows, -(-width // 2)), jnp.uint32)
    return lax.bitcast_convert_type(pairs, jnp.uint16).reshape(*rows, -1)[..., :width]
