"""Scoring one's own video: the same scores as on a dataset, files, live lines, bad input."""

import contextlib
import json
import pathlib
import re
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from configs import ped2_exemplar, ucf_mil
from tests.helpers.places import ROOT
from tests.helpers.video_files import cut, moving, write, write_interlaced
from tests.predict.cases import Net, write_video
from vadjax import train
from vadjax.data.store.records import Description
from vadjax.data.video.reader import Reading, VideoFile, open_frames
from vadjax.data.video.snippets import Snippets
from vadjax.extractors import clips as clip_features
from vadjax.predict import cameras
from vadjax.predict import run as predict
from vadjax.predict.restore import Trained, restore, timed
from vadjax.runtime import workdir
from vadjax.runtime.cache import RunCache
from vadjax.scores import files as scores
from vadjax.system import load_system

pytestmark = pytest.mark.usefixtures("no_report")


@pytest.mark.slow
@pytest.mark.parametrize("run", ["exemplars", "predictor"])
def test_scores_are_those_of_the_dataset(run, frames, tmp_path, request, capsys):
    config, folder = request.getfixturevalue(run)
    assert predict.run(config, folder, str(frames), tmp_path, film=False) == {}
    found = scores.read(tmp_path / "scores" / f"{frames.name}.npz")
    expected = scores.read(folder / "scores" / f"{frames.name}.npz")
    np.testing.assert_array_equal(found.frame_scores, expected.frame_scores)
    np.testing.assert_array_equal(found.map, expected.map)
    assert found.alternatives.keys() == expected.alternatives.keys()
    for name, values in found.alternatives.items():
        np.testing.assert_array_equal(values, expected.alternatives[name])
    assert found.reasons == expected.reasons
    assert bool(found.reasons) == (run == "exemplars")
    if expected.scored is not None:
        np.testing.assert_array_equal(found.scored, expected.scored)
    said = capsys.readouterr().out
    assert f"{frames.name}: 20 frames, median score" in said and "  0:00:0" in said


@pytest.mark.slow
def test_files_of_a_video(exemplars, frames, tmp_path):
    config, folder = exemplars
    assert predict.run(config, folder, str(frames), tmp_path, fps=10) == {}
    summary = json.loads((tmp_path / f"{frames.name}.json").read_text())
    assert summary["frames"] == 20 and summary["fps"] == 10 and summary["seconds"] == 2
    assert summary["fps_source"] == "flag" and summary["box_size"] == [48, 64]
    trained = json.loads((folder / "config.json").read_text())
    assert summary["made_with"]["dataset"]["sha256"] == trained["dataset_digest"]
    first = summary["intervals"][0]
    found = scores.read(tmp_path / "scores" / f"{frames.name}.npz")
    assert first["score"] == pytest.approx(found.frame_scores.max(), abs=1e-4)
    assert [first["start"], first["stop"]] == pytest.approx(np.array(first["frames"]) / 10)
    np.testing.assert_allclose(found.times, np.arange(20) / 10, rtol=1e-6)
    assert ", at 0:0" in first["reason"] and "region" not in first["reason"]
    film = VideoFile(tmp_path / f"{frames.name}.mp4")
    assert (len(film), film.fps) == (20, 10)
    assert cv2.imread(str(tmp_path / f"{frames.name}.png")).std() > 5


def test_a_folder_has_the_rate_of_the_training(exemplars, frames, tmp_path, capsys):
    config, folder = exemplars
    predict.run(config, folder, str(frames), tmp_path, film=False)
    said = f"{frames}: taken as 10 frames a second, as in the training; --fps gives another"
    assert said in capsys.readouterr().out
    summary = json.loads((tmp_path / f"{frames.name}.json").read_text())
    assert (summary["fps"], summary["fps_source"], summary["seconds"]) == (10, "training", 2)
    found = scores.read(tmp_path / "scores" / f"{frames.name}.npz")
    np.testing.assert_allclose(found.times, np.arange(20) / 10, rtol=1e-6)


def test_a_folder_has_25_frames_a_second_where_no_rate_is_known(
    exemplars, frames, tmp_path, capsys
):
    config, folder = exemplars
    folder = shutil.copytree(folder, tmp_path / "run")
    described = json.loads((folder / "dataset.json").read_text())
    del described["manifest"]["fps"]
    (folder / "dataset.json").write_text(json.dumps(described))
    predict.run(config, folder, str(frames), tmp_path / "out", film=False)
    summary = json.loads((tmp_path / "out" / f"{frames.name}.json").read_text())
    assert (summary["fps"], summary["fps_source"]) == (25, "assumed")
    assert "as in the training" not in capsys.readouterr().out


@pytest.mark.parametrize("fps", [0.5, 0.2, 0.01])
def test_a_folder_of_a_slow_camera_has_whole_intervals(ranker, tmp_path, fps):
    config, folder = ranker
    frames = tmp_path / "gate"
    frames.mkdir()
    for number in range(48):
        grey = np.full((48, 64, 3), 200 if 16 <= number < 32 else 0, np.uint8)
        cv2.imwrite(str(frames / f"{number:03}.png"), grey)
    assert predict.run(config, folder, str(frames), tmp_path / "out", fps=fps) == {}
    summary = json.loads((tmp_path / "out/gate.json").read_text())
    found = {tuple(own["frames"]): [own["start"], own["stop"]] for own in summary["intervals"]}
    assert list(found) in ([(16, 32)], [(0, 16), (32, 48)])  # what is high is not the point here
    for (first, stop), seconds in found.items():
        assert seconds == pytest.approx([first / fps, stop / fps])
    assert summary["seconds"] == pytest.approx(48 / fps) and summary["fps"] == fps
    film = cv2.VideoCapture(str(tmp_path / "out/gate.mp4"))
    assert int(film.get(cv2.CAP_PROP_FRAME_COUNT)) == 48


@pytest.mark.parametrize("step", [16, 10, 24])
@pytest.mark.parametrize("count", [70, 9])
@pytest.mark.parametrize("live", [False, True])
def test_a_ranker_scores_every_snippet_by_itself(ranker, step, count, live, tmp_path):
    config, folder = ranker
    config.features.step = step
    video = write_video(tmp_path / "v.avi", count)
    trained = restore(config, folder)
    parts = list(trained.parts("v", timed(open_frames(video), 25.0), live))
    found = np.concatenate([part.frame_scores for part in parts])
    rows = [
        Net()(snippet).reshape(1, 1, -1)
        for snippet in Snippets("centre", step, True).cut(p.pixels for p in open_frames(video))
    ]
    of_snippet = [trained.system.segment_scores(trained.state, row).item() for row in rows]
    ends = np.arange(len(rows)) * step + 16
    expected = np.array(of_snippet)[
        np.minimum(np.searchsorted(ends, np.arange(count) + 1), len(rows) - 1)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    frames = [frame for part in parts for frame in part.frames]
    assert [frame.number for frame in frames] == list(range(count))
    times = [frame.seconds for frame in frames]
    np.testing.assert_allclose(times, np.arange(count) / 25, atol=1e-6)


def test_the_features_must_be_those_of_the_training(ranker, tmp_path):
    config, folder = ranker
    video = str(write_video(tmp_path / "v.avi", 40))
    described = json.loads((folder / "dataset.json").read_text())
    described["manifest"]["extraction"] = {"weights": "4567", "crops": "ten", "step": 8}
    (folder / "dataset.json").write_text(json.dumps(described))
    with pytest.raises(
        ValueError, match=r"w: not the weights that .*rgb: SHA-256 0123… here, 4567…"
    ):
        predict.run(config, folder, video)
    described["manifest"]["extraction"]["weights"] = "0123"
    (folder / "dataset.json").write_text(json.dumps(described))
    features = restore(config, folder).system
    of_run = clip_features.of_run(config.features, described["manifest"], 32)
    assert of_run.snippets == Snippets("ten", 8, True) and features is not None
    with pytest.raises(ValueError, match="w: makes features of 32 columns, .* trained on 16"):
        clip_features.of_run(config.features, described["manifest"], 16)
    config.features.weights = ""
    with pytest.raises(ValueError, match="features.weights is empty; to score video, name"):
        predict.run(config, folder, video)


def test_one_stream_of_two_wants_its_own_network(ranker):
    config, _ = ranker
    manifest = {"extraction": {"weights": "0123+89ab"}, "streams": {"rgb": 32, "flow": 32}}
    assert clip_features.of_run(config.features, manifest, 32).width == 32
    manifest["extraction"]["weights"] = "89ab+0123"
    with pytest.raises(ValueError, match="rgb: SHA-256 0123… here, 89ab… there"):
        clip_features.of_run(config.features, manifest, 32)


def test_rows_are_divided_by_their_norm_where_the_training_had_it_so(ranker):
    config, _ = ranker
    manifest = {"extraction": {"normalize": True}, "streams": {"rgb": 32}}
    of_run = clip_features.of_run(config.features, manifest, 32)
    clips = np.full((1, 1, 16, 224, 224, 3), 100, np.uint8)
    assert np.linalg.norm(of_run.features(clips)) == pytest.approx(1)


def test_a_folder_of_videos_and_one_that_is_broken(ranker, tmp_path, capsys):
    config, folder = ranker
    videos = tmp_path / "videos"
    write_video(videos / "a/v.avi", 40)
    write_video(videos / "b/v.avi", 20)
    (videos / "b/x.mp4").write_bytes(b"")
    failed = predict.run(config, folder, str(videos), tmp_path / "out", film=False)
    assert list(failed) == ["x_b"] and "x.mp4: no video can be read from it" in failed["x_b"]
    files = {path.name for path in (tmp_path / "out/scores").iterdir()}
    assert files == {"v_a.npz", "v_b.npz"}
    write_video(tmp_path / "other/v_a.avi", 20)
    with pytest.raises(ValueError, match="v_a.json: is of .*a/v.avi, not of .*other/v_a.avi; name"):
        predict.run(config, folder, str(tmp_path / "other"), tmp_path / "out", film=False)
    with pytest.raises(ValueError, match="--name is for one video; .* holds 3"):
        predict.run(config, folder, str(videos), name="gate")
    with pytest.raises(ValueError, match="x.mp4: no video can be read from it"):
        predict.run(config, folder, str(videos / "b/x.mp4"))
    with pytest.raises(FileNotFoundError, match="nowhere: no such file or folder"):
        predict.run(config, folder, str(tmp_path / "nowhere"))
    capsys.readouterr()


def test_a_video_cut_short_is_scored_as_far_as_it_goes(ranker, tmp_path):
    config, folder = ranker
    video = write(tmp_path / "v.mp4", moving(100), container={"movflags": "faststart"})
    with pytest.warns(UserWarning, match=r"v\.mp4: \d+ of 100 frames can be decoded") as said:
        predict.run(config, folder, str(cut(video)), tmp_path / "out")
    assert len(said) == 1
    count = int(re.search(r"(\d+) of 100", str(said[0].message))[1])
    assert len(scores.read(tmp_path / "out/scores/v.npz").frame_scores) == count
    with pytest.raises(ValueError, match=rf"v\.mp4: {count} of 100 frames .*--strict"):
        predict.run(config, folder, str(video), tmp_path / "strict", reading=Reading(strict=True))
    assert not (tmp_path / "strict/v.json").exists()


def test_the_times_of_a_file_decide_how_fast_the_film_runs(ranker, tmp_path, capsys):
    """An AVI whose header lists every second tick: 50 frames a second, where there are 25."""
    config, folder = ranker
    video = write(tmp_path / "v.avi", moving(60), "mpeg4", rate=50, every=2)
    predict.run(config, folder, str(video), tmp_path / "out")
    summary = json.loads((tmp_path / "out/v.json").read_text())
    assert (summary["frames"], summary["fps"], summary["fps_source"]) == (60, 25, "file")
    assert summary["seconds"] == 2.4
    found = scores.read(tmp_path / "out/scores/v.npz")
    np.testing.assert_allclose(found.times, np.arange(60) / 25, atol=1e-6)
    film = VideoFile(tmp_path / "out/v.mp4")
    assert (len(film), film.fps) == (60, 25)
    capsys.readouterr()


def test_interlaced_video_is_refused_or_deinterlaced(ranker, tmp_path, capsys):
    config, folder = ranker
    write_interlaced(tmp_path / "v.mp4", 20)
    video = str(tmp_path / "v.mp4")
    with pytest.raises(ValueError, match=r"v\.mp4: frame 0 is interlaced .*Say --deinterlace"):
        predict.run(config, folder, video, tmp_path / "out")
    for live_too in (False, True):
        reading = Reading(deinterlace=True)
        predict.run(config, folder, video, tmp_path / "out", as_it_comes=live_too, reading=reading)
    assert len(scores.read(tmp_path / "out/scores/v.npz").frame_scores) == 20
    assert len(VideoFile(tmp_path / "out/v.mp4")) == 20
    assert "frames 16-19" in capsys.readouterr().out


def test_video_is_resampled_as_in_the_training(ranker, tmp_path, capsys):
    config, folder = ranker
    described = json.loads((folder / "dataset.json").read_text())
    described["manifest"]["extraction"] = {"weights": Net.digest, "resample_fps": 12.5}
    (folder / "dataset.json").write_text(json.dumps(described))
    video = write_video(tmp_path / "v.avi", 64)
    predict.run(config, folder, str(video), tmp_path / "out")
    assert "v.avi: resampled to 12.5 frames a second, as in the training" in capsys.readouterr().out
    found = scores.read(tmp_path / "out/scores/v.npz")
    np.testing.assert_allclose(found.times, np.arange(32) / 12.5, atol=1e-6)
    film = VideoFile(tmp_path / "out/v.mp4")
    assert len(film) == 32 and film.fps == pytest.approx(12.5)
    with pytest.raises(ValueError, match="v.avi: the run was trained on .* leave out --fps"):
        predict.run(config, folder, str(video), tmp_path / "out", fps=25.0)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for rank in range(16):
        cv2.imwrite(str(pictures / f"{rank:02}.png"), np.full((48, 64, 3), rank, np.uint8))
    with pytest.raises(ValueError, match="pictures have no times. .* say so: --fps=12.5"):
        predict.run(config, folder, str(pictures), tmp_path / "out")
    predict.run(config, folder, str(pictures), tmp_path / "out", fps=12.5, film=False)
    assert len(scores.read(tmp_path / "out/scores/pictures.npz").frame_scores) == 16


@pytest.mark.slow
def test_too_few_frames(predictor, frames, tmp_path):
    config, folder = predictor
    short = tmp_path / "short"
    short.mkdir()
    for path in sorted(frames.iterdir())[:3]:
        (short / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match="short: 3 frames are too few to be scored"):
        predict.run(config, folder, str(short), tmp_path / "out")


def test_what_is_not_a_finished_run_is_refused(mil_config, tmp_path):
    video = str(write_video(tmp_path / "v.avi", 40))
    with pytest.raises(FileNotFoundError, match="no run here"):
        predict.run(mil_config, tmp_path / "run", video)
    train.run(mil_config, tmp_path / "run")
    (tmp_path / "run/finished").rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError, match="no finished run .* run its training command"):
        predict.run(mil_config, tmp_path / "run", video)
    (tmp_path / "away").rename(tmp_path / "run/finished")
    with pytest.raises(ValueError, match="a run of system 'mil', the config is of 'exemplar'"):
        predict.run(ped2_exemplar.get_config(), tmp_path / "run", video)
    with pytest.raises(ValueError, match="--fps 0; expected more than 0"):
        predict.run(mil_config, tmp_path / "run", video, fps=0.0)
    with pytest.raises(ValueError, match="--fps inf; expected more than 0, and finite"):
        predict.run(mil_config, tmp_path / "run", video, fps=float("inf"))


def test_a_network_that_no_memory_holds_is_refused(predictor, tmp_path):
    """The config of a run is a stranger's: 128 channels of theirs would be millions."""
    config, folder = predictor
    folder = shutil.copytree(folder, tmp_path / "run")
    theirs = json.loads((folder / "config.json").read_text())
    theirs["model"]["width"] = 1 << 20
    (folder / "config.json").write_text(json.dumps(theirs))
    with pytest.raises(ValueError, match=r"config\.json: .*, of a state of [0-9,.]+ TB; expected"):
        restore(config, folder)


def test_the_fields_of_the_run_count(exemplars, ranker, capsys):
    config, folder = exemplars
    asked = ped2_exemplar.get_config()
    asked.data.dir, asked.eval.flag = "/elsewhere", 3.0
    own = restore(asked, folder).system.config
    assert own.volume.step == config.volume.step != asked.volume.step
    assert own.data.dir == config.data.dir and own.eval.flag == 3.0
    assert asked.data.dir == "/elsewhere"
    assert "As in the run: " in capsys.readouterr().out
    assert restore(ucf_mil.get_config(), ranker[1]).system.config.train.steps == 6


def test_flags_that_do_not_fit_the_mode():
    def said(*flags):
        command = [sys.executable, "-m", "vadjax.main", "--config=configs/ucf_mil.py", *flags]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stderr.strip()

    workdir = "--workdir=" + str(pathlib.Path("nowhere"))
    assert said(workdir, "--mode=predict").endswith("needs --video=FILE, FOLDER or CAMERA")
    only = "error: --video is only for --mode=predict and --mode=extend"
    assert said(workdir, "--video=a.mp4") == only


def test_the_run_does_not_need_its_dataset_any_more(exemplars, frames, tmp_path, toy_scenes):
    config, folder = exemplars
    away = toy_scenes.with_name("away")
    toy_scenes.rename(away)
    try:
        predict.run(config, folder, str(frames), tmp_path, film=False)
    finally:
        away.rename(toy_scenes)
    assert load_system(config, RunCache(folder)) is not None


def test_pictures_of_16_bits_follow_the_levels_of_the_training(
    predictor, frames, tmp_path, monkeypatch
):
    """Never levels of their own: a run on 8 bits refuses them, as one on 16 bits refuses 8 bits."""
    config, folder = predictor
    deep, run = tmp_path / "deep" / frames.name, tmp_path / "run"
    deep.mkdir(parents=True)
    for path in frames.iterdir():
        values = cv2.imread(str(path)).astype(np.uint16)
        cv2.imwrite(str(deep / path.name), 7000 + 4 * values)
    with pytest.raises(ValueError, match=r"000\.png: uint16 .* prediction takes from the run"):
        predict.run(config, folder, str(deep), tmp_path / "none", film=False)
    shutil.copytree(folder, run)
    path = run / workdir.DESCRIPTION
    described = json.loads(path.read_text())
    described["manifest"]["levels"] = [7000, 8020]  # 7000 + 4 · 255
    path.write_text(json.dumps(described))
    predict.run(config, run, str(deep), tmp_path, film=True)
    found = scores.read(tmp_path / "scores" / f"{frames.name}.npz")
    expected = scores.read(folder / "scores" / f"{frames.name}.npz")
    np.testing.assert_array_equal(found.frame_scores, expected.frame_scores)
    video = write_video(tmp_path / "v.avi", 20)
    for source, message in ((frames, "a picture of 8 bits"), (video, "a video file has 8 bits")):
        with pytest.raises(ValueError, match=message):
            predict.run(config, run, str(source), tmp_path / "none", film=False)
    features = Description(run, {"extraction": {"levels": [7000, 8020]}}, "")
    assert Trained(None, None, features).levels == (7000, 8020)
    monkeypatch.setattr(cameras, "ReconnectingCamera", lambda *_: contextlib.nullcontext())
    with pytest.raises(ValueError, match="camera 7 has 8 bits, but levels 7000,8020"):
        predict.run(config, run, "7", tmp_path / "none")
