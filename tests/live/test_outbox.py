"""Alerts are tried again, wait their turn, and are counted where they do not arrive."""

import threading
import time

import pytest

from tests.helpers.servers import wait_for
from vadjax.live import outbox
from vadjax.live.options import LiveOptions
from vadjax.live.outbox import Outbox
from vadjax.live.session import LiveSession
from vadjax.live.sinks import NotDelivered


class Scripted:
    """Fails as the script says, then takes all."""

    shown = "https://inbox"

    def __init__(self, *failures):
        self._failures, self.got = list(failures), []

    def send(self, record):
        """Takes or refuses."""
        if self._failures:
            raise self._failures.pop(0)
        self.got.append(record["id"])


class Hangs(Scripted):
    """Takes nothing until it is let go."""

    def __init__(self):
        super().__init__()
        self.let_go = threading.Event()

    def send(self, record):
        """Waits."""
        self.let_go.wait(20)
        super().send(record)


def test_an_alert_is_tried_again_until_it_arrives(capsys):
    sink = Scripted(NotDelivered("answer 500"), NotDelivered("answer 503"))
    box = Outbox(sink, first_pause=0.01)
    for name in "ab":
        box.put({"id": name})
    wait_for(lambda: box.delivered == 2)
    assert sink.got == ["a", "b"]
    assert box.close() == "alerts to https://inbox: 2 delivered"
    said = capsys.readouterr().out
    assert "alerts to https://inbox: alert a: answer 500; trying again in 0.01 s" in said
    assert "alert a arrived at attempt 3" in said and "503" not in said


@pytest.mark.parametrize(
    "failure", [NotDelivered("answer 404", lasting=True), ZeroDivisionError("fault of a sink")]
)
def test_one_that_can_never_arrive_is_given_up_at_once(capsys, failure):
    sink = Scripted(failure)
    box = Outbox(sink)
    box.put({"id": "a"})
    box.put({"id": "b"})
    wait_for(lambda: box.delivered == 1)
    assert sink.got == ["b"]
    assert box.close() == "alerts to https://inbox: 1 delivered, 1 given up"
    assert f"alert a given up after 1 attempts: {failure}".split(": ")[0] in capsys.readouterr().out


def test_one_that_is_too_old_is_given_up(capsys):
    box = Outbox(Scripted(*[NotDelivered("no route")] * 99), first_pause=0.01, given_up=0.1)
    box.put({"id": "a"})
    wait_for(lambda: box.failed == 1)
    said = capsys.readouterr().out
    assert "given up after 4 attempts: no route" in said and said.count("trying again") == 1


def test_a_sink_that_hangs_holds_nothing_up_and_what_finds_no_room_is_counted(capsys):
    sink = Hangs()
    box = Outbox(sink, most=3)
    box.put({"id": "0"})
    wait_for(lambda: not box._waiting)
    start = time.monotonic()
    for number in range(1, 12):
        box.put({"id": str(number)})
    assert time.monotonic() - start < 0.5 and box.dropped == 8
    said = capsys.readouterr().out.splitlines()
    told = "alerts to https://inbox: 3 wait already; dropped so far: "
    assert said == [told + number for number in "1248"]
    assert box.close(0.1).endswith(": 0 delivered, 8 dropped, 4 not delivered before the end")
    sink.let_go.set()


def test_the_end_does_not_wait_for_further_attempts():
    box = Outbox(Scripted(*[NotDelivered("no route")] * 99), first_pause=30)
    box.put({"id": "a"})
    time.sleep(0.1)
    start = time.monotonic()
    assert box.close().endswith("0 delivered, 1 given up") and time.monotonic() - start < 5


def test_sinks_that_hang_share_the_seconds_at_the_end(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(outbox, "LAST", 2.0)
    sinks = [Hangs() for _ in range(6)]
    monkeypatch.setattr(LiveOptions, "sinks", lambda options: sinks)
    session = LiveSession(LiveOptions(alerts=("true",)), ["gate"], tmp_path, 0.5, None, ())
    for one in session._outboxes:
        for name in "ab":
            one.put({"id": name})
    start = time.monotonic()
    session.close()
    assert 1.9 < time.monotonic() - start < 9
    assert capsys.readouterr().out.count("0 delivered, 2 not delivered before the end") == 6
    for sink in sinks:
        sink.let_go.set()
