"""Batch norm and ReLU of a training step with a gradient of its own: few passes over memory.

JAX's gradient of the formula keeps several arrays of the size of the input, and goes over them once
for each term. This one keeps the input and the output.
"""

import functools

import jax
import jax.numpy as jnp

AXES = (0, 2, 3)  # of values [B, G, H, W, C] that share their statistics


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def batch_norm_relu(
    x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Normalises by the statistics of the batch, scales, shifts, and cuts at zero.

    `y = max((x - mean) / sqrt(var + epsilon) * scale + bias, 0)` with the biased variance.

    Args:
      x: [B, G, H, W, C]; each of the G groups has its own statistics.
      scale: [C].
      bias: [C].
      epsilon: added to the variance.

    Returns:
      y of the shape of x; mean and variance [1, G, 1, 1, C], which carry no gradient.
    """
    mean = x.mean(AXES, keepdims=True)
    var = jnp.square(x - mean).mean(AXES, keepdims=True)
    y = (x - mean) * (scale / jnp.sqrt(var + epsilon)) + bias
    mean, var = jax.lax.stop_gradient((mean, var))
    return jax.nn.relu(y), mean, var


def _forward(x, scale, bias, epsilon):
    y, mean, var = batch_norm_relu(x, scale, bias, epsilon)
    return (y, mean, var), (x, scale, mean, var, y)


def _backward(epsilon, residuals, cotangents):
    # With n = (x - mean) / root, gx = scale / root (g - mean(g) - n mean(g n)).
    x, scale, mean, var, y = residuals
    g = jnp.where(y > 0, cotangents[0], 0)
    inverse = 1 / jnp.sqrt(var + epsilon)
    of_bias = g.sum(AXES, keepdims=True)
    of_scale = (g * (x - mean)).sum(AXES, keepdims=True) * inverse
    count = x.size // mean.size
    slope = inverse * of_scale / count
    gx = (scale * inverse) * (g - of_bias / count - (x - mean) * slope)
    return gx, of_scale.sum((0, 1, 2, 3)), of_bias.sum((0, 1, 2, 3))


batch_norm_relu.defvjp(_forward, _backward)
