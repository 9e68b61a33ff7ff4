import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vadjax.ops import plain
from vadjax.ops.conv import conv
from vadjax.ops.cpu import narrow

SAME = (1, 1, 1), ((1, 1),) * 3
CASES = {  # height, width, channels, features
    "pixels joined": (4, 6, 3, 16),
    "odd width": (5, 7, 3, 4),
    "more features": (4, 4, 16, 32),
    "more channels": (3, 5, 32, 16),
    "one pixel": (1, 1, 6, 7),
}


@pytest.mark.parametrize("lengths", [(3, 2, 1), (1,), (4,), (1, 1)])
@pytest.mark.parametrize("case", CASES)
def test_the_same_as_the_plain_form(case, lengths):
    *size, channels, features = CASES[case]
    rng = np.random.default_rng(0)
    draw = lambda *shape: jnp.asarray(rng.standard_normal(shape), jnp.float32)  # noqa: E731
    x, w = draw(3, sum(lengths), *size, channels), draw(3, 3, 3, channels, features)
    y, back = jax.vjp(lambda x, w: plain.conv_joined(x, w, lengths), x, w)
    gy = draw(*y.shape)
    ours = narrow.conv(x, w, lengths), *narrow.gradients(x, w, gy, lengths)
    for found, exact in zip(ours, (y, *back(gy)), strict=True):
        assert found.shape == exact.shape
        assert np.abs(found - exact).max() <= 2e-6 * np.abs(exact).max()


def test_pieces_of_the_batch_add_up(monkeypatch):
    monkeypatch.setattr(narrow, "TOGETHER", 0)  # two samples at a time
    monkeypatch.setattr("vadjax.ops.cpu.pieces.CACHE", 0)  # one
    test_the_same_as_the_plain_form("more features", (2, 1))
    rng = np.random.default_rng(1)
    x, gy = (jnp.asarray(rng.standard_normal((6, 2, 4, 4, c)), jnp.float32) for c in (5, 8))
    halves = [narrow.kernel_gradient(x[half], gy[half], (2,)) for half in (slice(3), slice(3, 6))]
    found = narrow.kernel_gradient(x, gy, (2,))
    np.testing.assert_allclose(found, sum(halves), atol=1e-4)


@pytest.mark.parametrize(
    ("dtype", "kernel", "strides", "padding", "saved"),
    [
        ("float32", (3, 3, 3, 3, 16), *SAME, True),
        ("float32", (3, 3, 3, 64, 64), *SAME, True),
        ("float32", (3, 3, 3, 64, 65), *SAME, False),
        ("float32", (1, 3, 3, 3, 16), *SAME, False),
        ("float32", (3, 3, 3, 16), (1, 1), ((1, 1),) * 2, False),
        ("float32", (3, 3, 3, 3, 16), (1, 2, 2), SAME[1], False),
        ("float32", (3, 3, 3, 3, 16), SAME[0], ((0, 0), (1, 1), (1, 1)), False),
        ("float64", (3, 3, 3, 3, 16), *SAME, False),
        ("bfloat16", (3, 3, 3, 3, 16), *SAME, False),
    ],
)
def test_where_it_saves(dtype, kernel, strides, padding, saved):
    with jax.enable_x64(dtype == "float64"):
        x = jnp.zeros((1, *[4] * (len(kernel) - 2), kernel[-2]), dtype)
        assert narrow.saves(x, jnp.zeros(kernel, dtype), strides, padding) is saved


def test_a_convolution_of_volumes_has_a_frame_for_a_row():
    x, w = jnp.zeros((2, 4, 6, 5, 8)), jnp.zeros((3, 3, 3, 8, 16))
    text = jax.jit(lambda x, w: conv(x, w, *SAME)).lower(x, w).as_text()
    assert "tensor<2x4x36x24xf32>, tensor<3x3x24x16xf32>" in text  # 6 rows of 5 + 1 columns
