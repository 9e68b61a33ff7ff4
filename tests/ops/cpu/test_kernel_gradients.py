import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.ops.test_conv import draw
from vadjax.ops import plain
from vadjax.ops.conv import conv, conv_transpose
from vadjax.ops.cpu import kernel_gradients

ONE = (1, 1), (1, 1)
CASES = {  # input, kernel, strides, padding
    "blocks of channels and features": ((2, 8, 12, 128), (3, 3, 128, 96), (1, 1), ONE),
    "overlapped blocks": ((1, 9, 7, 72), (3, 3, 72, 88), (1, 1), ONE),
    "rows that are no four": ((3, 10, 11, 40), (3, 3, 40, 33), (1, 1), ONE),
    "one vector of features": ((1, 5, 19, 32), (3, 3, 32, 17), (1, 1), ONE),
    "long rows": ((1, 6, 300, 33), (3, 3, 33, 48), (1, 1), ONE),
    "few channels": ((2, 13, 20, 3), (3, 3, 3, 64), (1, 1), ONE),
    "few features": ((2, 13, 20, 50), (3, 3, 50, 3), (1, 1), ONE),
    "few features, 5x3": ((1, 9, 10, 24), (5, 3, 24, 5), (1, 1), ((2, 2), (1, 1))),
    "one pixel": ((2, 1, 1, 64), (3, 3, 64, 32), (1, 1), ONE),
    "1x1": ((2, 5, 6, 200), (1, 1, 200, 24), (1, 1), ((0, 0), (0, 0))),
    "1x1, stride 2": ((1, 9, 8, 20), (1, 1, 20, 16), (2, 2), ((0, 0), (0, 0))),
    "stride 2": ((2, 14, 16, 80), (3, 3, 80, 40), (2, 2), ((1, 0), (1, 0))),
    "stride 2, odd": ((1, 13, 11, 16), (3, 3, 16, 100), (2, 2), ((1, 1), (1, 1))),
    "no padding": ((1, 9, 10, 48), (3, 3, 48, 32), (1, 1), ((0, 0), (0, 0))),
    "5x5": ((1, 12, 9, 64), (5, 5, 64, 16), (1, 1), ((2, 2), (2, 2))),
    "7x7, stride 2": ((1, 31, 33, 3), (7, 7, 3, 64), (2, 2), ((3, 3), (2, 3))),
    "strides that differ": ((1, 12, 17, 16), (2, 4, 16, 32), (1, 3), ((1, 0), (0, 2))),
    "columns left over": ((1, 8, 9, 18), (2, 2, 18, 16), (3, 3), ((0, 0), (0, 0))),
}


@pytest.mark.parametrize("case", CASES)
def test_gradients_of_kernels(case):
    shape, kernel, strides, padding = CASES[case]
    with jax.enable_x64(True):
        x, w = draw(shape, kernel)
        y, back = jax.vjp(lambda w: plain.conv(x, w, strides, padding), w)
        (gy,) = draw(y.shape)
        right = back(gy)[0]
    x, gy = np.float32(x), np.float32(gy)
    assert kernel_gradients.saves(x, gy, kernel[:2], strides, padding)
    found = kernel_gradients.kernel_gradient(x, gy, kernel[:2], strides, padding)
    assert found.shape == kernel
    np.testing.assert_allclose(found, right, rtol=0, atol=3e-6 * np.abs(right).max())


@pytest.mark.parametrize(
    ("shape", "features", "saves"),
    [((1, 4, 4, 8), 16, True), ((1, 4, 4, 3), 16, False), ((1, 9, 9, 8), 8, False)],
)
def test_vectors_have_to_be_filled(shape, features, saves):
    x, gy = draw(shape, (*shape[:3], features), dtype="float32")
    assert kernel_gradients.saves(x, gy, (3, 3), (1, 1), ONE) == saves


def test_only_pictures_of_float32():
    x, gy = draw((1, 8, 8, 32), (1, 8, 8, 32), dtype="float32")
    sizes = (3, 3), (1, 1), ONE
    assert kernel_gradients.saves(x, gy, *sizes)
    assert not kernel_gradients.saves(jnp.bfloat16(x), jnp.bfloat16(gy), *sizes)
    assert not kernel_gradients.saves(x[None], gy[None], (3, 3, 3), (1, 1, 1), ONE)
    assert not kernel_gradients.saves(x, gy[..., :3], (3, 3), (2, 2), ONE)  # cannot be turned
    assert not kernel_gradients.saves(x, gy, (3, 3), (1, 1), ((-1, 1), (1, 1)))


@pytest.mark.parametrize("form", ["conv", "transpose"])
def test_gradients_of_convolutions_use_it(form):
    x, w, wide = draw((1, 8, 8, 32), (3, 3, 32, 48), (1, 16, 16, 48), dtype="float32")
    of_conv, gy = (lambda w: conv(x, w, (1, 1), ONE)), wide[:, :8, :8]
    of_form, gy = (of_conv, gy) if form == "conv" else (lambda w: conv_transpose(x, w), wide)
    text = jax.jit(lambda w, gy: jax.vjp(of_form, w)[1](gy)).lower(w, gy).as_text()
    assert text.count("custom_call @vadjax_kernel_gradient") == 1
    assert "dot_general" not in text
