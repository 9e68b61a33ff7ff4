"""Scoring one's own video: the same scores as on a dataset, files, live lines, bad input."""

import contextlib
import csv
import json
import pathlib
import re
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from configs import ped2_exemplar, ped2_mnad, ucf_mil
from tests.helpers.places import ROOT
from tests.helpers.video_files import cut, moving, write, write_interlaced
from vadjax import train
from vadjax.data.clips import Videos
from vadjax.data.store.records import Dataset, Description
from vadjax.data.video.reader import Picture, Reading, VideoFile, open_frames
from vadjax.data.video.snippets import Snippets
from vadjax.extractors import clips as clip_features
from vadjax.predict import live
from vadjax.predict import run as predict
from vadjax.predict.restore import Clock, Trained, restore
from vadjax.report import page
from vadjax.runtime import workdir
from vadjax.runtime.cache import Cache
from vadjax.scores import files as scores
from vadjax.scores.streaming import PartialScores
from vadjax.system import load_system


@pytest.fixture(scope="module", autouse=True)
def no_report():
    """Runs go without a report, which takes longer than all else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "build", lambda out, *_: out)
        yield


def finish(config, data, folder):
    config.data.dir, config.train.devices = str(data), 1
    train.run(config, folder)
    return config, folder


@pytest.fixture(scope="module")
def exemplars(toy_scenes, tmp_path_factory):
    config = ped2_exemplar.get_config("smoke")
    config.eval.sigma, config.eval.flag = 1.5, 0.05
    return finish(config, toy_scenes, tmp_path_factory.mktemp("runs") / "exemplar")


@pytest.fixture(scope="module")
def predictor(toy_scenes, tmp_path_factory):
    config = ped2_mnad.get_config("smoke")
    config.eval.test_update, config.eval.gamma = "per_video_reset", 1e6  # the memory learns
    return finish(config, toy_scenes, tmp_path_factory.mktemp("runs") / "mnad")


@pytest.fixture(scope="module")
def frames(toy_scenes, tmp_path_factory):
    """The second test video as a folder of pictures."""
    video = Videos(Dataset(toy_scenes), "test")[1]
    folder = tmp_path_factory.mktemp("frames") / video.name
    folder.mkdir()
    for number, frame in enumerate(video):
        cv2.imwrite(str(folder / f"{number:03}.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    return folder


class Net:
    """Stands for a network: the feature of a clip is its mean grey, in 32 sizes."""

    digest, normalisation, stream, width = "0123", "pm1", "rgb", 32

    def __call__(self, clips):
        """Features [N, 1, 1, 1, 32]."""
        means = clips.astype(np.float32).mean((1, 2, 3, 4))[:, None] / 255
        return (means * np.arange(1, 33, dtype=np.float32))[:, None, None, None]


@pytest.fixture(scope="module")
def finished_ranker(toy_bags, tmp_path_factory):
    config = ucf_mil.get_config("smoke")
    config.features.weights = "w"
    return finish(config, toy_bags, tmp_path_factory.mktemp("runs") / "mil")


@pytest.fixture
def ranker(finished_ranker, tmp_path, monkeypatch):
    monkeypatch.setattr(clip_features, "load_i3d", lambda *args: Net())
    config, folder = finished_ranker
    return config.copy_and_resolve_references(), shutil.copytree(folder, tmp_path / "mil")


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def write_video(path, count, size=(48, 64)):
    """A video whose frame i has the grey level 5 i."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(
        str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 25, size[::-1]
    )
    for i in range(count):
        writer.write(np.full((*size, 3), 5 * i % 256, np.uint8))
    writer.release()
    return path


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
    assert f"{frames.name}: 20 frames, median score" in said and "0:00:00." in said


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
    assert "unusual" in first["reason"]
    film = VideoFile(tmp_path / f"{frames.name}.webm")
    assert (len(film), film.fps) == (20, 10)
    assert cv2.imread(str(tmp_path / f"{frames.name}.png")).std() > 5


@pytest.mark.parametrize("fps", [0.5, 0.2, 0.01])
def test_a_folder_of_a_slow_camera_has_whole_intervals(ranker, tmp_path, capsys, fps):
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
    film = cv2.VideoCapture(str(tmp_path / "out/gate.webm"))
    assert int(film.get(cv2.CAP_PROP_FRAME_COUNT)) == 48
    assert ("gate.webm: shown at 0.05" in capsys.readouterr().out) == (fps == 0.01)


@pytest.mark.parametrize("step", [16, 10, 24])
@pytest.mark.parametrize("count", [70, 9])
@pytest.mark.parametrize("live", [False, True])
def test_a_ranker_scores_every_snippet_by_itself(ranker, step, count, live, tmp_path):
    config, folder = ranker
    config.features.step = step
    video = write_video(tmp_path / "v.avi", count)
    trained = restore(config, folder)
    clock = Clock(iter(open_frames(video)), 25.0, lambda number: None)
    found = np.concatenate([part.frame_scores for part in trained.parts("v", clock, live)])
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
    times = [time for time, _ in clock.times(count)]
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


def test_live_prints_a_line_for_every_snippet_and_keeps_the_lines(ranker, tmp_path, capsys):
    config, folder = ranker
    video = write_video(tmp_path / "gate.avi", 40)
    for _ in range(2):
        assert predict.run(config, folder, str(video), as_it_comes=True) == {}
    said = capsys.readouterr().out.splitlines()
    lines = [line for line in said if "frames 16-31  score 0." in line]
    assert len(lines) == 2 and lines[0].startswith("0:00:00.6  ")
    rows = rows_of(folder / "predict/gate.live.csv")
    spans = [(row["first_frame"], row["last_frame"]) for row in rows]
    assert spans == 2 * [("0", "15"), ("16", "31"), ("32", "39")]
    assert [row["seconds"] for row in rows[:3]] == ["0.000", "0.640", "1.280"]
    left = {path.name for path in (folder / "predict").iterdir()}
    assert left == {"gate.live.csv"}


def test_another_aspect_is_warned_of(exemplars, tmp_path):
    config, folder = exemplars
    video = str(write_video(tmp_path / "v.avi", 12, (48, 96)))
    with pytest.warns(UserWarning, match="v: frames of 48 × 96 are stretched to 48 × 64, the size"):
        predict.run(config, folder, video, tmp_path / "out", film=False)


def test_live_lines_have_reasons(exemplars, frames, tmp_path, capsys):
    config, folder = exemplars
    predict.run(config, folder, str(frames), tmp_path, as_it_comes=True)
    rows = rows_of(tmp_path / f"{frames.name}.live.csv")
    assert [row["last_frame"] for row in rows] == ["15", "19"]
    assert any("unusual speed" in row["reason"] for row in rows)
    assert "unusual speed" in capsys.readouterr().out


def test_a_camera_is_watched_until_it_ends(ranker, tmp_path, capsys):
    config, folder = ranker
    video = write_video(tmp_path / "street.avi", 40)
    url = f"file://{video}"
    failed = predict.run(config, folder, url, name="gate")
    assert failed == {"gate": "ended"}
    rows = rows_of(folder / "predict/gate.live.csv")
    assert rows[-1]["last_frame"] == "39" and rows[-1]["missing"] == "0"
    said = capsys.readouterr().out
    assert "frames 32-39" in said and f"Camera {url} ended after 40 frames." in said
    (named,) = predict.run(config, folder, url)
    assert named.startswith("camera_file") and (folder / f"predict/{named}.live.csv").is_file()
    with pytest.raises(ValueError, match="camera file:///nowhere.avi: cannot be opened: No such"):
        predict.run(config, folder, "file:///nowhere.avi")
    with pytest.raises(ValueError, match="--fps is not for a camera"):
        predict.run(config, folder, url, fps=5.0)


def test_missing_frames_are_in_the_line_that_they_are_missing_from(ranker, tmp_path, capsys):
    config, folder = ranker
    frames = [
        picture._replace(missing=7 * (number == 20))
        for number, picture in enumerate(open_frames(write_video(tmp_path / "v.avi", 40)))
    ]
    live.watch(restore(config, folder), "v", frames, 25.0, tmp_path)
    rows = rows_of(tmp_path / "v.live.csv")
    assert [row["missing"] for row in rows] == ["0", "0", "7", "0"]
    assert [row["first_frame"] for row in rows] == ["0", "16", "20", "36"]  # none spans the gap
    assert "(7 frames missing)" in capsys.readouterr().out


def test_reasons_stand_in_the_line_of_their_frame():
    reason = [{"frame": frame, "score": 1.0, "text": str(frame)} for frame in (5, 20, 40, 99)]
    parts = [
        PartialScores(np.zeros(18, np.float32), reasons=tuple(reason[:3])),
        PartialScores(np.zeros(30, np.float32), reasons=tuple(reason[3:])),
    ]
    found = [[one["frame"] for one in part.reasons] for part in live.by_snippet(iter(parts))]
    assert found[0] == [5] and found[1] == [20] and 40 in found[2]


def test_times_of_frames(tmp_path):
    pixels = np.zeros((4, 6, 3), np.uint8)
    pictures = [Picture(pixels, "", time=time) for time in (0.0, 0.1, 0.0, None, 0.9)]

    def times(**options):
        clock = Clock(iter(pictures), 10.0, **options)
        list(clock.frames())
        return [round(time, 3) for time, _ in clock.times(5)]

    assert times() == [0, 0.1, 0.2, 0.3, 0.9] and times(trust=False) == [0, 0.1, 0.2, 0.3, 0.4]
    other = Picture(np.zeros((4, 8, 3), np.uint8), "")
    with pytest.raises(ValueError, match="frame 5 is 4 × 8, those before are 4 × 6"):
        list(Clock([*pictures, other], 10.0).frames())


def test_ctrl_c_ends_a_camera_in_peace(ranker, tmp_path, capsys, monkeypatch):
    config, folder = ranker

    class Stops:
        fps = 25.0

        def __iter__(self):
            for number, picture in enumerate(open_frames(video)):
                if number == 35:
                    raise KeyboardInterrupt
                yield picture

    video = write_video(tmp_path / "v.avi", 40)
    trained = restore(config, folder)
    with pytest.raises(KeyboardInterrupt):
        live.watch(trained, "v", Stops(), 25.0, tmp_path)
    assert [row["last_frame"] for row in rows_of(tmp_path / "v.live.csv")] == ["15", "31"]
    said = capsys.readouterr().out
    assert "frames 16-31" in said and "v.live.csv" in said


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
    film = VideoFile(tmp_path / "out/v.webm")
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
    assert len(VideoFile(tmp_path / "out/v.webm")) == 20
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
    film = VideoFile(tmp_path / "out/v.webm")
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
    assert said(workdir, "--video=a.mp4") == "error: --video is only for --mode=predict"


def test_the_run_does_not_need_its_dataset_any_more(exemplars, frames, tmp_path, toy_scenes):
    config, folder = exemplars
    away = toy_scenes.with_name("away")
    toy_scenes.rename(away)
    try:
        predict.run(config, folder, str(frames), tmp_path, film=False)
    finally:
        away.rename(toy_scenes)
    assert load_system(config, Cache(folder)) is not None


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
    monkeypatch.setattr(predict, "Camera", lambda *_: contextlib.nullcontext())
    with pytest.raises(ValueError, match="camera 7 has 8 bits, but levels 7000,8020"):
        predict.run(config, run, "7", tmp_path / "none")
