"""load_i3d: the networks of folders that data_prep.weights wrote."""

import json
import shutil

import jax
import numpy as np
import pytest
from flax import traverse_util

from data_prep import weights
from vadjax.backbones import resnet3d, resnet3d_weights
from vadjax.backbones.resnet3d import ResNet50I3D
from vadjax.convert.torch import AXES
from vadjax.data.video.snippets import Snippets
from vadjax.extractors import clips as clip_features
from vadjax.extractors.clips import ClipFeatures, SnippetFeatures, load_i3d
from vadjax.runtime import mesh


@pytest.fixture(scope="module")
def arrays():
    """Random weights of a ResNet-50 I3D of 3 classes by their torch names."""
    flat = traverse_util.flatten_dict(resnet3d.variable_shapes(classes=3))
    rng, found = np.random.default_rng(0), {}
    for path, leaf in flat.items():
        theirs = [leaf.shape[axis] for axis in np.argsort(AXES[len(leaf.shape)])]
        array = np.full(theirs, path[-1] in ("scale", "var"), np.float32)
        if path[-1] == "kernel":
            array = rng.standard_normal(theirs, np.float32) * (2 / np.prod(theirs[1:])) ** 0.5
        found[resnet3d_weights._torch_name(path)] = array.astype(np.float32)
    return found


@pytest.fixture(scope="module")
def folder(arrays, tmp_path_factory):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    work = tmp_path_factory.mktemp("weights")
    state = {name: torch.from_numpy(array) for name, array in arrays.items()}
    torch.save(state, work / "net.pth")
    weights.main(["resnet50_i3d", "--out", str(work / "out"), "--file", str(work / "net.pth")])
    return work / "out"


@pytest.fixture(scope="module")
def net(folder):
    return load_i3d(folder)


@pytest.mark.slow
def test_features_of_a_folder(net, arrays):
    assert (net.width, net.stream, net.normalisation) == (2048, "rgb", "kinetics")
    clips = np.random.default_rng(1).integers(0, 256, (5, 7, 32, 40, 3), np.uint8)
    features = net(clips)
    assert features.shape == (5, 1, 1, 1, 2048) and features.dtype == np.float32
    variables = resnet3d_weights.to_variables(arrays, False, "here")
    x = (clips.astype(np.float32) - 114.75) / 57.375
    expected = jax.jit(ResNet50I3D(classes=3).apply)(variables, x)["features"]
    np.testing.assert_allclose(features[:, 0, 0, 0], expected, atol=1e-4 * expected.max())
    for wrong in (clips[0], clips[..., :2], clips.astype(np.int32)):
        with pytest.raises(ValueError, match=r"a network for rgb takes uint8 or float \[N, T, H"):
            net(wrong)


def test_the_digest_is_of_weights_and_normalisation(net, folder):
    first, again, other = net, load_i3d(folder), load_i3d(folder, "pm1")
    assert first.digest == again.digest != other.digest
    with pytest.raises(ValueError, match="normalisation 'none'; expected one of pm1, kinetics"):
        load_i3d(folder, "none")


def test_a_folder_that_does_not_hold_what_it_says(folder, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    about = json.loads((other / "provenance.json").read_text())
    about |= {"network": "inception_i3d", "stream": "rgb"}
    (other / "provenance.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match="Conv3d_1a_7x7"):
        load_i3d(other)


def test_other_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="Run: python -m data_prep.weights i3d_rgb_kin"):
        load_i3d(tmp_path)
    (tmp_path / "provenance.json").write_text(json.dumps({"name": "efficientnet_lite0"}))
    with pytest.raises(ValueError, match="holds 'efficientnet_lite0', not an I3D"):
        load_i3d(tmp_path)


def toy(batch):
    """A small network for clips of any size, with weights."""
    kernel = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)

    def apply(variables, clips):
        return jax.nn.relu(clips.mean((1, 2, 3)) @ variables["kernel"])[:, None, None, None]

    return ClipFeatures(apply, {"kernel": kernel}, 8, "rgb", "pm1", batch, {})


@pytest.mark.parametrize(("batch", "devices"), [(8, 8), (16, 8), (12, 6), (4, 4), (7, 7), (9, 3)])
def test_devices_share_a_batch(batch, devices):
    clips = np.random.default_rng(1).integers(0, 256, (19, 16, 4, 6, 3), np.uint8)
    assert mesh.make(batch).size == devices
    many = toy(batch)
    np.testing.assert_allclose(many(clips), toy(1)(clips), rtol=1e-6)
    assert len(many._run._start(clips[:batch])[0].sharding.device_set) == devices


def test_clips_of_floating_point():
    clips = np.random.default_rng(1).integers(0, 256, (5, 7, 32, 40, 3), np.uint8)
    features = toy(4)(clips)
    np.testing.assert_allclose(toy(4)(clips[4:].astype(np.float64)), features[4:], atol=1e-5)


def test_one_compilation_whatever_the_length():
    net = SnippetFeatures(toy(4), Snippets(step=8), 4)
    for frames in (16, 40, 70):
        found = list(net(np.full((frames, 30, 40, 3), 7, np.uint8)))
        assert sum(map(len, found)) == (frames - 16) // 8 + 1
    assert net._nets["rgb"]._run._apply._cache_size() == 1


def test_the_default_batch_uses_all_devices(monkeypatch):
    batches = []

    def load(folder, normalisation, batch):
        batches.append(batch)
        return toy(batch)

    monkeypatch.setattr(clip_features, "load_i3d", load)
    for crops, batch in (("centre", None), ("ten", None), ("ten", 20)):
        SnippetFeatures.load("w", Snippets(crops), batch=batch)
    assert batches == [8, 16, 20]


@pytest.mark.slow
def test_devices_share_the_real_network(kinetics_i3d, tmp_path):
    weights.prepare("i3d_rgb_kinetics400", tmp_path / "i3d", str(kinetics_i3d))
    clips = np.random.default_rng(2).integers(0, 256, (2, 16, 224, 224, 3), np.uint8)
    one, two = (load_i3d(tmp_path / "i3d", batch=batch)(clips) for batch in (1, 2))
    np.testing.assert_allclose(one, two, atol=1e-5 * one.max())
