import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from tests.systems.lgn import golden as recipe
from vadjax.systems.lgn import layers, memory, score
from vadjax.systems.lgn.convert import read_items, read_model, to_variables, variable_shapes
from vadjax.systems.lgn.layers import ConvPair, TorchBatchNorm, Upsample
from vadjax.systems.lgn.local import ConvLstmKernels, StLstmKernels, conv_lstm
from vadjax.systems.lgn.loss import pixel_loss
from vadjax.systems.lgn.model import build
from vadjax.systems.lgn.step import RunningState, window_loss
from vadjax.systems.lgn.stream import StreamScorer

COUNTS = {"lgn": 22_753_667, "mnad_prediction": 15_651_843, "mnad_reconstruction": 17_196_291}
UNUSED = 2 * 512  # the originals count a batch norm that they never call
SIZE = (16, 24)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


@functools.cache
def network(variant="lgn", **options):
    """A network, random variables (drawn here: compiling `init` takes long), and items."""
    model, rng = build(variant, **options), np.random.default_rng(0)

    def fill(path, leaf):
        if path[-1].key in ("scale", "var"):
            return jnp.ones(leaf.shape)
        bound = 1 / np.sqrt(max(np.prod(leaf.shape[:-1]), 9))
        return jnp.asarray(rng.uniform(-bound, bound, leaf.shape).astype(np.float32))

    variables = jax.tree_util.tree_map_with_path(fill, variable_shapes(model))
    return (
        model,
        variables,
        memory.normalize(jnp.asarray(rng.random((10, model.features)), np.float32)),
    )


@pytest.mark.parametrize("variant", COUNTS)
def test_parameters(variant):
    params = variable_shapes(build(variant))["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) + UNUSED == COUNTS[variant]


def test_first_parameters_are_those_of_torch():
    key, x = jax.random.key(0), jnp.zeros((1, 2, 2, 64))
    pair = ConvPair(32).init(key, x, False)["params"]
    up = Upsample(32).init(key, x, False)["params"]  # fan-in of the output channels, in torch
    cell = StLstmKernels(32).init(key)["params"]
    for leaf, fan_in in (
        (pair["conv1"]["kernel"], 9 * 64),
        (pair["conv1"]["bias"], 9 * 64),
        (pair["conv2"]["kernel"], 9 * 32),
        (up["kernel"], 9 * 32),
        (up["bias"], 9 * 32),
        (cell["o"], 9 * 64),
        (cell["last"], 64),
    ):
        assert 0.9 < np.abs(leaf).max() * np.sqrt(fan_in) <= 1
        assert leaf.min() < 0
    items = memory.first_items(key)
    np.testing.assert_allclose(jnp.linalg.norm(items, axis=1), 1, rtol=1e-5)
    assert 0.6 < (items @ items.T)[0, 1:].mean() < 0.9  # spec: about 0.75


@pytest.mark.parametrize("cell", ["convlstm", "none"])
def test_other_local_branches(cell):
    model, variables, items = network(local_branch=cell)
    prediction, encoded = jax.jit(model.apply)(variables, draw(2, 4, *SIZE, 3), items)
    assert prediction.shape == (2, *SIZE, 3)
    assert np.abs(prediction).max() <= 1
    assert encoded.features.shape == (2, SIZE[0] // 8, SIZE[1] // 8, 512)
    assert (encoded.local is None) == (cell == "none")


def test_conv_lstm_is_one_convolution_of_input_and_state():
    kernels = ConvLstmKernels(4).init(jax.random.key(0))["params"]
    x, h, c = jnp.asarray(draw(3, 1, 5, 6, 4))
    both = jnp.concatenate([kernels["x"], kernels["h"]], 2)
    gates = jax.lax.conv_general_dilated(
        jnp.concatenate([x, h], -1),
        both,
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    i, f, g, o = jnp.split(gates + kernels["bias"], 4, -1)
    expected = jax.nn.sigmoid(f + 1) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    from_x = jax.lax.conv_general_dilated(
        x, kernels["x"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    ours_h, ours_c, _ = conv_lstm(kernels, from_x, (h, c, None))
    np.testing.assert_allclose(ours_c, expected, atol=1e-5)
    np.testing.assert_allclose(ours_h, jax.nn.sigmoid(o) * jnp.tanh(expected), atol=1e-5)
    zero = conv_lstm(kernels, from_x, (h * 0, c * 0, None))
    skipped = conv_lstm(kernels, from_x, (None, None, None))
    np.testing.assert_allclose(skipped[0], zero[0], atol=1e-6)


def test_batch_norm_in_groups_is_one_call_after_the_other():
    x = jnp.asarray(draw(3, 4, 5, 6, 2))  # [B, G, H, W, C]
    together, alone = TorchBatchNorm(2, groups=4), TorchBatchNorm(2)
    variables = together.init(jax.random.key(0), x[:, 0], False)
    apply = functools.partial(together.apply, train=True, mutable=["batch_stats"])
    y, changed = apply(variables, x.reshape(12, 5, 6, 2))
    for t in range(4):
        one, stats = alone.apply(variables, x[:, t], True, mutable=["batch_stats"])
        variables = variables | stats
        np.testing.assert_allclose(y.reshape(x.shape)[:, t], one, atol=1e-5)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), changed, dict(stats))
    sample = np.asarray(x[:, 3]).reshape(-1, 2)
    fresh = {"batch_stats": {"mean": jnp.zeros(2), "var": jnp.zeros(2)}}
    _, stats = alone.apply(variables | fresh, x[:, 3], True, mutable=["batch_stats"])
    np.testing.assert_allclose(stats["batch_stats"]["var"], 0.1 * sample.var(0, ddof=1), rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "reached"),
    [({}, False), ({"read_gradient": True}, True), ({"decoder_input": "query_and_read"}, True)],
)
def test_whether_the_pixel_loss_reaches_the_encoder(options, reached):
    model, variables, items = network(local_branch="none", width=8, **options)

    @jax.jit
    def gradient(params):
        def loss(params):
            prediction, _ = model.apply(variables | {"params": params}, draw(1, 4, *SIZE, 3), items)
            return pixel_loss(prediction, 0.5)

        return jax.grad(loss)(params)["encoder"]

    norms = [float(jnp.linalg.norm(g)) for g in jax.tree.leaves(gradient(variables["params"]))]
    assert all(norm > 0 for norm in norms) if reached else not any(norms)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"local_branch": "gru"},
            "model.local_branch is 'gru'; expected one of none, stlstm",
        ),
        ({"decoder_input": "all"}, "model.decoder_input is 'all'"),
        ({"output": "flow"}, "model.output is 'flow'; expected one of frame, residual"),
        ({"variant": "mnad_reconstruction", "output": "residual"}, "reconstructs its only input"),
    ],
)
def test_unknown_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        variable_shapes(build(**options))


@pytest.mark.parametrize("variant", ["lgn", "mnad_prediction"])
def test_a_narrow_network_has_fewer_channels_everywhere(variant):
    model, variables, items = network(variant, width=4)
    assert model.features == 32
    frames = draw(1, 4, *SIZE, 3)
    prediction, encoded = jax.eval_shape(model.apply, variables, frames, items)
    assert prediction.shape == (1, *SIZE, 3) and encoded.features.shape[-1] == 32
    published = variable_shapes(build(variant))["params"]
    # All axes of channels are 16 times as long, but those of the frames that go in and come out
    frame_channels = {3, 12}
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables["params"]):
        full = functools.reduce(lambda tree, key: tree[key.key], path, published).shape
        for narrow, wide in zip(leaf.shape[-2:], full[-2:], strict=True):
            assert wide == 16 * narrow or narrow == wide in frame_channels, (path, leaf.shape, full)
        assert leaf.shape[:-2] == full[:-2]  # sizes of kernels


def test_a_residual_network_starts_as_a_copy_of_the_last_frame():
    model, variables, items = network("mnad_prediction", output="residual", width=4)
    frames, target = draw(2, 4, *SIZE, 3), draw(2, *SIZE, 3, seed=1)

    @jax.jit
    def predict_and_learn(params):
        def loss(params):
            prediction, _ = model.apply(variables | {"params": params}, frames, items)
            return pixel_loss(prediction, target), prediction

        return jax.grad(loss, has_aux=True)(params)

    @jax.jit
    def first_output_layer(rng):
        return model.init(rng, frames, items)["params"]["decoder"]["out"]

    params = jax.tree.map(jnp.copy, variables["params"])
    params["decoder"]["out"] = first_output_layer(jax.random.key(0))
    slope, prediction = predict_and_learn(params)
    np.testing.assert_array_equal(prediction, frames[:, -1])
    params["decoder"]["out"]["kernel"] -= 1e3 * slope["decoder"]["out"]["kernel"]
    correction = np.abs(predict_and_learn(params)[1] - frames[:, -1])
    assert 0.01 < correction.max() <= 1 + 1e-6


def test_unknown_variants_and_frames_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match="expected one of lgn, mnad_prediction"):
        build("mnad")
    model, variables, items = network("mnad_prediction")
    for shape, message in (
        ((1, 4, 20, 24, 3), "20 × 24; height and width must be multiples of 8"),
        ((1, 4, 16, 24, 1), r"frames must be \[B, T, H, W, 3\]"),
        ((1, 3, 16, 24, 3), "takes 4 frames at a time; got 3"),
    ):
        with pytest.raises(ValueError, match=message):
            model.apply(variables, jnp.zeros(shape), items)


# Memory and scores


def test_an_item_without_queries_keeps_its_value():
    items = memory.normalize(jnp.asarray([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))
    queries = memory.normalize(jnp.asarray([[1.0, 0.2], [1.0, -0.1], [0.1, 1.0]]))
    for options in ({}, {"decay": 0.9}, {"temperature": 0.1}):
        after = memory.update(queries, items, **options)
        np.testing.assert_array_equal(after[2], items[2])
        np.testing.assert_allclose(jnp.linalg.norm(after, axis=1), 1, rtol=1e-6)
        assert jnp.linalg.norm(after[1] - items[1]) > 0
    slow = memory.update(queries, items, decay=0.99)
    assert (jnp.linalg.norm(slow - items, axis=1) < 0.01).all()


def test_a_lower_temperature_reads_the_nearest_item():
    items = memory.first_items(jax.random.key(0), 5, 8)
    np.testing.assert_allclose(memory.read(items, items, temperature=1e-3), items, atol=1e-5)
    flat = memory.read(items, items, temperature=1e3)
    np.testing.assert_allclose(flat, jnp.broadcast_to(items.mean(0), flat.shape), atol=1e-3)


def test_usage_tells_position_from_content():
    items = jnp.eye(4)
    places = jnp.tile(jnp.eye(4).reshape(1, 2, 2, 4), (3, 1, 1, 1))
    found = memory.usage(places, items)
    np.testing.assert_allclose(found["items_used"], 4, rtol=1e-5)
    np.testing.assert_allclose(found["content_share"], 0, atol=1e-6)
    frames = jnp.tile(jnp.eye(4)[:2].reshape(2, 1, 1, 4), (1, 2, 2, 1))
    found = memory.usage(frames, items)
    np.testing.assert_allclose(found["items_used"], 2, rtol=1e-5)
    np.testing.assert_allclose(found["content_share"], 1, rtol=1e-6)


def test_scores_where_the_originals_divide_by_zero():
    np.testing.assert_array_equal(score.min_max(np.full(3, 7.0)), 0)
    np.testing.assert_array_equal(score.normality(np.ones(3), np.ones(3)), 0.4)
    assert score.psnr(0.0) == 100
    assert score.point_score(jnp.zeros((4, 4, 3))) == 0


def test_online_normality_is_the_other_with_the_same_limits():
    psnrs, distances = np.random.default_rng(0).random((2, 9))
    limits = [(values.min(), values.max()) for values in (psnrs, distances)]
    online = score.normality_online(psnrs, distances, *limits)
    np.testing.assert_allclose(online, score.normality(psnrs, distances), rtol=1e-12)


def test_the_rule_that_nothing_changes():
    frames = np.zeros((6, 2, 2, 3), np.float32)
    frames[5] = 1
    np.testing.assert_allclose(score.copy_previous_error(frames), [0, 0.25])
    assert len(score.copy_previous_error(frames, first=1)) == 5


# Streams


@pytest.fixture(scope="module")
def stream():
    model, variables, items = network("mnad_prediction", width=8)
    return functools.partial(StreamScorer, model, variables, items)


def test_chunks_change_nothing(stream):
    video = draw(11, *SIZE, 3)
    whole = stream(gamma=np.inf, chunk=7).video(video)
    parts = stream(gamma=np.inf, chunk=3).video(iter(video))
    assert len(whole.psnr) == 7
    assert whole.updated.all()
    for ours, theirs in zip(whole[:4], parts[:4], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def test_what_the_memory_remembers_of_the_last_video(stream):
    video = draw(8, *SIZE, 3)
    first, second = (
        [s.video(video).distance for _ in range(2)]
        for s in (stream(gamma=np.inf), stream(gamma=np.inf, test_update="per_video_reset"))
    )
    assert np.abs(first[0] - first[1]).max() > 1e-6
    np.testing.assert_array_equal(second[0], second[1])
    np.testing.assert_array_equal(first[0], second[0])


def test_streams_refuse(stream):
    with pytest.raises(ValueError, match="eval.test_update is 'never'"):
        stream(test_update="never")
    with pytest.raises(ValueError, match="at least 5 frames"):
        stream().video(draw(4, *SIZE, 3))


# Weights


def torch_state(variant="mnad_reconstruction"):
    model, variables, _ = network(variant)
    state = recipe.by_torch_names(model, variables)
    for part in ("weight", "bias", "running_mean", "running_var"):
        state[f"encoder.moduleBatchNorm.{part}"] = np.ones(512, np.float32)
    state["encoder.moduleConv1.1.num_batches_tracked"] = np.array(7)
    return model, variables, state


def test_weights_come_back():
    model, variables, state = torch_state()
    found, unused = to_variables({f"module.{k}": v for k, v in state.items()}, model, "here")
    jax.tree.map(np.testing.assert_array_equal, found, variables)
    assert len(unused) == 4
    assert all("moduleBatchNorm" in name for name in unused)


def test_other_weights_are_refused():
    model, _, state = torch_state()
    with pytest.raises(ValueError, match=r"here: weights of no use here: \['extra'\]"):
        to_variables(state | {"extra": np.zeros(1)}, model, "here")
    name = "decoder.moduleUpsample4.0.weight"
    with pytest.raises(
        ValueError, match=r"is \(256, 512, 3, 3\), this model needs \(256, 256, 3, 3\)"
    ):
        to_variables(state, build("mnad_reconstruction", up_widths=(4, 2, 1)), "here")
    with pytest.raises(ValueError, match=f"no weight '{name}'"):
        to_variables({k: v for k, v in state.items() if k != name}, model, "here")
    with pytest.raises(ValueError, match="no weights were published for local branch 'convlstm'"):
        to_variables(state, build("mnad_reconstruction", local_branch="convlstm"), "here")


def test_files_of_weights_and_items(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    model, variables, state = torch_state()
    torch.save({k: torch.from_numpy(np.array(v)) for k, v in state.items()}, tmp_path / "net.pth")
    found, _ = read_model(tmp_path / "net.pth", model)
    jax.tree.map(np.testing.assert_array_equal, found, variables)
    items = draw(10, 512)
    torch.save(torch.from_numpy(items), tmp_path / "keys.pt")
    np.testing.assert_array_equal(read_items(tmp_path / "keys.pt"), items)
    with pytest.raises(ValueError, match="not a tensor of memory items"):
        read_items(tmp_path / "net.pth")
    with pytest.raises(ValueError, match="not a state dict"):
        read_model(tmp_path / "keys.pt", model)


# Devices


def test_loss_over_eight_devices():
    model, variables, items = network("lgn", width=8)
    running, batch = RunningState(variables["batch_stats"], items), draw(8, 5, *SIZE, 3)
    mesh = Mesh(np.array(jax.devices()[:8]), ("data",))
    whole, rows = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ("data",)))
    loss = functools.partial(window_loss, model=model)
    sharded = jax.jit(loss, in_shardings=(whole, whole, rows), out_shardings=whole)
    ours = sharded(variables["params"], running, batch)
    alone = jax.jit(loss)(variables["params"], running, batch)
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=2e-4, rtol=1e-4), ours, alone)


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_a_training_step_lowers_for_accelerators(platform):
    model = build(dtype=jnp.bfloat16)
    shapes = variable_shapes(model)
    running = RunningState(shapes["batch_stats"], jax.ShapeDtypeStruct((10, 512), np.float32))
    batch = jax.ShapeDtypeStruct((2, 5, 64, 64, 3), np.float32)
    step = jax.jit(jax.grad(functools.partial(window_loss, model=model), has_aux=True))
    exported = jax.export.export(step, platforms=[platform])(shapes["params"], running, batch)
    assert exported.platforms == (platform,)


def test_a_bias_before_batch_norm_shows_in_the_running_mean_alone():
    rng = np.random.default_rng(4)
    x, before = (jnp.asarray(rng.standard_normal(s), jnp.float32) for s in ((2, 4, 6, 3), (3,)))
    norm = TorchBatchNorm(3)
    variables = norm.init(jax.random.key(0), x, True)

    def train(before, x):
        y, changed = norm.apply(variables, x, True, before, mutable=["batch_stats"])
        return y, changed["batch_stats"]

    # The same as with the bias added to the input, but for rounding
    (y, running), (added, running_added) = train(before, x), train(0.0, x + before)
    np.testing.assert_allclose(y, added, atol=1e-5)
    np.testing.assert_allclose(running["mean"], running_added["mean"], atol=1e-6)
    gradient = jax.grad(lambda b: jnp.vdot(train(b, x)[0], x))(before)
    np.testing.assert_array_equal(gradient, 0)
    trained = {**variables, "batch_stats": running}
    scored = norm.apply(trained, x, False, before)
    np.testing.assert_allclose(scored, norm.apply(trained, x + before, False), atol=1e-6)


def test_scoring_by_times_and_by_weights_equals_the_plain_forms():
    # Windows time by time, with gates of joined inputs
    close = functools.partial(np.testing.assert_allclose, atol=1e-5)
    rng = np.random.default_rng(5)
    for variant in ("lgn", "mnad_prediction"):
        model = build(variant, width=4)
        frames = jnp.asarray(rng.uniform(-1, 1, (2, 4, 16, 16, 3)), jnp.float32)
        items = memory.normalize(jnp.asarray(rng.standard_normal((5, model.features)), jnp.float32))
        variables = model.init(jax.random.key(1), frames, items)
        gates = model.apply(variables, frames, method="frame_gates")
        whole = model.apply(variables, frames, gates, method="encode")
        times = [[array[:, t] for t in range(4)] for array in (frames, gates)]
        found = model.apply(variables, *times, method="encode_times")
        jax.tree.map(close, found, whole)
    # A convolution of the answers themselves
    weights = jax.nn.softmax(jnp.asarray(rng.standard_normal((2, 8, 8, 5)), jnp.float32))
    before = jnp.asarray(rng.standard_normal((2, 8, 8, 3)), jnp.float32)
    for first in (None, before):
        x = layers.Answers(first, weights, items)
        kernel = jnp.asarray(rng.standard_normal((3, 3, x.channels, 6)), jnp.float32)
        read = weights @ items
        plain = read if first is None else jnp.concatenate([first, read], -1)
        close(x.convolve(kernel), layers.convolve(plain, kernel))
