"""SSD-MobileNetV2: golden outputs of the published file, and what is made of them."""

import json
import shutil

import numpy as np
import pytest

from data_prep import weights
from tests.helpers.places import published
from vadjax.backbones import ssd
from vadjax.backbones.detection import overlaps, suppress


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What data_prep.weights writes."""
    path = published(ssd.NAME)
    out = tmp_path_factory.mktemp("weights") / "ssd"
    weights.main([ssd.NAME, "--out", str(out), "--file", str(path)])
    return out


@pytest.fixture(scope="module")
def detect(folder):
    return ssd.Ssd(folder)


@pytest.fixture(scope="module")
def case(golden):
    return dict(np.load(golden / "ssmtl" / "pretrained" / "ssd_mbv2_oidv4.npz"))


@pytest.mark.golden
def test_outputs(detect, case):
    encodings, logits = detect.raw(case["image_rgb_uint8"])
    np.testing.assert_allclose(encodings, case["box_encodings"], atol=1e-3, rtol=0)
    np.testing.assert_allclose(logits, case["class_logits"], atol=1e-3, rtol=0)


@pytest.mark.golden
def test_labels(detect, case):
    assert detect.labels[1:] == tuple(case["labels"][1:])  # the first stands for the background


@pytest.mark.golden
def test_anchors(case):
    found = ssd.anchors()
    np.testing.assert_allclose(found, case["anchors_cy_cx_h_w"], atol=1e-3, rtol=0)
    np.testing.assert_allclose(found, case["anchors_cy_cx_h_w"], atol=1e-6, rtol=0)


@pytest.mark.golden
def test_objects(detect, case, folder):
    image = case["image_rgb_uint8"]
    found = detect(image)
    rows = np.array([label not in (case["labels"][0], *ssd.PARTS) for label in case["labels"]])
    best = np.where(rows, case["class_logits"], -np.inf).max()
    assert case["class_logits"][:, found.classes[0]].max() == best
    np.testing.assert_allclose(found.scores[0], 1 / (1 + np.exp(-best)), atol=1e-3)
    assert (np.diff(found.scores) <= 0).all() and found.scores.min() > 0.25
    assert rows[found.classes].all()
    assert found.boxes.min() >= 0 and found.boxes.max() <= ssd.SIDE
    own = np.take_along_axis(found.logits, found.classes[:, None], 1)[:, 0]
    np.testing.assert_allclose(found.scores, 1 / (1 + np.exp(-own)), rtol=1e-6)
    # A frame of another shape has the boxes where its pixels went
    wide = detect(np.repeat(image, 2, 1))
    np.testing.assert_allclose(wide.boxes[0], found.boxes[0] * (2, 1, 2, 1), atol=6)
    assert len(ssd.Ssd(folder, threshold=0.9999)(image).boxes) == 0
    top = detect.labels[found.classes[0]]
    others = ssd.Ssd(folder, leave_out=[*ssd.PARTS, top])(image)
    assert detect.labels.index(top) not in others.classes
    assert set(ssd.Ssd(folder, keep=[top])(image).classes) == {found.classes[0]}
    # Boxes from elsewhere get the outputs of the candidate that is over them
    np.testing.assert_array_equal(detect.outputs(image, found.boxes[:1])[0], found.logits[0])


def test_decoding_by_hand():
    anchors = np.array([[0.5, 0.4, 0.2, 0.1], [0.5, 0.5, 0.2, 0.2]])
    encodings = np.array([[0, 0, 0, 0], [5, -10, 5 * np.log(2), 0]])
    expected = [[0.35, 0.4, 0.45, 0.6], [0.2, 0.4, 0.4, 0.8]]
    np.testing.assert_allclose(ssd.decode(encodings, anchors), expected, atol=1e-12)


def test_suppression_leaves_no_overlap():
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 30, (60, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(8, 20, (60, 2))], 1)
    scores = rng.random(60)
    kept = suppress(boxes, scores, 0.5)
    assert (np.diff(scores[kept]) <= 0).all() and kept[0] == scores.argmax()
    shared = overlaps(boxes, boxes)
    among = shared[np.ix_(kept, kept)]
    assert (among[~np.eye(len(kept), dtype=bool)] <= 0.5).all()
    for i in set(range(60)) - set(kept):  # each one that went had a better one over it
        assert (shared[i, kept[scores[kept] > scores[i]]] > 0.5).any()
    assert suppress(np.zeros((0, 4)), np.zeros(0), 0.5).shape == (0,)


def test_frames_and_classes_that_are_none(detect, folder):
    with pytest.raises(ValueError, match=r"frame is float64 \(4, 4, 3\); expected uint8"):
        detect(np.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match=r"frame is uint8 \(4, 4\)"):
        detect(np.zeros((4, 4), np.uint8))
    with pytest.raises(ValueError, match=r"no classes \['Foot'\]; there are .*Footwear"):
        ssd.Ssd(folder, leave_out=["Foot"])
    with pytest.raises(ValueError, match="no class is left to be an object"):
        ssd.Ssd(folder, keep=["Boot"])
    with pytest.raises(ValueError, match="model.tflite: SHA-256 .* not the detector that"):
        ssd.Ssd(folder, sha256="0" * 64)


def test_folders_of_something_else(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="no weights here.* data_prep.weights ssd_mobile"):
        ssd.Ssd(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    (other / "provenance.json").write_text(json.dumps({"name": "efficientnet_lite0"}))
    with pytest.raises(ValueError, match="holds 'efficientnet_lite0', not 'ssd_mobilenet_v2'"):
        ssd.Ssd(other)
    cut = tmp_path / "cut"
    shutil.copytree(folder, cut)
    (cut / ssd.MODEL).write_bytes((cut / ssd.MODEL).read_bytes()[:1000])
    with pytest.raises(ValueError, match="model.tflite: OpenCV .* cannot read it"):
        ssd.Ssd(cut)


def test_networks_with_other_outputs():
    with pytest.raises(ValueError, match="a.tflite: 1 heads, expected 12 .* layers are .*, x, y"):
        name = "BoxPredictor_0/ClassPredictor/BiasAdd;BoxPredictor_0/ClassPredictor/Conv2D"
        ssd._head_layers("a.tflite", [name, "x", "y"])
