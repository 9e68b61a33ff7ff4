"""Frames that a camera lost: what comes after a gap is scored as a video of its own.

Every system that scores video, as its smoke config makes it.
"""

import csv
import functools

import jax
import numpy as np
import pytest

from configs import ped2_exemplar
from data_prep import extract_objects
from tests.helpers import systems
from vadjax import train
from vadjax.data.clips import Videos
from vadjax.data.store.records import Dataset
from vadjax.data.toy.datasets import write_scenes
from vadjax.data.toy.scenes import ToyScenes
from vadjax.data.video.reader import Picture
from vadjax.extractors import clips as clip_features
from vadjax.predict import live
from vadjax.predict.restore import Trained, restore, timed
from vadjax.scores.streaming import join
from vadjax.system import load_system

LOST = 48  # frames
AT = 17  # number of the first frame after the gap


class Net:
    """Stands for a network of clips: the feature is how much neighbouring frames differ."""

    digest, normalisation, stream, width = "0123", "pm1", "rgb", 32

    def __call__(self, clips):
        """Features [N, 1, 1, 1, 32]."""
        jumps = np.abs(np.diff(clips.astype(np.float32), axis=1)).mean((2, 3, 4)).max(1)
        return (jumps[:, None] * np.arange(1, 33, dtype=np.float32) / 32)[:, None, None, None]


@pytest.fixture(scope="module")
def make(toy_scenes, toy_bags, tmp_path_factory, without_reports):
    """Function that gives a finished run of a system, with frames or snippets of 32 columns."""

    def finished(config, data, trained=False):
        config.data.dir, config.train.devices = str(data), 1
        if trained:
            folder = tmp_path_factory.mktemp("runs") / "run"
            train.run(config, folder)
            return restore(config, folder)
        system, dataset = load_system(config), Dataset(data)
        state = system.init(jax.random.key(0), dataset)
        return Trained(system, system.finalize(state, dataset), dataset)

    def objects():
        out = tmp_path_factory.mktemp("objects") / "motion"
        options = ["--detector", "motion", "--min_size", "2"]
        extract_objects.main(["--data", str(toy_scenes), "--out", str(out), *options])
        return str(out)

    def run_of(method):
        config = systems.config_of(method)
        if systems.kind_of(method) == "features":  # snippets of new video become features by `Net`
            config.features.weights = "w"
            if "held_out" in config.eval:
                config.eval.held_out = 0.0
            return finished(config, toy_bags, trained=True)
        if "gamma" in config.eval:
            config.eval.gamma = 1e6  # the memory takes everything in
        if method == "exemplar":
            config.eval.flag = 0.05
        if method == "ssmtl":
            config.data.objects, config.eval.batch, config.eval.flag = objects(), 16, 0.0
        return finished(config, toy_scenes)

    return functools.cache(run_of)


@pytest.fixture(autouse=True)
def net(monkeypatch):
    monkeypatch.setattr(clip_features, "load_i3d", lambda *args: Net())


@pytest.fixture(scope="module")
def frames(toy_scenes):
    """Two test videos, one on each side of a gap, with frames enough for any window."""
    first, second = Videos(Dataset(toy_scenes), "test")
    return list(first)[:AT] + list(second)


def pictures(frames, *gaps):
    return [
        Picture(frame, "", missing=LOST if number in gaps else 0)
        for number, frame in enumerate(frames)
    ]


def scored(trained, frames, *gaps):
    return join("v", trained.parts("v", timed(pictures(frames, *gaps), 25.0), live=True))


SLOW, SHOWN = {"lgn", "ssmtl"}, {"rtfm"}  # RTFM is S3R's system
SCORING = [
    pytest.param(method, marks=[pytest.mark.slow] * (method in SLOW))
    for method in systems.METHODS
    if method not in SHOWN and systems.scores_videos(method)
]


@pytest.mark.parametrize("system", SCORING)
def test_both_sides_of_a_gap_are_scored_alone(make, frames, system):
    trained = make(system)
    found = scored(trained, frames, AT)
    sides = scored(trained, frames[:AT]), scored(trained, frames[AT:])

    expected = np.concatenate([side.frame_scores for side in sides])
    np.testing.assert_array_equal(found.frame_scores, expected)
    assert not np.array_equal(scored(trained, frames).frame_scores, expected)  # as neighbours

    if found.map is not None:
        np.testing.assert_array_equal(found.map, np.concatenate([side.map for side in sides]))
    if found.boxes is not None:
        numbers = np.concatenate([sides[0].boxes[:, 0], sides[1].boxes[:, 0] + AT])
        assert len(numbers) and sides[1].boxes[:, 0].min() < AT
        np.testing.assert_array_equal(found.boxes[:, 0], numbers)
    if system == "exemplar":
        first, second = ([one["frame"] for one in side.reasons] for side in sides)
        assert [one["frame"] for one in found.reasons] == first + [frame + AT for frame in second]
    numbers = [one["frame"] for one in found.reasons]
    assert numbers == sorted(numbers) and all(
        f"frame {one['frame']}," in one["text"] for one in found.reasons
    )
    assert bool(found.reasons) == (system in ("exemplar", "ssmtl"))


def test_quiet_frames_with_a_gap_score_as_quiet(tmp_path):
    """Those that went on meanwhile did not jump."""
    write_scenes(tmp_path / "long", ToyScenes(train=2, test=1, frames=40, height=48, width=64))
    config, data = ped2_exemplar.get_config("smoke"), Dataset(tmp_path / "long")
    config.data.dir, config.train.devices = str(data.folder), 1
    config.volume.step = (2, 40, 40)
    system = load_system(config)
    trained = Trained(system, system.init(jax.random.key(0), data), data)
    quiet = list(Videos(data, "train")[0])
    assert scored(trained, quiet).frame_scores.max() < 0.1
    frames, gap = quiet[:17] + quiet[21:], 17
    assert scored(trained, frames, gap).frame_scores.max() < 0.1
    assert scored(trained, frames).frame_scores.max() > 0.5  # if they are taken for neighbours


@pytest.mark.parametrize(
    "system", ["exemplar", "mil", pytest.param("ssmtl", marks=pytest.mark.slow)]
)
def test_frames_between_gaps_that_fill_no_window_have_no_score(make, frames, system):
    """They would be filled up with frames that never were, which do not move."""
    trained = make(system)
    least = {"exemplar": 10, "mil": 16, "ssmtl": 7}[system]
    for count in (least - 1, least):
        between = scored(trained, frames[: AT + count] + frames[AT:], AT, AT + count)
        unscored = np.isnan(between.frame_scores)
        assert not unscored[:AT].any() and not unscored[AT + count :].any()
        assert unscored[AT : AT + count].all() == unscored.any() == (count < least)
        first = scored(trained, frames[:count] + frames[AT:], count)
        assert np.isnan(first.frame_scores).sum() == (count if count < least else 0)
    whole = scored(trained, frames[: least - 1])  # a short video without a gap, as ever
    assert not np.isnan(whole.frame_scores).any()


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_frames_too_few_for_a_score_are_said_to_be(make, frames, tmp_path, capsys):
    """Three frames between two gaps, where a window has five."""
    trained = make("mnad")
    count = live.watch(trained, "gate", pictures(frames, 6, 9), 25.0, tmp_path)
    rows = rows_of(tmp_path / "gate.live.csv")
    spans = [(int(row["first_frame"]), int(row["last_frame"])) for row in rows]
    assert spans == [(0, 5), (6, 8), (9, 24), (25, 36)] and count == len(frames)
    assert [row["missing"] for row in rows] == ["0", str(LOST), str(LOST), "0"]
    assert [bool(row["score"]) for row in rows] == [True, False, True, True]
    assert [row["reason"] for row in rows] == ["", "too few frames for a score", "", ""]
    said = capsys.readouterr().out
    assert "frames 6-8  no score  (48 frames missing)  too few frames for a score" in said
    sides = [scored(trained, side).frame_scores for side in (frames[:6], frames[9:])]
    expected = [sides[0].max(), sides[1][:16].max(), sides[1][16:].max()]
    found = [float(row["score"]) for row in rows if row["score"]]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_slow_program_says_once_how_slow_it_is(make, frames, tmp_path, capsys):
    """A camera of 25 frames a second, of which 48 are lost after 12 and again after 24."""
    shown = [
        picture._replace(time=0.04 * (number + LOST * ((number >= 12) + (number >= 24))))
        for number, picture in enumerate(pictures(frames, 12, 24))
    ]
    live.watch(make("exemplar"), "gate", shown, 25.0, tmp_path)
    said = [line for line in capsys.readouterr().out.splitlines() if "processing" in line]
    assert said == ["gate: processing 5 of 25 frames a second; scoring begins anew after each gap"]
    rows = rows_of(tmp_path / "gate.live.csv")
    assert [row["seconds"] for row in rows] == ["0.000", "2.400", "4.800"]


def test_what_keeps_up_does_not_speak_of_its_pace(make, frames, tmp_path, capsys):
    live.watch(make("exemplar"), "gate", pictures(frames), 25.0, tmp_path)
    assert "processing" not in capsys.readouterr().out
