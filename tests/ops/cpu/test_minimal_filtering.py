import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from tests.ops.test_conv import draw, plain
from vadjax.ops.conv import conv, conv_inference
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
    x, w = draw((1, 8, 8, 128), (3, 3, 128, 128), dtype="float32")
    assert minimal_filtering.saves(x, w, (1, 1), ((1, 1), (1, 1)))
    assert not minimal_filtering.saves(x, w, (1, 2), ((1, 1), (1, 1)))
    assert not minimal_filtering.saves(x, w, (1, 1), ((0, 1), (1, 1)))
    assert not minimal_filtering.saves(jnp.bfloat16(x), w, (1, 1), ((1, 1), (1, 1)))
    x, w = draw((1, 3, 12, 8, 64), (3, 3, 3, 64, 128), dtype="float32")
    assert minimal_filtering.saves_volumes(x, w, (1, 1, 1), ((1, 1),) * 3)
    assert not minimal_filtering.saves_volumes(x, w, (2, 1, 1), ((1, 1),) * 3)


def test_gradients_of_wide_kernels_multiply_less():
    x, w = draw((1, 16, 16, 64), (3, 3, 64, 128), dtype="float32")
    (gy,) = draw((1, 16, 16, 128), dtype="float32")
    back = jax.jit(lambda x, w, gy: jax.vjp(lambda x, w: same(x, w), x, w)[1](gy))
    text = export.export(back, platforms=["cpu"])(x, w, gy).mlir_module()
    assert text.count("stablehlo.dot_general") >= 6  # the six sums of the kernel's gradient


@pytest.mark.parametrize("rows", [8, 64])  # one block; blocks, where 6 channels are turned to 4
@pytest.mark.parametrize(("channels", "features"), [(4, 6), (6, 4)])
def test_gradients_of_kernels_with_either_side_wider(rows, channels, features):
    x, w = draw((2, rows, 36, channels), (3, 3, channels, features), dtype="float32")
    (gy,) = draw((2, rows, 36, features), dtype="float32")
    found = minimal_filtering.kernel_gradient(x, gy)
    right = jax.vjp(lambda w: plain(x, w, (1, 1), ((1, 1), (1, 1))), w)[1](gy)[0]
    assert found.shape == w.shape
    np.testing.assert_allclose(found, right, rtol=0, atol=2e-5 * np.abs(right).max())


def same(x, w):
    return conv(x, w, (1, 1), ((1, 1), (1, 1)))
