"""Video as it comes with alerts: one event is one alert."""

import datetime
import re
import shlex
import shutil
import sys
import time

import cv2
import pytest

from tests.live.cases import film, lines_of
from tests.predict.cases import rows_of
from vadjax.live import outbox
from vadjax.live.options import LiveOptions
from vadjax.live.session import LiveSession
from vadjax.predict import run as predict

RUNNING = (range(40, 52), range(90, 104))


@pytest.fixture
def inbox(tmp_path):
    """A command that keeps what it gets, and the file it keeps it in."""
    path = tmp_path / "it's got.jsonl"
    program = f"import sys; open({str(path)!r}, 'ab').write(sys.stdin.buffer.read())"
    return f"{shlex.quote(sys.executable)} -c {shlex.quote(program)}", path


def noticed_at(record):
    return datetime.datetime.fromisoformat(record["noticed"])


def test_each_event_is_one_alert(door_run, tmp_path, inbox, capsys):
    config, folder = door_run
    command, got = inbox
    video, out = film(tmp_path / "gate.avi", 140, RUNNING), tmp_path / "out"
    options = LiveOptions(alerts=(command,), cool_down=0.5)
    assert predict.run(config, folder, str(video), out, as_it_comes=True, watching=options) == {}
    alerts, events = lines_of(got), lines_of(out / "gate.events.jsonl")
    assert len(alerts) == len(events) == 2
    for alert, event, running in zip(alerts, events, RUNNING, strict=True):
        assert alert["id"] == event["id"] and alert["open"] and "open" not in event
        assert running.start <= event["start"] == alert["start"] < running.stop <= event["stop"]
        assert alert["schema"] == 1 and alert["lead"] == "speed" and "faster than" in alert["text"]
        assert event["boxes"] and all(row[5] >= 0.5 for row in event["boxes"])
        assert event["alert"] and "time" not in event  # of a file the time of day is unknown
        age = datetime.datetime.now().astimezone() - noticed_at(alert)
        assert datetime.timedelta() <= age < datetime.timedelta(minutes=10)
        assert (tmp_path / "out" / alert["snapshot"]).read_bytes()[:2] == b"\xff\xd8"
    said = capsys.readouterr().out
    assert said.count("gate: event at 0:00:0") == said.count("gate: event over at 0:00:") == 2
    assert "alerts to command" in said and ": 2 delivered" in said and "gate: 2 events in" in said


def watched(door_run, tmp_path, inbox, count, running, **asked):
    """Alerts and events of a film of the door."""
    config, folder = door_run
    command, got = inbox
    video = film(tmp_path / "gate.avi", count, running)
    options = LiveOptions(alerts=(command,), **asked)
    out = tmp_path / "out"
    predict.run(config, folder, str(video), out, as_it_comes=True, watching=options)
    return lines_of(got), lines_of(out / "gate.events.jsonl")


def test_within_the_cool_down_an_event_makes_no_alert(door_run, tmp_path, inbox, capsys):
    alerts, events = watched(door_run, tmp_path, inbox, 140, RUNNING, cool_down=60.0)
    assert [event["alert"] for event in events] == [True, False]
    assert events[1]["held"] == "cool-down" and "snapshot" not in events[1]
    assert [alert["id"] for alert in alerts] == [events[0]["id"]]
    assert "; no alert (cool-down)" in capsys.readouterr().out


def test_an_event_that_outlasts_the_cool_down_is_alerted_then(door_run, tmp_path, inbox):
    first = watched(door_run, tmp_path, inbox, 80, (RUNNING[0],), cool_down=0.0)[1][0]
    (tmp_path / "it's got.jsonl").unlink()
    shutil.rmtree(tmp_path / "out")
    running = (RUNNING[0], range(70, 110))
    seconds = 8.0 - first["stop_s"]  # until 8.0 s, when the second has begun
    alerts, events = watched(door_run, tmp_path, inbox, 140, running, cool_down=seconds)
    assert len(alerts) == len(events) == 2 and events[1]["start_s"] < 8.0
    assert alerts[1]["stop_s"] >= 8.0 and alerts[1]["frame"] >= alerts[1]["start"]


RULES = {
    "zone": '[[zones]]\nname = "top"\npoints = [[0, 0], [1, 0], [1, 0.3], [0, 0.3]]',
    "class": 'ignore = ["moving object"]',
    "hours": '[[hours]]\nfrom = "{from}"\nto = "{to}"',
}


@pytest.mark.parametrize("held", RULES)
def test_rules_hold_alerts_back_and_the_event_says_why(door_run, tmp_path, inbox, held):
    now = datetime.datetime.now()
    span = {"from": now + datetime.timedelta(hours=2), "to": now + datetime.timedelta(hours=3)}
    text = RULES[held]
    for key, moment in span.items():
        text = text.replace(f"{{{key}}}", f"{moment:%H:%M}")
    (tmp_path / "rules.toml").write_text(text, "utf-8")
    rules = tmp_path / "rules.toml"
    alerts, events = watched(door_run, tmp_path, inbox, 70, RUNNING[:1], rules=rules)
    assert [(event["alert"], event["held"]) for event in events] == [(False, held)] and not alerts


def test_an_alert_passes_by_its_zone_and_its_picture_shows_the_box(door_run, tmp_path, inbox):
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES["zone"].replace("0.3", "1"), "utf-8")
    (alert,), _ = watched(door_run, tmp_path, inbox, 70, RUNNING[:1], rules=rules)
    picture = cv2.imread(alert["snapshot"])[..., ::-1].astype(int)
    assert picture.shape == (96, 128, 3)
    x0, y0, x1, y1 = (round(side) for side in alert["box"])
    for x, y in ((x0, (y0 + y1) // 2), ((x0 + x1) // 2, y0)):
        red, green, blue = picture[min(y, 95), min(x, 127)]
        assert red > 150 and red > green + 50 and red > blue + 50


def test_sinks_that_hang_and_fail_change_no_line(door_run, tmp_path, monkeypatch, capsys):
    """Scoring goes on at its pace, and what did not arrive is said."""
    monkeypatch.setattr(outbox, "LAST", 0.2)
    monkeypatch.setattr(outbox.Outbox.close, "__defaults__", (0.2,))
    config, folder = door_run
    video, rows = film(tmp_path / "gate.avi", 140, RUNNING), []
    python = shlex.quote(sys.executable)
    hangs, fails = (
        f"{python} -c 'import time; time.sleep(99)'",
        f"{python} -c 'raise SystemExit(2)'",
    )
    for number, alerts in enumerate([(), (hangs, fails)]):
        options = LiveOptions(alerts=alerts, cool_down=0.0)
        out = tmp_path / str(number)
        start = time.monotonic()
        predict.run(config, folder, str(video), out, as_it_comes=True, watching=options)
        assert time.monotonic() - start < 60
        rows.append([{**row, "clock": ""} for row in rows_of(out / "gate.live.csv")])
    assert rows[0] == rows[1] and len(rows[0]) == 9
    said = capsys.readouterr().out
    assert "exit code 2; trying again in 1 s" in said
    assert re.search("0 delivered, (1 given up, 1|2) not delivered before the end", said)


def test_what_needs_an_alarm_line_or_objects_is_refused_without(tmp_path):
    def session(line, classes, **asked):
        return LiveSession(LiveOptions(**asked), ["gate"], tmp_path, line, None, classes)

    for asked in ({"clips": True}, {"alerts": ("true",)}):
        with pytest.raises(ValueError, match="need an alarm line, and this run has none"):
            session(None, (), **asked)
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES["zone"], "utf-8")
    with pytest.raises(ValueError, match="zones, but this system tells of no objects with a place"):
        session(0.5, (), alerts=("true",), rules=rules)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"cool_down": -1.0}, "--cool_down -1; expected 0 or more seconds"),
        ({"cool_down": float("nan")}, "--cool_down nan"),
        ({"keep_days": 0.0}, "--keep_days 0; expected more than 0 days"),
        ({"alerts": ("true",) * 21}, "--alert: 21 of them; expected 20 at most"),
        ({"rules": "r.toml"}, "--alert_rules says which events are alerts; name an --alert too"),
    ],
)
def test_options_that_cannot_be(asked, message):
    with pytest.raises(ValueError, match=message):
        LiveOptions(**asked)
