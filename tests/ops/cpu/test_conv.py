"""Which operations the forms for CPU consist of; their values are tested in `tests/ops`."""

import jax
import jax.numpy as jnp
import pytest

from tests.ops.test_conv import CASES, close, draw
from vadjax.ops import plain
from vadjax.ops.cpu import conv


def convolutions(function, *arguments) -> int:
    return str(jax.make_jaxpr(function)(*arguments)).count("conv_general_dilated[")


@pytest.mark.parametrize(
    ("case", "dtype", "count"),
    [
        ("3x3", "float32", 1),
        ("3x3", "float64", 0),  # patches
        ("3-D, taps summed", "float32", 3),
        ("3-D, taps stacked", "float32", 1),
        ("3-D, large kernel", "float64", 1),  # too many taps for patches: temporal ones as channels
    ],
)
def test_forward_form(case, dtype, count):
    shape, kernel, *size = CASES[case]
    with jax.enable_x64(dtype == "float64"):
        x, w = draw(shape, kernel, dtype=dtype)
        assert convolutions(lambda x, w: conv.forward(x, w, *size), x, w) == count
        close([conv.forward(x, w, *size)], [plain.conv(x, w, *size)], dtype)


@pytest.mark.parametrize("case", ["3x3", "3x3 stride 2", "3-D, 1x1x1"])
def test_kernel_gradients_are_no_convolutions(case):
    """One convolution gives the gradient of x; that of the kernel is products of patches."""
    shape, kernel, *size = CASES[case]
    x, w = draw(shape, kernel, dtype="float32")
    y, back = jax.vjp(lambda x, w: plain.conv(x, w, *size), x, w)
    (gy,) = draw(y.shape, dtype="float32")
    assert convolutions(lambda *a: conv.gradients(*a, *size), x, w, gy) == 1
    assert convolutions(lambda gy: back(gy), gy) == 2
    close(conv.gradients(x, w, gy, *size), back(gy), "float32")


def test_transposed_convolution_of_float64_by_patches():
    with jax.enable_x64(True):
        x, w = draw((2, 4, 6, 5), (3, 3, 5, 3))
        assert convolutions(conv.transpose, x, w) == 0
        close([conv.transpose(x, w)], [plain.conv_transpose(x, w)], "float64")
        assert (
            convolutions(conv.transpose, jnp.float32(x), jnp.float32(w)) == 2
        )  # even and odd rows
