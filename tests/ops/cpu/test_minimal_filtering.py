import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from tests.ops.test_conv import draw, plain
from vadjax.ops.conv import conv_inference, conv_small_inference
from vadjax.ops.cpu import minimal_filtering


@pytest.mark.parametrize(
    ("shape", "features", "saves"),
    [
        ((2, 8, 10, 128), 136, True),
        ((1, 32, 9, 256), 128, True),
        ((1, 6, 8, 128), 128, False),  # rows that are no multiple of four
        ((1, 8, 8, 64), 128, False),
        ((1, 8, 8, 128), 64, False),
        ((2, 3, 12, 10, 64), 128, True),
        ((1, 2, 14, 9, 96), 128, True),
        ((1, 2, 7, 7, 96), 128, False),
        ((1, 2, 16, 9, 32), 128, False),
    ],
)
def test_convolution_of_inference(shape, features, saves):
    axes = len(shape) - 2
    kernel = (*(3,) * axes, shape[-1], features)
    check_inference(conv_inference, shape, kernel, saves)


def check_inference(form, shape, kernel, saves):
    """The result of a form of a convolution, whether it multiplies less, and its form on a GPU."""
    x, w = draw(shape, kernel, dtype="float32")
    axes = len(shape) - 2
    arguments = (1,) * axes, ((kernel[0] // 2,) * 2,) * axes

    def ours(x, w):
        return form(x, w, *arguments)

    exact = np.asarray(jax.jit(plain, static_argnums=(2, 3))(x, w, *arguments))
    compiled = jax.jit(ours).lower(x, w).compile()
    np.testing.assert_allclose(compiled(x, w), exact, atol=3e-5 * exact.std(), rtol=0)
    multiplied = compiled.cost_analysis()["flops"]
    assert (multiplied < 0.8 * 2 * np.prod(kernel[:-1]) * exact.size) == saves
    text = export.export(jax.jit(ours), platforms=["cuda"])(x, w).mlir_module()
    assert text.count("stablehlo.convolution") == 1  # one plain convolution there
    return export.export(jax.jit(ours), platforms=["cpu"])(x, w).mlir_module()


def test_only_kernels_of_float32_that_keep_the_size():
    x, w = draw((1, 3, 12, 8, 64), (3, 3, 3, 64, 128), dtype="float32")
    assert minimal_filtering.saves_volumes(x, w, (1, 1, 1), ((1, 1),) * 3)
    assert not minimal_filtering.saves_volumes(x, w, (2, 1, 1), ((1, 1),) * 3)
    assert not minimal_filtering.saves_volumes(x, w, (1, 1, 1), ((0, 1), (1, 1), (1, 1)))
    assert not minimal_filtering.saves_volumes(jnp.bfloat16(x), w, (1, 1, 1), ((1, 1),) * 3)


@pytest.mark.parametrize(
    ("shape", "kernel", "saves"),
    [
        ((2, 22, 9, 64), (3, 3, 64, 32), True),  # rows are filled up to fours
        ((1, 44, 8, 128), (3, 3, 128, 128), True),
        ((1, 11, 16, 64), (3, 3, 64, 64), False),  # too few rows
        ((1, 24, 8, 32), (3, 3, 32, 16), False),  # too few features
        ((2, 7, 9, 40), (1, 1, 40, 24), False),  # a product of two matrices
    ],
)
def test_convolution_of_small_maps(shape, kernel, saves):
    text = check_inference(conv_small_inference, shape, kernel, saves)
    assert ("stablehlo.convolution" in text) == (kernel[0] == 3)
