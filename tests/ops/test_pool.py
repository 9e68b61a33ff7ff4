import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vadjax.ops.pool import _plain, max_pool3d

CASES = [  # those of the I3D networks, and odd ones
    ((3, 3, 3), (1, 1, 1), "SAME"),
    ((3, 3, 3), (2, 2, 2), "SAME"),
    ((2, 2, 2), (2, 2, 2), "SAME"),
    ((1, 3, 3), (1, 2, 2), "SAME"),
    ((2, 3, 3), (2, 2, 2), "VALID"),
    ((2, 1, 1), (2, 1, 1), "VALID"),
    ((3, 2, 5), (1, 3, 2), ((1, 0), (0, 1), (2, 2))),
]


@pytest.mark.parametrize(("window", "strides", "padding"), CASES)
@pytest.mark.parametrize("size", [(4, 6, 8), (5, 7, 9)])
def test_equals_reduce_window(window, strides, padding, size):
    values = np.random.default_rng(0).standard_normal((2, *size, 5)).astype(np.float32)
    pads = padding
    if isinstance(padding, str):
        pads = tuple(jax.lax.padtype_to_pads(size, window, strides, padding))

    @jax.jit
    def both(x):
        results = []
        for form, pad in ((max_pool3d, padding), (_plain, pads)):
            y, back = jax.vjp(
                functools.partial(form, strides=strides, window=window, padding=pad), x
            )
            results.append((y, *back(jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))))
        return results

    for x in (values, np.maximum(np.round(values), 0)):  # without and with equal values
        for found, expected in zip(*both(x), strict=True):
            np.testing.assert_allclose(found, expected, atol=2e-6)


def test_accelerators_get_the_plain_form():
    x = jax.ShapeDtypeStruct((1, 4, 8, 8, 3), jnp.float32)
    pool = jax.jit(functools.partial(max_pool3d, window=(3, 3, 3), strides=(1, 1, 1)))
    for platform, plain in (("cuda", True), ("tpu", True), ("cpu", False)):
        module = jax.export.export(pool, platforms=[platform])(x).mlir_module()
        assert ("reduce_window" in module) == plain
