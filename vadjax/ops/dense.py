"""Matrix product of a dense layer, written for XLA on CPU; the plain form elsewhere.

Measured by `tests/benchmarks/mil_step.py` on two cores, 1,920 × 2,048 by 2,048 × 512, float32:
XLA's plain product reaches 90–100 GFLOP/s, four independent row blocks 130 (XLA runs them side
by side); the kernel gradient 65–75 plain, 130 once the small factor is transposed in memory first.
"""

import jax
import jax.numpy as jnp
from jax import lax

ROW_BLOCKS = 4


def dot_general(lhs, rhs, dimension_numbers, precision=None, preferred_element_type=None):
    """Drop-in for `flax.linen.Dense(dot_general=...)`: `lhs [..., D] @ rhs [D, F]`."""
    contracting, batch = dimension_numbers
    last_by_first = [tuple(axes) for axes in (*contracting, *batch)] == [
        (lhs.ndim - 1,),
        (0,),
        (),
        (),
    ]
    if not last_by_first or rhs.ndim != 2 or precision or preferred_element_type:
        return lax.dot_general(lhs, rhs, dimension_numbers, precision, preferred_element_type)
    return matmul(lhs.reshape(-1, lhs.shape[-1]), rhs).reshape(*lhs.shape[:-1], rhs.shape[1])


@jax.custom_vjp
def matmul(x: jax.Array, w: jax.Array) -> jax.Array:
    """`x [M, D] @ w [D, F]`, differentiable once in reverse mode."""
    return lax.platform_dependent(x, w, cpu=_by_row_blocks, default=jnp.dot)


def _by_row_blocks(x: jax.Array, w: jax.Array) -> jax.Array:
    if x.shape[0] % ROW_BLOCKS or x.shape[0] < 64 * ROW_BLOCKS:
        return x @ w
    return jnp.concatenate([block @ w for block in jnp.split(x, ROW_BLOCKS)])


def _forward(x, w):
    return matmul(x, w), (x, w)


def _backward(residuals, g):
    x, w = residuals

    def kernel_gradient(x, g):
        return (lax.optimization_barrier(g.T) @ x).T

    return g @ w.T, lax.platform_dependent(
        x, g, cpu=kernel_gradient, default=lambda x, g: jnp.dot(x.T, g)
    )


matmul.defvjp(_forward, _backward)
