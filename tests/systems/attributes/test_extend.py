"""Normal video that comes later: the same program as the user's, on toy scenes."""

import dataclasses
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from configs import ped2_attributes, ucf_mil
from vadjax import evaluate, extend, train
from vadjax.data.store.records import MANIFEST, Dataset
from vadjax.data.toy.datasets import write_scenes
from vadjax.predict.restore import restore
from vadjax.runtime import provenance
from vadjax.scores import alarm
from vadjax.system import load_system
from vadjax.systems.attributes.model import CameraModel, Speeds

CAMERA = "scene"


def config_of(folder, **fields):
    config = ped2_attributes.get_config("smoke")
    config.data.dir = str(folder)
    config.attributes.geometry = True  # a bank beside the mixture
    config.update_from_flattened_dict(fields)
    return config


@pytest.fixture(scope="module")
def run(tmp_path_factory, toy_scenes, without_reports):
    folder = tmp_path_factory.mktemp("runs") / "first"
    train.run(config_of(toy_scenes), folder)
    return folder


@pytest.fixture(scope="module")
def further(tmp_path_factory, small_scenes):
    """Other scenes of the same size, whose videos have the same names."""
    out = tmp_path_factory.mktemp("further") / "later"
    write_scenes(out, dataclasses.replace(small_scenes, seed=small_scenes.seed + 1), shards=1)
    return out


@pytest.fixture(scope="module")
def extended(run, further, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "second"
    extend.run(config_of(further), run, out)
    return out


def model_of(config, folder):
    return CameraModel.of(restore(config, folder).state[CAMERA])


def test_the_new_run_knows_both(run, further, extended, toy_scenes):
    config = config_of(toy_scenes)
    before, after = model_of(config, run), model_of(config, extended)
    new = [f"later/{name}" for name in names_of(further)]
    assert after.videos == (*before.videos, *new)
    assert after.objects > before.objects and after.seconds == 2 * before.seconds
    assert len(after.frames) == 2 * len(before.frames)
    # No alarm interval goes from one video to the next, and the new run has a line of its own.
    assert before.lengths.tolist() == [20, 20] and after.lengths.tolist() == [20] * 4
    lines = [alarm.read(folder) for folder in (run, extended)]
    assert lines[1].hours == pytest.approx(2 * lines[0].hours)
    for name, table in after.tables.items():
        seen = len(after.novelties[name]) - len(before.novelties[name])
        assert seen > 0 and table.count == before.tables[name].count + seen
    # The heights, deviations and the size are decided once.
    assert (after.divide, after.size, after.fps) == (before.divide, before.size, before.fps)
    np.testing.assert_array_equal(after.deviations, before.deviations)
    # Exemplars of the new videos say where they are from.
    origins = after.origins["geometry"]
    assert origins.video.max() >= len(before.videos) and len(origins.video) <= 5000
    assert len(origins.video) == len(after.densities["geometry"].rows)


def names_of(folder):
    return sorted(entry["name"] for entry in Dataset(folder).splits["train"]["videos"])


def test_it_is_scored_and_told_as_any_run(extended, toy_scenes):
    config = config_of(toy_scenes)
    evaluate.run(config, extended)
    metrics = json.loads((extended / "evaluate_0" / "metrics.json").read_text("utf-8"))
    assert 0 <= metrics["metrics"]["auc"] <= 1
    entries = json.loads((extended / provenance.FILE).read_text("utf-8"))
    assert any("extended" in entry for entry in entries)


def test_the_first_run_stays_as_it_is(run, further, tmp_path):
    files = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    extend.run(config_of(further), run, tmp_path / "new")
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == files


def test_extending_an_extended_run_names_videos_apart(extended, further, run, tmp_path, toy_scenes):
    extend.run(config_of(further), extended, tmp_path / "third")
    names = model_of(config_of(toy_scenes), tmp_path / "third").videos
    assert len(set(names)) == len(names)
    assert any(name.endswith(" (2)") for name in names)


def test_what_cannot_be_extended_is_said(run, further, toy_scenes, tmp_path):
    with pytest.raises(ValueError, match="was trained on this dataset"):
        extend.run(config_of(toy_scenes), run, tmp_path / "new")
    with pytest.raises(ValueError, match="exists"):
        extend.run(config_of(further), run, run)
    with pytest.raises(ValueError, match=r"needs --config.data.dir"):
        extend.run(config_of(""), run, tmp_path / "new")
    with pytest.raises(ValueError, match="of system 'attributes'"):
        extend.run(ucf_mil_on(further), run, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_system_that_learns_all_at_once_says_so():
    system = load_system(ucf_mil.get_config())
    with pytest.raises(ValueError, match="'mil' cannot be extended; train another run"):
        system.extend({}, None)


def test_the_rate_that_the_further_dataset_says_holds(run, toy_scenes, small_scenes, tmp_path):
    """Frames of half the rate: objects seem twice as fast, which is taken off again."""
    slow = write_with_rate(toy_scenes, tmp_path / "slow", 5.0)
    own = config_of(toy_scenes, **{"data.every": 1})
    train.run(own, tmp_path / "one")
    extend.run(config_of(slow, **{"data.every": 1}), tmp_path / "one", tmp_path / "two")
    before, after = model_of(own, tmp_path / "one"), model_of(own, tmp_path / "two")
    rows = len(before.sample)
    np.testing.assert_allclose(after.sample[rows:], before.sample / 2, rtol=1e-6)
    assert after.seconds == pytest.approx(3 * before.seconds)
    # A second of it counts as a second of the training in the rate of alarms.
    assert after.lengths.tolist() == [20, 20, 40, 40] and len(after.frames) == 120
    line = alarm.read(tmp_path / "two")
    assert 3600 * line.hours == pytest.approx(after.seconds)
    # A rate that the run's config declared is no reason to take the dataset for another.
    declared = config_of(toy_scenes, **{"data.fps": 10.0})
    train.run(declared, tmp_path / "declared")
    with pytest.raises(ValueError, match=r"5 frames a second, the run's data\.fps is 10"):
        extend.run(config_of(slow), tmp_path / "declared", tmp_path / "no")


def write_with_rate(data, out, fps):
    """The same dataset, of which the manifest says another rate."""
    shutil.copytree(data, out)
    manifest = json.loads((out / MANIFEST).read_text("utf-8"))
    (out / MANIFEST).write_text(json.dumps(manifest | {"fps": fps}), "utf-8")
    return out


def ucf_mil_on(folder):
    config = ucf_mil.get_config()
    config.data.dir = str(folder)
    return config


def test_flags_of_the_mode(tmp_path):
    def said(*flags):
        command = [sys.executable, "-m", "vadjax.main", "--config=configs/ped2_attributes.py:smoke"]
        command += [f"--workdir={tmp_path / 'none'}", "--mode=extend", *flags]
        return subprocess.run(command, capture_output=True, text=True).stderr.strip()

    assert said() == "error: --mode=extend needs --out=FOLDER, the workdir of the new run"
    lines = said(f"--out={tmp_path / 'new'}", "--config.data.dir=nowhere").splitlines()
    assert len(lines) == 1 and "nowhere" in lines[0]


def test_quantiles_of_speeds_are_joined_by_their_counts():
    rng = np.random.default_rng(0)
    one, other = rng.gamma(2, 1, 30_000), rng.gamma(2, 1, 10_000) + 3
    joined, both = Speeds.of(one).joined(len(one), other), Speeds.of(np.concatenate([one, other]))
    np.testing.assert_allclose(joined.quantiles[10:-10], both.quantiles[10:-10], rtol=0.01)
    assert joined.largest == both.largest
    assert joined.top == pytest.approx(both.top, rel=0.05)


def test_a_run_is_used_with_the_detector_it_was_trained_with(run, toy_scenes):
    trained = restore(config_of(toy_scenes), run)
    state = dict(trained.state[CAMERA], network=np.frombuffer(b"abcdef", np.uint8))
    videos = trained.system.videos(Dataset(toy_scenes), "test")
    with pytest.raises(ValueError, match="other weights than the run was trained with"):
        next(iter(trained.system.score({CAMERA: state}, videos)))
