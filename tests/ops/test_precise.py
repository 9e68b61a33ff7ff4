import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vadjax.ops.precise import dot, dot_general, plain_dot, plain_dot_general, sigmoid


@pytest.mark.parametrize("product", [dot, plain_dot])
def test_gradients_of_sums_of_many_products(product):
    rng = np.random.default_rng(1)
    x, kernel, g = (rng.standard_normal(s) for s in ((3, 5, 700), (700, 6), (3, 5, 6)))
    with jax.enable_x64(True):
        expected = jax.vjp(jnp.dot, x, kernel)[1](g)
    single = [np.float32(a) for a in (x, kernel, g)]
    found = jax.vjp(product, *single[:2])[1](single[2])
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-4)


def test_derivative_of_the_score_near_1():
    x = np.linspace(-16, 16, 65, dtype=np.float32)
    y = 1 / (1 + np.exp(-x.astype(np.float64)))
    slope = jax.vmap(jax.grad(sigmoid))(x)
    np.testing.assert_allclose(slope, y / (1 + np.exp(x.astype(np.float64))), rtol=1e-6)
    np.testing.assert_allclose(sigmoid(x), y, rtol=1e-6)


def test_other_types_take_one_product():
    x, kernel = np.ones((3, 1000)), np.ones((1000, 2))
    for dtype in (jnp.bfloat16, jnp.float32):
        text = str(jax.make_jaxpr(lambda x, w: dot_general(x, w, None))(dtype(x), dtype(kernel)))
        assert text.count("dot_general[") == (2 if dtype == jnp.float32 else 1)


def test_a_plain_product_is_one_product():
    x, kernel = np.ones((3, 1000), np.float32), np.ones((1000, 2), np.float32)
    text = str(jax.make_jaxpr(lambda x, w: plain_dot_general(x, w, None))(x, kernel))
    assert text.count("dot_general[") == 1
