import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vadjax.ops.depthwise import depthwise


@pytest.mark.parametrize("padding", ["SAME", "VALID", [(1, 2), (0, 1)]])
@pytest.mark.parametrize("stride", [1, 2])
def test_equals_the_grouped_convolution_of_jax(padding, stride):
    rng = np.random.default_rng(0)
    x, w = (np.float32(rng.standard_normal(size)) for size in ((2, 9, 8, 6), (3, 3, 1, 6)))
    asked = {"window_strides": (stride, stride), "padding": padding, "feature_group_count": 6}
    layout = ("NHWC", "HWIO", "NHWC")
    expected = jax.lax.conv_general_dilated(x, w, dimension_numbers=layout, **asked)
    np.testing.assert_allclose(depthwise(x, w, **asked), expected, atol=1e-4)


def test_accelerators_get_one_convolution():
    x, w = (jax.ShapeDtypeStruct(size, jnp.float32) for size in ((1, 8, 8, 6), (3, 3, 1, 6)))
    form = functools.partial(
        depthwise, window_strides=(1, 1), padding="SAME", feature_group_count=6
    )
    for platform, count in (("cuda", 1), ("tpu", 1), ("cpu", 0)):
        text = jax.export.export(jax.jit(form), platforms=[platform])(x, w).mlir_module()
        assert text.count("stablehlo.convolution") == count


def test_refuses_what_it_does_not_do():
    x, w = jnp.zeros((1, 4, 4, 6)), jnp.zeros((3, 3, 1, 6))
    with pytest.raises(ValueError, match="3 groups"):
        depthwise(x, w, (1, 1), "SAME", feature_group_count=3)
    with pytest.raises(ValueError, match="no dilation"):
        depthwise(x, w, (1, 1), "SAME", rhs_dilation=(2, 2), feature_group_count=6)
