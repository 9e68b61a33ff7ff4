"""Products of matrices whose sums stay small: XLA:CPU adds many products in turn.

Every sum is rounded at the size that it has by then. With sums of blocks the largest error of 2,048
products is below 1.2e-6 (tests/ops/cpu/test_blocks.py).
"""

import jax
import jax.numpy as jnp

SUMMED = 512  # products that one sum adds up in turn


def in_blocks(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Product [..., F] of x [..., D] and kernel [D, F] as a sum of products of blocks of D."""
    starts = range(0, len(kernel), SUMMED)
    return sum(jnp.dot(x[..., i : i + SUMMED], kernel[i : i + SUMMED]) for i in starts)
