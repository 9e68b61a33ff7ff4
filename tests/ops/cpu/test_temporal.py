import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vadjax.ops.cpu import temporal
from vadjax.ops.temporal import by_taps


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("dilation", [1, 2, 4])
@pytest.mark.parametrize("length", [9, 3])  # 3: fewer snippets than the taps of dilation 4 span
def test_taps_in_turn_are_all_taps_at_once(rng, dilation, length):
    x, kernel, towards = (
        jnp.asarray(rng.standard_normal(shape), jnp.float32)
        for shape in ((2, length, 5), (3, 5, 7), (2, length, 7))
    )
    found = temporal.in_turn(x, kernel, dilation)
    expected, pull = jax.vjp(lambda x, w: by_taps(x, w, dilation), x, kernel)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    gradients = temporal.in_turn_gradients(x, kernel, towards, dilation)
    for ours, plain in zip(gradients, pull(towards), strict=True):
        np.testing.assert_allclose(ours, plain, atol=1e-5)


@pytest.mark.parametrize("dilation", [1, 2, 4])
def test_pairs_of_snippets_give_the_convolution(dilation):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2, 16, 8)).astype(np.float32)
    kernel = rng.normal(size=(3, 8, 5)).astype(np.float32)
    expected = by_taps(x, kernel, dilation)
    np.testing.assert_allclose(temporal.by_pairs(x, kernel, dilation), expected, atol=1e-5)


def test_what_pairs_can_do():
    kernel, x = np.zeros((3, 4, 5)), np.zeros((1, 16, 4))
    assert temporal.makes_pairs(x, kernel, 4)
    assert not temporal.makes_pairs(x[:, :12], kernel, 4)
    assert not temporal.makes_pairs(x, np.zeros((5, 4, 5)), 1)
