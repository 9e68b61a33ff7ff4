"""Convolution over time of rows of features, with zeros around ("same").

Shapes: R rows, T snippets, C channels in, F channels out. `dilation` is the number of snippets from
one tap of the kernel to the next.
"""

import functools

import jax

from vadjax.ops import forms, plain
from vadjax.ops.cpu import temporal as on_cpu


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def conv(x: jax.Array, kernel: jax.Array, dilation: int) -> jax.Array:
    """Convolution [R, T, F] of x [R, T, C] with a kernel [taps, C, F], an odd number of taps."""
    default = functools.partial(by_taps, dilation=dilation)
    special = functools.partial(on_cpu.in_turn, dilation=dilation)
    return forms.by_device("temporal", x, kernel, special=special, plain=default)


def _conv_forward(x, kernel, dilation):
    return conv(x, kernel, dilation), (x, kernel)


def _conv_backward(dilation, residuals, gy):
    def default(x, kernel, gy):
        return jax.vjp(functools.partial(by_taps, dilation=dilation), x, kernel)[1](gy)

    special = functools.partial(on_cpu.in_turn_gradients, dilation=dilation)
    return forms.by_device("temporal_gradient", *residuals, gy, special=special, plain=default)


conv.defvjp(_conv_forward, _conv_backward)


def conv_inference(x: jax.Array, kernel: jax.Array, dilation: int) -> jax.Array:
    """As `conv`, but faster on CPU; not meant to be differentiated."""
    default = functools.partial(by_taps, dilation=dilation)
    if not on_cpu.makes_pairs(x, kernel, dilation):
        return default(x, kernel)
    special = functools.partial(on_cpu.by_pairs, dilation=dilation)
    return forms.by_device("temporal_inference", x, kernel, special=special, plain=default)


def by_taps(x: jax.Array, kernel: jax.Array, dilation: int) -> jax.Array:
    """`conv` as one product for each tap: `y_t = Σ_k x_(t + o_k) w_k` with the offsets o_k.

    The products are shifted in time instead of x, so that the gradient needs no shifted copies of
    x. x may be any object of shape [R, T, C] that supports `x @ tap`.
    """
    offsets = [dilation * (tap - len(kernel) // 2) for tap in range(len(kernel))]
    # Taps that lie wholly in the padding are left out.
    taps = [
        (offset, tap)
        for offset, tap in zip(offsets, kernel, strict=True)
        if abs(offset) < x.shape[1]
    ]
    return sum(plain.earlier(x @ tap, offset) for offset, tap in taps)
