"""Operations with smaller rounding errors in float32 than the usual ones."""

import jax
import jax.numpy as jnp

from vadjax.ops.cpu.blocks import in_blocks


@jax.custom_vjp
def dot(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Product [..., F] of x [..., D] and kernel [D, F]; float32 is summed in blocks of D.

    The blocks are the same on every device.
    """
    if jnp.result_type(x, kernel) != jnp.float32:
        return jnp.dot(x, kernel)
    return in_blocks(x, kernel)


@jax.custom_vjp
def plain_dot(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """As `dot`, but one product: faster, with thrice the error on an emulated Haswell."""
    return jnp.dot(x, kernel)


def _dot_backward(residuals, gradient):
    """Gradient of the plain product; that of the blocks would have to be joined again."""
    x, kernel = residuals
    rows, gradients = (a.reshape(-1, a.shape[-1]) for a in (x, gradient))
    # Not `rows.T @ gradients`: of this order XLA:CPU makes a faster product.
    return jnp.dot(gradient, kernel.T), jnp.dot(gradients.T, rows).T


dot.defvjp(lambda x, kernel: (dot(x, kernel), (x, kernel)), _dot_backward)
plain_dot.defvjp(lambda x, kernel: (plain_dot(x, kernel), (x, kernel)), _dot_backward)


def dot_general(x: jax.Array, kernel: jax.Array, dimensions, precision=None) -> jax.Array:
    """`dot` with the signature that `flax.linen.Dense(dot_general=...)` expects."""
    del dimensions, precision
    return dot(x, kernel)


def plain_dot_general(x: jax.Array, kernel: jax.Array, dimensions, precision=None) -> jax.Array:
    """`plain_dot` likewise."""
    del dimensions, precision
    return plain_dot(x, kernel)


@jax.custom_jvp
def sigmoid(x: jax.Array) -> jax.Array:
    """`1 / (1 + exp(-x))` with a derivative that stays precise where the result is nearly 1.

    In the usual derivative `y (1 - y)` the rounding error of y, 6e-8 in float32, becomes an error
    of 1 - y: at y = 0.9999 that is 6e-4 of it. Here 1 - y is computed as `sigmoid(-x)`.
    """
    return jax.nn.sigmoid(x)


@sigmoid.defjvp
def _sigmoid_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    y = sigmoid(x)
    return y, dx * y * jax.nn.sigmoid(-x)
