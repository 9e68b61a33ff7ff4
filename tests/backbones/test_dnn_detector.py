"""Detectors in ONNX files: outputs of every layout, and those of none."""

import pathlib

import numpy as np
import pytest

from tests.helpers import onnx_files, tflite_files
from vadjax.backbones import net_trial
from vadjax.backbones.dnn_detector import LAYOUTS, guess
from vadjax.extractors import detector

FRAME = np.zeros((50, 100, 3), np.uint8)  # black: the mean colour adds nothing
# Two objects in shares of the frame, of classes 1 and 0; and a box of no object
BOXES = np.array([[0.1, 0.2, 0.3, 0.6], [0.5, 0.4, 0.9, 0.8], [0.0, 0.0, 0.05, 0.05]])
SCORES = np.array([[0.1, 0.9], [0.7, 0.2], [0.01, 0.02]])
SIZE = (20, 40)  # H, W of the input
SIDES = np.array([40, 20, 40, 20])
NONE = np.zeros((9, 2))  # more rows, so that there are more than columns


def middles(boxes):
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], 1)


def case(layout: str) -> dict[str, np.ndarray]:
    boxes, scores = np.concatenate([BOXES, NONE @ np.zeros((2, 4))]), np.concatenate([SCORES, NONE])
    best, kinds = scores.max(1)[:, None], scores.argmax(1)[:, None]
    if layout == "yolo5":
        rows = np.concatenate([middles(boxes * SIDES), np.full_like(best, 0.5), scores * 2], 1)
        rows[:, 5:] = np.minimum(rows[:, 5:], 1)
        return {"out": rows[None]}
    if layout == "yolo8":
        return {"out": np.concatenate([middles(boxes * SIDES), scores], 1).T[None]}
    if layout == "rows7":
        return {"out": np.concatenate([0 * best, kinds, best, boxes], 1)[None, None]}
    if layout == "rows6":
        return {"out": np.concatenate([boxes * SIDES, best, kinds], 1)[None]}
    order = [1, 0, 3, 2] if layout == "ssd_yx" else [0, 1, 2, 3]
    return {"scores": scores[None], "boxes": boxes[None][..., order]}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout, tmp_path):
    path = onnx_files.write(tmp_path / "a.onnx", **case(layout))
    detect = detector.open(path, layout=layout, input_size=SIZE, threshold=0.3)
    found = detect(FRAME)
    np.testing.assert_allclose(found.boxes, BOXES[:2] * (100, 50, 100, 50), atol=1e-4)
    np.testing.assert_array_equal(found.classes, [1, 0])
    expected = [0.5, 0.5] if layout == "yolo5" else [0.9, 0.7]
    np.testing.assert_allclose(found.scores, expected, rtol=1e-5)
    classes = 0 if layout.startswith("rows") else 2
    assert found.logits.shape == (2, classes) and detect.labels == ("0", "1")[:classes]
    if layout == "yolo8":
        np.testing.assert_allclose(1 / (1 + np.exp(-found.logits)), SCORES[:2], rtol=1e-4)
        near = detect.outputs(FRAME, found.boxes[::-1] + 1)
        np.testing.assert_array_equal(near, found.logits[::-1])
    again = detector.open(**detect.settings)  # as the manifest of a dataset holds them
    np.testing.assert_array_equal(again(FRAME).boxes, found.boxes)
    assert again.settings == detect.settings


def test_several_outputs_are_one_after_the_other(tmp_path):
    rows = case("yolo5")["out"]
    path = onnx_files.write(tmp_path / "a.onnx", low=rows[:, :2], high=rows[:, 2:])
    found = detector.open(path, layout="yolo5", input_size=SIZE, threshold=0.3)(FRAME)
    assert len(found.boxes) == 2


def test_colours_logits_and_labels(tmp_path):
    logits = np.log(SCORES / (1 - SCORES))
    path = onnx_files.write(tmp_path / "a.onnx", boxes=BOXES[None], scores=logits[None] - 1)
    (tmp_path / "names.txt").write_text("dog\ncat\n")
    options = {
        "layout": "ssd",
        "input_size": SIZE,
        "outputs": "logits",
        "threshold": 0.3,
        "labels": str(tmp_path / "names.txt"),
    }
    frame = FRAME + np.array([255, 51, 0], np.uint8)  # adds 1 in red: to the boxes, too
    red = detector.open(path, **options).candidates(frame)
    np.testing.assert_allclose(red.scores[:2], [0.9, 0.7], rtol=1e-4)
    blue = detector.open(path, **options, colours="bgr").candidates(frame)
    np.testing.assert_allclose(blue.logits, logits - 1, atol=1e-5)
    scaled = detector.open(path, **options, mean=(0, 51, 0), scale=1 / 510).candidates(frame)
    np.testing.assert_allclose(scaled.logits, logits - 0.5, atol=1e-5)
    (only,) = {*detector.open(path, **options, keep=["cat"]).candidates(frame).classes}
    assert only == 1
    with pytest.raises(ValueError, match=r"no classes \['cow'\]; there are dog, cat"):
        detector.open(path, **options, leave_out=["cow"])
    (tmp_path / "names.txt").write_text("dog\n")
    with pytest.raises(ValueError, match=r"names.txt: 1 labels, but .*a.onnx has 2 classes"):
        detector.open(path, **options)


def test_layouts_that_shapes_tell():
    assert guess([(1, 84, 8400)], 0, "a") == "yolo8"
    assert guess([(1, 25200, 85)], 0, "a") == "yolo5"
    assert guess([(1, 84, 8400)], 80, "a") == "yolo8"
    assert guess([(1, 1, 100, 7)], 0, "a") == "rows7"
    assert guess([(1, 300, 85), (1, 1200, 85)], 0, "a") == "yolo5"
    for shapes, what in (
        ([(1, 300, 6)], "may be yolo5 or rows6"),
        ([(1, 100, 4), (1, 100, 91)], "may be ssd or ssd_yx"),
        ([(1, 80, 52, 52), (1, 80, 26, 26)], "are of no layout known here"),
        ([(1000,)], "are of no layout known here"),
    ):
        with pytest.raises(ValueError, match=rf"a: outputs \(.*{what}. Say which with --layout"):
            guess(shapes, 0, "a")


def test_networks_and_settings_that_do_not_fit(tmp_path):
    path = onnx_files.write(tmp_path / "a.onnx", out=np.zeros((1, 80, 3, 3)))
    with pytest.raises(ValueError, match=r"a.onnx: outputs \(1, 80, 3, 3\) are of no layout"):
        detector.open(path, input_size=SIZE)
    with pytest.raises(ValueError, match=r"\(1, 80, 3, 3\) are not of --layout yolo8; known are"):
        detector.open(path, input_size=SIZE, layout="yolo8")
    with pytest.raises(ValueError, match="--layout 'yolo9'; expected one of yolo5"):
        detector.open(path, layout="yolo9")
    with pytest.raises(FileNotFoundError, match="b.onnx: no such file"):
        detector.open(str(tmp_path / "b.onnx"))
    (tmp_path / "c.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match=r"c.onnx: OpenCV .* cannot read it"):
        detector.open(str(tmp_path / "c.onnx"))
    with pytest.raises(
        ValueError, match=r"detector 'yolo'; expected nanodet, ssd_mobilenet_v2, motion, or"
    ):
        detector.open("yolo")
    with pytest.raises(ValueError, match=r"--layout, --weights: not for the detector motion"):
        detector.open("motion", weights="w", layout="ssd")
    with pytest.raises(ValueError, match="the detector ssd_mobilenet_v2 needs --weights"):
        detector.open("ssd_mobilenet_v2")
    with pytest.raises(ValueError, match="came from files.* name a detector"):
        detector.open("boxes", boxes="stored")


DAMAGED = {  # what is replaced by a letter of no text → what is said
    b"GlobalAveragePool": "cannot read it: .*lobalAveragePool",  # a segmentation fault in OpenCV 5
    b"Conv": "cannot read it: ",
    b"image": "cannot read it: ",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_name_is_one_line_and_nothing_else(name, tmp_path, capfd):
    path = tmp_path / "net.onnx"
    content = pathlib.Path(onnx_files.write(path, **case("yolo8"))).read_bytes()
    path.write_bytes(content.replace(name, b"\xe9" + name[1:], 1))
    with pytest.raises(ValueError, match=rf"net\.onnx: OpenCV .* {DAMAGED[name]}") as caught:
        detector.open(str(path), layout="yolo8", input_size=SIZE)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_network_of_tensorflow(tmp_path):
    rows = case("yolo8")["out"]
    path = tflite_files.write(tmp_path / "net.tflite", SIZE, rows)
    detect = detector.open(path, layout="yolo8", input_size=SIZE, threshold=0.3)
    found = detect(FRAME)
    np.testing.assert_allclose(found.boxes, BOXES[:2] * (100, 50, 100, 50), atol=1e-4)
    np.testing.assert_allclose(found.scores, [0.9, 0.7], rtol=1e-5)
    np.testing.assert_array_equal(found.classes, [1, 0])


@pytest.mark.parametrize("content", [b"", b"TFL3" * 40, b"\x1c\0\0\0TFL3" + bytes(64)])
def test_damaged_networks_of_tensorflow(content, tmp_path, capfd):
    path = tmp_path / "net.tflite"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"net\.tflite: OpenCV .* cannot read it") as caught:
        detector.open(str(path), input_size=SIZE)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_network_that_cannot_be_run_is_one_line(tmp_path, capfd):
    """A reshaping of 72 numbers to 66."""
    content = pathlib.Path(onnx_files.write(tmp_path / "a.onnx", **case("rows6"))).read_bytes()
    shape = np.array([1, 12, 6], np.int64).tobytes()
    assert shape in content
    path = tmp_path / "net.onnx"
    path.write_bytes(content.replace(shape, np.array([1, 11, 6], np.int64).tobytes()))
    with pytest.raises(ValueError, match=r"net\.onnx: .*OpenCV") as caught:
        detector.open(str(path), layout="rows6", input_size=SIZE)
    assert "\n" not in str(caught.value) and capfd.readouterr() == ("", "")


def test_a_network_that_hangs_is_given_up(tmp_path, monkeypatch):
    path = onnx_files.write(tmp_path / "a.onnx", **case("yolo8"))
    monkeypatch.setattr(net_trial, "SECONDS", 0.001)
    with pytest.raises(ValueError, match=r"a\.onnx: OpenCV .* could not read and run it in 0.001"):
        detector.open(path, layout="yolo8", input_size=SIZE)
