"""Video as it comes with alerts: one event is one alert."""

import datetime
import shlex
import sys

import pytest

from tests.live.cases import film, lines_of
from vadjax.live.options import LiveOptions
from vadjax.predict import run as predict

RUNNING = (range(40, 52), range(90, 104))


@pytest.fixture
def inbox(tmp_path):
    """A command that keeps what it gets, and the file it keeps it in."""
    path = tmp_path / "it's got.jsonl"
    program = f"import sys; open({str(path)!r}, 'ab').write(sys.stdin.buffer.read())"
    return f"{shlex.quote(sys.executable)} -c {shlex.quote(program)}", path


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
        noticed = datetime.datetime.fromisoformat(alert["noticed"])
        assert (
            noticed.tzinfo and abs((datetime.datetime.now().astimezone() - noticed).seconds) < 600
        )
        assert (tmp_path / "out" / alert["snapshot"]).read_bytes()[:2] == b"\xff\xd8"
    said = capsys.readouterr().out
    assert "alerts to command" in said and ": 2 delivered" in said and "gate: 2 events in" in said
