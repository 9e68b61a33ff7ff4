"""Parts of S3R and RTFM: weights of the originals, layers, selection, losses."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.test_util import check_grads

from tests.systems.s3r.golden import Case
from vadjax.ops.optim import adam
from vadjax.systems.s3r import convert, loss
from vadjax.systems.s3r.layers import Dropout, TemporalConv, TemporalNonLocal
from vadjax.systems.s3r.loss import BagTerms, training_loss
from vadjax.systems.s3r.model import build
from vadjax.systems.s3r.select import chosen_mean, top_snippets


@pytest.fixture(scope="module")
def small(golden) -> Case:
    return Case(golden / "s3r", "s3r_small")


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(("variant", "count"), [("s3r", 56_258_690), ("rtfm", 24_718_849)])
def test_number_of_parameters(variant, count):
    shapes = convert.variable_shapes(build(variant), 2048)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes["params"])) == count


def test_first_parameters_and_identity_of_the_non_local_layer(rng):
    model = build("rtfm")
    video = rng.random((2, 1, 6, 64), np.float32)
    params = model.init(jax.random.key(0), video)["params"]
    kernel = params["video"]["scale1"]["conv"]["kernel"]
    bound = np.sqrt(6 / (3 * 64 + 3 * 16))
    assert 0.98 * bound < np.abs(kernel).max() <= bound
    assert not np.any(params["video"]["scale1"]["conv"]["bias"])
    h = rng.random((3, 5, 8), np.float32)
    layer = TemporalNonLocal()
    np.testing.assert_array_equal(layer.apply(layer.init(jax.random.key(0), h, False), h, False), h)


@pytest.mark.golden
def test_a_checkpoint_comes_in_and_goes_out(small, tmp_path):
    torch = pytest.importorskip("torch")
    state = {f"module.{k}": torch.from_numpy(np.array(v)) for k, v in small.state().items()}
    torch.save(state, tmp_path / "s3r.pth")
    model = small.model()
    variables, unused = convert.read_network(tmp_path / "s3r.pth", model, small.dim)
    assert len(unused) == 8 and all("_projection." in name for name in unused)
    back = convert.to_state(variables, model, small.dim)
    used = {k: v for k, v in small.state().items() if k not in unused and v.ndim}
    assert set(back) == set(used)
    for name, array in back.items():
        np.testing.assert_array_equal(array, used[name], err_msg=name)


@pytest.mark.golden
def test_other_checkpoints_are_refused(small, golden):
    state, model = small.state(), small.model()

    def read(changed, model=model):
        return convert.to_variables(changed, model, small.dim, "net.pth")

    rtfm = {row["name"]: np.zeros(row["shape"]) for row in Case(golden / "s3r", "rtfm_full").params}
    with pytest.raises(
        ValueError, match="net.pth: these are not the weights of this network.*miss"
    ):
        read(rtfm)
    with pytest.raises(ValueError, match="of no use here: de_normal.*mlp.1.bias"):
        read(state, build("rtfm"))
    name = "video_classifier.0.weight"
    with pytest.raises(ValueError, match=f"1 missing: {name}"):
        read({k: v for k, v in state.items() if k != name})
    with pytest.raises(ValueError, match=rf"1 of another shape: {name} is \(2, 2\)"):
        read(state | {name: np.zeros((2, 2))})


def test_convolution_is_a_convolution(rng):
    x = jnp.asarray(rng.standard_normal((2, 9, 5)), jnp.float32)
    for dilation in (1, 2, 4):
        conv = TemporalConv(7, size=3, dilation=dilation)
        params = conv.init(jax.random.key(dilation), x)
        expected = jax.lax.conv_general_dilated(
            x,
            params["params"]["kernel"],
            (1,),
            [(dilation, dilation)],
            rhs_dilation=(dilation,),
            dimension_numbers=("NWC", "WIO", "NWC"),
        )
        np.testing.assert_allclose(conv.apply(params, x), expected, atol=1e-5)


def test_both_orders_of_the_non_local_product_agree(rng):
    layer = TemporalNonLocal()
    h = jnp.asarray(rng.standard_normal((2, 12, 16)), jnp.float32)
    variables = layer.init(jax.random.key(0), h, False)
    variables["params"]["norm"]["scale"] = jnp.ones(16)
    long = layer.apply(variables, h, False)  # 12 > 16 / 2
    p = variables["params"]
    query, key, value = (
        h @ p[name]["kernel"][0] + p[name]["bias"] for name in ("query", "key", "value")
    )
    read = (query @ key.mT / 12) @ value
    expected = (read @ p["out"]["kernel"][0] + p["out"]["bias"]) / np.sqrt(1 + 1e-5) + h
    np.testing.assert_allclose(long, expected, atol=1e-5)


def test_dropout_keeps_the_mean():
    x = jnp.ones((200, 1000))
    drop = Dropout(0.7)
    y = drop.apply({}, x, True, rngs={"dropout": jax.random.key(0)})
    np.testing.assert_allclose(np.unique(y), [0, 1 / 0.3], rtol=1e-5)
    assert float(y.mean()) == pytest.approx(1, abs=0.02)
    np.testing.assert_array_equal(drop.apply({}, x, False), x)


def test_selection():
    magnitudes = jnp.array([[3.0, 1.0, 2.0, 5.0], [1.0, 1.0, 4.0, 2.0]])
    assert top_snippets(magnitudes, 2).tolist() == [[3, 0], [2, 3]]
    kept = jnp.array([[True, True, True, False], [False, True, False, False]])
    assert top_snippets(magnitudes, 2, kept).tolist() == [[0, 2], [1, 0]]
    values = jnp.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    chosen = jnp.array([[3, 0], [2, 1]])
    expected = np.stack([values[b][:, np.array(c)].mean(1) for b, c in enumerate(chosen)])
    np.testing.assert_allclose(chosen_mean(values, chosen), expected)
    np.testing.assert_allclose(chosen_mean(magnitudes, chosen), [4, 2.5])
    with pytest.raises(ValueError, match="bags have 4 snippets; model.top_k = 5"):
        top_snippets(magnitudes, 5)


def random_bags(rng, macro=True) -> BagTerms:
    parts = rng.random(4), 9 * rng.random((4, 2, 8)), rng.random((4, 6)), rng.random(4)
    return (
        BagTerms(*map(jnp.asarray, parts))
        if macro
        else BagTerms(*map(jnp.asarray, parts[:3]), None)
    )


def test_loss_by_hand(rng):
    normal, anomalous = random_bags(rng), random_bags(rng)
    total, terms = training_loss(normal, anomalous, margin=7.0)
    a, n = (np.linalg.norm(bags.feature, axis=-1) for bags in (anomalous, normal))
    row = np.asarray(anomalous.snippets).ravel()
    entropy = -(np.log(anomalous.score).mean() + np.log(1 - normal.score).mean()) / 2
    macro = -(np.log(1 - anomalous.macro).mean() + np.log(1 - normal.macro).mean()) / 2
    expected = {
        "bag": entropy,
        "magnitude": ((np.abs(7 - a) + n) ** 2).mean(),
        "sparsity": np.linalg.norm(row),
        "smoothness": (np.diff(row) ** 2).sum(),
        "macro": macro,
    }
    assert set(terms) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(terms[name], value, rtol=1e-5, err_msg=name)
    weights = {"bag": 1, "magnitude": 1e-4, "sparsity": 8e-3, "smoothness": 8e-4, "macro": 1}
    np.testing.assert_allclose(total, sum(w * expected[k] for k, w in weights.items()), rtol=1e-5)


def test_sane_forms_of_the_loss(rng):
    normal, anomalous = random_bags(rng, macro=False), random_bags(rng, macro=False)
    _, terms = training_loss(normal, anomalous, margin=7.0, magnitude_form="hinge", scope="bag")
    assert "macro" not in terms
    a, n = (np.linalg.norm(bags.feature, axis=-1) for bags in (anomalous, normal))
    np.testing.assert_allclose(terms["magnitude"], np.maximum(7 - a + n, 0).mean(), rtol=1e-5)
    rows = np.asarray(anomalous.snippets)
    np.testing.assert_allclose(terms["sparsity"], np.linalg.norm(rows, axis=1).mean(), rtol=1e-5)
    np.testing.assert_allclose(terms["smoothness"], (np.diff(rows) ** 2).sum(1).mean(), rtol=1e-5)


def test_losses_at_the_edges_have_finite_gradients():
    for label in (0, 1):
        value, gradient = jax.value_and_grad(loss.cross_entropy)(jnp.array([0.0, 1.0]), label)
        assert float(value) == 50 and np.isfinite(gradient).all()
    zero = jnp.zeros((1, 1, 3))
    value, gradient = jax.value_and_grad(loss.magnitude_loss)(zero, zero, 2.0)
    assert float(value) == 4 and not np.any(gradient)
    check_grads(lambda x: loss.norm(x).sum(), (jnp.array([[3.0, 4.0]]),), 1, rtol=1e-2)


def test_adam_is_that_of_torch(rng):
    torch = pytest.importorskip("torch")
    w = rng.standard_normal(50).astype(np.float32)
    theirs = torch.nn.Parameter(torch.from_numpy(w.copy()))
    torch_adam = torch.optim.Adam([theirs], lr=1e-2, weight_decay=0.1)
    ours, optimizer = jnp.asarray(w), adam(1e-2, 0.1)
    state = optimizer.init(ours)
    for step in range(5):
        gradient = rng.standard_normal(50).astype(np.float32)
        theirs.grad = torch.from_numpy(gradient)
        torch_adam.step()
        updates, state = optimizer.update(jnp.asarray(gradient), state, ours)
        ours = optax.apply_updates(ours, updates)
        np.testing.assert_allclose(ours, theirs.detach().numpy(), atol=1e-6, err_msg=str(step))
