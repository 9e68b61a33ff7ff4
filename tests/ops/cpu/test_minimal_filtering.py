import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from tests.ops.test_conv import draw, plain
from vadjax.ops.conv import conv_inference
from vadjax.ops.cpu import minimal_filtering


@pytest.mark.parametrize(
    ("shape", "features", "saves"),
    [
        ((2, 3, 12, 10, 64), 128, True),
        ((1, 2, 14, 9, 96), 128, True),
        ((1, 2, 7, 7, 96), 128, False),
        ((1, 2, 16, 9, 32), 128, False),
    ],
)
def test_convolution_of_inference(shape, features, saves):
    kernel = (3, 3, 3, shape[-1], features)
    x, w = draw(shape, kernel, dtype="float32")
    arguments = (1, 1, 1), ((1, 1),) * 3

    def ours(x, w):
        return conv_inference(x, w, *arguments)

    exact = np.asarray(jax.jit(plain, static_argnums=(2, 3))(x, w, *arguments))
    compiled = jax.jit(ours).lower(x, w).compile()
    np.testing.assert_allclose(compiled(x, w), exact, atol=3e-5 * exact.std(), rtol=0)
    multiplied = compiled.cost_analysis()["flops"]
    assert (multiplied < 0.8 * 2 * np.prod(kernel[:-1]) * exact.size) == saves
    text = export.export(jax.jit(ours), platforms=["cuda"])(x, w).mlir_module()
    assert text.count("stablehlo.convolution") == 1  # one plain convolution there


def test_only_kernels_of_float32_that_keep_the_size():
    x, w = draw((1, 3, 12, 8, 64), (3, 3, 3, 64, 128), dtype="float32")
    assert minimal_filtering.saves_volumes(x, w, (1, 1, 1), ((1, 1),) * 3)
    assert not minimal_filtering.saves_volumes(x, w, (2, 1, 1), ((1, 1),) * 3)
    assert not minimal_filtering.saves_volumes(x, w, (1, 1, 1), ((0, 1), (1, 1), (1, 1)))
    assert not minimal_filtering.saves_volumes(jnp.bfloat16(x), w, (1, 1, 1), ((1, 1),) * 3)
