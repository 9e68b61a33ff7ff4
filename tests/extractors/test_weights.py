"""Folders of trained networks from strangers: what cannot be used is refused by the file's name."""

import json

import jax
import numpy as np
import pytest

from vadjax.backbones.motion import MotionNets
from vadjax.convert.published import check_folder
from vadjax.extractors import clips, exemplar_networks
from vadjax.runtime.checkpoint import Checkpoints

MODEL = {"network": "motion", "width": 0.05, "size": 16, "window": [4, 32, 32]}
APPEARANCE = {
    "network": "appearance",
    "architecture": "small",
    "classes": ["a"],
    "size": 16,
    "blocks": 1,
}


def write_config(folder, model) -> None:
    config = {"system": exemplar_networks.SYSTEM, "model": model}
    (folder / "config.json").write_text(json.dumps(config))


def motion_run(folder, value: float) -> None:
    """A run of the motion networks whose weights are all one number."""
    volume = jax.ShapeDtypeStruct((1, 4, 16, 16, 3), np.float32)
    shapes = jax.eval_shape(MotionNets(MODEL["width"]).init, jax.random.key(0), volume)
    variables = jax.tree.map(lambda leaf: np.full(leaf.shape, value, np.float32), shapes)
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(7, variables)
    write_config(folder, MODEL)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 1 << 20}, "model.size is 1048576; expected more than 0 and up to 4,096"),
        ({"size": 0}, "model.size is 0"),
        ({"size": "16"}, "model.size is '16'; expected a whole number"),
        ({"size": None}, "model.size is None"),
        ({"width": 1e200}, "model.width is 1e.200; expected more than 0 and up to 64"),
        ({"window": [4, 32]}, r"model.window is \[4, 32\]; expected \[frames, height, width\]"),
        ({"window": [4, 1 << 19, 32]}, r"model.window is \[4, 524288, 32\]"),
        ({"window": [4096, 4096, 4096]}, "a batch of inputs .* would take 13.2 TB; expected 8.6"),
        ({"size": 4096, "window": [9, 9, 9]}, "a batch of inputs .* would take 116.0 GB"),
        ({"width": 64}, "the network of section `model` would take 35.3 GB; expected 8.6 GB"),
    ],
)
def test_motion_networks_of_impossible_sizes(tmp_path, change, message):
    write_config(tmp_path, {**MODEL, **change})
    with pytest.raises(ValueError, match=rf"config\.json: {message}"):
        exemplar_networks.load_motion(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 4096}, "a batch of inputs .* would take 12.9 GB"),
        ({"blocks": 1 << 20}, "model.blocks is 1048576"),
        ({"classes": 8}, "model.classes is 8; expected a list"),
        ({"architecture": "resnext50"}, "holds the network 'resnext50', not 'small'"),
        ({"network": "motion"}, "holds 'motion' networks, not 'appearance' networks"),
        ({"network": None}, "holds None networks"),
    ],
)
def test_appearance_networks_that_cannot_be(tmp_path, change, message):
    write_config(tmp_path, {**APPEARANCE, **change})
    with pytest.raises(ValueError, match=rf"config\.json: {message}"):
        exemplar_networks.load_appearance("small", tmp_path)


def test_weights_that_are_not_finite(tmp_path):
    motion_run(tmp_path / "whole", 0.5)
    assert exemplar_networks.load_motion(tmp_path / "whole").window == (4, 32, 32)
    motion_run(tmp_path / "bad", np.nan)
    with pytest.raises(ValueError, match=r"bad/checkpoints/7: \['.* values are not finite"):
        exemplar_networks.load_motion(tmp_path / "bad")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"name": "other"}, "holds 'other', not 'efficientnet_lite0'"),
        ({"name": ["efficientnet_lite0"]}, "not 'efficientnet_lite0'"),
        ([], "a list of 0 items; expected a dict"),
    ],
)
def test_a_provenance_of_another_network(tmp_path, content, message):
    (tmp_path / "provenance.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"provenance\.json: .*{message}"):
        check_folder(tmp_path, "efficientnet_lite0")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": "other", "name": "x"}, "holds 'x', not an I3D"),
        ({"network": ["inception_i3d"]}, "network is a list of 1 items; expected text"),
        ({"classes": None}, "classes is None; expected a whole number"),
        ({"classes": 1 << 40}, "1,099,511,627,776 classes; expected rgb or flow and 1 to 100,000"),
        ({"stream": "sound"}, "stream 'sound'"),
        ({"stream": 5}, "stream is 5; expected text"),
    ],
)
def test_a_provenance_of_no_i3d(tmp_path, change, message):
    about = {"network": "inception_i3d", "stream": "rgb", "classes": 4, **change}
    (tmp_path / "provenance.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match=rf"provenance\.json: .*{message}"):
        clips.load_i3d(tmp_path)
