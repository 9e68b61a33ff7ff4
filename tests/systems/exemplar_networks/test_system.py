"""Training of EVAL's feature networks: losses by hand, flips, runs through the command."""

import json

import jax
import numpy as np
import pytest

from configs import exemplar_appearance_network, exemplar_motion_network
from tests.helpers import commands
from tests.helpers.loop import run_in_two, same_figures
from vadjax import train
from vadjax.backbones.motion import Raw
from vadjax.data.store.loader import Shard, iterate
from vadjax.data.store.records import Dataset
from vadjax.data.toy.datasets import write_images
from vadjax.data.toy.images import ToyImages
from vadjax.extractors.exemplar_networks import load_appearance, load_motion
from vadjax.ops.flow import Motion, targets
from vadjax.system import load_system
from vadjax.systems.exemplar_networks import appearance, motion
from vadjax.systems.exemplar_networks.loss import labels_loss, motion_losses

losses_of = jax.jit(motion_losses)


def random_motion(rng, count: int) -> Motion:
    ang = rng.dirichlet(np.ones(12), count)
    ang[0] = 0  # nothing moves
    return Motion(ang, rng.uniform(0, 3, (count, 12)), rng.uniform(0, 1, count))


def test_losses_by_hand():
    rng = np.random.default_rng(0)
    target = random_motion(rng, 5)
    a, m, b = rng.normal(size=(5, 12)), rng.normal(size=(5, 12)), rng.normal(size=5)
    found = losses_of(Raw(a, m, b), target)
    log = a - np.log(np.exp(a).sum(1, keepdims=True))
    np.testing.assert_allclose(found["ang"], -(target.ang * log).sum() / 4, rtol=1e-5)
    error = np.abs(np.log1p(np.exp(m)) - target.mag)
    by_hand = ((target.ang + 0.05) * error).sum(1).mean()
    np.testing.assert_allclose(found["mag"], by_hand, rtol=1e-5)
    p = 1 / (1 + np.exp(-b))
    by_hand = -(target.bkg * np.log(p) + (1 - target.bkg) * np.log(1 - p)).mean()
    np.testing.assert_allclose(found["bkg"], by_hand, rtol=1e-5)
    labels = (rng.random((5, 12)) < 0.3).astype(float)
    p = 1 / (1 + np.exp(-a))
    by_hand = -np.where(labels == 1, np.log(p), np.log(1 - p)).mean()
    np.testing.assert_allclose(jax.jit(labels_loss)(a, labels), by_hand, rtol=1e-5)


def test_nothing_moves_anywhere():
    still = Motion(np.zeros((5, 12)), np.zeros((5, 12)), np.ones(5))
    losses = losses_of(Raw(np.ones((5, 12)), np.zeros((5, 12)), np.zeros(5)), still)
    assert losses["ang"] == 0 and np.isfinite([float(x) for x in losses.values()]).all()


@pytest.mark.parametrize(
    ("axis", "sign", "turned"), [(2, (-1, 1), motion.FLIP_X), (1, (1, -1), motion.FLIP_Y)]
)
def test_targets_of_a_mirrored_volume_are_permuted(axis, sign, turned):
    flow = np.random.default_rng(0).normal(0, 1, (3, 20, 20, 2))
    straight = targets(flow, 0.3)
    mirrored = targets(np.flip(flow, axis) * np.array(sign), 0.3)
    np.testing.assert_allclose(mirrored.ang, straight.ang[turned], atol=1e-12)
    np.testing.assert_allclose(mirrored.mag, straight.mag[turned], atol=1e-12)
    assert sorted(turned) == list(range(12)) and (turned[turned] == np.arange(12)).all()


def test_augmentation_mirrors_volume_and_directions_together():
    x = np.zeros((64, 2, 8, 8, 3), np.float32)
    x[:, :, 0, 1] = 0.5  # one bright point, top left
    ang = np.tile(np.eye(12, dtype=np.float32)[1], (64, 1))
    given = Motion(ang, ang * 2, np.full(64, 0.3, np.float32))
    y, target = jax.jit(motion.augment)(x, given, jax.random.key(0))
    y, found = np.asarray(y), np.asarray(target.ang).argmax(1)
    rows, columns = np.unravel_index(y[:, 0, :, :, 0].reshape(64, -1).argmax(1), (8, 8))
    expected = {(0, 1): 1, (0, 6): 4, (7, 1): 10, (7, 6): 7}  # b → 5 - b, 11 - b, both
    assert [expected[point] for point in zip(rows, columns, strict=True)] == found.tolist()
    assert set(found) == {1, 4, 7, 10}
    np.testing.assert_array_equal(target.mag, 2 * np.asarray(target.ang))
    assert len(np.unique(y[:, 0, 4, 4, 0])) == 64  # each has its own brightness


def test_augmented_images_keep_their_range_and_some_lose_their_colour():
    x = np.random.default_rng(1).uniform(0, 255, (64, 8, 8, 3)).astype(np.float32)
    y = np.asarray(jax.jit(appearance.augment)(x, jax.random.key(0)))
    assert y.min() >= 0 and y.max() <= 255
    grey = np.ptp(y, -1).max((1, 2)) < 1e-3
    assert 0.2 < grey.mean() < 0.6
    image = np.array([[[[10, 200, 30]]]], np.uint8)
    assert appearance.without_colour(image).tolist() == [[[[124, 124, 124]]]]


def test_figures_of_motion_by_hand():
    def one(bin_, speed, still):
        ang = np.eye(12)[bin_]
        return Motion(ang, ang * speed, np.float64(still))

    def stack(*parts):
        return Motion(*map(np.stack, zip(*parts, strict=True)))

    known = stack(one(3, 1.0, 0.5), one(3, 2.0, 0.7), one(5, 3.0, 0.6), one(0, 9.0, 1.0))
    truth = stack(one(3, 1.5, 0.5), one(0, 1.0, 0.9), one(7, 4.0, 1.0))  # the last stands still
    found = stack(one(3, 1.0, 0.5), one(11, 2.0, 0.8), one(3, 0.0, 0.9))
    figures = motion.compare(found, truth, known)
    assert figures["moving"] == 2 and figures["volumes"] == 3
    assert figures["direction"] == 0.5 and figures["direction_baseline"] == 0.5
    assert figures["direction_near"] == 1.0 and figures["direction_near_baseline"] == 0.5
    np.testing.assert_allclose(figures["speed_error"], 0.75)
    np.testing.assert_allclose(figures["speed_error_baseline"], (0.5 + 1.0) / 2)
    np.testing.assert_allclose(figures["still_error"], 0.2 / 3)
    np.testing.assert_allclose(figures["still_error_baseline"], (0.2 + 0.2 + 0.3) / 3)


def test_figures_of_appearance_by_hand():
    truth = np.array([[1, 0, 0], [0, 0, 0], [1, 0, 1], [0, 0, 0]], np.float32)
    colour = np.array([[0.9, 0.1, 0.2], [0.1, 0.1, 0.1], [0.8, 0.6, 0.3], [0.2, 0.1, 0.4]])
    figures = appearance.compare(colour, 1 - colour, truth, ("dog", "car", "tree"))
    np.testing.assert_allclose(figures["mean_precision"], (1 + 0.5) / 2)  # no image shows a car
    np.testing.assert_allclose(figures["mean_precision_baseline"], (0.5 + 0.25) / 2)
    assert figures["accuracy_dog"] == 1 and figures["accuracy_dog_baseline"] == 0.5
    assert figures["accuracy_car"] == 0.75 and figures["accuracy_car_baseline"] == 1
    assert figures["accuracy_tree"] == 0.75 and figures["accuracy_tree_baseline"] == 0.75


def test_half_of_every_batch_moves_on_average(toy_scenes):
    config = exemplar_motion_network.get_config("smoke")
    config.model.window, config.data.step, config.train.batch = (4, 24, 16), (3, 12, 16), 16
    system = load_system(config)
    batches = iterate(system.batches(Dataset(toy_scenes), Shard()), 0, 0)
    moving = [np.mean(next(batches)["bkg"] < 0.98) for _ in range(20)]
    assert np.mean(moving) >= 0.45


@pytest.fixture(scope="module")
def folders(tmp_path_factory, toy_scenes):
    """Workdirs of a `:smoke` run of each network through the command, one on the built-in data."""
    root = tmp_path_factory.mktemp("runs")
    small = ("--config.model.size=32", "--config.eval.images=16")
    for name, more in (("appearance", small), ("motion", (f"--config.data.dir={toy_scenes}",))):
        options = (
            f"--workdir={root / name}",
            f"--config=configs/exemplar_{name}_network.py:smoke",
            *more,
        )
        code, out, errors = commands.run("vadjax.main", *options)
        assert code == 0, errors
        assert ("built-in toy set" in out) == (name == "appearance") and "untrained" in out
    return root


@pytest.mark.slow
def test_runs_write_figures_and_no_scores(folders):
    for name, figure in (("appearance", "mean_precision"), ("motion", "speed_error")):
        summary = json.loads((folders / name / "metrics.json").read_text())
        assert np.isfinite(summary["metrics"][figure]) and figure in summary["untrained"]
        assert not (folders / name / "scores").exists()


@pytest.mark.slow
def test_loaded_networks(folders):
    net = load_appearance("small", folders / "appearance")
    images = np.random.default_rng(0).integers(0, 256, (70, 40, 40, 3), np.uint8)
    features, probabilities = net(images)
    assert features.shape == (70, net.width) and net.width == 128
    assert probabilities.shape == (70, len(net.classes)) and net.classes[2] == "cyclist"
    assert features.dtype == probabilities.dtype == np.float32
    alone, _ = net(images[69:])
    np.testing.assert_allclose(features[69:], alone, atol=1e-4)
    assert net(images[:0])[0].shape == (0, 128)
    assert net.digest == load_appearance("small", folders / "appearance").digest != ""
    with pytest.raises(ValueError, match=r"images are float32 .*; expected uint8 \[N, h, w, 3\]"):
        net(images.astype(np.float32))

    nets = load_motion(folders / "motion")
    assert nets.window == (4, 32, 32) and nets.digest != net.digest
    found, features = nets(np.zeros((3, 4, 32, 32, 3), np.uint8))
    assert found.ang.shape == found.mag.shape == (3, 12) and found.bkg.shape == (3,)
    assert features.shape == (3, 384) and found.bkg.dtype == np.float32
    with pytest.raises(
        ValueError, match=r"trained for uint8 \['N', 4, 32, 32, 3\].*exemplar_motion_network"
    ):
        nets(np.zeros((3, 10, 40, 40, 3), np.uint8))


@pytest.mark.slow
def test_folders_of_something_else(folders, tmp_path):
    with pytest.raises(ValueError, match="'vgg'; expected one of small, resnext50, efficientnet"):
        load_appearance("vgg", tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"no trained networks .*exemplar_appearance_network.py:cpu"
    ):
        load_appearance("small", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no weights here .*data_prep.weights efficient"):
        load_appearance("efficientnet_lite0", tmp_path)
    with pytest.raises(ValueError, match="holds 'motion' networks, not 'appearance' networks"):
        load_appearance("small", folders / "motion")
    with pytest.raises(
        ValueError, match="holds 'appearance' networks, not 'motion'.*exemplar_motion_network"
    ):
        load_motion(folders / "appearance")
    with pytest.raises(ValueError, match="holds the network 'small', not 'resnext50'"):
        load_appearance("resnext50", folders / "appearance")
    (tmp_path / "config.json").write_text((folders / "appearance" / "config.json").read_text())
    with pytest.raises(FileNotFoundError, match="no checkpoints here; train first"):
        load_appearance("small", tmp_path)
    (tmp_path / "provenance.json").write_text('{"name": "i3d"}')
    with pytest.raises(ValueError, match="holds 'i3d', not 'efficientnet_lite0'"):
        load_appearance("efficientnet_lite0", tmp_path)


@pytest.mark.slow
def test_a_stopped_run_ends_with_the_same_bits(toy_scenes, tmp_path, monkeypatch):
    config = exemplar_motion_network.get_config("smoke")
    config.data.dir, config.train.devices = str(toy_scenes), 1
    config.eval.untrained = False
    train.run(config, tmp_path / "whole")
    run_in_two(config, tmp_path / "parts", 1, monkeypatch)
    same_figures(tmp_path / "whole", tmp_path / "parts")


BAD = [
    (
        exemplar_motion_network,
        "model.network",
        "sound",
        "'sound'; expected one of appearance, motion",
    ),
    (exemplar_motion_network, "model.size", 24, "model.size is 24; expected a multiple of 16"),
    (exemplar_motion_network, "model.tau", 0.0, "model.tau is 0.0"),
    (exemplar_motion_network, "model.flow", "magic", "magic"),
    (exemplar_motion_network, "eval.held_out", 2, "eval.held_out is 2; of 2 training videos"),
    (exemplar_appearance_network, "model.size", 16, "model.size is 16; expected 32 pixels or more"),
    (
        exemplar_appearance_network,
        "model.architecture",
        "vgg",
        "'vgg'; expected one of small, resnext50",
    ),
    (
        exemplar_appearance_network,
        "model.weights",
        "x.pth",
        "only the architecture 'resnext50' takes",
    ),
    (exemplar_appearance_network, "model.classes", ("dog",), "model.classes is dog"),
    (
        exemplar_appearance_network,
        "eval.select_on_test",
        True,
        "scores no videos, so no step can be chosen",
    ),
]


@pytest.mark.parametrize(("module", "field", "value", "message"), BAD, ids=[b[1] for b in BAD])
def test_configs_that_cannot_be_used(module, field, value, message, toy_scenes, tmp_path):
    config = module.get_config("smoke")
    config.data.dir = str(toy_scenes if module is exemplar_motion_network else tmp_path / "toy")
    write_images(tmp_path / "toy", ToyImages(train=8, test=8, size=32))
    section, name = field.split(".")
    config[section].unlock()
    config[section][name] = value
    with pytest.raises(ValueError, match=message):
        train.run(config, tmp_path / "run")
