"""Convolution over time of rows of features, with zeros around ("same").

Shapes: R rows, T snippets, C channels in, F channels out. `dilation` is the number of snippets from
one tap of the kernel to the next.
"""

import functools

import jax
from jax import lax

from vadjax.ops import plain
from vadjax.ops.cpu import temporal as on_cpu


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def conv(x: jax.Array, kernel: jax.Array, dilation: int) -> jax.Array:
    """Convolution [R, T, F] of x [R, T, C] with a kernel [taps, C, F], an odd number of taps."""
    default = functools.partial(by_taps, dilation=dilation)
    cpu = functools.partial(on_cpu.in_turn, dilation=dilation)
    return lax.platform_dependent(x, kernel, cpu=cpu, default=default)


def _conv_forward(x, kernel, dilation):
    return conv(x, kernel, dilation), (x, kernel)


def _conv_backward(dilation, residuals, gy):
    def default(x, kernel, gy):
        return jax.vjp(functools.partial(by_taps, dilation=dilation), x, kernel)[1](gy)

    cpu = functools.partial(on_cpu.in_turn_gradients, dilation=dilation)
    return lax.platform_dependent(*residuals, gy, cpu=cpu, default=default)


conv.defvjp(_conv_forward, _conv_backward)


def conv_inference(x: jax.Array, kernel: jax.Array, dilation: int) -> jax.Array:
    """As `conv`, without thought of a gradient: faster on CPU."""
    default = functools.partial(by_taps, dilation=dilation)
    if not on_cpu.makes_pairs(x, kernel, dilation):
        return default(x, kernel)
    cpu = functools.partial(on_cpu.by_pairs, dilation=dilation)
    return lax.platform_dependent(x, kernel, cpu=cpu, default=default)


def by_taps(x: jax.Array, kernel: jax.Array, dilation: int) -> jax.Array:
    """`conv` as one product for each tap; x may be anything [R, T, C] that knows `x @ tap`.

    The products are moved in time, not x: the gradient then needs no moved copies of x.
    """
    offsets = [dilation * (tap - len(kernel) // 2) for tap in range(len(kernel))]
    taps = [(o, tap) for o, tap in zip(offsets, kernel, strict=True) if abs(o) < x.shape[1]]
    return sum(plain.earlier(x @ tap, offset) for offset, tap in taps)
