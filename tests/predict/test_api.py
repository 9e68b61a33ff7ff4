"""A run from Python: the scores and events of the program, streams, and what is refused."""

import dataclasses
import json
import re
import typing

import numpy as np
import pytest

import vadjax
from configs import camera
from tests.helpers.places import ROOT
from tests.helpers.unlabelled import write_unlabelled
from tests.helpers.video_files import moving, write
from tests.predict.cases import finish, write_video
from vadjax.data.clips import Videos
from vadjax.data.store.records import Dataset, Description
from vadjax.data.video.reader import frames_of
from vadjax.predict import run as predict
from vadjax.scores import files
from vadjax.scores.checks import check

PAGE = ROOT / "docs" / "python.md"


@pytest.fixture(scope="module")
def own(no_report, small_scenes, tmp_path_factory):
    """A run of the attributes system, in `runs/door`, and a film of a test video of its camera."""
    folder = tmp_path_factory.mktemp("own")
    recipe = dataclasses.replace(small_scenes, frames=60)
    data = Dataset(write_unlabelled(folder / "data", recipe))
    finish(camera.get_config("smoke"), data.folder, folder / "runs/door")
    frames = [np.array(frame) for frame in Videos(data, "test")[0]]
    write(folder / "new/monday.mp4", frames, rate=10, options={"crf": "5"})
    return folder


@pytest.fixture(scope="module")
def door(own):
    return vadjax.load(str(own / "runs/door"))


def assert_as_predicted(run, video, folder, out):
    """Scores and events of a video are those that the program writes."""
    predict.run(None, folder, str(video), out, film=False)
    written = files.read(out / "scores" / f"{video.stem}.npz")
    scores = run.score(video)
    check(scores)
    for field in dataclasses.fields(scores):
        ours, theirs = getattr(scores, field.name), getattr(written, field.name)
        if isinstance(ours, np.ndarray):
            assert ours.dtype == theirs.dtype and ours.tobytes() == theirs.tobytes(), field.name
        elif field.name == "alternatives":
            assert {k: v.tobytes() for k, v in ours.items()} == {
                k: v.tobytes() for k, v in theirs.items()
            }
        else:
            assert json.dumps(ours) == json.dumps(theirs), field.name
    told = run.events(scores)
    summary = json.loads((out / f"{video.stem}.json").read_text())
    assert [[one["start"], one["stop"]] for one in told] == sorted(
        row["frames"] for row in summary["intervals"]
    )
    if (out / "events.jsonl").exists():
        lines = (out / "events.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines] == told
    assert all(set(one) <= set(vadjax.Event.__annotations__) for one in told)
    assert all(vadjax.Event.__required_keys__ <= set(one) for one in told)
    return scores, told


def test_attributes_score_a_file_as_the_program_does(own, door, tmp_path):
    video = own / "new/monday.mp4"
    scores, told = assert_as_predicted(door, video, own / "runs/door", tmp_path)
    assert told and "place" in told[0] and len(scores.frame_scores) == 60
    assert door.system == "attributes" and door.fps == 10 and door.size == (48, 64)
    assert door.alarm.line == door.live_line == 0.5
    assert repr(door) == f"vadjax.load({str(own / 'runs/door')!r})  # attributes"


def test_exemplars_score_a_folder_of_pictures_as_the_program_does(exemplars, frames, tmp_path):
    run = vadjax.load(exemplars[1])
    scores, told = assert_as_predicted(run, frames, exemplars[1], tmp_path)
    assert told and all(one["line"] == pytest.approx(run.alarm.line) for one in told)
    assert scores.map is not None and run.live_line is None


def test_a_system_without_boxes_has_the_old_rule(ranker, tmp_path):
    run = vadjax.load(ranker[1])
    video = write_video(tmp_path / "v.avi", 64)
    scores, told = assert_as_predicted(run, video, ranker[1], tmp_path)
    assert scores.boxes is None and scores.map is None and run.alarm is None and run.size is None
    assert told and "half way from the median" in told[0]["rule"]
    assert (
        told[0]["boxes"] == [] and "box" not in told[0] and "the score reaches" in (told[0]["text"])
    )


@pytest.mark.slow
def test_predictors_score_a_folder_as_the_program_does(predictor, frames, tmp_path):
    run = vadjax.load(predictor[1])
    _, told = assert_as_predicted(run, frames, predictor[1], tmp_path)
    assert told and "rule" in told[0]
    (few,) = run.stream(list(frames_of(frames))[:2], 10)
    assert np.isnan(few.frame_scores).all() and len(few.frames) == 2


def test_an_array_has_the_scores_of_its_file(own, door):
    video = own / "new/monday.mp4"
    array = np.stack(list(frames_of(video)))
    expected = door.score(video)
    # BGR turned round has strides below 0
    for one in (array, np.ascontiguousarray(array[..., ::-1])[..., ::-1]):
        found = door.score(one, fps=10, name="monday")
        assert found.frame_scores.tobytes() == expected.frame_scores.tobytes()
        assert found.boxes.tobytes() == expected.boxes.tobytes()
        assert door.events(found) == door.events(expected)
    assert door.score(array[:20], 10).video == "video"


def test_a_stream_has_the_scores_of_live_video(own, door):
    """The caller has one buffer for all frames."""
    film = list(frames_of(own / "new/monday.mp4"))
    buffer = np.empty_like(film[0])

    def camera_frames():
        for frame in film:
            buffer[:] = frame
            yield buffer

    parts = door.stream(camera_frames(), fps=10)
    parts = [next(parts), *parts]
    stamps = [stamp for part in parts for stamp in part.frames]
    assert [stamp.number for stamp in stamps] == list(range(60))
    assert stamps[25].seconds == pytest.approx(2.5)
    told = [reason["text"] for part in parts for reason in part.reasons]
    scores = np.concatenate([part.frame_scores for part in parts])
    assert told and scores.max() >= door.live_line
    again = list(vadjax.load(own / "runs/door").stream(film, 10))
    assert scores.tobytes() == np.concatenate([part.frame_scores for part in again]).tobytes()


def video_array(*shape):
    return np.zeros(shape, np.uint8)


@pytest.mark.parametrize(
    ("video", "fps", "error", "message"),
    [
        (None, 10, TypeError, "video is NoneType; expected a path, or a NumPy array uint8 "),
        ([[0]], 10, TypeError, "video is list; expected a path, or"),
        (video_array(9, 48, 64, 3), None, TypeError, "fps is missing: an array does not say"),
        (video_array(48, 64, 3), 10, ValueError, "video is uint8 [48, 64, 3]; expected uint8 [T,"),
        (video_array(9, 3, 48, 64), 10, ValueError, "video is uint8 [9, 3, 48, 64]; expected"),
        (video_array(0, 48, 64, 3), 10, ValueError, "video is uint8 [0, 48, 64, 3]; expected"),
        (np.zeros((9, 48, 64, 3)), 10, ValueError, "video is float64 [9, 48, 64, 3]; expected"),
        (video_array(9, 48, 64, 3), 0, ValueError, "fps is 0; expected a number more than 0"),
        (video_array(9, 48, 64, 3), float("nan"), ValueError, "fps is nan; expected a number"),
        (video_array(9, 48, 64, 3), True, ValueError, "fps is True; expected a number"),
        (video_array(9, 48, 64, 3), "10", ValueError, "fps is '10'; expected a number"),
        (video_array(9, 48, 99, 3), 10, ValueError, "and at most 1 % of difference is taken"),
        ("nowhere.mp4", None, FileNotFoundError, "nowhere.mp4: no such file or folder"),
        ("rtsp://me:word@gate/1", None, ValueError, "rtsp://gate/1 is a camera; give its frames"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_one_line(door, video, fps, error, message):
    with pytest.raises(error, match=re.escape(message)) as told:
        door.score(video, fps)
    assert len(str(told.value).splitlines()) == 1


def test_names_folders_and_streams_that_are_refused(own, door, tmp_path):
    write_video(tmp_path / "two/a.avi", 20), write_video(tmp_path / "two/b.avi", 20)
    with pytest.raises(ValueError, match="two holds 2 videos; give one of them"):
        door.score(tmp_path / "two")
    with pytest.raises(ValueError, match="name: video name '../a' cannot be the name of a file"):
        door.score(video_array(9, 48, 64, 3), 10, name="../a")
    frame = video_array(48, 64, 3)
    with pytest.raises(TypeError, match="frames is str; expected arrays uint8 .* score"):
        door.stream("v.mp4", 10)
    with pytest.raises(ValueError, match="fps is -1; expected"):
        door.stream([frame], -1)
    with pytest.raises(TypeError, match="frame 1 is NoneType; expected a NumPy array uint8 "):
        list(door.stream([frame, None], 10))
    with pytest.raises(ValueError, match="frame 1 is uint8 .64, 3.; expected uint8 .H, W, 3."):
        list(door.stream([frame, frame[0]], 10))
    with pytest.raises(ValueError, match="frame 1 is 24 × 32, those before are 48 × 64"):
        list(door.stream([frame, frame[::2, ::2]], 10))
    with pytest.raises(TypeError, match="scores is list; expected what score.. returns"):
        door.events([])
    with pytest.raises(FileNotFoundError, match="no run here"):
        vadjax.load(tmp_path)


def test_frames_that_the_training_did_not_have_are_refused(door, monkeypatch):
    """A run on resampled video takes that rate alone, one on 16 bits no arrays."""
    frames, trained = np.stack(moving(20, (48, 64))), door._trained
    for fields, message in (
        ({"extraction": {"resample_fps": 12.5}}, "fps is 10, but .* resampled to 12.5 frames"),
        ({"levels": [7000, 8020]}, "has 8 bits, but levels"),
    ):
        data = trained.data
        data = Description(data.folder, {**data.manifest, **fields}, data.digest)
        monkeypatch.setattr(door, "_trained", trained._replace(data=data))
        for call in (door.score, door.stream):
            with pytest.raises(ValueError, match=message):
                call(frames, 10)


def test_what_may_differ_is_taken_from_a_config(exemplars, capsys):
    config = exemplars[0].copy_and_resolve_references()
    config.eval.sigma = 9.0
    assert vadjax.load(exemplars[1], config).alarm is None
    assert "note: without the alarm line of the run, where eval.sigma" in capsys.readouterr().out


def test_the_page_of_the_docs_runs_as_it_stands(own, monkeypatch, capsys):
    monkeypatch.chdir(own)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    names = {}
    for block in blocks:
        exec(block, names)
    said = capsys.readouterr().out
    assert len(blocks) == 4 and "highest score" in said and "alarm at " in said
    assert said.count(" alarm intervals") == 2 and len(names["frames"]) == 60


def test_the_page_has_every_public_name():
    page = PAGE.read_text()
    for name in vadjax.__all__:
        assert f"`vadjax.{name}" in page, name
    run = vadjax.LoadedRun
    for name in typing.get_type_hints(run):
        assert f"| `{name}` |" in page, name
    for name in (name for name in vars(run) if not name.startswith("_")):
        assert re.search(rf"^\| `{name}\(", page, re.M), name


def test_events_have_the_keys_of_their_page():
    page = (ROOT / "docs/events.md").read_text()
    cells = re.findall(r"^\| (`[^|]+)\|", page, re.M)
    keys = {key for cell in cells for key in re.findall(r"`(\w+)`", cell)}
    assert keys == set(vadjax.Event.__annotations__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'vadjax' has no attribute 'lode'"):
        print(vadjax.lode)
    assert set(vadjax.__all__) < set(dir(vadjax))
