"""Batch norm and ReLU of a training step with a gradient of its own: few passes over memory.

JAX's gradient of the formula keeps several arrays of the size of the input, and goes over them once
for each term. This one keeps the centred input and the output.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from vadjax.ops import forms

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
    return _forward(x, scale, bias, epsilon)[0]


def _forward(x, scale, bias, epsilon):
    mean = x.mean(AXES, keepdims=True)
    centred = forms.by_device("centre", x, mean, special=_centre_once, plain=jnp.subtract)
    var = jnp.square(centred).mean(AXES, keepdims=True)
    y = jax.nn.relu(centred * (scale / jnp.sqrt(var + epsilon)) + bias)
    return (y, *lax.stop_gradient((mean, var))), (centred, scale, var, y)


def _centre_once(x, mean):
    """`x - mean`; XLA would subtract again in each use, and keep x for it."""
    return lax.optimization_barrier(x - mean)


def _backward(epsilon, residuals, cotangents):
    # With n = centred / root, gx = scale / root (g - mean(g) - n mean(g n)).
    centred, scale, var, y = residuals
    g = jnp.where(y > 0, cotangents[0], 0)
    inverse = 1 / jnp.sqrt(var + epsilon)
    of_bias = g.sum(AXES, keepdims=True)
    of_scale = (g * centred).sum(AXES, keepdims=True) * inverse
    count = centred.size // var.size
    slope = inverse * of_scale / count
    gx = (scale * inverse) * (g - of_bias / count - centred * slope)
    return gx, of_scale.sum((0, 1, 2, 3)), of_bias.sum((0, 1, 2, 3))


batch_norm_relu.defvjp(_forward, _backward)
