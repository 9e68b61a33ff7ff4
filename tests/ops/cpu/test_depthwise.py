import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vadjax.ops.cpu.depthwise import _plain, depthwise


@pytest.mark.parametrize(
    ("size", "stride", "padding"),
    [((3, 3), 1, "SAME"), ((5, 5), 2, "SAME"), ((3, 3), 2, "VALID"), ((3, 1), 2, ((1, 2), (0, 1)))],
)
def test_equals_the_grouped_convolution(size, stride, padding):
    rng = np.random.default_rng(0)
    x = jnp.array(rng.standard_normal((2, 9, 8, 6)), jnp.float32)
    w = jnp.array(rng.standard_normal((*size, 1, 6)), jnp.float32)
    strides = (stride, stride)

    def ours(x, w):
        return depthwise(x, w, strides, padding, feature_group_count=6)

    plain = functools.partial(_plain, strides=strides, padding=padding)

    @jax.jit
    def both(x, w):
        results = []
        for form in (ours, plain):
            y, back = jax.vjp(form, x, w)
            results.append((y, *back(jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))))
        return results

    for found, expected in zip(*both(x, w), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_refuses_what_it_does_not_do():
    x, w = jnp.zeros((1, 4, 4, 6)), jnp.zeros((3, 3, 1, 6))
    with pytest.raises(ValueError, match="3 groups"):
        depthwise(x, w, (1, 1), "SAME", feature_group_count=3)
    with pytest.raises(ValueError, match="no dilation"):
        depthwise(x, w, (1, 1), "SAME", rhs_dilation=(2, 2), feature_group_count=6)
