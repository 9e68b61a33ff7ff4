"""Frames a second of new video: measured for a film, the training's for pictures."""

import itertools
import json
import shutil

import cv2
import numpy as np
import pytest

from configs import ped2_attributes
from tests.helpers.video_files import write
from tests.predict.cases import finish, rows_of
from vadjax.data.clips import Videos
from vadjax.data.store.records import Dataset
from vadjax.data.video.frame_stream import Frame
from vadjax.predict import live
from vadjax.predict import run as predict
from vadjax.predict.restore import restore
from vadjax.report import page
from vadjax.scores import files
from vadjax.systems.attributes import stream
from vadjax.systems.attributes.rate import measure, rate_of


def frames_at(times):
    return (Frame(np.zeros((2, 2, 3), np.uint8), n, seconds) for n, seconds in enumerate(times))


@pytest.mark.parametrize("fps", [0.2, 5, 15, 25, 30, 60])
def test_a_rate_is_measured_and_no_frame_is_lost(fps):
    times = [n / fps for n in range(40)]
    found, frames = measure(frames_at(times), 10.0)
    assert found == pytest.approx(fps)
    assert [frame.number for frame in frames] == list(range(40))


@pytest.mark.parametrize(("fps", "read"), [(30, 16), (10, 11), (5, 6), (0.2, 3)])
def test_few_frames_are_read_ahead(fps, read):
    frames = frames_at(n / fps for n in itertools.count())
    measure(frames, 10.0)
    assert next(frames).number == read


def test_times_that_are_unknown_are_not_waited_for():
    frames = frames_at([None] * 5)
    assert measure(frames, 12.5)[0] == 12.5
    assert next(frames).number == 1


@pytest.mark.parametrize("times", [[], [0.0], [0.0, 0.0, 0.0], [0.0, 1e-6, 2e-6], [None, 1.0]])
def test_times_that_tell_nothing(times):
    assert rate_of(times, 12.5) == 12.5


def test_rounded_times_and_holes():
    milliseconds = [round(n / 30, 3) for n in range(16)]
    assert rate_of(milliseconds, 10.0) == 30
    for start in np.arange(200) / 25:  # the sums of rounded times are never just 25
        assert rate_of([start + n / 25 for n in range(16)], 10.0) == 25
    holes = [n / 25 for n in (0, 1, 2, 5, 6, 7, 8, 15, 16)]
    assert rate_of(holes, 10.0) == pytest.approx(25)
    # within 1 % it is exactly the training's, so that scores are those of the dataset
    assert rate_of([n / 29.97 for n in range(16)], 30.0) == 30.0
    assert rate_of([n / 29.5 for n in range(16)], 30.0) == pytest.approx(29.5)


@pytest.fixture(scope="module")
def run(toy_scenes, tmp_path_factory):
    """A finished run on toy scenes, which have ten frames a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "build", lambda out, *_: out)
        return finish(
            ped2_attributes.get_config("smoke"), toy_scenes, tmp_path_factory.mktemp("attributes")
        )


@pytest.fixture(scope="module")
def pictures(toy_scenes):
    return list(Videos(Dataset(toy_scenes), "test")[0])


def film(path, pictures, fps):
    return str(write(path, pictures, "ffv1", fps, pixels="bgr0"))


def test_pictures_have_the_scores_of_the_dataset(run, toy_scenes, pictures, tmp_path, capsys):
    """And so has a film of the same rate."""
    config, folder = run
    name = Videos(Dataset(toy_scenes), "test")[0].name
    (tmp_path / name).mkdir()
    for number, frame in enumerate(pictures):
        pixels = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(tmp_path / name / f"{number:03}.png"), pixels)
    film(tmp_path / f"films/{name}.mkv", pictures, 10)
    expected = files.read(folder / "scores" / f"{name}.npz")
    for video in (name, f"films/{name}.mkv"):
        out = tmp_path / "out" / video
        predict.run(config, folder, str(tmp_path / video), out, film=False)
        found = files.read(out / "scores" / f"{name}.npz")
        np.testing.assert_array_equal(found.frame_scores, expected.frame_scores)
        np.testing.assert_array_equal(found.boxes, expected.boxes)
        assert json.dumps(found.reasons) == json.dumps(expected.reasons)
    said = capsys.readouterr().out
    assert said.count("taken as 10 frames a second, as in the training") == 1
    assert "frames a second are taken" not in said


def test_a_film_of_another_rate_is_taken_at_about_ten_a_second(run, pictures, tmp_path, capsys):
    """Every third frame of a film in which each picture is shown three times."""
    config, folder = run
    shown = [picture for picture in pictures for _ in range(3)]
    for name, frames, fps in (("ten", pictures, 10), ("thirty", shown, 30)):
        video = film(tmp_path / f"{name}.mkv", frames, fps)
        predict.run(config, folder, video, tmp_path / "out", film=False)
    ten, thirty = (files.read(tmp_path / f"out/scores/{n}.npz") for n in ("ten", "thirty"))
    np.testing.assert_array_equal(thirty.frame_scores, np.repeat(ten.frame_scores, 3))
    assert ten.frame_scores.max() > ten.frame_scores.min()
    # at 15 a second every second one is taken, 7.5 a second: speeds are those of the film's time
    fast = film(tmp_path / "fifteen.mkv", pictures, 15)
    for as_it_comes in (False, True):
        predict.run(config, folder, fast, tmp_path / "out", film=False, as_it_comes=as_it_comes)
        said = capsys.readouterr().out
        assert said.count("fifteen: 7.5 frames a second are taken, 10 in the training") == 1
    assert rows_of(tmp_path / "out/fifteen.live.csv")[-1]["last_frame"] == str(len(pictures) - 1)


def test_smoothing_has_the_rate_that_is_taken(run, pictures, tmp_path, monkeypatch):
    config, folder = run
    rates = []
    reporter = stream.Reporter

    def noted(name, model, tell, rate, *others):
        rates.append(rate)
        return reporter(name, model, tell, rate, *others)

    monkeypatch.setattr(stream, "Reporter", noted)
    video = film(tmp_path / "v.mkv", pictures, 50)
    predict.run(config, folder, video, tmp_path / "out", film=False)
    predict.run(config, folder, video, tmp_path / "flag", film=False, fps=5)
    assert [rate.fps for rate in rates] == pytest.approx([50, 5], rel=1e-3)
    assert [rate.every for rate in rates] == [5, 1]


def test_a_rate_that_is_unknown_is_the_ten_of_the_training(run, pictures, tmp_path, capsys):
    """A dataset that does not say its rate: pictures count as the training's frames did."""
    config, folder = run
    folder = shutil.copytree(folder, tmp_path / "run")
    described = json.loads((folder / "dataset.json").read_text())
    del described["manifest"]["fps"]
    (folder / "dataset.json").write_text(json.dumps(described))
    (tmp_path / "v").mkdir()
    for number, frame in enumerate(pictures):
        cv2.imwrite(str(tmp_path / f"v/{number:03}.png"), frame)
    predict.run(config, folder, str(tmp_path / "v"), tmp_path / "out", film=False)
    said = capsys.readouterr().out
    assert "taken as 10 frames a second" in said and "are taken" not in said


def test_another_aspect_is_refused_and_another_size_said(run, pictures, tmp_path, capsys):
    config, folder = run  # frames of 48 × 64
    half = [frame[::2, ::2] for frame in pictures]
    predict.run(config, folder, film(tmp_path / "half.mkv", half, 10), tmp_path / "out", film=False)
    assert "half: frames of 24 × 32, 48 × 64 in the training" in capsys.readouterr().out
    wide = film(tmp_path / "wide.mkv", [frame[1:] for frame in pictures], 10)
    for as_it_comes in (False, True):
        with pytest.raises(ValueError, match=r"wide: frames of 47 × 64, .*at most 1 % of differ"):
            predict.run(config, folder, wide, tmp_path / "wide", as_it_comes=as_it_comes)


def test_the_aspect_is_that_of_the_source(run, pictures, tmp_path, capsys):
    """A training whose frames were stretched takes films that are as its source was."""
    config, folder = run
    folder = shutil.copytree(folder, tmp_path / "run")
    described = json.loads((folder / "dataset.json").read_text())
    assert described["manifest"]["source_size"] == [48, 64]
    described["manifest"]["source_size"] = [48, 96]
    (folder / "dataset.json").write_text(json.dumps(described))
    wide = [cv2.resize(frame, (96, 48)) for frame in pictures]
    predict.run(config, folder, film(tmp_path / "v.mkv", wide, 10), tmp_path / "out", film=False)
    with pytest.raises(ValueError, match=r"the training had 48 × 96, 2\.000 times"):
        predict.run(config, folder, film(tmp_path / "w.mkv", pictures, 10), tmp_path / "out")
    capsys.readouterr()
    live.warm_up(restore(config, folder), "camera")  # whose frames are refused by no camera
    assert "camera" not in capsys.readouterr().out
