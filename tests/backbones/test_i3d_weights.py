"""The sets of names of the I3D networks' weights (spec i3d §A5, A6, B3)."""

import functools
import pickle

import jax
import numpy as np
import pytest
from flax import traverse_util

from vadjax.backbones import i3d, i3d_weights, resnet3d, resnet3d_weights
from vadjax.convert import arrays as files
from vadjax.convert.torch import AXES

PREFIX = "RGB/inception_i3d/"
TF_NAMES = functools.partial(i3d_weights._tf_name, PREFIX)


def random_variables(shapes) -> dict:
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.random(leaf.shape, np.float32), shapes)


def named(variables, name_of, axes) -> dict[str, np.ndarray]:
    """The file of these variables: the reverse of the import."""
    found = {}
    for path, array in traverse_util.flatten_dict(variables).items():
        if name := name_of(path):
            theirs = np.argsort(axes[array.ndim])
            found[name] = np.ascontiguousarray(array.transpose(theirs))
    return found


def tf_form(arrays) -> dict[str, np.ndarray]:
    """Statistics and offsets of batch norms as [1, 1, 1, 1, C]."""
    norm = ("BatchNorm_0", "batch_norm")
    return {
        name: array.reshape(1, 1, 1, 1, -1) if any(part in name for part in norm) else array
        for name, array in arrays.items()
    }


def nested(arrays) -> dict:
    """As in the package: inside Mixed the second level is a name with a slash."""
    tree = {}
    for name, array in arrays.items():
        kind, unit, *branch, layer, leaf = name.split("/")
        levels = [kind, unit, *(["/".join(branch)] if branch else []), layer]
        inner = functools.reduce(lambda level, key: level.setdefault(key, {}), levels, tree)
        inner[leaf] = array
    return tree


def check_same(found, expected):
    found, expected = map(traverse_util.flatten_dict, (found, expected))
    assert found.keys() == expected.keys()
    for path, array in found.items():
        np.testing.assert_array_equal(array, expected[path], err_msg=str(path))


@pytest.fixture(scope="module")
def inception():
    return random_variables(i3d.variable_shapes("rgb", classes=5))


@pytest.fixture(scope="module")
def resnet():
    return random_variables(resnet3d.variable_shapes(True, classes=5))


def without_scale(variables) -> dict:
    flat = traverse_util.flatten_dict(variables)
    ones = {path: np.ones_like(a) if path[-1] == "scale" else a for path, a in flat.items()}
    return traverse_util.unflatten_dict(ones)


def test_inception_by_torch_names(inception, tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    state = named(inception, i3d_weights._torch_name, AXES)
    counters = {
        f"{name.removesuffix('.weight')}.num_batches_tracked": np.array(7)
        for name in state
        if name.endswith("bn.weight")
    }
    assert len(state) + len(counters) == 344  # §A3
    assert {"Mixed_3b.b1b.conv3d.weight", "Mixed_5c.b3b.bn.running_var", "logits.conv3d.bias"} <= (
        state.keys()
    )
    whole = {name: torch.from_numpy(array) for name, array in {**state, **counters}.items()}
    torch.save(whole, tmp_path / "rgb.pt")
    check_same(i3d_weights.read(tmp_path / "rgb.pt"), inception)


def test_inception_by_tensorflow_names(inception, tmp_path):
    state = tf_form(named(inception, TF_NAMES, files.KEPT))
    assert {
        f"{PREFIX}Conv3d_1a_7x7/batch_norm/moving_mean",
        f"{PREFIX}Mixed_5b/Branch_2/Conv3d_0a_3x3/conv_3d/w",
        f"{PREFIX}Mixed_5c/Branch_2/Conv3d_0b_3x3/batch_norm/beta",
        f"{PREFIX}Logits/Conv3d_0c_1x1/conv_3d/b",
    } <= state.keys()
    assert state[f"{PREFIX}Conv3d_1a_7x7/conv_3d/w"].shape == (7, 7, 7, 3, 64)
    np.savez(tmp_path / "rgb.npz", **state)
    expected = without_scale(inception)
    check_same(i3d_weights.read(tmp_path / "rgb.npz"), expected)
    bare = {name.removeprefix(PREFIX): array for name, array in state.items()}
    check_same(i3d_weights.to_variables(bare, "rgb", "here"), expected)


def test_inception_by_the_names_of_the_package(inception, tmp_path):
    state = tf_form(named(inception, i3d_weights._package_name, files.KEPT))
    assert len(state) == 116 + 114  # §A6
    assert "params/Mixed_5b/Branch_2/Conv3d_0b_3x3/Conv_0/kernel" in state
    (tmp_path / "rgb.ckpt").write_bytes(pickle.dumps(nested(state)))
    check_same(i3d_weights.read(tmp_path / "rgb.ckpt"), without_scale(inception))


def test_resnet_by_torch_names(resnet, tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    state = named(resnet, resnet3d_weights._torch_name, AXES)
    assert {"layer2.0.downsample.1.bias", "layer3.5.nl.theta.bias", "fc.weight"} <= state.keys()
    torch.save({n: torch.from_numpy(a) for n, a in state.items()}, tmp_path / "net.pth")
    check_same(resnet3d_weights.read(tmp_path / "net.pth", non_local=True), resnet)


def test_resnet_by_caffe2_names(resnet, tmp_path):
    state = named(resnet, resnet3d_weights._caffe2_name, AXES)
    torch_state = named(resnet, resnet3d_weights._torch_name, AXES)
    for blob, name in (
        ("conv1_w", "conv1.weight"),
        ("res_conv1_bn_riv", "bn1.running_var"),
        ("res3_0_branch2a_bn_s", "layer2.0.bn1.weight"),
        ("res5_2_branch2c_w", "layer4.2.conv3.weight"),
        ("res2_0_branch1_w", "layer1.0.downsample.0.weight"),
        ("res2_0_branch1_bn_rm", "layer1.0.downsample.1.running_mean"),
        ("nonlocal_conv4_5_theta_b", "layer3.5.nl.theta.bias"),
        ("nonlocal_conv3_1_bn_b", "layer2.1.nl.bn.bias"),
        ("pred_w", "fc.weight"),
    ):
        np.testing.assert_array_equal(state[blob], torch_state[name])
    more = {"conv1_w_momentum": state["conv1_w"], "lr": np.ones(1), "model_iter": np.ones(1)}
    (tmp_path / "net.pkl").write_bytes(pickle.dumps({"blobs": state | more}, 2))
    check_same(resnet3d_weights.read(tmp_path / "net.pkl", non_local=True), resnet)


def test_files_of_other_networks_are_named(inception, resnet):
    state = named(inception, i3d_weights._torch_name, AXES)
    with pytest.raises(ValueError, match=r"Conv3d_1a_7x7.conv3d.weight is \(64, 3, 7, 7, 7\), thi"):
        i3d_weights.to_variables(state, "flow", "here")
    with pytest.raises(ValueError, match="here: .* missing: bn1.bias, .* no use here: Conv3d_1a"):
        resnet3d_weights.to_variables(state, False, "here")
    state["more"] = state.pop("Mixed_4c.b0.bn.running_var")
    with pytest.raises(ValueError, match="1 missing: Mixed_4c.b0.bn.running_var; 1 of no .* more$"):
        i3d_weights.to_variables(state, "rgb", "here")
    other = named(resnet, resnet3d_weights._torch_name, AXES)
    with pytest.raises(ValueError, match="60 of no use here: layer2.1.nl.bn.bias"):
        resnet3d_weights.to_variables(other, False, "here")
    with pytest.raises(ValueError, match="missing: Conv3d_1a_7x7.bn.bias"):
        i3d_weights.to_variables(other, "rgb", "here")
