import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vadjax.ops import channels, forms


def draw(*widths, dtype="float32"):
    rng = np.random.default_rng(0)
    return tuple(jnp.asarray(rng.standard_normal((2, 3, 4, c)), dtype) for c in widths)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("widths", [(5,), (3, 1), (2, 4, 7)])
def test_the_same_as_a_concatenation_to_the_bit(widths, dtype):
    parts = draw(*widths, dtype=dtype)
    found = jax.jit(channels.join)(parts)
    assert found.dtype == parts[0].dtype
    np.testing.assert_array_equal(found, jnp.concatenate(parts, -1))


def test_nan_stays_in_its_channel():
    first, second = draw(2, 3)
    second = second.at[0, 0, 0, 1].set(np.nan)
    np.testing.assert_array_equal(
        channels.join((first, second)), np.concatenate([first, second], -1)
    )


def test_every_part_has_its_own_gradient():
    parts, weights = draw(2, 4, 7), draw(13)[0]
    found = jax.grad(lambda parts: (channels.join(parts) * weights).sum())(parts)
    for own, expected in zip(found, jnp.split(weights, [2, 6], -1), strict=True):
        np.testing.assert_array_equal(own, expected)


def test_on_a_gpu_it_is_a_concatenation():
    assert forms.table()["join"]["cpu"] == "special" and forms.table()["join"]["cuda"] == "plain"
    lowered = jax.jit(channels.join).trace(draw(2, 3)).lower(lowering_platforms=("cuda",))
    assert "concatenate" in lowered.as_text() and "stablehlo.pad" not in lowered.as_text()
    here = jax.jit(channels.join).trace(draw(2, 3)).lower(lowering_platforms=("cpu",))
    assert "stablehlo.pad" in here.as_text()
