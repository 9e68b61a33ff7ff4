"""The gradients of compiled training steps equal plain reference forms (`tests/gradients`)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.gradients import __main__ as program
from tests.gradients import cases, plain
from vadjax.ops.conv import conv_general_dilated
from vadjax.ops.pool import max_pool

SLOW = {"lgn", "mnad", "ssmtl", "motion", "appearance small", "s3r", "rtfm"}
WHOLE = {"lgn", "appearance small", "motion"}  # others show the same forms; all with --whole


def marked(case: cases.Case, name: str, whole: bool):
    marks = [pytest.mark.slow] * (case.system in SLOW) + [pytest.mark.whole] * whole
    return pytest.param(case, marks=marks, id=f"{name}-{case.system}-{case.size}")


SMALL = [marked(case, "small", case.system in WHOLE) for case in cases.small()]
PUBLISHED = [marked(case, "published", True) for case in cases.published()]


@pytest.mark.parametrize("case", SMALL + PUBLISHED)
def test_the_compiled_step_has_the_gradient_of_the_plain_form(case):
    row = cases.measure(case)
    assert row.float64 <= program.FLOAT64, row
    assert row.ratio_drawn <= program.TIMES, row


def test_a_wrong_leaf_is_found():
    right = {"a": np.ones(4), "b": np.full(4, 1e-9)}
    found = {"a": np.array([1, 1, 1, 1 + 2e-6]), "b": np.zeros(4)}
    errors = cases.errors(found, right)
    assert errors["a"] == pytest.approx(1e-6)
    assert errors["b"] == pytest.approx(1e-3)  # against a millionth of the whole


def test_reference_forms_have_no_custom_gradient_and_no_form_for_cpu():
    x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    with plain.forms():
        text = str(jax.make_jaxpr(jax.grad(lambda x: max_pool(x).sum()))(x))
    assert "select_and_scatter" in text
    assert "select_and_scatter" not in str(jax.make_jaxpr(jax.grad(lambda x: max_pool(x).sum()))(x))


@pytest.mark.parametrize("options", [
    {"padding": "SAME"},
    {"padding": [(1, 0), (2, 1)], "window_strides": (2, 1)},
    {"padding": [(1, 2), (1, 2)], "lhs_dilation": (2, 2)},
    {"padding": "VALID", "feature_group_count": 4},
])  # fmt: skip
def test_reference_convolution_of_float64(options):
    rng = np.random.default_rng(0)
    groups = options.get("feature_group_count", 1)
    options = {"window_strides": (1, 1), "dimension_numbers": ("NHWC", "HWIO", "NHWC"), **options}
    with jax.enable_x64(True):
        x, w = rng.standard_normal((2, 7, 6, 4)), rng.standard_normal((3, 3, 4 // groups, 8))
        expected = jax.lax.conv_general_dilated(x, w, **options)
        with plain.forms():
            found = jax.lax.conv_general_dilated(jnp.asarray(x), jnp.asarray(w), **options)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_reference_convolution_of_groups_as_networks_ask_for_it():
    rng = np.random.default_rng(0)
    asked = (1, 1), "SAME", None, None, ("NHWC", "HWIO", "NHWC"), 4
    with jax.enable_x64(True):
        x, w = rng.standard_normal((2, 7, 6, 8)), rng.standard_normal((3, 3, 2, 8))
        expected = jax.lax.conv_general_dilated(x, w, *asked)
        with plain.forms():
            found = conv_general_dilated(jnp.asarray(x), jnp.asarray(w), *asked)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
