"""Runs on a person's own videos, without labels: a report, and no figures."""

import dataclasses
import json

import numpy as np
import pytest

from configs import ped2_exemplar
from docs.examples.frame_difference import config as example
from tests.helpers import commands
from tests.helpers.unlabelled import write_unlabelled
from vadjax import evaluate, train
from vadjax.data.store.records import Dataset
from vadjax.report import events, unlabelled
from vadjax.report.events import EventRule
from vadjax.runtime import mesh
from vadjax.runtime.metric_writers import Silent
from vadjax.scores import alarm
from vadjax.scores.alarm import AlarmLine
from vadjax.scores.files import Scores
from vadjax.system import System

CONFIG = "configs/camera.py:smoke"
LINE = AlarmLine(
    line=0.5,
    reliable=False,
    hours=0.25,
    per_hour=1.0,
    extrapolated=True,
    rates=np.array([[0.25, 40.0], [0.5, 1.0], [0.75, 0.25]]),
    quantiles=np.array([[0.5, 0.1], [0.999, 0.5]]),
)


@pytest.fixture(scope="module")
def own(tmp_path_factory, small_scenes):
    recipe = dataclasses.replace(small_scenes, frames=60)
    return write_unlabelled(tmp_path_factory.mktemp("own") / "data", recipe)


@pytest.fixture(scope="module")
def run(own, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "own"
    flags = f"--config={CONFIG}", f"--config.data.dir={own}", f"--workdir={folder}"
    code, out, errors = commands.run("vadjax.main", *flags, "--config.alarm.per_hour=300")
    assert code == 0, errors
    return folder, out, flags


def test_a_run_without_labels_ends_with_a_report(run):
    folder, out, _ = run
    assert "No labels: nothing can be said of how well the anomalies are told apart." in out
    assert "alarms an hour of held-out normal video" in out and "(the alarm line)" in out
    assert "AUC" not in out
    summary = json.loads((folder / "metrics.json").read_text())
    assert summary["metrics"] == {"videos": 2, "frames": 120} and summary["labels"] == {}
    assert not (folder / "report/figures.html").exists()
    page = (folder / "report/page/data.js").read_text()
    assert '"alarm": {"hours"' in page and '"measures": null' in page


def test_the_events_of_such_a_run_are_in_its_report(run):
    folder, _, _ = run
    rows = [json.loads(line) for line in (folder / "report/events.jsonl").read_text().splitlines()]
    assert rows
    for row in rows:
        assert row["schema"] == 1 and row["score"] >= 0.5 and row["start"] < row["stop"]
        assert row["boxes"] and row["text"]


def test_the_run_keeps_its_alarm_line(run):
    folder, out, _ = run
    line = alarm.read(folder)
    assert line.line == 0.5 and line.per_hour == 300 and not line.reliable
    assert line.hours == pytest.approx(120 / 10 / 3600)
    # What init printed is what the file says.
    assert "The alarm line for 300 alarms an hour is the score" in out
    assert line.rate_at(0.5) == pytest.approx(300) and "gives 1 alarm, 300 an hour" in out
    assert "note: under 60 seconds of normal video" in out


def test_it_is_evaluated_again_without_labels(run):
    folder, _, flags = run
    code, out, errors = commands.run(
        "vadjax.main", *flags[:1], *flags[2:], "--mode=evaluate", "--config.alarm.per_hour=300"
    )
    assert code == 0, errors
    assert "No labels" in out
    again = (folder / "evaluate_0/report/events.jsonl").read_text()
    assert again == (folder / "report/events.jsonl").read_text()


def test_another_rate_is_another_run(run):
    _, _, flags = run
    code, _, errors = commands.run("vadjax.main", *flags, "--config.alarm.per_hour=5")
    assert code == 1 and "alarm.per_hour: 300.0 there, 5.0 here" in errors


@pytest.mark.parametrize("make", [ped2_exemplar, example])
def test_other_systems_say_what_they_can(make, own, tmp_path, capsys):
    config = make.get_config(*(["smoke"] if make is ped2_exemplar else []))
    config.data.dir, config.train.devices = str(own), 1
    train.run(config, tmp_path / "run")
    out = capsys.readouterr().out
    assert "No labels" in out and "AUC" not in out
    assert (tmp_path / "run/report/index.html").is_file()
    assert (tmp_path / "run/metrics.json").is_file()


def test_selecting_on_a_test_split_without_labels_is_refused(own, monkeypatch):
    config = example.get_config()
    config.train.devices, config.eval.select_on_test = 1, True
    monkeypatch.setattr(evaluate, "measure_state", lambda *_: unlabelled.counts([]))
    data = Dataset(own)
    loop = train.Loop(config, System(config), data, mesh.of_run(config), writer=Silent())
    with pytest.raises(ValueError, match=r"split 'test' of .* has no labels, so no step can"):
        loop._evaluate(1, {})


def test_what_is_said_of_an_alarm_line(capsys):
    scores = [Scores("a", np.array([0.1, 0.6, 0.1])), Scores("b", np.array([0.3, 0.3, 0.3]))]
    unlabelled.print_summary("title", scores, EventRule(LINE, 10.0))
    out = capsys.readouterr().out
    # Alarms in the videos at every threshold; a rate of less than one in all video is marked.
    assert "0.25" in out and "40" in out and "0.25 *" in out
    rows = {
        line.split("│")[1].strip(): line.split("│")[3].strip()
        for line in out.splitlines()
        if line.startswith("│")
    }
    assert rows["0.25"] == "2" and rows["0.5 (the alarm line)"] == "1" and rows["0.75"] == "0"
    assert "50 % below 0.1, 99.9 % below 0.5" in out
    assert "The alarm line is the score 0.5, by 15 minutes of held-out normal video." in out
    assert "There it gives 1 alarm an hour. extrapolated: that is too short to count 1" in out
    assert "too little normal video to rely on it" in out


def test_without_an_alarm_line_the_scores_are_told(capsys):
    unlabelled.print_summary("title", [Scores("a", np.arange(101) / 100)], EventRule())
    out = capsys.readouterr().out
    assert "50 % below 0.5" in out and "no alarm line" in out and events.HALF_WAY in out
