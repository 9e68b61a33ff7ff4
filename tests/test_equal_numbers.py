"""No gradient asks which of two floating-point numbers are equal.

JAX's gradient of `jnp.maximum` and of `max` gives the gradient to what equals the maximum. Inside
a large compiled step XLA may compute the value again, rounded differently; then nothing equals it
and the gradient is lost, without a word (`vadjax/ops/pool.py`).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import Literal
from jax.interpreters import partial_eval

from tests.gradients import cases
from vadjax.backbones.layers import BatchNorm
from vadjax.systems.lgn.loss import separateness
from vadjax.systems.lgn.memory import TINY, normalize
from vadjax.systems.s3r.loss import cross_entropy


def equalities(function, *arguments) -> list[str]:
    """Where a function asks so on the way to its results."""
    jaxpr = jax.make_jaxpr(function)(*arguments).jaxpr
    needed, _ = partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
    return list(_equalities(needed))


def _equalities(jaxpr):
    for equation in jaxpr.eqns:
        if equation.primitive.name == "eq" and _is_asked(equation.invars):
            yield str(equation)
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_jaxpr):
            if _is_jaxpr(inner):
                yield from _equalities(getattr(inner, "jaxpr", inner))


def _is_jaxpr(parameter) -> bool:
    return hasattr(getattr(parameter, "jaxpr", parameter), "eqns")


def _is_asked(operands) -> bool:
    """Whether floating-point numbers are compared, but not with infinity."""
    literals = (own.val for own in operands if isinstance(own, Literal))
    floating = jnp.issubdtype(operands[0].aval.dtype, jnp.floating)
    return floating and not any(np.isinf(value) for value in literals)


@pytest.mark.parametrize("case", cases.small(), ids=lambda case: case.system.replace(", ", "-"))
def test_training_steps(case, tmp_path, recwarn):
    of = cases.Gradients(case, tmp_path)
    system, state = of.opened("float32")
    assert not equalities(system.update, state, of.batch, jax.random.key(1))


def test_the_gradient_of_a_maximum_is_found():
    def largest(x):
        return jax.jit(lambda x: jnp.maximum(x, 1.0).sum() + x.max() + jax.nn.softplus(x).sum())(x)

    assert len(equalities(jax.grad(largest), jnp.ones(3))) == 3
    assert not equalities(jax.grad(lambda x: jax.nn.softmax(x)[0]), jnp.ones(3))


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("dtype", [None, jnp.bfloat16])
@pytest.mark.parametrize("average", [True, False])
def test_batch_norm_is_that_of_flax(fast, dtype, average):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((3, 4, 5)) + np.arange(5), dtype or jnp.float32)
    weights = jnp.asarray(rng.standard_normal(x.shape), jnp.float32)

    def value(norm):
        made = norm(use_running_average=average, use_fast_variance=fast, dtype=dtype)
        variables = made.init(jax.random.key(0), x)
        statistics = jax.tree.map(lambda own: own + 0.25, variables["batch_stats"])

        def weighted(params, x):
            variables = {"params": params, "batch_stats": statistics}
            y, new = made.apply(variables, x, mutable="batch_stats")
            return jnp.vdot(y.astype(jnp.float32), weights), (y, new["batch_stats"])

        params = jax.tree.map(lambda own: own + 0.5, variables["params"])
        return jax.value_and_grad(weighted, argnums=(0, 1), has_aux=True)(params, x)

    ours, theirs = value(BatchNorm), value(nn.BatchNorm)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for found, right in zip(*map(jax.tree.leaves, (ours, theirs)), strict=True):
        assert found.dtype == right.dtype
        limit = 1e-6 if found.dtype == jnp.float32 and dtype is None else 1e-2
        np.testing.assert_allclose(
            found.astype(jnp.float32), right.astype(jnp.float32), rtol=limit, atol=limit
        )


def test_unit_vectors_of_tiny_ones():
    rows = np.random.default_rng(0).standard_normal((4, 3))
    rows[1] *= 1e-20  # shorter than what is divided by
    weights = np.arange(12.0).reshape(4, 3)
    with jax.enable_x64(True):
        gradient = jax.grad(lambda x: jnp.vdot(normalize(x), weights))(rows)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    along = (rows * weights).sum(1, keepdims=True) * rows / norms**2
    expected = np.where(norms > np.sqrt(TINY), (weights - along) / norms, weights / np.sqrt(TINY))
    np.testing.assert_allclose(gradient, expected, rtol=1e-12)


def test_separateness_beyond_its_margin():
    queries, items = jnp.eye(4)[:2], jnp.eye(4)
    gradient = jax.grad(separateness)(queries, items, margin=0.0)
    assert not gradient.any()
    assert jax.grad(separateness)(queries, items, margin=3.0).any()


def test_cross_entropy_of_impossible_probabilities():
    p = jnp.array([0.5, 0.0, 1e-30])
    assert cross_entropy(p, 1) == pytest.approx((np.log(2) + 100 + 30 * np.log(10)) / 3)
    gradient = jax.grad(cross_entropy)(p, 1)
    np.testing.assert_allclose(gradient, [-2 / 3, 0, -1e30 / 3], rtol=1e-6)
