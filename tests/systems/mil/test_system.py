import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import ucf_mil
from vadjax.data.bags import Bag
from vadjax.systems.mil.loss import ranking_loss
from vadjax.systems.mil.model import WIDTHS, Ranker, keep_masks
from vadjax.systems.mil.system import State, System, _groups

LAYERS = ("hidden", "squeeze", "score")
NAMES = {
    "W1": ("hidden", "kernel"),
    "b1": ("hidden", "bias"),
    "W2": ("squeeze", "kernel"),
    "b2": ("squeeze", "bias"),
    "W3": ("score", "kernel"),
    "b3": ("score", "bias"),
}


@pytest.fixture(scope="module")
def seed(golden) -> int:
    return json.loads((golden / "mil" / "set.json").read_text())["seed"]


@pytest.fixture(scope="module")
def numbers(golden):
    return dict(np.load(golden / "mil" / "mil_learner.npz"))


@pytest.fixture(scope="module")
def width(numbers) -> int:
    """Columns of the features; the first weight is stored as `[::16, ::32]`."""
    return numbers["grad_eval_W1_sub"].shape[1] * 32


def recipe_params(seed: int, width: int, dtype=np.float32) -> dict:
    """P(S, d) of the golden README."""
    rng, layers, inputs = np.random.default_rng(seed), {}, width
    for name, outputs in zip(LAYERS, WIDTHS, strict=True):
        scale = np.sqrt(2 / (inputs + outputs))
        kernel = (rng.standard_normal((outputs, inputs)) * scale).astype(np.float32)
        bias = (rng.standard_normal(outputs) * 0.05).astype(np.float32)
        layers[name] = {"kernel": kernel.T.astype(dtype), "bias": bias.astype(dtype)}
        inputs = outputs
    return {"params": jax.tree.map(jnp.asarray, layers)}


def recipe_features(seed: int, bags: int, width: int) -> dict:
    """F(s, B, d) of the golden README."""
    rng = np.random.default_rng(seed)
    return {
        name: (np.maximum(rng.standard_normal((bags, 32, width)), 0) * 0.5).astype(np.float32)
        for name in ("anomalous", "normal")
    }


def recipe_masks(seed: int, pairs: int) -> tuple:
    """M(s, rows) of the golden README, [pairs, 64, width]: 32 anomalous, then 32 normal rows."""
    rng = np.random.default_rng(seed)
    keep = [rng.random((pairs * 64, width)) >= 0.6 for width in WIDTHS[:2]]
    return tuple((k / 0.4).astype(np.float32).reshape(pairs, 64, -1) for k in keep)


def torch_layout(tree: dict) -> dict:
    """Leaves as W1, b1, ... with weights (out, in)."""
    params = tree["params"]
    found = {name: np.asarray(params[layer][part]) for name, (layer, part) in NAMES.items()}
    return {name: a.T if name.startswith("W") else a for name, a in found.items()}


def check_leaves(numbers, prefix: str, tree: dict, rtol: float, atol: float) -> None:
    """Full leaves, the sub-sampled first weight, norms and sums."""
    for name, array in torch_layout(tree).items():
        expected = {key: numbers.get(f"{prefix}_{name}{key}") for key in ("", "_sub", "_rowsum")}
        whole = expected[""] if expected[""] is not None else expected["_sub"]
        part = array if expected[""] is not None else array[::16, ::32]
        np.testing.assert_allclose(part, whole, rtol=rtol, atol=atol, err_msg=name)
        np.testing.assert_allclose(
            np.linalg.norm(array.astype(np.float64)), numbers[f"{prefix}_{name}_l2"], rtol=1e-4
        )
        bound = 1e-4 * np.abs(array).sum() if "grad" in prefix else 1e-3
        assert abs(array.sum(dtype=np.float64) - numbers[f"{prefix}_{name}_sum"]) <= bound, name
        if expected["_rowsum"] is not None:
            rows = array.sum(1, dtype=np.float64)
            bounds = 1e-4 * np.abs(array).sum(1) if "grad" in prefix else 1e-3
            assert (np.abs(rows - expected["_rowsum"]) <= bounds).all(), name


@pytest.fixture
def injected(monkeypatch):
    """A system whose dropout masks are those the test puts into the returned list."""
    masks = []

    def keep(self, rng, rows):
        """The first call of a loss is for the anomalous bags, the second for the normal ones."""
        part = slice(0, 32) if next(turn) % 2 == 0 else slice(32, None)
        return tuple(mask[:, part] for mask in masks[0])

    turn = itertools.count()
    monkeypatch.setattr(System, "_keep", keep)
    return System(ucf_mil.get_config()), masks


def loss_of(config, params, batch):
    system = System(config)
    with_gradient = jax.value_and_grad(system._loss, has_aux=True)
    return with_gradient(params, batch, jax.random.key(0))


@pytest.mark.golden
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_forward_loss_and_gradients(seed, numbers, width, precision):
    suffix, wide = ("", False) if precision == "float32" else ("_f64", True)
    config = ucf_mil.get_config()
    config.model.dropout, config.train.precision = 0.0, precision
    with jax.enable_x64(wide):
        params = recipe_params(seed, width, precision)
        batch = recipe_features(seed + 1, len(numbers["scores_eval"]), width)
        x = np.concatenate([batch["anomalous"], batch["normal"]], 1).astype(precision)
        scores = Ranker(dtype=jnp.dtype(precision)).apply(params, x)
        np.testing.assert_allclose(scores, numbers[f"scores_eval{suffix}"], atol=1e-5, rtol=0)
        assert scores.dtype == precision
        (loss, terms), gradients = loss_of(config, params, jax.tree.map(jnp.asarray, batch))
        np.testing.assert_allclose(loss, numbers[f"loss_eval{suffix}"], atol=1e-5, rtol=0)
        _, bags = ranking_loss(scores[:, :32], scores[:, 32:], **config.loss)
        for ours, theirs in (("hinge",) * 2, ("sparsity",) * 2, ("smoothness", "smooth")):
            expected = numbers[f"{theirs}_eval{suffix}"]
            np.testing.assert_allclose(bags[ours], expected, atol=1e-5, rtol=0)
            np.testing.assert_allclose(terms[ours], expected.mean(), atol=1e-5, rtol=0)
        largest = max(np.abs(g).max() for g in torch_layout(gradients).values())
        check_leaves(numbers, f"grad_eval{suffix}", gradients, 1e-4, 1e-6 * largest)


@pytest.mark.golden
def test_both_pairings_with_all_segments(seed, numbers, width):
    bags = len(numbers["scores_eval"])
    batch = recipe_features(seed + 1, bags, width)
    scores = {k: Ranker().apply(recipe_params(seed, width), v) for k, v in batch.items()}
    loss, _ = ranking_loss(**scores, segments_used=32)
    np.testing.assert_allclose(loss, numbers["loss_diag32_f64"], atol=1e-5, rtol=0)
    loss, _ = ranking_loss(**scores, segments_used=32, pairing="all")
    for key in ("loss_allpairs_f32", "loss_allpairs_formula_f64"):  # summed over the anomalies
        np.testing.assert_allclose(bags * loss, numbers[key], atol=1e-5, rtol=0)


@pytest.mark.golden
def test_training_steps(seed, numbers, width, injected):
    system, masks = injected
    params = recipe_params(seed, width)
    pairs = len(numbers["train_scores_step0"])
    state = State(params, system.optimizer.init(params))
    for step, expected in enumerate(numbers["train_losses"]):
        masks[:] = [recipe_masks(seed + 200 + step, pairs)]
        batch = recipe_features(seed + 100 + step, pairs, width)
        gradient = jax.grad(system._loss, has_aux=True)(state.params, batch, jax.random.key(0))[0]
        state, scalars = system.update(state, batch, jax.random.key(0))
        np.testing.assert_allclose(scalars["loss"], expected, atol=1e-5, rtol=0)
        if step == 0:
            x = np.concatenate([batch["anomalous"], batch["normal"]], 1)
            scores = system.ranker.apply(params, x, masks[0])
            expected = numbers["train_scores_step0"]
            np.testing.assert_allclose(scores, expected, atol=1e-5, rtol=0)
            largest = max(np.abs(g).max() for g in torch_layout(gradient).values())
            check_leaves(numbers, "train_grad_step0", gradient, 1e-4, 1e-6 * largest)
            check_after_first_step(numbers, params, state.params, gradient)
    check_leaves(numbers, "train_params_after5", state.params, 0, 2e-6)
    sums = torch_layout({"params": state.optimizer.sum_of_squares["params"]})
    for name, array in sums.items():
        total = numbers[f"adagrad_state_sum_{name}_total"]
        np.testing.assert_allclose(array.sum(dtype=np.float64), total, rtol=1e-4)
    batch = recipe_features(seed + 1, len(numbers["scores_after5"]), width)
    x = np.concatenate([batch["anomalous"], batch["normal"]], 1)
    scores = system.apply(state.params, x)
    np.testing.assert_allclose(scores, numbers["scores_after5"], atol=1e-5, rtol=0)


def check_after_first_step(numbers, before, after, gradient) -> None:
    """The first Adagrad step is a sign function: leave out where the gradient is nearly 0."""
    decay = float(ucf_mil.get_config().optim.weight_decay)
    before = torch_layout(before)
    for name, array in torch_layout(after).items():
        prefix = f"train_params_after1_{name}"
        g = torch_layout(gradient)[name] + decay * before[name]
        if prefix in numbers:
            clear = np.abs(g) >= 1e-7
            difference = np.abs(array - numbers[prefix])
        else:
            clear = np.abs(g[::16, ::32]) >= 1e-7
            difference = np.abs(array[::16, ::32] - numbers[f"{prefix}_sub"])
        assert difference[clear].max() <= 2e-6, name


@pytest.mark.golden
def test_one_stream(seed, numbers):
    (key,) = (name for name in numbers if name.startswith("scores_rgb"))
    columns, expected = int(key.removeprefix("scores_rgb")), numbers[key]
    features = recipe_features(seed + 8, len(expected), columns)["anomalous"]
    scores = Ranker().apply(recipe_params(seed + 7, columns), features)
    np.testing.assert_allclose(scores, expected, atol=1e-5, rtol=0)


def test_first_parameters():
    variables = Ranker().init(jax.random.key(0), jnp.zeros((1, 2048)))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == 1_065_537
    hidden = variables["params"]["hidden"]
    np.testing.assert_allclose(hidden["kernel"].std(), np.sqrt(2 / (2048 + 512)), rtol=0.01)
    assert np.abs(hidden["kernel"]).max() > 3 * hidden["kernel"].std()  # normal, not truncated
    bound = 1 / np.sqrt(2048)
    assert 0.9 * bound < np.abs(hidden["bias"]).max() <= bound
    assert (np.asarray(hidden["bias"]) < 0).any()


def test_dropout_keeps_the_mean():
    masks = keep_masks(jax.random.key(0), (1000,), 0.6)
    assert [m.shape for m in masks] == [(1000, 512), (1000, 32)]
    for mask in masks:
        np.testing.assert_allclose(np.unique(mask), [0, 2.5], rtol=1e-4)
        np.testing.assert_allclose(mask.mean(), 1, atol=0.02)
    units = (np.asarray(masks[0]) > 0) - 0.4
    for shift in (1, 2, 3):  # neighbours share a random word, and are independent all the same
        assert abs((units[:, :-shift] * units[:, shift:]).mean()) < 0.002
    other = keep_masks(jax.random.key(1), (1000,), 0.6)[0]
    assert abs((units * ((np.asarray(other) > 0) - 0.4)).mean()) < 0.002


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pairing": "some"}, "expected one of diagonal, all"),
        ({"segments_used": 33}, "has 32 segments"),
    ],
)
def test_loss_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        ranking_loss(jnp.zeros((2, 32)), jnp.zeros((2, 32)), **options)


def test_smoothness_takes_the_segments_that_the_hinge_leaves_out():
    def loss(anomalous):
        return ranking_loss(anomalous, jnp.zeros((1, 32)), sparsity=0.1, smoothness=0.1)[0]

    spike = jnp.zeros((1, 32)).at[0, 31].set(0.9)
    gradient = jax.grad(loss)(spike)[0]
    np.testing.assert_allclose(loss(spike), 1 + 0.1 * 0.81, rtol=1e-6)
    np.testing.assert_allclose(gradient[31], 0.1 * 2 * 0.9, rtol=1e-6)


@pytest.mark.parametrize("pairing", ["diagonal", "all"])
def test_gradient_is_that_of_all_segments(pairing):
    """Though the step takes but one segment of a normal bag with a gradient."""
    config, shape, key = ucf_mil.get_config(), (6, 32), jax.random.key(1)
    config.loss.pairing, config.loss.segments_used = pairing, 16
    system, rng = System(config), np.random.default_rng(0)
    batch = {
        kind: rng.standard_normal((*shape, 64), np.float32) for kind in ("anomalous", "normal")
    }
    params = system.ranker.init(jax.random.key(0), batch["normal"])

    def plain(params):
        scores = {}
        for number, kind in enumerate(batch):
            keep = keep_masks(jax.random.fold_in(key, number), shape, config.model.dropout)
            scores[kind] = system.ranker.apply(params, batch[kind], keep)
        loss, _ = ranking_loss(scores["anomalous"], scores["normal"], **config.loss)
        return loss, (scores["anomalous"].max(1) - scores["normal"].max(1)).mean()

    def own(params):
        loss, scalars = system._loss(params, batch, key)
        return loss, scalars["margin"]

    expected, found = (jax.jit(jax.value_and_grad(f, has_aux=True))(params) for f in (plain, own))
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    # The highest of all segments is in some bags one that the hinge leaves out
    keep = keep_masks(jax.random.fold_in(key, 1), shape, config.model.dropout)
    places = system.ranker.apply(params, batch["normal"], keep).argmax(1)
    assert 0 < (places >= config.loss.segments_used).sum() < len(places)


def test_batched_scoring_equals_one_by_one(mil_config):
    system = System(mil_config)
    params = system.ranker.init(jax.random.key(1), jnp.zeros((1, 32)))
    features = np.random.default_rng(0).standard_normal((37, 32, 32), np.float32)
    together = system.segment_scores(State(params, ()), features)
    alone = [system.segment_scores(State(params, ()), bag[None])[0] for bag in features]
    assert together.shape == (37, 32)
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_bags_of_other_shapes_are_scored_apart():
    def bag(snippets):
        return Bag("v", 0, "c", 100, np.zeros((0, 2)), np.zeros((1, snippets, 4)))

    groups = _groups([bag(32), bag(32), bag(32), bag(8), bag(32)], size=2)
    assert [[b.features.shape[1] for b in group] for group in groups] == [[32, 32], [32], [8], [32]]
