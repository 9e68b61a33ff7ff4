"""Reference forms of a training step: plain `lax` operations, JAX's own gradients, no options.

Within `plain_forms()` everything that is traced takes the form that other devices than the CPU get,
without custom gradients. A convolution in float64, which XLA:CPU does far too slowly, is written
as patches times a matrix, by this module alone.
"""

import contextlib
import inspect
import math
from collections.abc import Iterator
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from vadjax.ops import forms

_CONVOLUTION = lax.conv_general_dilated


@contextlib.contextmanager
def plain_forms() -> Iterator[None]:
    """What is traced within has no form for CPU and no custom gradient."""
    jax.clear_caches()  # nothing that was traced before is taken
    replaced = (
        mock.patch.object(forms, "by_device", _plain_form),
        mock.patch.object(
            jax.custom_vjp, "__call__", lambda self, *arguments: self.fun(*arguments)
        ),
        mock.patch.object(lax, "conv_general_dilated", _convolution),
    )
    with contextlib.ExitStack() as stack:
        for patch in replaced:
            stack.enter_context(patch)
        yield
    jax.clear_caches()


def _plain_form(operation, *arguments, special, plain, options=None):
    del operation, special
    return plain(*arguments, **options or {})


def _convolution(*arguments, **options):
    """As `lax.conv_general_dilated`; of float64 by patches, channels last."""
    call = inspect.signature(_CONVOLUTION).bind(*arguments, **options)
    call.apply_defaults()
    # Only float64 is written out, for the forms that the networks have
    x, w, window_strides, padding, lhs_dilation, rhs_dilation, _, groups, batches = call.args[:9]
    if x.dtype != jnp.float64:
        return _CONVOLUTION(*arguments, **options)
    if any(d != 1 for d in rhs_dilation or ()) or batches != 1:
        raise NotImplementedError("no reference form of this convolution in float64")
    # Padding around, and zeros between the inputs of a transposed convolution
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(x.shape[1:-1], w.shape[:-2], window_strides, padding)
    inner = [d - 1 for d in lhs_dilation or (1,) * len(window_strides)]
    pads = [(*map(int, pair), d) for pair, d in zip(padding, inner, strict=True)]
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *pads, (0, 0, 0)])
    parts = zip(jnp.split(x, groups, -1), jnp.split(w, groups, -1), strict=True)
    return jnp.concatenate([_by_patches(*part, window_strides) for part in parts], -1)


def _by_patches(x, w, strides):
    """Valid convolution of x [B, *sides, C] with w [*size, C, F]."""
    size = w.shape[:-2]
    last = [(n - k) // s * s + 1 for n, k, s in zip(x.shape[1:-1], size, strides, strict=True)]
    # One strided slice of the input for each place in the kernel
    patches = []
    for offset in np.ndindex(*size):
        stop = [first + n for first, n in zip(offset, last, strict=True)]
        first, stop = (0, *offset, 0), (x.shape[0], *stop, x.shape[-1])
        patches.append(lax.slice(x, first, stop, (1, *strides, 1)))
    rows = jnp.concatenate(patches, -1)
    return rows @ w.reshape(math.prod(size) * w.shape[-2], w.shape[-1])
