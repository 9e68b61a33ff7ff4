"""Which operations the forms for CPU consist of; their values are tested in `tests/ops`."""

import re

import jax
import jax.numpy as jnp
import pytest

from tests.ops.test_conv import CASES, close, draw
from vadjax.ops import conv as ops
from vadjax.ops import plain
from vadjax.ops.cpu import conv, machine

# Inputs with a gradient → kernels of machine code for it, by the stride
WANTED = {
    "xw": {
        1: ["kernel_gradient", "tile_sums", "tiled"],
        2: ["kernel_gradient", "transposed"],
    },
    "x": {1: ["tile_sums", "tiled"], 2: ["transposed"]},
    "w": {1: ["kernel_gradient"], 2: ["kernel_gradient"]},
}


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


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("wanted", "kinds"), WANTED.items())
def test_the_gradient_of_a_kernel_is_made_before_that_of_the_input(stride, wanted, kinds):
    """Else XLA makes it at the end of a step, and keeps what all layers were given until then."""
    if not machine.usable():
        pytest.skip("no machine code for this computer")
    x, w = draw((1, 16, 80, 64), (3, 3, 64, 64), dtype="float32")

    def gradients(x, w):
        def loss(*chosen):
            given = {"x": x, "w": w} | dict(zip(wanted, chosen, strict=True))
            return ops.conv(**given, strides=(stride,) * 2, padding=((1, 1), (1, 1))).sum()

        return jax.grad(loss, range(len(wanted)))(*({"x": x, "w": w}[name] for name in wanted))

    text = jax.jit(gradients).lower(x, w).as_text()
    calls = re.findall(r"(%\d+) = stablehlo.custom_call @vadjax_(\w+)_\w+\((.*?)\)", text)
    assert [kind for _, kind, _ in calls] == kinds[stride]
    if wanted == "xw":
        # What is made of the gradient of w, the sum of its parts, waits as its last input
        last = calls[1][2].split(", ")[-1]
        assert re.search(rf"{last} = stablehlo.reduce\({calls[0][0]} ", text)
