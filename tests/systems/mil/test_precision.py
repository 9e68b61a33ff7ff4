"""How precise MIL's steps in float32 are: beside our own float64, as the loop compiles them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import ucf_mil
from tests.systems.mil.test_system import recipe_features, recipe_masks, recipe_params, torch_layout
from vadjax.ops import precise
from vadjax.runtime import mesh
from vadjax.systems.mil.loss import highest
from vadjax.systems.mil.system import State, System
from vadjax.train import Loop

WIDTH, PAIRS, STEPS = 2048, 30, 5
SEEDS = (4, 101, 102, 103, 104)
FURTHEST = 1e-6


class Masked(System):
    """A system whose dropout masks come with the batch, under `keep`."""

    def update(self, state, batch, rng):
        """As `System.update`."""
        self.masks = [batch["keep"]["anomalous"], batch["keep"]["normal"]]
        bags = {kind: batch[kind] for kind in ("anomalous", "normal")}
        return super().update(state, bags, rng)

    def _keep(self, rng, rows):
        return self.masks.pop(0)


def batch_of(seed: int, step: int) -> dict:
    """Features and masks of a step, by the golden README."""
    first, second = recipe_masks(seed + 200 + step, PAIRS)
    keep = {
        "anomalous": (first[:, :32], second[:, :32]),
        "normal": (first[:, 32:], second[:, 32:]),
    }
    return {**recipe_features(seed + 100 + step, PAIRS, WIDTH), "keep": keep}


def trained(precision: str, seeds=SEEDS) -> dict:
    """Seed → first gradients (absolute, with decay) and parameters after all steps."""
    config = ucf_mil.get_config()
    config.train.precision = precision
    system, grid, found, step = Masked(config), mesh.make(PAIRS, 1), {}, None
    for seed in seeds:
        params, first = recipe_params(seed, WIDTH, precision), None
        state = mesh.put_state(grid, State(params, system.optimizer.init(params)))
        for number in range(STEPS):
            batch = mesh.put_batch(grid, batch_of(seed, number))
            step = step or Loop(config, system, None, grid).compile(state, batch, jax.random.key(0))
            state, _ = step(state, batch, jax.random.key(0))
            if first is None:
                first = jax.tree.map(np.sqrt, state.optimizer.sum_of_squares)
        found[seed] = torch_layout(first), torch_layout(state.params)
    return found


@pytest.fixture(scope="module")
def both() -> tuple[dict, dict]:
    """`trained` in float32 and in float64."""
    with jax.enable_x64(True):
        double = trained("float64")
    return trained("float32"), double


@pytest.mark.parametrize("seed", SEEDS)
def test_five_steps_stay_with_float64(both, seed):
    """Where the first gradient is clear: the first Adagrad step is a sign function."""
    (_, single), (gradient, double) = (found[seed] for found in both)
    check_close(single, gradient, double)
    moved = double["W1"] - torch_layout(recipe_params(seed, WIDTH))["W1"]
    assert 1e-3 < np.abs(moved).max() <= STEPS * 1.001e-3


def check_close(single: dict, gradient: dict, double: dict) -> None:
    """Parameters in float32 beside those in float64, where the first gradient is clear."""
    for name, expected in double.items():
        assert expected.dtype == np.float64 and single[name].dtype == np.float32
        part = (slice(None, None, 16), slice(None, None, 32)) if name == "W1" else ...
        clear = gradient[name][part] >= 1e-7
        difference = np.abs(single[name] - expected)[part][clear]
        assert difference.max() <= FURTHEST, (name, difference.max())
        assert clear.mean() > 0.99


def test_five_steps_with_sums_in_turn(both, monkeypatch):
    """As precise with the least exact order of sums: XLA's on an emulated Haswell."""

    def in_turn(x, kernel):
        """One product after the other added to the sum."""
        start = jnp.zeros((*x.shape[:-1], kernel.shape[1]), x.dtype)
        pairs = jnp.moveaxis(x, -1, 0), kernel
        return jax.lax.scan(lambda y, p: (y + p[0][..., None] * p[1], None), start, pairs)[0]

    product = jax.custom_vjp(in_turn)
    product.defvjp(lambda *a: (in_turn(*a), a), precise._dot_backward)
    monkeypatch.setattr(
        precise, "plain_dot_general", lambda x, kernel, *_, **__: product(x, kernel)
    )
    _, single = trained("float32", SEEDS[:1])[SEEDS[0]]
    check_close(single, *both[1][SEEDS[0]])
    assert np.abs(single["W1"] - both[0][SEEDS[0]][1]["W1"]).max() > 0  # it was taken


def test_gradient_of_the_highest_score_goes_by_its_place():
    scores = np.random.default_rng(2).random((4, 30)).astype(np.float32)
    scores[1, 7] = scores[1, 20] = 2  # the first of equals
    weights = np.array([1, -2, 3, 0.5], np.float32)
    value, gradient = jax.value_and_grad(lambda s: jnp.vdot(highest(s), weights))(scores)
    expected = np.zeros_like(scores)
    expected[np.arange(4), scores.argmax(1)] = weights
    np.testing.assert_array_equal(gradient, expected)
    assert gradient[1, 7] == -2 and value == pytest.approx(scores.max(1) @ weights)
