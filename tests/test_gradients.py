"""The gradients of compiled training steps equal plain reference forms (`tests/gradients`)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.gradients import cases, plain, sides
from vadjax.ops import pool
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
    assert row.holds, row


def test_a_wrong_leaf_is_found():
    right = {"a": np.ones(4), "b": np.full(4, 1e-9)}
    found = {"a": np.array([1, 1, 1, 1 + 2e-6]), "b": np.zeros(4)}
    errors = cases.errors(found, right)
    assert errors["a"] == pytest.approx(1e-6)
    assert errors["b"] == pytest.approx(1e-3)  # against a millionth of the whole


def test_a_wrong_leaf_is_not_excused_by_sides():
    def row(ratio, own):
        found = own and cases.Sides(1, 1, 1e-6, 1e-6, own, "a")
        return cases.Row(1, 0.0, 1e-3, 1e-6, ratio, found, "a", "a")

    assert row(2.9, None).holds
    assert row(1000.0, 2.9).holds
    assert not row(1000.0, 3.1).holds


def one_unit_at_the_corner(params, x):
    return jnp.abs(pool.max_pool(nn.relu(x @ params)) - 1).sum()


def test_sides_are_recorded_and_taken():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 4, 6, 3)).astype(np.float32)
    params = rng.standard_normal((3, 5)).astype(np.float32)
    alone = jax.jit(jax.grad(one_unit_at_the_corner))(params, x)
    with sides.recorded() as taken:
        again = jax.jit(jax.grad(lambda *given: one_unit_at_the_corner(*given)))(params, x)
    np.testing.assert_array_equal(again, alone)
    units, places, signs = taken
    np.testing.assert_array_equal(units, x @ params > 0)
    assert places.shape == (2, 2, 3, 5) and set(places.flat) == {0, 1, 2, 3}
    assert signs.shape == places.shape and set(signs.flat) == {-1, 1}
    with sides.forced(taken):
        same = jax.grad(one_unit_at_the_corner)(params, x)
    np.testing.assert_allclose(same, alone, rtol=1e-6, atol=1e-5)


def test_a_unit_on_another_side_changes_the_gradient():
    rng = np.random.default_rng(0)
    x, params = rng.standard_normal((1, 2, 2, 3)), rng.standard_normal((3, 1))
    with sides.recorded() as taken:
        before = jax.grad(one_unit_at_the_corner)(params, x)
    with sides.forced([~taken[0], *taken[1:]]):
        after = jax.grad(one_unit_at_the_corner)(params, x)
    assert np.abs(before - after).max() > 0.1
    with sides.forced([*taken[:2], -taken[2]]):
        after = jax.grad(one_unit_at_the_corner)(params, x)
    np.testing.assert_allclose(after, -before)
    with (
        sides.forced([taken[0][:, :1], *taken[1:]]),
        pytest.raises(ValueError, match="another step"),
    ):
        jax.grad(one_unit_at_the_corner)(params, x)


def test_reference_forms_have_no_custom_gradient_and_no_form_for_cpu():
    x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    with plain.plain_forms():
        text = str(jax.make_jaxpr(jax.grad(lambda x: max_pool(x).sum()))(x))
    assert "select_and_scatter" in text
    assert "select_and_scatter" not in str(jax.make_jaxpr(jax.grad(lambda x: max_pool(x).sum()))(x))


@pytest.mark.parametrize(
    "options",
    [
        {"padding": "SAME"},
        {"padding": [(1, 0), (2, 1)], "window_strides": (2, 1)},
        {"padding": [(1, 2), (1, 2)], "lhs_dilation": (2, 2)},
        {"padding": "VALID", "feature_group_count": 4},
    ],
)
def test_reference_convolution_of_float64(options):
    rng = np.random.default_rng(0)
    groups = options.get("feature_group_count", 1)
    options = {"window_strides": (1, 1), "dimension_numbers": ("NHWC", "HWIO", "NHWC"), **options}
    with jax.enable_x64(True):
        x, w = rng.standard_normal((2, 7, 6, 4)), rng.standard_normal((3, 3, 4 // groups, 8))
        expected = jax.lax.conv_general_dilated(x, w, **options)
        with plain.plain_forms():
            found = jax.lax.conv_general_dilated(jnp.asarray(x), jnp.asarray(w), **options)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_reference_convolution_of_groups_as_networks_ask_for_it():
    rng = np.random.default_rng(0)
    asked = (1, 1), "SAME", None, None, ("NHWC", "HWIO", "NHWC"), 4
    with jax.enable_x64(True):
        x, w = rng.standard_normal((2, 7, 6, 8)), rng.standard_normal((3, 3, 2, 8))
        expected = jax.lax.conv_general_dilated(x, w, *asked)
        with plain.plain_forms():
            found = conv_general_dilated(jnp.asarray(x), jnp.asarray(w), *asked)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
