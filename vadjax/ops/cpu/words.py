"""Random words of 16 bits: drawing takes a visible part of a training step on CPU.

One draw of 32 bits serves two values. All devices take them, so that a seed means the same masks
everywhere.
"""

import jax
import jax.numpy as jnp
from jax import lax

COUNT = 2**16  # words that there are


def draw(rng: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Words uint16 of that shape, each equally likely; neighbours share a draw."""
    *rows, width = shape
    pairs = jax.random.bits(rng, (*rows, -(-width // 2)), jnp.uint32)
    return lax.bitcast_convert_type(pairs, jnp.uint16).reshape(*rows, -1)[..., :width]
