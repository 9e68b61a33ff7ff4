"""Minimal filtering in machine code, against sums in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vadjax.ops.cpu import filtered, machine, tiled

PADS = ((1, 1), (1, 1))
FORMS = {"rows": filtered.conv, "tiles": tiled.conv}
CASES = {  # x, channels of the result
    "least": ((1, 4, 4, 16), 16),
    "one row": ((1, 1, 9, 16), 32),
    "one place": ((2, 1, 1, 32), 32),
    "odd height": ((2, 13, 8, 32), 32),
    "odd width": ((1, 8, 21, 32), 64),
    "rows that are no multiple of four": ((3, 10, 15, 48), 32),
    "half a block of channels at the end": ((1, 8, 16, 32), 48),
    "less than a block": ((2, 7, 17, 64), 16),
    "tiles of two widths": ((1, 4, 31, 16), 80),
    "more terms than a sum in registers takes": ((1, 6, 10, 528), 32),
    "places that would share a cache set": ((1, 5, 7, 512), 48),
    "a wide row": ((1, 5, 131, 64), 64),
    "many strips": ((5, 36, 20, 96), 32),
}

pytestmark = pytest.mark.skipif(not machine.usable(), reason="no machine code here")


def exact(x, w):
    """Convolution in float64: every tap of the kernel by itself."""
    x, w = np.float64(x), np.float64(w)
    padded = np.pad(x, ((0, 0), *PADS, (0, 0)))
    height, width = x.shape[1:3]
    return sum(padded[:, i : i + height, j : j + width] @ w[i, j] for i, j in np.ndindex(3, 3))


def draw(shape, features):
    rng = np.random.default_rng(7)
    x, w = rng.standard_normal(shape), rng.standard_normal((3, 3, shape[-1], features))
    return jnp.asarray(x, jnp.float32), jnp.asarray(w / np.sqrt(9 * shape[-1]), jnp.float32)


@pytest.mark.parametrize("turned", [False, True], ids=["forward", "gradient"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", CASES)
def test_sums_are_those_of_float64(case, form, turned):
    x, w = draw(*CASES[case])
    assert filtered.saves(x, w, (1, 1), PADS)
    if turned:
        w = w[::-1, ::-1].swapaxes(2, 3)
        expected = exact(x, w[::-1, ::-1].swapaxes(2, 3))
    else:
        expected = exact(x, w)
    y = jax.jit(functools.partial(FORMS[form], turned=turned))(x, w)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5 * abs(expected).max())


@pytest.mark.parametrize("form", FORMS)
def test_every_tap_is_where_it_belongs(form):
    """One place of ones: no rounding hides a wrong place of the border."""
    x = np.zeros((1, 9, 12, 16), np.float32)
    w = np.float32(np.random.default_rng(1).integers(-3, 4, (3, 3, 16, 16))) * 24
    for row, column in ((0, 0), (0, 11), (8, 0), (8, 11), (4, 5)):
        x[:] = 0
        x[0, row, column] = 1
        np.testing.assert_allclose(FORMS[form](x, w), exact(x, w), atol=2e-3)


@pytest.mark.parametrize(
    "channels, features, strides, padding, dtype",
    [
        (24, 32, (1, 1), PADS, "float32"),
        (32, 24, (1, 1), PADS, "float32"),
        (8, 16, (1, 1), PADS, "float32"),
        (32, 32, (2, 2), PADS, "float32"),
        (32, 32, (1, 1), ((0, 0), (1, 1)), "float32"),
        (32, 32, (1, 1), PADS, "bfloat16"),
    ],
)
def test_what_it_does_not_do(channels, features, strides, padding, dtype):
    x, w = jnp.zeros((1, 8, 8, channels), dtype), jnp.zeros((3, 3, channels, features), dtype)
    assert not filtered.saves(x, w, strides, padding)
