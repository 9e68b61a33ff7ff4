import jax
import numpy as np
import pytest

from vadjax.ops import dropout, forms


def test_masks_keep_their_share_in_every_snippet_and_channel():
    mask = dropout.kept_in_time(jax.random.key(0), (300, 4, 31), 0.7)
    assert mask.shape == (300, 4, 31) and mask.dtype == bool
    np.testing.assert_allclose(mask.mean((0, 2)), 0.3, atol=0.02)
    np.testing.assert_allclose(mask.mean((0, 1)), 0.3, atol=0.06)  # both halves of a draw
    agree = (mask[:, 0] == mask[:, 1]).mean()
    assert float(agree) == pytest.approx(0.3**2 + 0.7**2, abs=0.02)


def test_each_snippet_has_a_key_of_its_own():
    key = jax.random.key(3)
    mask = dropout.kept_in_time(key, (5, 4, 7), 0.4)
    for snippet, own in enumerate(jax.random.split(key, 4)):
        np.testing.assert_array_equal(mask[:, snippet], dropout.kept(own, (5, 7), 0.4))


def test_factors_keep_the_mean():
    key = jax.random.key(0)
    factors = dropout.scaled(key, (1000, 64), 0.6)
    assert factors.dtype == np.float32
    np.testing.assert_allclose(np.unique(factors), [0, 2.5], rtol=1e-4)
    np.testing.assert_array_equal(factors > 0, dropout.kept(key, (1000, 64), 0.6))
    assert float(factors.mean()) == pytest.approx(1, abs=0.02)


def test_the_form_for_accelerators_draws_the_same(monkeypatch):
    key, size, seen = jax.random.key(5), (5, 4, 7), []
    found = dropout.kept_in_time(key, size, 0.4)

    def on_an_accelerator(operation, *given, special, plain):
        seen.append(operation)
        return plain(*given)

    monkeypatch.setattr(forms, "by_device", on_an_accelerator)
    np.testing.assert_array_equal(dropout.kept_in_time(key, size, 0.4), found)
    assert seen == ["dropout_in_time"] and forms.platforms("dropout_in_time") == ["cpu"]
