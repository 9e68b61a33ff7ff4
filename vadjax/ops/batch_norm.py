"""Batch norm and ReLU of training steps with gradients of their own: few passes over memory.

JAX's gradient of the formula keeps several arrays of the size of the input, and goes over them once
for each term. That of `batch_norm_relu` keeps the centred input and the output.
`batch_norm_relu_pool` has a pooling in it too, and keeps nothing else of the size of its input.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from vadjax.ops import forms
from vadjax.ops.pool import largest_of_windows, put_at, values_at

AXES = (0, 2, 3)  # of values [B, G, H, W, C] that share their statistics
WINDOW = (1, 2, 2)  # of the pooling, in frames, rows and columns


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


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def batch_norm_relu_pool(
    x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Batch norm over all but the channels, ReLU, and the maximum of 2 × 2 pixels.

    Args:
      x: [B, T, H, W, C] with even H and W.
      scale: [C].
      bias: [C].
      epsilon: added to the variance, which is the biased one, `mean(x²) - mean(x)²`.

    Returns:
      [B, T, H / 2, W / 2, C] in the type of x; mean and variance [C], which carry no gradient.
    """
    return _pool_forward(x, scale, bias, epsilon)[0]


def _pool_forward(x, scale, bias, epsilon):
    values, axes = x.astype(jnp.promote_types(x.dtype, scale.dtype)), tuple(range(x.ndim - 1))
    mean = values.mean(axes)
    var = jnp.square(values).mean(axes) - jnp.square(mean)
    var = jnp.where(var > 0, var, 0)
    normed = (values - mean) * (jax.lax.rsqrt(var + epsilon) * scale) + bias
    # ReLU keeps the order of values, so that it may follow the pooling
    largest, place = largest_of_windows(normed, WINDOW)
    y = jax.nn.relu(largest).astype(x.dtype)
    return (y, *jax.lax.stop_gradient((mean, var))), (x, scale, mean, var, y, place)


def _pool_backward(epsilon, residuals, cotangents):
    # As `_backward`; g is 0 but for one place of each window, so that sums over windows will do.
    x, scale, mean, var, y, place = residuals
    values = x.astype(jnp.promote_types(x.dtype, scale.dtype))
    g = jnp.where(y > 0, cotangents[0], 0).astype(values.dtype)
    inverse, axes = jax.lax.rsqrt(var + epsilon), tuple(range(x.ndim - 1))
    of_bias = g.sum(axes)
    # An array of its own: XLA adds one up on all cores, but not what it computes on the way
    products = jax.lax.optimization_barrier(g * (values_at(values, place, WINDOW) - mean))
    of_scale = products.sum(axes) * inverse
    count = x.size // mean.size
    slope = inverse * of_scale / count
    gx = (scale * inverse) * (put_at(g, place, WINDOW) - of_bias / count - (values - mean) * slope)
    return gx.astype(x.dtype), of_scale, of_bias


batch_norm_relu_pool.defvjp(_pool_forward, _pool_backward)
