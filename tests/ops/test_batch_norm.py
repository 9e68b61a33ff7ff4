import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vadjax.ops.batch_norm import batch_norm_relu

EPSILON = 1e-5


def plain(x, scale, bias):
    mean = x.mean((0, 2, 3), keepdims=True)
    var = jnp.square(x - mean).mean((0, 2, 3), keepdims=True)
    return jax.nn.relu((x - mean) / jnp.sqrt(var + EPSILON) * scale + bias), mean, var


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-5)])
@pytest.mark.parametrize("shape", [(2, 3, 4, 5, 6), (1, 1, 8, 8, 16)])
def test_values_and_gradients_equal_those_of_the_formula(shape, dtype, tolerance):
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        x = jnp.asarray(3 * rng.standard_normal(shape) + 5)
        scale, bias = (jnp.asarray(rng.standard_normal(shape[-1])) for _ in range(2))
        weights = jnp.asarray(rng.standard_normal(shape))
        plainly = jax.grad(lambda *a: (plain(*a)[0] * weights).sum(), (0, 1, 2))(x, scale, bias)
        values = plain(x, scale, bias)
        x, scale, bias, weights = (v.astype(dtype) for v in (x, scale, bias, weights))
        found = batch_norm_relu(x, scale, bias, EPSILON)
        loss = lambda *a: (batch_norm_relu(*a, EPSILON)[0] * weights).sum()  # noqa: E731
        gradients = jax.jit(jax.grad(loss, (0, 1, 2)))(x, scale, bias)
        for ours, exact in zip((*found, *gradients), (*values, *plainly), strict=True):
            assert ours.dtype == dtype
            assert np.abs(ours - exact).max() <= tolerance * np.abs(exact).max()


def test_groups_have_their_own_statistics_and_these_no_gradient():
    x = jnp.stack([jnp.ones((2, 3, 3, 4)), jnp.arange(72.0).reshape(2, 3, 3, 4)], 1)
    y, mean, var = batch_norm_relu(x, jnp.ones(4), jnp.full(4, 0.5), EPSILON)
    assert mean.shape == var.shape == (1, 2, 1, 1, 4)
    np.testing.assert_array_equal(y[:, 0], 0.5)  # a group without spread is only shifted
    of_mean = jax.grad(lambda x: batch_norm_relu(x, jnp.ones(4), jnp.ones(4), EPSILON)[1].sum())(x)
    np.testing.assert_array_equal(of_mean, 0)
