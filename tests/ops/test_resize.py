"""Maps made twice and half as large, beside the same by torch's definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vadjax.ops.resize import add_half_inference, add_twice_inference


def drawn(*shapes):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape, np.float32) for shape in shapes]


def twice(x):
    """Rows, then columns: three quarters of the nearest and one of the next, edges held."""
    for axis in (1, 2):
        padded = np.concatenate(
            [x.take([0], axis), x, x.take([x.shape[axis] - 1], axis)], axis, dtype=np.float64
        )
        before, after = (padded.take(range(k, k + x.shape[axis]), axis) for k in (0, 2))
        x = np.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis + 1)
        shape = list(x.shape)
        shape[axis : axis + 2] = [-1]
        x = x.reshape(shape)
    return x


@pytest.mark.parametrize("shape", [(2, 5, 7, 32), (1, 1, 1, 16), (1, 4, 3, 5)])
def test_a_map_is_made_twice_as_large_and_added(shape):
    batch, height, width, channels = shape
    y, x = drawn((batch, 2 * height, 2 * width, channels), shape)
    found = jax.jit(add_twice_inference)(y, x)
    np.testing.assert_allclose(found, y + twice(x), rtol=0, atol=2e-6)


@pytest.mark.parametrize("shape", [(2, 5, 7, 32), (1, 1, 1, 16), (1, 4, 3, 5)])
def test_a_map_is_made_half_as_large_and_added(shape):
    batch, height, width, channels = shape
    y, x = drawn(shape, (batch, 2 * height, 2 * width, channels))
    found = jax.jit(add_half_inference)(y, jnp.asarray(x))
    mean = x.reshape(batch, height, 2, width, 2, channels).mean((2, 4), np.float64)
    np.testing.assert_allclose(found, y + mean, rtol=0, atol=2e-6)
