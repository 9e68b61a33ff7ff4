"""Options of the attributes system, each through training, evaluation and prediction."""

import dataclasses
import datetime
import functools
import json
import shutil

import jax
import numpy as np
import pytest

from configs import ped2_attributes
from tests.helpers.pictures import write_pictures
from vadjax import evaluate, train
from vadjax.data.clips import Videos
from vadjax.data.store.frame_writer import write_frames
from vadjax.data.store.records import MANIFEST, Dataset
from vadjax.data.toy.datasets import write_scenes
from vadjax.data.toy.scenes import ToyScenes
from vadjax.predict import run as predict
from vadjax.scores import files
from vadjax.scores.files import read_arrays
from vadjax.system import load_system

pytestmark = pytest.mark.usefixtures("without_reports")

RECIPE = ToyScenes(train=3, test=2, frames=40, height=64, width=96, crowd=4.0)
# option → fields, and the width of a row of the speed
OPTIONS = {
    "bins": ({"attributes.direction": "bins"}, 8),
    "vector": ({"attributes.direction": "vector"}, 2),
    "geometry": ({"attributes.geometry": True}, 1),
    "moving": ({"objects.camera": "moving"}, 1),
    "everything": (
        {
            "attributes.direction": "vector",
            "attributes.divide_by_height": "yes",
            "attributes.geometry": True,
            "fusion": "max",
            "bank.most": 20,
        },
        2,
    ),
}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    out = tmp_path_factory.mktemp("data") / "scenes"
    write_scenes(out, RECIPE)
    return out


@pytest.fixture(scope="module")
def pictures(scenes, tmp_path_factory):
    """The frames of a test video as a folder of pictures, and its name."""
    return write_pictures(Videos(Dataset(scenes), "test")[0], tmp_path_factory.mktemp("pictures"))


def make_config(data, fields, variant="smoke"):
    config = ped2_attributes.get_config(variant)
    config.data.dir, config.train.devices, config.eval.tracks = str(data), 1, ""
    config.update_from_flattened_dict(fields)
    return config


def scores_of(run, name):
    return files.read(run / "scores" / f"{name}.npz")


def assert_same_scores(one, other):
    np.testing.assert_array_equal(one.frame_scores, other.frame_scores)
    np.testing.assert_array_equal(one.boxes, other.boxes)
    for name, values in one.alternatives.items():
        np.testing.assert_array_equal(values, other.alternatives[name], err_msg=name)


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_is_trained_evaluated_and_predicts(scenes, pictures, tmp_path, option):
    fields, width = OPTIONS[option]
    config = make_config(scenes, fields)
    train.run(config, tmp_path)
    arrays = read_arrays(tmp_path / "attributes.npz")
    assert arrays["scene:sample"].shape[1] == width
    # the evaluation and new video of the same pixels have the scores of the run
    evaluate.run(config, tmp_path)
    trained = scores_of(tmp_path, pictures.name)
    (again,) = tmp_path.glob("evaluate_*")
    assert_same_scores(trained, scores_of(again, pictures.name))
    assert predict.run(config, tmp_path, str(pictures), tmp_path / "new", film=False, fps=10) == {}
    assert_same_scores(trained, scores_of(tmp_path / "new", pictures.name))
    # the attributes that count are those that are told apart
    chosen = config.attributes
    names = {name for name in ("speed", "look", "geometry") if chosen[name]}
    assert set(trained.alternatives) == names | {"evidence", "live"}
    assert trained.frame_scores.max() > 0 and trained.frame_scores.min() >= 0
    for event in trained.reasons:
        assert set(event["evidence"]) == names
        if (
            chosen.direction != "off"
            and "speed" in event["evidence"]
            and "er than" in event["text"]
        ):
            assert "towards the" in event["text"]


def test_stored_boxes_are_trained_and_evaluated(scenes, pictures, tmp_path):
    """New video has no stored boxes: it is refused."""
    config = make_config(scenes, {"attributes.look": False}, "yolo")
    train.run(config, tmp_path)
    evaluate.run(config, tmp_path)
    (again,) = tmp_path.glob("evaluate_*")
    trained = scores_of(tmp_path, pictures.name)
    assert_same_scores(trained, scores_of(again, pictures.name))
    # every stored box that is large enough is an object
    (video,) = [v for v in Videos(Dataset(scenes), "test") if v.name == pictures.name]
    large = (video.boxes[:, 3:5] - video.boxes[:, 1:3] >= 4).all(1)
    scored = {(int(row[0]), *np.round(row[1:5]).astype(int)) for row in trained.boxes}
    stored = {(int(row[0]), *row[1:5].astype(int)) for row in video.boxes[large]}
    assert stored and stored <= scored
    with pytest.raises(ValueError, match="test_00: the run was trained on stored boxes"):
        predict.run(config, tmp_path, str(pictures), tmp_path / "new", film=False, fps=10)


def named(recipe, split, prefix):
    for video in recipe.videos(split):
        yield dataclasses.replace(video, name=f"{prefix}_{video.name}")


@pytest.fixture(scope="module")
def two_cameras(tmp_path_factory):
    """A dataset of two cameras, and each alone."""
    root = tmp_path_factory.mktemp("cameras")
    recipes = {
        "01": RECIPE,
        "02": dataclasses.replace(RECIPE, seed=7, crowd=8.0),
    }
    for folder, cameras in (("both", ("02", "01")), ("01", ("01",)), ("02", ("02",))):
        splits = {
            split: [video for one in cameras for video in named(recipes[one], split, one)]
            for split in ("train", "test")
        }
        write_frames(root / folder, splits, name=folder)
    return root


def test_every_camera_has_a_model_of_its_own(two_cameras, tmp_path):
    prefix = functools.partial(make_config, fields={"data.cameras": "prefix"})
    both = tmp_path / "both"
    train.run(prefix(two_cameras / "both"), both)
    learnt = read_arrays(both / "attributes.npz")
    assert {name.partition(":")[0] for name in learnt} == {"01", "02"}
    # a camera among others has the model and the scores that it has alone
    for camera in ("01", "02"):
        alone = tmp_path / camera
        train.run(prefix(two_cameras / camera), alone)
        for name, array in read_arrays(alone / "attributes.npz").items():
            np.testing.assert_array_equal(array, learnt[name], err_msg=name)
        for path in (alone / "scores").glob("*.npz"):
            assert_same_scores(files.read(path), scores_of(both, path.stem))
    assert not np.array_equal(learnt["01:sample"], learnt["02:sample"])
    # the evaluation of one camera by the run of both
    evaluate.run(prefix(two_cameras / "01"), both)
    (again,) = both.glob("evaluate_*")
    assert_same_scores(scores_of(both, "01_test_00"), scores_of(again, "01_test_00"))


def test_a_video_of_an_unknown_camera_is_refused(two_cameras, tmp_path):
    config = make_config(two_cameras / "01", {"data.cameras": "prefix"})
    train.run(config, tmp_path)
    with pytest.raises(ValueError, match="video 02_test_00: no model of camera '02'; .* of 01"):
        evaluate.run(make_config(two_cameras / "02", {"data.cameras": "prefix"}), tmp_path)


def test_geometry_of_a_moving_camera_is_refused():
    fields = {"objects.camera": "moving", "attributes.geometry": True}
    with pytest.raises(ValueError, match="attributes.geometry counts, but objects.camera is mov"):
        load_system(make_config("", fields))


def test_events_of_a_dataset_have_the_time_of_day(scenes, tmp_path):
    """Where the dataset says when a video began: in the zone that it names, else the local one."""
    shutil.copytree(scenes, tmp_path / "data")
    path = tmp_path / "data" / MANIFEST
    manifest = json.loads(path.read_text("utf-8"))
    starts = ["2026-01-31T15:30:00+05:30", "2026-01-31T15:30:00"]
    for video, start in zip(manifest["splits"]["test"]["videos"], starts, strict=True):
        video["start"] = start
    path.write_text(json.dumps(manifest), "utf-8")
    system = load_system(make_config(tmp_path / "data", {"alarm.per_hour": 100_000.0}))
    data = Dataset(tmp_path / "data")
    state = system.init(jax.random.key(0), data)
    told = 0
    for start, scores in zip(starts, system.score(state, system.videos(data, "test")), strict=True):
        began = datetime.datetime.fromisoformat(start)
        began = began if began.tzinfo else began.astimezone()
        for event in scores.reasons:
            moment = datetime.datetime.fromisoformat(event["time"])
            assert (moment - began).total_seconds() == pytest.approx(event["start_s"], abs=2e-3)
            assert moment.utcoffset() == began.utcoffset()
            told += 1
    assert told
