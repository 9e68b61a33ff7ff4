"""S3R and RTFM through the loop, on tiny toy bags."""

import functools
import itertools
import json
from functools import partial

import jax
import numpy as np
import pytest

from configs import shanghaitech_rtfm, shanghaitech_s3r
from tests.helpers.loop import run_in_two, same_figures
from vadjax import train
from vadjax.data import bags
from vadjax.data.bags import KIND, Bag, tfds_features
from vadjax.data.segments import CLIP_FRAMES
from vadjax.data.store.builder import write_dataset
from vadjax.data.store.loader import Shard, iterate
from vadjax.data.store.records import Dataset, Description
from vadjax.data.video.frame_stream import numbered
from vadjax.runtime import metric_writers
from vadjax.scores import files
from vadjax.system import load_system
from vadjax.systems.s3r import convert, dictionary
from vadjax.systems.s3r import system as s3r
from vadjax.systems.s3r.step import accumulated, pair_loss

CONFIGS = {"s3r": shanghaitech_s3r, "rtfm": shanghaitech_rtfm}
CROPS, WIDTH = 3, 32


@pytest.fixture
def learned(monkeypatch):
    """Calls of `dictionary.learn`: means, rows, and options."""
    calls, learn = [], dictionary.learn

    def listed(means, atoms, **options):
        calls.append((means, atoms, options))
        return learn(means, atoms, **options)

    monkeypatch.setattr(dictionary, "learn", listed)
    return calls


def crop_bags(split: str, shapes):
    """Bags of these (crops, snippets), anomalous ones and normal ones in turn."""
    rng = np.random.default_rng(len(split))
    for i, (crops, snippets) in enumerate(shapes):
        frames = CLIP_FRAMES * snippets - (i % 3)
        kind = (i + 1) % 2
        train = split == "train"
        features = rng.random((crops, snippets, WIDTH), np.float32)
        yield Bag(
            video=f"{split}_{i}",
            label=kind,
            class_name="odd" if kind else "normal",
            num_frames=bags.UNKNOWN_LENGTH if train else frames,
            intervals=np.array([[3, 20]] if kind and not train else [], np.int32).reshape(-1, 2),
            features=features + kind * (np.arange(snippets) == 1)[:, None],
        )


def write(out, train_shapes, test_shapes):
    splits = {"train": train_shapes, "test": test_shapes}
    write_dataset(
        out,
        name="crops",
        kind=KIND,
        features=tfds_features(WIDTH),
        splits={k: (b.to_example() for b in crop_bags(k, v)) for k, v in splits.items()},
        extra={"streams": {"rgb": WIDTH}},
    )
    return out


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    """Bags of 3 crops: 8 to train on, 4 videos of their own lengths to test on."""
    out = tmp_path_factory.mktemp("data") / "crops"
    return write(out, [(CROPS, 8)] * 8, [(CROPS, n) for n in (5, 21, 2, 9)])


@pytest.fixture(params=["s3r", "rtfm"])
def config(request, crops):
    return of(request.param, crops)


@pytest.fixture(scope="module")
def finished(crops, tmp_path_factory):
    """Folder of the whole run of a variant."""

    @functools.cache
    def run(name):
        folder = tmp_path_factory.mktemp("runs") / name
        train.run(of(name, crops), folder)
        return folder

    return run


def of(name: str, folder):
    config = CONFIGS[name].get_config("smoke")
    config.data.dir, config.train.batch, config.train.devices = str(folder), 4, 1
    config.eval.batch, config.eval.expansion, config.eval.held_out = 2, "repeat", 0.0
    return config


def test_a_run_scores_every_frame(config, crops, finished):
    folder = finished(config.model.variant)
    figures = json.loads((folder / "metrics.json").read_text())["metrics"]
    assert figures["videos"] == 4 and 0 <= figures["auc"] <= 1
    data, system = Dataset(crops), load_system(config)
    for bag, found in zip(
        bags.Bags(data, "test"), files.read_folder(folder / "scores"), strict=True
    ):
        assert found.video == bag.video and len(found.frame_scores) == bag.num_frames
        repeated = np.repeat(found.segment_scores, CLIP_FRAMES)[: bag.num_frames]
        np.testing.assert_array_equal(found.frame_scores, repeated)
    rows = [row for row in metric_writers.read(folder) if "loss" in row]
    terms = {"bag", "magnitude", "sparsity", "smoothness", "margin"}
    assert len(rows) == config.train.steps and terms <= set(rows[0])
    assert ("macro" in rows[0]) == system.model.en_normal


@pytest.mark.slow
def test_a_stopped_run_ends_with_the_same_bits(config, finished, tmp_path, monkeypatch):
    run_in_two(config, tmp_path, 2, monkeypatch)
    same_figures(tmp_path, finished(config.model.variant))


def test_the_dictionary_is_learned_from_the_normal_videos_and_stays(crops, learned):
    config = of("s3r", crops)
    data, system = Dataset(crops), load_system(config)
    state = system.init(jax.random.key(0), data)
    (means, rows, options), *more = learned
    normal = [bag for bag in bags.Bags(data, "train") if not bag.label]
    np.testing.assert_allclose(means, [bag.features.mean((0, 1)) for bag in normal], rtol=1e-6)
    assert rows == round(0.9 * len(normal)) and not more
    assert options == {"seed": 42, "layout": "codes"}
    assert state.dictionary.shape == (rows, WIDTH) and state.dictionary.dtype == np.float32
    batch = next(iterate(system.batches(data, Shard())))
    after, _ = jax.jit(system.update)(state, batch, jax.random.key(0))
    np.testing.assert_array_equal(after.dictionary, state.dictionary)
    shapes = system.abstract_state(data)
    assert jax.tree.map(np.shape, shapes) == jax.tree.map(np.shape, state)
    assert len(learned) == 1  # shapes alone need no learning


def test_a_dictionary_is_read_from_its_file(crops, learned, tmp_path):
    config = of("s3r", crops)
    config.model.dictionary = str(tmp_path / "atoms.npy")
    np.save(config.model.dictionary, np.ones((7, WIDTH)))
    state = load_system(config).init(jax.random.key(0), Dataset(crops))
    assert state.dictionary.shape == (7, WIDTH) and not learned
    np.save(config.model.dictionary, np.ones((7, WIDTH + 1)))
    with pytest.raises(ValueError, match="atoms.npy: 7 rows of width 33, but the features have 32"):
        load_system(config).init(jax.random.key(0), Dataset(crops))


@pytest.mark.slow
def test_videos_scored_together_have_the_scores_they_have_alone(config, crops):
    data, system = Dataset(crops), load_system(config)
    state = system.init(jax.random.key(0), data)
    rng = np.random.default_rng(0)
    state = state._replace(
        batch_stats=jax.tree.map(
            lambda a: rng.uniform(0.5, 1.5, a.shape).astype(np.float32), state.batch_stats
        )
    )
    videos = list(bags.Bags(data, "test"))
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    apply = jax.jit(system.model.apply)
    for bag, found in zip(videos, system.score(state, videos), strict=True):
        alone = apply(variables, bag.features[None], state.dictionary).scores[0]
        np.testing.assert_allclose(found.segment_scores, alone, atol=2e-6, rtol=0)


def test_as_long_as_few_compilations_need():
    assert [s3r.filled_length(n) for n in (1, 16, 17, 32, 130, 200, 300, 1025)] == [
        16,
        16,
        32,
        32,
        144,
        208,
        320,
        1152,
    ]
    lengths = {s3r.filled_length(n) for n in range(1, 2049)}
    assert len(lengths) < 50
    assert all(n <= s3r.filled_length(n) <= 1.125 * n + 1 for n in range(128, 2049))


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(3, 8)] * 7 + [(1, 8)], "train_7 has 1 crops × 8 segments, train_0 has 3 × 8"),
        ([(3, 8)] * 7 + [(3, 9)], "train_7 has 3 crops × 9 segments, train_0 has 3 × 8"),
        ([(3, 2)] * 8, r"3 crops × 2 segments; model.top_k = 3 of them are to be chosen"),
    ],
)
def test_training_bags_that_cannot_be_used(shapes, message, tmp_path):
    folder = write(tmp_path / "data", shapes, [(3, 5)])
    with pytest.raises(ValueError, match=message):
        load_system(of("rtfm", folder)).batches(Dataset(folder), Shard())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("s3r", "data: no normal training video, and a dictionary is learned from those"),
        ("rtfm", "split 'train' has no normal video"),
    ],
)
def test_no_normal_training_video(name, message, tmp_path):
    folder = write(tmp_path / "data", [(CROPS, 8)], [(CROPS, 5)])  # one anomalous video
    data, system = Dataset(folder), load_system(of(name, folder))
    with pytest.raises(ValueError, match=message):
        system.init(jax.random.key(0), data)
        system.batches(data, Shard())


def test_weights_of_rtfm_are_not_those_of_s3r(crops, tmp_path):
    torch = pytest.importorskip("torch")
    rtfm, config = load_system(of("rtfm", crops)), of("s3r", crops)
    state = rtfm.init(jax.random.key(0), Dataset(crops))
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    theirs = convert.to_state(variables, rtfm.model, WIDTH)
    config.model.weights = str(tmp_path / "rtfm.pth")
    torch.save({name: torch.tensor(array) for name, array in theirs.items()}, config.model.weights)
    with pytest.raises(ValueError, match="rtfm.pth: these are not the weights of this network"):
        load_system(config).init(jax.random.key(0), Dataset(crops))


def test_test_bags_that_cannot_be_used(tmp_path):
    folder = write(tmp_path / "data", [(3, 8)] * 8, [(3, 5), (2, 5)])
    data, system = Dataset(folder), load_system(of("rtfm", folder))
    state = system.init(jax.random.key(0), data)
    with pytest.raises(ValueError, match="test_1: features of 2 crops; test_0 has 3"):
        list(system.score(state, system.videos(data, "test")))
    bag = system.videos(data, "test")[0]
    for frames, reason in (
        (16 * 5 + 7, "the last, incomplete snippet is missing from the features"),
        (16 * 4, "the labels lack the frames of the last snippet"),
        (16 * 9, "bags pooled into segments need another rule"),
    ):
        wrong = Bag(**{**vars(bag), "num_frames": frames})
        with pytest.raises(ValueError, match=f"test_0: 5 snippets for {frames} frames.*{reason}"):
            list(system.score(state, [wrong]))
    with pytest.raises(ValueError, match="eval.split is 'train', which has video-level labels"):
        system.videos(data, "train")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("model.variant", "mgfn", "model.variant is 'mgfn'; expected one of s3r, rtfm"),
        ("model.selection_dropout", 1.0, "model.selection_dropout is 1.0"),
        ("model.top_k", 0, "model.top_k is 0; expected at least 1"),
        ("model.norm", "layer", "model.norm is 'layer'; expected one of group, batch"),
        ("model.en_normal", False, "set both or none"),
        ("model.dropout", 1.0, "model.dropout is 1.0"),
        ("loss.scope", "all", "loss.scope is 'all'; expected one of batch, bag"),
        (
            "loss.magnitude_form",
            "paper",
            "loss.magnitude_form is 'paper'; expected one of absolute",
        ),
        ("eval.expansion", "twice", "eval.expansion is 'twice'; expected one of"),
    ],
)
def test_fields_that_cannot_be_used(field, value, message, crops):
    config = of("s3r", crops)
    section, name = field.split(".")
    config[section][name] = value
    with pytest.raises(ValueError, match=message):
        system = load_system(config)
        data = Dataset(crops)
        state = system.abstract_state(data)
        bag = jax.ShapeDtypeStruct((4, CROPS, 8, WIDTH), np.float32)
        batch = {"normal": bag, "anomalous": bag}
        jax.eval_shape(system.update, state, batch, jax.random.key(0))


class Rows:
    """Stands for the features of a video: `count` snippets of 8 frames, drawn."""

    def __init__(self, count: int):
        drawn = np.random.default_rng(0).uniform(0, 1, (count, CROPS, WIDTH))
        self.features = drawn.astype(np.float32)

    def rows(self, frames, ahead):
        """Each snippet, with the frames since the one before; at last the frames behind all."""
        stamps = [frame.stamp for frame in frames]
        ends = 16 + 8 * np.arange(len(self.features))
        groups = np.split(np.arange(len(stamps)), ends)
        for features, group in itertools.zip_longest(self.features, groups):
            yield features, [stamps[number] for number in group]


@pytest.mark.slow
def test_video_is_scored_as_a_whole_in_windows_or_live(config, crops):
    system, data = load_system(config), Dataset(crops)
    state = system.init(jax.random.key(0), data)
    system._features = rows = Rows(7)

    def scores_of(chosen):
        bag = bags.Bag("", 0, "", -1, np.zeros((0, 2), np.int32), chosen.swapaxes(0, 1))
        return system.snippet_scores(state, [bag])[0]

    def stream(live=False):
        parts = list(system.stream(state, "v", numbered(range(70)), data, live))
        found = np.concatenate([part.frame_scores for part in parts])
        assert [frame.number for part in parts for frame in part.frames] == list(range(70))
        assert len(found) == 70
        np.testing.assert_array_equal(found[64:], found[63])  # no snippet ends there
        return found[15:64:8]

    np.testing.assert_allclose(stream(), scores_of(rows.features), rtol=1e-6)
    config.eval.window = 4
    system.config = config
    parts = np.concatenate([scores_of(rows.features[:4]), scores_of(rows.features[4:])])
    np.testing.assert_allclose(stream(), parts, rtol=1e-6)
    live = [scores_of(rows.features[: n + 1])[-1] for n in range(7)]
    np.testing.assert_allclose(stream(live=True), live, rtol=1e-6)


@pytest.mark.slow
def test_held_out_videos_are_in_no_batch_and_no_dictionary(crops):
    config = of("s3r", crops)
    config.eval.held_out, config.train.batch = 0.25, 3
    system, data = load_system(config), Dataset(crops)
    state = system.init(jax.random.key(0), data)
    assert set(system.validate(state, data)) == {"auc"}
    full = of("s3r", crops)
    all_rows = load_system(full).init(jax.random.key(0), data).dictionary
    assert len(state.dictionary) < len(all_rows)
    described = Description.from_json(data.to_json())
    shapes = system.abstract_state(described)
    assert shapes.dictionary.shape == state.dictionary.shape


@pytest.mark.slow
def test_parts_of_a_batch_give_the_loss_and_gradient_of_the_whole_on_less(crops):
    config = of("s3r", crops)
    config.model.dropout = config.model.selection_dropout = 0.0
    system, data = load_system(config), Dataset(crops)
    state = system.init(jax.random.key(0), data)
    batch = next(iter(system.batches(data, Shard())))
    options = {
        "model": system.model,
        "dictionary": state.dictionary,
        "top_k": 3,
        "selection_dropout": 0.0,
    }
    given, weights = (state.params, state.batch_stats, batch, jax.random.key(1)), config.loss
    whole = jax.value_and_grad(partial(pair_loss, **options, **weights), has_aux=True)
    whole = jax.jit(whole).lower(*given).compile()
    (loss, (terms, *_)), gradient = whole(*given)
    gradient = jax.tree.map(np.asarray, gradient)
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(gradient))
    for parts in (2, 4):
        split = partial(accumulated, parts=parts, weights=dict(weights), **options)
        split = jax.jit(split).lower(*given).compile()
        (found, (own, _)), of_parts = split(*given)
        np.testing.assert_allclose(found, loss, rtol=2e-6)
        for name, value in terms.items():
            np.testing.assert_allclose(own[name], value, rtol=2e-5, atol=1e-7)
        for (path, a), b in zip(
            jax.tree_util.tree_leaves_with_path(of_parts), jax.tree.leaves(gradient), strict=True
        ):
            if "norm" in jax.tree_util.keystr(path).lower() and "non_local" in str(path):
                continue  # statistics of the part
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5 * largest, err_msg=str(path))
        memory = [one.memory_analysis().temp_size_in_bytes for one in (whole, split)]
        assert memory[1] < memory[0]
    config.train.accumulate = 3
    with pytest.raises(ValueError, match="train.accumulate is 3; 4 bags of a label"):
        load_system(config).update(state, batch, jax.random.key(1))
