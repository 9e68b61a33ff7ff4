"""Convolutions over one long row, and the maximum that halves a map: beside the plain forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vadjax.ops import plain
from vadjax.ops.cpu import rows
from vadjax.ops.pool import max_pool3d, max_pool_inference


@pytest.mark.parametrize("shape", [(1, 12, 7, 32), (2, 13, 5, 33), (3, 1, 1, 4)])
def test_convolution_over_a_long_row(shape):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape, np.float32)
    w = rng.standard_normal((3, 3, shape[-1], 40), np.float32)
    wanted = plain.conv(x, w, (1, 1), ((1, 1), (1, 1)))
    found = jax.jit(rows.conv)(x, w)
    np.testing.assert_allclose(found, wanted, atol=2e-5 * abs(wanted).max(), rtol=0)


@pytest.mark.parametrize("shape", [(1, 8, 12, 5), (2, 2, 2, 1)])
def test_maximum_is_bitwise_that_of_the_plain_form(shape):
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    padding = ((0, 0), (1, 1), (1, 1))
    wanted = max_pool3d(jnp.asarray(x)[:, None], (1, 3, 3), (1, 2, 2), padding)[:, 0]
    np.testing.assert_array_equal(max_pool_inference(jnp.asarray(x)), wanted)
    np.testing.assert_array_equal(jax.jit(rows.max_pool)(x), wanted)
