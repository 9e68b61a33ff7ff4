"""Objects from stored tracks: their speed, and the whole way through training and evaluation."""

import json

import numpy as np
import pytest

from configs import shanghaitech_attributes
from data_prep import tracks as program
from tests.helpers.pictures import write_pictures
from vadjax import evaluate, train
from vadjax.data.clips import Videos
from vadjax.data.store.records import Dataset
from vadjax.data.store.track_writer import write_tracks
from vadjax.data.toy.tracks import ToyTracks
from vadjax.data.tracks import TrackedVideos
from vadjax.metrics import frame
from vadjax.predict import run as predict
from vadjax.scores import files
from vadjax.system import load_system
from vadjax.systems.attributes.tracks import velocities

TWO = ("03", "07")  # cameras

pytestmark = pytest.mark.usefixtures("without_reports")


def rows_of(track, frames, places):
    """Boxes of 10 × 20 pixels of a track at places [n, 2]."""
    at = np.asarray(places, float).reshape(-1, 2)
    numbers = np.stack([frames, np.full(len(at), track)], 1)
    return np.concatenate([numbers, at, at + [10, 20]], 1)


def plainly(rows, reach):
    """The rule of spec attributes §10 box by box."""
    found = np.full((len(rows), 2), np.nan)
    for number, row in enumerate(rows):
        own = sorted((r for r in rows.tolist() if r[1] == row[1]), key=lambda r: r[0])
        before, after = (
            min(own, key=lambda r: (abs(r[0] - (row[0] + way)), r[0])) for way in (-reach, reach)
        )
        if after[0] > before[0]:
            middle = [np.add(r[2:4], r[4:6]) / 2 for r in (before, after)]
            found[number] = (middle[1] - middle[0]) / (after[0] - before[0])
    return found


def test_speed_is_between_the_nearest_boxes_of_the_track():
    steady = rows_of(0, np.arange(20), np.arange(20)[:, None] * [2.0, -1.0])
    np.testing.assert_allclose(velocities(steady, 8), np.tile([2, -1], (20, 1)))
    rng = np.random.default_rng(0)
    rows = [rows_of(7, [5], [[3, 3]])]  # a track of one box does not move
    for track in range(4):
        frames = np.sort(rng.choice(60, 25, replace=False))  # with gaps
        rows.append(rows_of(track, frames, rng.normal(0, 30, (25, 2))))
    rows = np.concatenate(rows)
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    for reach in (1, 8, 100):
        found = velocities(rows, reach)
        np.testing.assert_allclose(found, plainly(rows, reach), rtol=1e-12)
        assert np.isnan(found[rows[:, 1] == 7]).all()
    assert velocities(np.zeros((0, 6)), 8).shape == (0, 2)


def make_config(data="", **fields):
    config = shanghaitech_attributes.get_config("tracks")
    config.data.dir, config.train.devices = str(data), 1
    config.update_from_flattened_dict(fields)
    return config


def test_the_toy_set_from_training_to_new_video(tmp_path, toy_scenes):
    """Runners lead by their speed; new video has no tracks and is refused in one line."""
    config = make_config(**{"data.cameras": "one"})
    train.run(config, tmp_path)
    results = files.read_folder(tmp_path / "scores")
    assert frame.evaluate(results)["auc"] > 0.95
    events = [event for scores in results for event in scores.reasons]
    assert events and all(event["lead"] == "speed" for event in events)
    assert "faster than anything" in events[0]["text"] and events[0]["class"] == "object"
    names = {"speed", "geometry", "evidence", "live"}
    assert all(set(scores.alternatives) == names for scores in results)
    # evaluated again it is the same
    evaluate.run(config, tmp_path)
    (again,) = tmp_path.glob("evaluate_*")
    for one, other in zip(results, files.read_folder(again / "scores"), strict=True):
        np.testing.assert_array_equal(one.frame_scores, other.frame_scores)
        np.testing.assert_array_equal(one.boxes, other.boxes)
    pictures = write_pictures(Videos(Dataset(toy_scenes), "test")[0], tmp_path / "pictures")
    refused = f"{pictures.name}: the run was trained on tracks, and new video has none; make a data"
    with pytest.raises(ValueError, match=refused):
        predict.run(config, tmp_path, str(pictures), tmp_path / "new", film=False, fps=10)


def test_every_second_frame_with_direction(tmp_path):
    """Speeds are pixels a frame that is taken; a track moves as a whole in one direction."""
    write_tracks(
        tmp_path / "d", {"train": list(ToyTracks().videos("train"))}, name="x", size=(240, 400)
    )
    data = Dataset(tmp_path / "d")
    video = TrackedVideos(data, "train")[0]
    one, two = (
        load_system(make_config(tmp_path / "d", **fields)).source.of_video(video, every, data)
        for fields, every in (({}, 1), ({"data.every": 2}, 2))
    )
    even = one.frame % 2 == 0
    np.testing.assert_array_equal(two.frame, one.frame[even])
    np.testing.assert_allclose(two.motions.speed, 2 * one.motions.speed[even])
    np.testing.assert_allclose(one.motions.bins.sum(1), one.motions.speed)
    assert ((one.motions.bins > 0).sum(1) == 1).all()
    right = one.motions.vector[:, 0] > 0
    assert one.motions.bins[right][:, [0, 7]].any(1).all()  # within 45 degrees of the right


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"attributes.look": True}, "attributes.look counts, but objects.source is tracks"),
        (
            {"objects.camera": "moving", "attributes.geometry": False},
            "objects.camera is moving, but objects.source is tracks",
        ),
        ({"objects.reach": 0}, "objects.reach is 0; expected 1 frame or more"),
    ],
)
def test_what_tracks_cannot_tell(fields, problem):
    with pytest.raises(ValueError, match=problem):
        load_system(make_config(**fields))


def test_another_kind_of_dataset_is_refused(toy_scenes, tmp_path):
    with pytest.raises(ValueError, match="holds 'frames' records, .* reads 'tracks'"):
        train.run(make_config(toy_scenes), tmp_path / "run")


def test_real_tracks_of_two_cameras(shanghaitech_tracks, tmp_path, capsys):
    """Published tracks of cameras 03 and 07, which are small, by the commands of the config."""
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        for camera in TWO:
            for path in (shanghaitech_tracks / split).glob(f"{camera}_*.txt"):
                (tmp_path / split / path.name).symlink_to(path)
    labels = shanghaitech_tracks / "anomalous_frames.json"
    folders = [f"--train={tmp_path / 'train'}", f"--test={tmp_path / 'test'}"]
    rest = ["--size=480x856", "--fps=24", f"--out={tmp_path / 'data'}"]
    with pytest.raises(SystemExit, match="labels for 01_0014, .* not among the videos"):
        program.main(["dataset", *folders, f"--labels={labels}", *rest])
    with pytest.raises(SystemExit, match="--labels are of the test videos; give --test too"):
        program.main(["dataset", folders[0], f"--labels={labels}", *rest])
    own = {name: entry for name, entry in json.loads(labels.read_text()).items() if name[:2] in TWO}
    (tmp_path / "labels.json").write_text(json.dumps(own))
    program.main(["dataset", *folders, f"--labels={tmp_path / 'labels.json'}", *rest])
    text = capsys.readouterr().out
    assert "train: 14 videos, " in text and "11,535 boxes" in text
    train.run(make_config(tmp_path / "data"), tmp_path / "run")
    results = files.read_folder(tmp_path / "run" / "scores")
    assert [len(scores.labels) for scores in results] == [own[v]["frames"] for v in sorted(own)]
    assert frame.evaluate(results)["auc_macro"] > 0.8
