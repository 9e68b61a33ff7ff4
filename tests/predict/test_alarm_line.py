"""Prediction by the alarm line of the run: intervals, quiet clips, their order; no config."""

import dataclasses
import importlib
import json

import numpy as np
import pytest

from configs import camera
from tests.helpers import commands
from tests.helpers.pictures import write_pictures
from tests.helpers.systems import CONFIGS
from tests.helpers.unlabelled import write_unlabelled
from vadjax import train
from vadjax.data.clips import Videos
from vadjax.data.store.records import Dataset
from vadjax.predict import ranking
from vadjax.predict import run as predict
from vadjax.predict.ranking import ScoredClip
from vadjax.scores import alarm, files
from vadjax.scores.alarm import AlarmLine

LINE = AlarmLine(0.5, True, 1.0, None, False, np.zeros((0, 2)))

pytestmark = pytest.mark.usefixtures("no_report")


@pytest.fixture(scope="module")
def own(no_report, small_scenes, tmp_path_factory):
    """A run on videos without labels, and a folder with a quiet and a loud clip."""
    folder = tmp_path_factory.mktemp("own")
    recipe = dataclasses.replace(small_scenes, frames=60)
    data = Dataset(write_unlabelled(folder / "data", recipe))
    config = camera.get_config("smoke")
    config.data.dir, config.train.devices = str(data.folder), 1
    train.run(config, folder / "run")
    for split, name in (("train", "quiet"), ("test", "loud")):
        pictures = write_pictures(Videos(data, split)[0], folder / "clips")
        pictures.rename(folder / "clips" / name)
    return folder


@pytest.fixture(scope="module")
def predicted(own):
    """What the program prints, and where it writes; no config is given."""
    code, out, errors = commands.run(
        "vadjax.main",
        f"--workdir={own / 'run'}",
        "--mode=predict",
        f"--video={own / 'clips'}",
        "--nofilm",
    )
    assert code == 0, errors
    return out, own / "run" / "predict"


def summary_of(out, name):
    return json.loads((out / f"{name}.json").read_text())


def test_intervals_are_those_of_the_line(predicted):
    _, out = predicted
    summary = summary_of(out, "loud")
    scores = files.read(out / "scores/loud.npz").frame_scores
    assert summary["line"] == 0.5 and summary["reliable"] is False
    assert summary["intervals"] and summary["highest"] == pytest.approx(scores.max(), abs=1e-4)
    inside = np.zeros(len(scores), bool)
    for row in summary["intervals"]:
        start, stop = row["frames"]
        assert scores[start] >= 0.5 and scores[stop - 1] >= 0.5
        inside[start:stop] = True
    assert (scores[~inside] < 0.5).all()


def test_a_quiet_clip_has_nothing_unusual(predicted):
    said, out = predicted
    assert summary_of(out, "quiet")["intervals"] == []
    assert "nothing unusual: the highest score is 0." in said
    # The most unusual clip comes first.
    ranked = said[said.index("The most unusual first:") :].splitlines()
    assert ranked[1].startswith("  1. loud: ") and " alarm" in ranked[1]
    assert ranked[2].startswith("  2. quiet: nothing unusual (highest score 0.")
    assert "The alarm line is the score 0.5, by too little normal video to rely on it." in said


def test_events_of_all_clips_are_in_one_file(own, predicted):
    _, out = predicted
    rows = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    spans = [[row["start"], row["stop"]] for row in rows]
    expected = sorted(row["frames"] for row in summary_of(out, "loud")["intervals"])
    assert {row["video"] for row in rows} == {"loud"} and spans == expected
    # The same clip again takes the place of its own lines alone.
    ranking.keep_events(out, "quiet", [{**rows[0], "video": "quiet"}])
    ranking.keep_events(out, "quiet", [])
    again = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    assert again == rows
    (out / "loud.json").rename(out / "away")
    ranking.keep_events(out, "quiet", [])
    (out / "away").rename(out / "loud.json")
    assert (out / "events.jsonl").read_text() == ""


def test_a_config_is_needed_to_train(tmp_path):
    for mode in ("train", "evaluate", "extend"):
        code, _, errors = commands.run("vadjax.main", f"--workdir={tmp_path}", f"--mode={mode}")
        assert code == 1 and f"error: --mode={mode} needs --config=FILE" in errors
    # A run says which it was made with.
    made = [{"command": "python -m vadjax.main --config=configs/camera.py:smoke"}]
    (tmp_path / "provenance.json").write_text(json.dumps(made), encoding="utf-8")
    code, _, errors = commands.run("vadjax.main", f"--workdir={tmp_path}", "--mode=evaluate")
    named = "needs --config=configs/camera.py:smoke, with which this run was made"
    assert code == 1 and f"error: --mode=evaluate {named}" in errors


def test_a_run_of_another_kind_of_config_wants_it(own, tmp_path):
    theirs = json.loads((own / "run/config.json").read_text())
    for changes, message in (
        ({"system": "docs.examples"}, "system 'docs.examples' has no default config in vadjax"),
        ({"fusion": 3}, "fusion is 3, the config here has 'sum'; expected a value of the same"),
        ({"further": 1}, "further is 1 there, 'absent' here"),
    ):
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(theirs | changes), encoding="utf-8")
        code, _, errors = commands.run(
            "vadjax.main", f"--workdir={folder}", "--mode=predict", f"--video={own / 'clips'}"
        )
        assert code == 1 and message in errors and "Give the --config with which" in errors


def test_a_run_without_a_line_says_so(exemplars, frames, tmp_path, capsys, monkeypatch):
    config, folder = exemplars
    monkeypatch.setattr(alarm, "read", lambda folder: None)
    assert predict.run(None, folder, str(frames), tmp_path, film=False) == {}
    assert "This run has no alarm line: an interval is where a score is half" in (
        capsys.readouterr().out
    )
    summary = summary_of(tmp_path, frames.name)
    assert summary["line"] is None and summary["intervals"]
    rows = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert len(rows) == len(summary["intervals"]) and all("rule" in row for row in rows)
    del config


def test_scores_that_are_made_otherwise_have_no_line(exemplars, frames, tmp_path, capsys):
    config, folder = exemplars
    config = config.copy_and_resolve_references()
    config.eval.sigma = 9.0
    assert alarm.read(folder) is not None
    assert predict.run(config, folder, str(frames), tmp_path, film=False) == {}
    said = capsys.readouterr().out
    assert "note: without the alarm line of the run, where eval.sigma had other values" in said
    assert "This run has no alarm line" in said


def test_clips_in_the_order_of_their_scores(capsys):
    clips = [
        ScoredClip("a", 0.2, 1.0, 0),
        ScoredClip("b", 0.9, 65.0, 1),
        ScoredClip("c", 0.5, 2, 3),
    ]
    ranking.print_ranked(clips, LINE)
    assert capsys.readouterr().out.splitlines()[2:] == [
        "  1. b: 1 alarm, highest score 0.900 at 0:01:05.0",
        "  2. c: 3 alarms, highest score 0.500 at 0:00:02.0",
        "  3. a: nothing unusual (highest score 0.200)",
    ]
    ranking.print_ranked(clips[:1], LINE)
    assert capsys.readouterr().out == ""
    ranking.print_ranked(clips, None)
    out = capsys.readouterr().out
    assert "1. b: highest score 0.900" in out and "no alarm line, so none" in out


@pytest.mark.parametrize("name", CONFIGS)
def test_the_config_of_a_run_is_that_of_its_system(name):
    """Every config has the fields of its system's default, with values of the same types."""
    from vadjax.config import default
    from vadjax.runtime.provenance import flatten

    config = importlib.import_module(f"configs.{name}").get_config()
    if config.system == "exemplar_networks":  # which scores no video
        return
    found = flatten(config.to_dict())
    expected = flatten(default(config.system, found).to_dict())
    assert {name: type(value) for name, value in found.items()} == {
        name: type(value) for name, value in expected.items()
    }
