"""Several cameras in one dataset, and networks among the features, through the loop."""

import shutil

import jax
import numpy as np
import pytest

from configs import ped2_exemplar
from tests.systems.exemplar.cases import (
    WINDOW,
    Appearance,
    Networks,
    arrays,
    assert_same,
    config,
    figures,
    test_video,
    two_and_two,
    video,
    write,
)
from vadjax import evaluate, train
from vadjax.backbones.nanodet import variable_shapes
from vadjax.data.clips import Videos
from vadjax.data.store.records import Dataset
from vadjax.extractors import nanodet
from vadjax.scores import files as scores
from vadjax.systems.exemplar import features
from vadjax.systems.exemplar.stages import Stages

pytestmark = pytest.mark.usefixtures("without_reports")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return two_and_two(tmp_path_factory.mktemp("data") / "two")


# Cameras


@pytest.fixture(scope="module")
def cameras(tmp_path_factory):
    """Two cameras of different content, and each alone."""
    root = tmp_path_factory.mktemp("cameras")
    normal = {
        "01": [video("01_b", 8, 1, 0), video("01_a", 9, 1, 1)],
        "02": [video("02_a", 8, 3, 5)],
    }
    tests = {"01": [test_video("01_x", 9, 3, 0)], "02": [test_video("02_x", 8, 1, 5)]}
    for name in normal:
        write(root / name, normal[name], tests[name])
    write(root / "both", normal["02"] + normal["01"], tests["02"] + tests["01"])
    train.run(config(root / "both", data__cameras="prefix"), root / "run")
    return root


def test_cameras_have_models_and_scales_of_their_own(cameras, tmp_path):
    for name in ("01", "02"):
        train.run(config(cameras / name), tmp_path / name)
        for file in ("exemplars_motion_merged{}.npz", "scales_motion{}.npz"):
            own = arrays(cameras / "run" / file.format(f"_{name}"))
            alone = arrays(tmp_path / name / file.format(""))
            for key in own.keys() - {"meta"}:
                np.testing.assert_array_equal(own[key], alone[key], key)
        score = f"anomaly_scores_motion/{name}_x.npy"
        np.testing.assert_array_equal(
            np.load(cameras / "run" / score), np.load(tmp_path / name / score)
        )
    one, other = (arrays(cameras / f"run/scales_motion_{name}.npz")["Z"] for name in ("01", "02"))
    assert (one != other).any()


def test_a_run_of_several_cameras_resumes_and_scores_some_of_them(cameras, tmp_path):
    run = shutil.copytree(cameras / "run", tmp_path / "run")
    made = config(cameras / "both", data__cameras="prefix")
    train.run(made, run)
    assert_same(cameras / "run", run)
    evaluate.run(config(cameras / "01", data__cameras="prefix"), run)
    own, there = (scores.read(run / f"{part}scores/01_x.npz") for part in ("", "evaluate_0/"))
    np.testing.assert_array_equal(own.map, there.map)


def test_unknown_cameras_are_refused_with_names(cameras, tmp_path):
    run = shutil.copytree(cameras / "run", tmp_path / "run")
    third = write(tmp_path / "third", [video("03_a", 8, 1)], [test_video("03_x", 8, 2)])
    with pytest.raises(ValueError, match="video 03_x: no exemplars of camera '03'; .* 01, 02"):
        evaluate.run(config(third, data__cameras="prefix"), run)
    mixed = write(tmp_path / "mixed", [video("01_a", 8, 1)], [test_video("02_x", 8, 2)])
    with pytest.raises(ValueError, match="video 02_x: no exemplars of camera '02'; .* 01$"):
        train.run(config(mixed, data__cameras="prefix"), tmp_path / "new")
    plain = write(tmp_path / "plain", [video("a", 8, 1)], [test_video("x", 8, 2)])
    with pytest.raises(ValueError, match="plain: video a: no camera before an underscore"):
        train.run(config(plain, data__cameras="prefix"), tmp_path / "newer")
    with pytest.raises(ValueError, match="has no video of camera '07'"):
        Stages(config(plain), camera="07").videos(Dataset(plain), "train")
    for path in run.glob("exemplars_*"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match="no merged exemplars of any camera; run: python"):
        evaluate.run(config(third, data__cameras="prefix"), run)


# Networks


@pytest.fixture
def networks(monkeypatch):
    monkeypatch.setattr(features, "load_appearance", lambda *_: Appearance())
    monkeypatch.setattr(features, "load_motion", lambda *_: Networks())


BOTH = {
    "model__version": "appearance_motion",
    "appearance__source": "small",
    "model__threshold": 0.1,
}


@pytest.mark.parametrize(
    "fields",
    [
        BOTH,
        BOTH | {"motion__source": "networks"},
        BOTH | {"motion__source": "networks", "model__motion_feature": "penultimate"},
        BOTH | {"model__motion_feature": "robust", "model__version": "appearance"},
    ],
    ids=["flow", "networks", "penultimate", "appearance"],
)
def test_networks_take_part(data, networks, tmp_path, fields):
    made = config(data, motion__still_threshold=None, **fields)
    made.eval.flag = 0.2
    train.run(made, tmp_path / "run")
    version = fields["model__version"]
    detail = arrays(tmp_path / f"run/anomaly_scores_{version}/x_detail.npz")
    assert detail["terms"][..., 0].any()
    assert detail["terms"][..., 1:].any() == (version != "appearance")
    one = scores.read(tmp_path / "run/scores/x.npz")
    assert one.reasons and {"bright", "dark"} & set(one.reasons[0]["here"]["probability"])
    own = arrays(tmp_path / "run/features/test/x.npz")
    assert own["app"].shape == (5, 9, 2) and own["app_prob"].shape == (5, 9, 2)
    x = Videos(Dataset(data), "test")[1]
    middle = x[4 + 2][16:32, 16:32].astype(np.float32) / 255  # of the third volume, region (2, 1)
    np.testing.assert_allclose(own["app"][2, 7], [middle.mean(), middle.std()], 1e-5)
    by_networks = fields.get("motion__source") == "networks"
    assert own["hidden"].shape[-1] == (384 if by_networks else 0)
    assert own["speeds"].shape[-1] == (0 if by_networks else 4)
    evaluate.run(made, tmp_path / "run")
    assert figures(tmp_path / "run/evaluate_0") == figures(tmp_path / "run")


def test_features_of_the_detector_are_averaged_over_regions(tmp_path, monkeypatch):
    """`configs/ped2_exemplar.py:nanodet`, on random weights; a frame is seen once, not in crops."""
    variables = jax.tree.map(
        lambda shape: np.random.default_rng(0).normal(0, 0.05, shape.shape).astype(shape.dtype),
        variable_shapes(),
    )
    monkeypatch.setattr(nanodet, "load", lambda *_: nanodet.NanoDetNetwork(variables))
    data = write(tmp_path / "data", [video("a", 8, 1), video("b", 8, 2)], [test_video("x", 8, 1)])
    made = ped2_exemplar.get_config("nanodet")
    like = config(data)
    made.data, made.volume, made.report, made.train = (
        like.data,
        like.volume,
        like.report,
        like.train,
    )
    made.eval.tracks, made.eval.flag = "", 0.01
    train.run(made, tmp_path / "run")
    one = scores.read(tmp_path / "run/scores/x.npz")
    assert one.reasons and one.reasons[0]["terms"]["appearance"] >= 0
    # the features of a volume are those of its region in its middle frame
    own = arrays(tmp_path / "run/features/test/x.npz")
    assert own["app"].shape[-1] == 128 and own["app_prob"].shape[-1] == 0
    x = Videos(Dataset(data), "test")[0]
    middle = x[int(own["t_start"][0]) + WINDOW[0] // 2]
    (seen,) = nanodet.NanoDetNetwork(variables)([middle])
    rows = seen.features(np.array([[0.0, 0, WINDOW[2], WINDOW[1]]]))
    np.testing.assert_allclose(own["app"][0, 0], rows[0] / np.linalg.norm(rows[0]), atol=1e-6)
