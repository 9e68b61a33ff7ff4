"""NanoDet-g: golden outputs of the published weights, decoding, pooling, and damaged weights."""

import json
import pathlib
import re
import shutil

import cv2
import jax
import numpy as np
import pytest

from data_prep import weights
from tests.helpers.places import published, real_data
from vadjax.backbones import nanodet
from vadjax.backbones.nanodet import InputFit
from vadjax.extractors import nanodet as extractor

AT_THRESHOLD = 1e-4  # scores so near to a threshold may fall on either side (golden README)


@pytest.fixture(scope="module")
def folder():
    """The folder of the two published files."""
    return published(nanodet.NAME).parent


@pytest.fixture(scope="module")
def variables(folder):
    return nanodet.read_tfjs(folder)


@pytest.fixture(scope="module")
def prepared(folder, tmp_path_factory):
    """What data_prep.weights writes."""
    out = tmp_path_factory.mktemp("weights") / "nanodet"
    weights.main([nanodet.NAME, "--out", str(out), "--file", str(folder)])
    return out


def synthetic(seed: int, height: int, width: int) -> np.ndarray:
    """The picture of the golden README, BGR."""
    y, x, c = np.mgrid[:height, :width, :3]
    a = 127 + 70 * np.sin((x * (1 + 0.3 * c) + seed * 11) / 23.0)
    a = a + 50 * np.cos((y - 2.0 * x * (c == 1)) / (17.0 + 4 * seed))
    bar = (abs(x - width * 0.3) < width * 0.06) & (abs(y - height * 0.5) < height * 0.3)
    a = np.where(bar, 40 + 60 * c, a)
    oval = ((x - width * 0.7) / (width * 0.12)) ** 2 + ((y - height * 0.45) / (height * 0.2)) ** 2
    return np.clip(np.rint(np.where(oval < 1, 220 - 50 * c, a)), 0, 255).astype(np.uint8)


def picture(name: str, golden, shape) -> np.ndarray:
    """The picture of a case, uint8 [H, W, 3], BGR."""
    if match := re.match(r"synthetic(\d+)", name):
        return synthetic(int(match[1]), *shape[:2])
    if name.startswith("photo"):
        stored = golden / "ssmtl" / "pretrained" / "centernet_mbv3_coco.npz"
        return np.ascontiguousarray(np.load(stored)["image_rgb_uint8"][..., ::-1])
    _, split, video, frame = name.split("_")[:4]
    path = real_data("ucsd_ped2") / split / "frames" / video / f"{frame}.jpg"
    return cv2.imread(str(path))


def pytest_generate_tests(metafunc):
    """One run for each case: those of real frames are skipped where the data are absent."""
    if "golden_case" in metafunc.fixturenames:
        folder = pathlib.Path(metafunc.config.getoption("--golden")).resolve() / "nanodet"
        paths = sorted(folder.glob("*.npz"))
        assert paths, f"no case in {folder}"
        metafunc.parametrize("golden_case", paths, ids=[path.stem for path in paths])


@pytest.fixture(scope="module")
def network(variables):
    return extractor.NanoDetNetwork(variables, maps=("p3", "c4"))


@pytest.mark.golden
def test_outputs_boxes_and_features(golden, variables, golden_case, network):
    compare(golden_case.stem, dict(np.load(golden_case)), variables, golden, network)


@jax.jit
def run(variables, images):
    """Inputs, outputs and decoded boxes of images uint8 [B, H, W, 3], RGB."""
    with jax.default_matmul_precision("highest"):
        normal = nanodet.normalise(images)
        outputs = nanodet.NanoDet().apply(variables, normal)
    return normal, outputs, nanodet.decode(outputs.sides, images.shape[1:3])


def compare(name: str, case: dict, variables: dict, golden, network) -> None:
    """All that a case holds."""
    bgr = picture(name, golden, case["shape"])
    mode = next((m for m in ("area", "letterbox") if name.endswith(m)), "stretch")
    fit = InputFit.of(bgr.shape[:2], mode)
    image = fit.image(np.ascontiguousarray(bgr[..., ::-1]))

    normal, outputs, boxes = jax.tree.map(np.asarray, run(variables, image[None]))
    near = {"rtol": 0, "err_msg": name}
    np.testing.assert_allclose(normal[0, ::16, ::16], case["input_every16"], atol=1e-4, **near)
    scores = 1 / (1 + np.exp(-outputs.logits[0].astype(np.float64)))
    np.testing.assert_allclose(scores[::31], case["class_scores_every31"], atol=1e-4, **near)
    np.testing.assert_allclose(scores.max(1), case["class_max"], atol=1e-4, **near)
    sides = outputs.sides[0].reshape(len(scores), -1)
    np.testing.assert_allclose(sides[::31], case["distribution_every31"], atol=1e-3, **near)
    for key in case:
        if match := re.fullmatch(r"([cp]\d)_every(\d+)", key):
            every = int(match[2])
            found = outputs.maps[match[1]][0, ::every, ::every]
            np.testing.assert_allclose(found, case[key], atol=1e-3, **near)
    totals = [scores, sides, abs(sides)]
    maps = [outputs.maps[key][0] for key in ("c3", "c4", "c5", "p3", "p4", "p5")]
    totals = [a.sum(dtype=np.float64) for a in (*totals, *maps, *map(abs, maps))]
    largest = np.maximum(np.abs(case["sums"]), [1, *[totals[2]] * 2, *totals[9:], *totals[9:]])
    assert (np.abs(totals - case["sums"]) <= 1e-4 * largest).all(), name
    compare_boxes(name, case, fit, boxes[0], scores, bgr.shape[:2])
    if "pool_boxes" in case:
        size = bgr.shape[:2] if fit.offset == (0, 0) else fit.size
        own = case["pool_boxes"] if fit.offset == (0, 0) else fit.to_input(case["pool_boxes"])
        for key in ("p3", "c4"):
            pooled = nanodet.pool(outputs.maps[key][0], own, size)
            np.testing.assert_allclose(pooled, case[f"pool_{key}"], atol=1e-3, **near)
    if mode == "area":  # as programs use it
        (seen,) = network([np.ascontiguousarray(bgr[..., ::-1])])
        np.testing.assert_allclose(
            seen.features(case["pool_boxes"]), case["pool_p3"], atol=1e-3, **near
        )


def compare_boxes(name, case, fit, boxes, scores, size) -> None:
    """Boxes of all cells before anything is left out, and those that stay."""
    boxes, best = fit.to_frame(boxes.astype(np.float64)), scores.max(1)
    clear = np.abs(best - 0.05) > AT_THRESHOLD
    cells = np.flatnonzero((best > 0.05) & clear)
    wanted = case["before_cell"][clear[case["before_cell"]]]
    np.testing.assert_array_equal(cells, wanted, err_msg=name)
    rows = case["before"][clear[case["before_cell"]]]
    np.testing.assert_allclose(boxes[cells], rows[:, :4], atol=0.01, rtol=0, err_msg=name)
    np.testing.assert_allclose(best[cells], rows[:, 4], atol=1e-4, rtol=0, err_msg=name)
    np.testing.assert_array_equal(scores[cells].argmax(1), rows[:, 5], err_msg=name)
    if (np.abs(best - 0.25) <= AT_THRESHOLD).any():
        return
    keep = extractor.Filter(0.25, 0.5, 0, 100)
    chosen = extractor.Detections(boxes, best, scores.argmax(1), scores)
    kept = keep(chosen, size)
    after = case["after"]
    np.testing.assert_allclose(kept.boxes, after[:, :4], atol=0.01, rtol=0, err_msg=name)
    np.testing.assert_allclose(kept.scores, after[:, 4], atol=1e-4, rtol=0, err_msg=name)
    np.testing.assert_array_equal(kept.classes, after[:, 5], err_msg=name)


@pytest.mark.golden
def test_the_list_of_parameters(golden, variables):
    lines = (golden / "nanodet" / "nanodet_params.csv").read_text().splitlines()[1:]
    rows = [line.split(",") for line in lines]
    paths = {jax.tree_util.keystr(p): x.shape for p, x in jax.tree.leaves_with_path(variables)}
    wanted = {
        "['params']" + "".join(f"['{part}']" for part in row[5].split("/")): tuple(
            int(side) for side in row[1].split("x")
        )
        for row in rows
    }
    assert paths == wanted


def test_sizes_of_inputs():
    assert InputFit.of((240, 360)).size == (352, 512)
    assert InputFit.of((480, 856)).size == (320, 544)
    assert InputFit.of((360, 640)).size == (320, 544)
    assert InputFit.of((10, 4000)).size[0] == 32
    boxed = InputFit.of((240, 360), "letterbox")
    assert (boxed.size, boxed.inner, boxed.offset) == ((416, 416), (277, 416), (69, 0))
    boxes = np.array([[10.0, 20, 30, 60]])
    np.testing.assert_allclose(boxed.to_frame(boxed.to_input(boxes)), boxes)
    with pytest.raises(ValueError, match="'areal'; expected one of area, stretch, letterbox"):
        InputFit.of((10, 10), "areal")


def test_a_box_smaller_than_a_cell_has_that_cell():
    values = np.arange(12, dtype=np.float32).reshape(3, 4, 1)
    boxes = [[0, 0, 40, 30], [39.9, 29.9, 40, 30], [10, 10, 11, 11], [0, 0, 20, 10]]
    pooled = nanodet.pool(values, np.array(boxes, float), (30, 40))
    np.testing.assert_allclose(pooled[:, 0], [5.5, 11, 5, 0.5])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["weightsManifest"][0]["weights"].pop(), "lists"),
        (lambda m: m["weightsManifest"].append(m["weightsManifest"][0]), "one group of weights"),
        (lambda m: m["weightsManifest"][0]["weights"][0].update(dtype="int64"), "int64"),
        (lambda m: m["weightsManifest"][0]["weights"][0].update(shape=[1 << 40]), "end before"),
        (lambda m: m["weightsManifest"][0]["weights"][9].update(name="x"), "x"),
    ],
)
def test_damaged_weights_are_refused(folder, tmp_path, change, message):
    model = json.loads((folder / nanodet.MODEL).read_text())
    change(model)
    (tmp_path / nanodet.MODEL).write_text(json.dumps(model))
    shutil.copy(folder / nanodet.WEIGHTS, tmp_path)
    if message == "x":  # one of the arrays that are not used, or a kernel
        floats = [w for w in model["weightsManifest"][0]["weights"] if "quantization" in w]
        floats[3]["name"] = "x"
        (tmp_path / nanodet.MODEL).write_text(json.dumps(model))
    with pytest.raises(ValueError, match=message):
        nanodet.read_tfjs(tmp_path)
    with pytest.raises(ValueError, match=r"nanodet.json: SHA-256 .*take package/models/nanodet"):
        weights.prepare(nanodet.NAME, tmp_path / "out", str(tmp_path))


def test_what_data_prep_weights_wrote_is_read_again(prepared, variables):
    network = extractor.load(prepared)
    again = extractor.NanoDetNetwork(variables)
    assert network.digest == again.digest
    frame = synthetic(1, 96, 128)
    alone, both = network([frame]), network([frame, frame[::-1]])
    np.testing.assert_array_equal(alone[0].candidates.boxes, both[0].candidates.boxes)
    with pytest.raises(FileNotFoundError, match="data_prep.weights nanodet"):
        extractor.load(prepared / "none")
    with pytest.raises(ValueError, match=r"frame is float64 .*expected uint8"):
        network([frame / 2])
