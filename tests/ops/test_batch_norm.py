import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vadjax.ops.batch_norm import batch_norm_relu, batch_norm_relu_pool

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


def plain_pool(x, scale, bias):
    mean, var = x.mean((0, 1, 2, 3)), x.var((0, 1, 2, 3))
    y = jax.nn.relu((x - mean) / jnp.sqrt(var + EPSILON) * scale + bias)
    window = (1, 1, 2, 2, 1)
    return jax.lax.reduce_window(y, -jnp.inf, jax.lax.max, window, window, "VALID"), mean, var


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-11), ("float32", 5e-5)])
@pytest.mark.parametrize("shape", [(2, 3, 4, 6, 5), (1, 1, 2, 2, 16)])
def test_pooled_values_and_gradients_equal_those_of_the_formula(shape, dtype, tolerance):
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        x = jnp.asarray(3 * rng.standard_normal(shape) + 1)
        scale, bias = (jnp.asarray(rng.standard_normal(shape[-1])) for _ in range(2))
        weights = jnp.asarray(rng.standard_normal(plain_pool(x, scale, bias)[0].shape))
        plainly = jax.grad(lambda *a: (plain_pool(*a)[0] * weights).sum(), (0, 1, 2))
        exact = (*plain_pool(x, scale, bias), *plainly(x, scale, bias))
        x, scale, bias, weights = (v.astype(dtype) for v in (x, scale, bias, weights))
        found = batch_norm_relu_pool(x, scale, bias, EPSILON)
        loss = lambda *a: (batch_norm_relu_pool(*a, EPSILON)[0] * weights).sum()  # noqa: E731
        gradients = jax.jit(jax.grad(loss, (0, 1, 2)))(x, scale, bias)
        for ours, theirs in zip((*found, *gradients), exact, strict=True):
            assert ours.dtype == dtype and ours.shape == theirs.shape
            assert np.abs(ours - theirs).max() <= tolerance * np.abs(theirs).max()


def test_pooled_statistics_have_no_gradient_and_equal_values_give_it_to_the_first():
    x = jnp.asarray([1.0, 5.0, 5.0, 1.0]).reshape(1, 1, 2, 2, 1)
    one = jnp.ones(1)
    of_mean = jax.grad(lambda x: batch_norm_relu_pool(x, one, one, EPSILON)[1].sum())(x)
    np.testing.assert_array_equal(of_mean, 0)
    # g = (0, 1, 0, 0) with mean 1/4 and mean(g n) = 1/4, n = (-1, 1, 1, -1); root = 2
    gx = jax.grad(lambda x: batch_norm_relu_pool(x, one, one, EPSILON)[0].sum())(x)
    np.testing.assert_allclose(gx.ravel(), [0, 0.25, -0.25, 0], atol=1e-5)


def test_pooled_in_bfloat16_with_statistics_in_float32():
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 2, 4, 4, 8)), jnp.bfloat16)
    one = jnp.ones(8)
    (y, mean, var), back = jax.vjp(lambda x: batch_norm_relu_pool(x, one, one, EPSILON), x)
    (gx,) = back((jnp.ones_like(y), jnp.zeros_like(mean), jnp.zeros_like(var)))
    assert (y.dtype, mean.dtype, var.dtype, gx.dtype) == ("bfloat16", *["float32"] * 2, "bfloat16")
    exact = plain_pool(x.astype("float32"), one, one)
    np.testing.assert_allclose(y.astype("float32"), exact[0], rtol=0.01, atol=0.01)
