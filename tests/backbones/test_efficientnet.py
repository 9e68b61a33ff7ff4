"""EfficientNet-Lite0 with the weights that were published as a package."""

import jax
import numpy as np
import pytest

from data_prep import weights
from tests.helpers.places import published
from vadjax.backbones import efficientnet
from vadjax.backbones.efficientnet import EfficientNetLite0
from vadjax.extractors.exemplar_networks import load_appearance


@pytest.fixture(scope="module")
def lite0():
    """The file of weights; skips where it cannot be had or read."""
    pytest.importorskip("torch", reason="torch is not installed")
    return published("efficientnet_lite0")


def test_parameters():
    shapes = efficientnet.variable_shapes()
    assert sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(shapes["params"])) == 4_652_008


@pytest.mark.golden
@pytest.mark.slow
def test_lite0_weights(lite0, golden):
    expected = np.load(golden / "ssmtl" / "pretrained" / "efficientnet_lite0_imagenet.npz")
    variables = efficientnet.read_lite0(lite0)

    @jax.jit
    def apply(images):
        return EfficientNetLite0().apply(variables, efficientnet.normalise(images))

    cases = [name.removeprefix("image") for name in expected.files if name.startswith("image")]
    assert cases
    for case in cases:
        feature, logits = apply(expected[f"image{case}"][None])
        np.testing.assert_allclose(feature[0], expected[f"features_mean{case}"], atol=1e-3, rtol=0)
        np.testing.assert_allclose(logits[0], expected[f"logits{case}"], atol=1e-3, rtol=0)


@pytest.mark.golden
@pytest.mark.slow
def test_the_prepared_folder_gives_the_same(lite0, golden, tmp_path, capsys):
    out = tmp_path / "lite0"
    weights.main(["efficientnet_lite0", "--out", str(out), "--file", str(lite0)])
    assert "Apache-2.0" in capsys.readouterr().out
    net = load_appearance("efficientnet_lite0", out)
    assert net.width == 1280 and net.classes[999] == "imagenet 999"
    expected = np.load(golden / "ssmtl" / "pretrained" / "efficientnet_lite0_imagenet.npz")
    small = next(n for n in expected.files if n.startswith("image") and len(expected[n]) == 64)
    features, probabilities = net(np.repeat(expected[small][None], 65, 0))
    case = small.removeprefix("image")
    assert features.shape == (65, 1280) and probabilities.shape == (65, 1000)
    np.testing.assert_allclose(features[64], expected[f"features_mean{case}"], atol=1e-3, rtol=0)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    with pytest.raises(ValueError, match="weights_only|refused|SHA-256"):
        weights.prepare("efficientnet_lite0", tmp_path / "other", file=str(out / "provenance.json"))


def test_weights_left_over_or_missing_are_named(lite0, tmp_path):
    import torch

    state = torch.load(lite0, weights_only=True)
    state["more"] = torch.zeros(2)
    torch.save(state, tmp_path / "more.pth")
    with pytest.raises(ValueError, match=r"weights of no use here: \['more'\]"):
        efficientnet.read_lite0(tmp_path / "more.pth")
    del state["more"], state["_blocks.4._bn1.running_var"]
    torch.save(state, tmp_path / "less.pth")
    with pytest.raises(ValueError, match="no weight '_blocks.4._bn1.running_var'"):
        efficientnet.read_lite0(tmp_path / "less.pth")
