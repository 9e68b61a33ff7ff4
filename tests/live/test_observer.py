"""What is done with the events of one camera, whatever goes wrong beside it."""

import datetime
import errno
import os

import numpy as np
import pytest

from tests.data.video.test_reconnecting import Scripted
from tests.helpers.servers import wait_for
from tests.live.cases import lines_of
from tests.live.test_events import part
from vadjax.data.store.records import Description
from vadjax.data.video.frame_stream import Frame
from vadjax.data.video.reconnecting import ReconnectingCamera
from vadjax.live.observer import CameraObserver
from vadjax.live.options import LiveOptions
from vadjax.live.rules import AlertRules
from vadjax.predict import live
from vadjax.predict.restore import Trained
from vadjax.runtime import replacing, space

CAR = {"class": "car", "box": [1, 2, 3, 4], "text": "drives"}
PERSON = {"class": "person", "box": [5, 6, 7, 8], "text": "walks"}


class Kept:
    """Keeps the records that it gets."""

    def __init__(self):
        self.got = []

    def put(self, record):
        """Takes one."""
        self.got.append(record)


@pytest.fixture
def observed(tmp_path):
    """Makes an observer whose alerts are kept, of scores and objects: `observed(parts, …)`."""

    def watch(parts, rules=AlertRules(), **asked):  # noqa: B008 (immutable)
        kept, options = Kept(), LiveOptions(alerts=("true",), **asked)
        observer = CameraObserver("gate", tmp_path, 0.5, (20, 30), options, rules, [kept])
        observer.alerts = kept.got
        list(observer.parts(parts))
        return observer

    return watch


def test_an_object_below_the_line_makes_no_alert_of_an_event_that_is_of_another(observed):
    """The car is ignored and leaves; the frames are still above the line for a while."""
    with_car = [
        part(n, 0.8, objects=[{**CAR, "box_score": 0.9}, {**PERSON, "box_score": 0.1}])
        for n in range(3)
    ]
    without = [part(n, 0.6, objects=[{**PERSON, "box_score": 0.1}]) for n in range(3, 6)]
    rules = AlertRules(ignored=frozenset(["car"]))
    observer = observed([*with_car, *without], rules)
    observer.close()
    assert not observer.alerts and observer.listed[-1]["held"] == "class"
    unusual = [part(6, 0.6, objects=[{**PERSON, "box_score": 0.7}])]
    observer = observed([*with_car, *without, *unusual], rules)
    observer.close()
    (alert,) = observer.alerts
    at = datetime.datetime.fromisoformat(alert["time"]).strftime("%H:%M")
    assert alert["text"].startswith(f"walks, at {at}")


class Full:
    """A file on a disk that is full; what comes after `room` bytes does not fit."""

    def __init__(self, room=0):
        self.room = room

    def append(self, file, data):
        """Writes or fails."""
        if len(data) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        file.write(data)


def test_alerts_go_on_when_the_events_cannot_be_written(observed, monkeypatch, capsys):
    disk = Full()
    monkeypatch.setattr(replacing, "append", disk.append)
    above, below = [part(n, 0.8) for n in range(3)], [part(n, 0.1) for n in range(3, 20)]
    observer = observed([*above, *below, *[part(n, 0.8) for n in range(20, 23)]], cool_down=0.0)
    observer.close()
    assert len(observer.alerts) == 2 and not lines_of(observer.path)
    said = capsys.readouterr().out
    assert said.count(f"{observer.path}: not written: no space left on the disk") == 2
    assert f"Event {observer.alerts[1]['id']} is not in it" in said


def test_without_alerts_a_full_disk_is_an_error_and_the_clip_is_finished_all_the_same(
    tmp_path, monkeypatch, capsys
):
    options = LiveOptions(clips=True)
    observer = CameraObserver("gate", tmp_path, 0.5, (20, 30), options)
    pixels = np.zeros((20, 30, 3), np.uint8)
    list(observer.frames(Frame(pixels, n, n / 10, 0) for n in range(5)))
    next(observer.parts([part(2, 0.8)]))
    monkeypatch.setattr(replacing, "append", Full().append)
    with pytest.raises(space.NotWritten, match="gate.events.jsonl: not written: no space left"):
        observer.close()
    assert "gate: 1 clips" in capsys.readouterr().out and list(tmp_path.rglob("*.mp4"))
    assert not observer._recorder.is_alive() and not observer._writer.is_alive()


def test_lines_that_cannot_be_written_are_counted_where_alerts_go_on(tmp_path, monkeypatch, capsys):
    path, disk = tmp_path / "gate.live.csv", Full(1000)
    monkeypatch.setattr(replacing, "append", disk.append)
    with live._Lines(path, "gate") as lines:
        for room in (1000, 0, 0, 1000, 0):
            disk.room = room
            lines.add(["a"])
    assert path.read_text("utf-8").split() == [",".join(live.Row._fields), "a", "a"]
    said = capsys.readouterr().out
    assert said.count("no space left on the disk") == 2 and said.count("Alerts go on") == 2
    assert f"gate: {path} is without 2 lines" in said
    assert f"gate: {path} is without its last 1 lines" in said
    disk.room = 0
    with live._Lines(path) as lines, pytest.raises(space.NotWritten):
        lines.add(["a"])


@pytest.mark.parametrize("as_filmed", [True, False])
def test_pictures_are_let_go_at_the_end(tmp_path, as_filmed):
    options = LiveOptions(clips=True, serve="127.0.0.1:0")
    observer = CameraObserver("gate", tmp_path, 0.5, (20, 30), options, live=as_filmed)
    pixels = np.zeros((20, 30, 3), np.uint8)
    list(observer.frames(Frame(pixels, n, n / 10, 0) for n in range(5)))
    list(observer.parts([part(2, 0.1)]))
    assert observer.latest is not None and observer._recent._frames
    observer.close()
    assert not observer._recent._frames and not observer._recorder._kept
    assert (observer.latest is not None) is as_filmed


def test_an_event_that_goes_on_is_listed_as_it_is_now(observed):
    strong = {**PERSON, "box_score": 0.9, "text": "runs"}
    parts = [part(0, 0.6, objects=[{**PERSON, "box_score": 0.6}]), part(1, 0.8, objects=[strong])]
    observer, states = observed([], serve="127.0.0.1:0"), []
    for _ in observer.parts(parts):
        states.append(dict(observer.listed[-1]))
    texts = [(one["score"], one["text"].split(",")[0]) for one in states]
    assert texts == [(0.6, "walks"), (0.8, "runs")]
    assert all(one["open"] and one["alert"] for one in states)
    observer.close()
    (over,) = observer.listed
    assert "open" not in over and over["score"] == 0.8


def test_files_that_failed_are_not_named(observed, tmp_path, monkeypatch):
    (tmp_path / "events").write_text("", "utf-8")  # where their folder would be
    observer = observed([], clips=True)
    pixels = np.zeros((20, 30, 3), np.uint8)
    list(observer.frames(Frame(pixels, n, n / 10, 0) for n in range(5)))
    for _ in observer.parts([part(0, 0.6), part(1, 0.6)]):
        wait_for(lambda: observer.alerts and observer._recorder.failed)
    observer.close()
    (alert,), (event,) = observer.alerts, lines_of(observer.path)
    assert "snapshot" not in {**alert, **event} and "clip" not in event and event["alert"]


class Late:
    """A system that scores a frame when it has seen the next two; all of them are alarms."""

    window, same_aspect = 3, False

    def stream(self, state, name, frames, data, live):
        """The score 0.9 for each."""
        waiting = []
        for frame in frames:
            waiting.append(frame.number)
            if len(waiting) > 2:
                yield part(waiting.pop(0), 0.9)
        yield from (part(number, 0.9) for number in waiting)


def test_an_event_is_over_when_the_camera_is_gone(tmp_path):
    """At the last frame that was seen, with its line and its clip, while nothing comes."""
    options, seen = LiveOptions(alerts=("true",), clips=True), []
    observer = CameraObserver("gate", tmp_path, 0.5, None, options)
    trained = Trained(Late(), None, Description(tmp_path, {"kind": "bags"}, ""))

    class Connection(Scripted):
        def __call__(self, name, deinterlace):
            if self.opened == 1:
                wait_for(lambda: list((tmp_path / "events/gate").glob("gate-*.mp4")))
                seen.extend(lines_of(observer.path))
                rows = (tmp_path / "gate.live.csv").read_text("utf-8").splitlines()
                assert rows[-1].split(",")[2:4] == ["0", "6"]
            elif self.opened == 2:
                source.close()
            return super().__call__(name, deinterlace)

    make = Connection(range(7), range(5), range(0))
    source = ReconnectingCamera("rtsp://gate", "gate", first_pause=0.01, make=make)
    assert live.watch(trained, "gate", source, 10.0, tmp_path, observer=observer) == 12
    (first,), (again, second) = seen, lines_of(observer.path)
    assert first == again and (first["start"], first["stop"]) == (0, 7)
    assert (second["start"], second["stop"]) == (7, 12) and second["id"] != first["id"]
    assert first["clip"] != second["clip"]
