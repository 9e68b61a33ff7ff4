"""The network and the losses of SSMTL: golden numbers, the spec's counts, the same in torch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vadjax.systems.ssmtl import model, tasks
from vadjax.systems.ssmtl.loss import task_losses, training_loss
from vadjax.systems.ssmtl.model import TASKS, MultiTaskNet, common_triples

close = functools.partial(np.testing.assert_allclose, rtol=0)
SIDE = 16  # the smallest crops: fast


@pytest.fixture(scope="module")
def batch():
    """Four objects, with both classes of both tasks."""
    rng = np.random.default_rng(3)
    crops = rng.random((2, 4, tasks.LENGTH, SIDE, SIDE, 3), np.float32)
    return {
        "crops": crops[0],
        "irregular_crops": crops[1],
        "backward": np.array([0, 1, 1, 0]),
        "irregular": np.array([1, 0, 1, 0]),
        "teachers": rng.standard_normal((4, 9), np.float32),
    }


def small_net(**changes) -> MultiTaskNet:
    return MultiTaskNet(**{"trunk": "shallow_narrow", "distilled": 9} | changes)


@functools.cache
def variables_of(net: MultiTaskNet) -> dict:
    """Random variables, running statistics and biases too, so that none can hide behind 0 or 1."""
    inputs = {
        task: jax.ShapeDtypeStruct((1, count, SIDE, SIDE, 3), jnp.float32)
        for task, count in zip(TASKS, (7, 7, 6, 1), strict=True)
    }
    shapes = jax.eval_shape(net.init, jax.random.key(0), inputs)
    rng = np.random.default_rng(5)

    def fill(path, leaf):
        name = path[-1].key
        if name in ("var", "scale"):
            return rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        spread = np.sqrt(2 / np.prod(leaf.shape[:-1])) if name == "kernel" else 0.1
        return (spread * rng.standard_normal(leaf.shape)).astype(np.float32)

    return jax.tree_util.tree_map_with_path(fill, shapes)


# The network


def count(tree) -> int:
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tree))


def test_parameters_of_the_trunk():
    """The guard of spec §4: 417,312 weights of convolutions, 640 of batch norms."""
    trunk = model.Trunk(model.TRUNKS["deep_wide"])
    crops = jax.ShapeDtypeStruct((1, 7, 64, 64, 3), jnp.float32)
    shapes = jax.eval_shape(functools.partial(trunk.init, train=False), jax.random.key(0), crops)
    params = shapes["params"]
    assert len(params) == 6
    assert count([block["conv"] for block in params.values()]) == 417_312
    assert count([block["norm"] for block in params.values()]) == 640
    assert not any("bias" in block["conv"] for block in params.values())


@pytest.mark.parametrize("trunk", model.TRUNKS)
def test_shapes(trunk):
    net = MultiTaskNet(trunk)
    inputs = {
        task: jax.ShapeDtypeStruct((2, frames, 64, 64, 3), jnp.float32)
        for task, frames in zip(TASKS, (7, 7, 6, 1), strict=True)
    }
    outputs, variables = jax.eval_shape(net.init_with_output, jax.random.key(0), inputs)
    assert {task: output.shape for task, output in outputs.items()} == {
        "arrow": (2, 2),
        "irregularity": (2, 2),
        "middle": (2, 64, 64, 3),
        "distillation": (2, 1080),
    }
    widths = [width for block in model.TRUNKS[trunk] for width in block]
    convs = 27 * sum(a * b for a, b in zip([3, *widths], widths, strict=False))
    assert count(variables["params"]["shared"]) == convs + 2 * sum(widths)
    flat = 4 * 4 * model.HEAD_WIDTH
    assert variables["params"]["distillation"]["out"]["kernel"].shape == (flat, 1080)


@pytest.fixture(scope="module")
def torch_form():
    """The network in torch; skips where torch is not installed."""
    pytest.importorskip("torch", reason="torch is not installed")
    from benchmarks import ssmtl_torch

    return ssmtl_torch


def channels_last(found: dict) -> dict:
    arrays = {task: a.detach().numpy() for task, a in found.items()}
    return {t: np.moveaxis(a, 1, -1) if a.ndim == 4 else a for t, a in arrays.items()}


@pytest.mark.parametrize(
    ("trunk", "train", "statistics"),
    [
        ("shallow_narrow", True, "pass"),
        ("shallow_narrow", True, "joint"),
        ("deep_wide", False, "joint"),
        ("deep_narrow", True, "joint"),
    ],
)
def test_the_same_as_torch(trunk, train, statistics, batch, torch_form):
    net = small_net(trunk=trunk, statistics=statistics)
    inputs, _ = tasks.training_inputs(batch)
    apply = jax.jit(functools.partial(net.apply, train=train, mutable="batch_stats"))
    outputs, changed = apply(variables_of(net), inputs)
    weights = torch_form.to_torch(variables_of(net))
    program = torch_form.Network(weights, train, statistics == "joint")
    expected = channels_last(program(torch_form.to_tensors(inputs)))
    for task in TASKS:
        close(outputs[task], expected[task], atol=1e-4, err_msg=task)
    running = torch_form.to_torch({"params": {}} | changed)
    for name in running:
        if name.endswith("mean"):  # torch follows another variance, that of the sample
            close(running[name], weights[name], atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_gradients_are_those_of_torch(batch, torch_form):
    net = small_net()
    variables = variables_of(net)
    inputs, targets = tasks.training_inputs(batch)

    @jax.jit
    @jax.grad
    def gradient(params):
        own = {**variables, "params": params}
        outputs, _ = net.apply(own, inputs, True, mutable="batch_stats")
        return training_loss(outputs, targets)[0]

    weights = torch_form.to_torch(variables)
    trained = torch_form.to_torch({"params": variables["params"], "batch_stats": {}})
    for name in trained:
        weights[name].requires_grad_()
    outputs = torch_form.Network(weights, True)(torch_form.to_tensors(inputs))
    torch_form.training_loss(outputs, torch_form.to_tensors(targets)).backward()
    ours = torch_form.to_torch({"params": gradient(variables["params"]), "batch_stats": {}})
    for name in trained:
        close(ours[name], weights[name].grad, atol=1e-5, err_msg=name)


def test_score_outputs_are_those_of_the_plain_sequences(batch):
    net = small_net()
    plain = batch | {"irregular_crops": batch["crops"], "backward": np.zeros(4, int)}
    inputs, _ = tasks.training_inputs(plain)
    expected = jax.jit(net.apply)(variables_of(net), inputs)
    scoring = jax.jit(functools.partial(net.apply, method="score_outputs"))
    found = scoring(variables_of(net), batch["crops"])
    assert set(found) == set(expected) == set(TASKS)
    for task in TASKS:
        close(found[task], expected[task], atol=1e-5)  # sums in another order


def test_passes_share_the_frames_that_see_the_same():
    layers, found = common_triples(((0, 1, 2, 3), (0, 1, 3), (2,)), 2)
    first = ((-1, 0, 1), (0, 1, 2), (1, 2, 3), (2, 3, -1), (0, 1, 3), (1, 3, -1), (-1, 2, -1))
    second = ((-1, 0, 1), (0, 1, 2), (1, 2, 3), (2, 3, -1))
    assert layers[0] == first
    assert layers[1] == (*second, (-1, 0, 4), (0, 4, 5), (4, 5, -1), (-1, 6, -1))
    assert found == [[0, 1, 2, 3], [4, 5, 6], [7]]


@pytest.mark.parametrize("used", [("arrow",), ("middle", "irregularity"), ("distillation",)])
def test_tasks_that_are_not_in_use_have_no_parameters(used, batch):
    net = small_net(tasks=used)
    inputs, targets = tasks.training_inputs(batch)
    init = functools.partial(net.init_with_output, jax.random.key(0))
    outputs, variables = jax.eval_shape(init, inputs)
    assert set(outputs) == set(used) and set(variables["params"]) == {"shared", *used}
    scoring = functools.partial(net.apply, method="score_outputs")
    assert set(jax.eval_shape(scoring, variables, batch["crops"])) == set(used)
    zeros = {task: jnp.zeros(output.shape) for task, output in outputs.items()}
    loss, terms = training_loss(zeros, targets, distillation_weight=0.5)
    assert set(terms) == set(used)
    close(loss, (0.5 if used == ("distillation",) else 1) * sum(terms.values()), atol=1e-6)


def test_mean_over_time_and_sigmoid_are_options(batch):
    inputs, _ = tasks.training_inputs(batch)
    variables = variables_of(small_net())
    run = lambda **changes: jax.jit(small_net(**changes).apply)(variables, inputs)  # noqa: E731
    plain, other = run(), run(middle_output="sigmoid", time_pooling="mean")
    close(other["distillation"], plain["distillation"], atol=1e-6)  # of a single crop
    assert np.abs(other["arrow"] - plain["arrow"]).max() > 1e-3
    assert 0 < other["middle"].min() < other["middle"].max() < 1 < plain["middle"].max()


@pytest.mark.parametrize("statistics", ["pass", "joint"])
def test_running_statistics(statistics, batch):
    """Each of four passes in turn, or all of their frames together, of which 0.01 is taken in."""
    net = small_net(statistics=statistics)
    variables = variables_of(net)
    inputs, _ = tasks.training_inputs(batch)
    apply = jax.jit(functools.partial(net.apply, train=True, mutable="batch_stats"))
    _, changed = apply(variables, inputs)
    norm = lambda tree: tree["shared"]["block0_conv0"]["norm"]  # noqa: E731
    kernel = variables["params"]["shared"]["block0_conv0"]["conv"]["kernel"]
    mean = norm(variables["batch_stats"])["mean"]
    options = {"dimension_numbers": ("NDHWC", "DHWIO", "NDHWC")}
    passes = [
        jax.lax.conv_general_dilated(inputs[task], kernel, (1, 1, 1), "SAME", **options)
        for task in TASKS
    ]
    for y in passes if statistics == "pass" else [jnp.concatenate(passes, 1)]:
        mean = 0.99 * mean + 0.01 * y.mean((0, 1, 2, 3))
    close(norm(changed["batch_stats"])["mean"], mean, atol=1e-6)


def test_bfloat16_keeps_parameters_and_outputs_in_float32(batch):
    inputs, _ = tasks.training_inputs(batch)
    net = small_net(dtype=jnp.bfloat16)
    init = functools.partial(net.init_with_output, jax.random.key(0))
    outputs, variables = jax.eval_shape(init, inputs)
    for leaf in jax.tree.leaves([outputs, variables]):
        assert leaf.dtype == jnp.float32


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"trunk": "deep"},
            "model.trunk is 'deep'; expected one of .*; did you mean 'deep_wide'",
        ),
        ({"tasks": ("arrow", "jigsaw")}, "model.tasks is 'jigsaw'; expected one of arrow"),
        ({"tasks": ()}, "model.tasks is ''"),
        ({"time_pooling": "sum"}, "model.time_pooling is 'sum'"),
        ({"middle_output": "tanh"}, "model.middle_output is 'tanh'"),
        ({"statistics": "each"}, "model.statistics is 'each'; expected one of joint, pass"),
    ],
)
def test_settings_that_do_not_exist(changes, message, batch):
    with pytest.raises(ValueError, match=message):
        small_net(**changes).init(jax.random.key(0), tasks.training_inputs(batch)[0])


def test_crops_that_cannot_be_halved_four_times():
    crops = {"arrow": np.zeros((1, 7, 24, 32, 3), np.float32)}
    with pytest.raises(ValueError, match="crops of 24 × 32 pixels; .* multiples of 16"):
        small_net(tasks=("arrow",)).init(jax.random.key(0), crops)


# The losses


@pytest.fixture(scope="module")
def losses(golden):
    return dict(np.load(golden / "ssmtl" / "losses_scores.npz"))


GOLDEN_OUTPUTS = dict(zip(TASKS, ("logits_t1", "logits_t2", "recon", "kd_pred"), strict=True))
GOLDEN_TARGETS = dict(zip(TASKS, ("y_t1", "y_t2", "middle", "kd_target"), strict=True))


@pytest.mark.golden
def test_losses(losses):
    outputs = {task: losses[name] for task, name in GOLDEN_OUTPUTS.items()}
    targets = {task: losses[name] for task, name in GOLDEN_TARGETS.items()}
    total, terms = training_loss(outputs, targets, float(losses["lam"]))
    found = np.array([*(terms[task] for task in TASKS), total])
    close(found, losses["losses"], atol=1e-6)


def test_losses_by_hand():
    outputs = {
        "arrow": jnp.log(jnp.array([[0.25, 0.75], [0.5, 0.5]])),
        "middle": jnp.full((2, 1, 1, 3), 0.5),
    }
    targets = {"arrow": jnp.array([1, 0]), "middle": jnp.array([0.0, 1]).reshape(2, 1, 1, 1)}
    found = task_losses(outputs, targets)
    close(found["arrow"], (np.log(4 / 3) + np.log(2)) / 2, rtol=1e-6)
    close(found["middle"], 0.5)
