import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vadjax.ops import temporal


def drawn(*sizes):
    rng = np.random.default_rng(0)
    return [jnp.float32(rng.standard_normal(size)) for size in sizes]


@pytest.mark.parametrize("form", [temporal.conv, temporal.conv_inference, temporal.by_taps])
@pytest.mark.parametrize(
    ("taps", "dilation", "length"),
    [
        (3, 1, 16),
        (3, 2, 16),
        (3, 4, 9),
        (3, 4, 3),
        (5, 2, 16),
        (1, 1, 7),
    ],
)
def test_equals_the_convolution_of_jax(form, taps, dilation, length):
    x, kernel = drawn((2, length, 6), (taps, 6, 5))
    margin = dilation * (taps // 2)
    expected = jax.lax.conv_general_dilated(
        x,
        kernel,
        (1,),
        [(margin, margin)],
        rhs_dilation=(dilation,),
        dimension_numbers=("NWC", "WIO", "NWC"),
    )
    np.testing.assert_allclose(form(x, kernel, dilation), expected, atol=1e-4)


@pytest.mark.parametrize("dilation", [1, 4])
def test_gradients_are_those_of_the_plain_form(dilation):
    x, kernel, towards = drawn((2, 9, 6), (3, 6, 5), (2, 9, 5))
    found, expected = (
        jax.vjp(functools.partial(form, dilation=dilation), x, kernel)[1](towards)
        for form in (lambda x, w, dilation: temporal.conv(x, w, dilation), temporal.by_taps)
    )
    for ours, plain in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, plain, atol=1e-4)


def test_accelerators_get_a_product_for_each_tap():
    x, kernel = drawn((2, 16, 6), (3, 6, 5))

    def step(x, kernel):
        return jax.grad(lambda *given: temporal.conv(*given, 2).sum(), (0, 1))(x, kernel)

    def score(x, kernel):
        return temporal.conv_inference(x, kernel, 2)

    for platform, loops, products in (("cuda", 0, 3), ("tpu", 0, 3), ("cpu", 1, 4)):
        train, scoring = (
            jax.export.export(jax.jit(own), platforms=[platform])(x, kernel).mlir_module()
            for own in (step, score)
        )
        assert min(train.count("stablehlo.while"), 1) == loops
        assert scoring.count("stablehlo.dot_general") == products
