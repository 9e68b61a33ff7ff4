"""Alerts are tried again, wait their turn, and are counted where they do not arrive."""

import threading
import time

import pytest

from tests.helpers.servers import wait_for
from vadjax.live.outbox import Outbox
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
    outbox = Outbox(sink, first_pause=0.01)
    for name in "ab":
        outbox.put({"id": name})
    wait_for(lambda: outbox.delivered == 2)
    assert sink.got == ["a", "b"]
    assert outbox.close() == "alerts to https://inbox: 2 delivered"
    said = capsys.readouterr().out
    assert "alerts to https://inbox: alert a: answer 500; trying again in 0.01 s" in said
    assert "alert a arrived at attempt 3" in said and "503" not in said


@pytest.mark.parametrize(
    "failure", [NotDelivered("answer 404", lasting=True), ZeroDivisionError("fault of a sink")]
)
def test_one_that_can_never_arrive_is_given_up_at_once(capsys, failure):
    sink = Scripted(failure)
    outbox = Outbox(sink)
    outbox.put({"id": "a"})
    outbox.put({"id": "b"})
    wait_for(lambda: outbox.delivered == 1)
    assert sink.got == ["b"]
    assert outbox.close() == "alerts to https://inbox: 1 delivered, 1 given up"
    assert f"alert a given up after 1 attempts: {failure}".split(": ")[0] in capsys.readouterr().out


def test_one_that_is_too_old_is_given_up(capsys):
    outbox = Outbox(Scripted(*[NotDelivered("no route")] * 99), first_pause=0.01, given_up=0.1)
    outbox.put({"id": "a"})
    wait_for(lambda: outbox.failed == 1)
    said = capsys.readouterr().out
    assert "given up after 4 attempts: no route" in said and said.count("trying again") == 1


def test_a_sink_that_hangs_holds_nothing_up_and_what_finds_no_room_is_counted(capsys):
    sink = Hangs()
    outbox = Outbox(sink, most=3)
    outbox.put({"id": "0"})
    wait_for(lambda: not outbox._waiting)
    start = time.monotonic()
    for number in range(1, 12):
        outbox.put({"id": str(number)})
    assert time.monotonic() - start < 0.5 and outbox.dropped == 8
    said = capsys.readouterr().out.splitlines()
    told = "alerts to https://inbox: 3 wait already; dropped so far: "
    assert said == [told + number for number in "1248"]
    assert outbox.close(0.1).endswith(": 0 delivered, 8 dropped, 4 not delivered before the end")
    sink.let_go.set()


def test_the_end_does_not_wait_for_further_attempts():
    outbox = Outbox(Scripted(*[NotDelivered("no route")] * 99), first_pause=30)
    outbox.put({"id": "a"})
    time.sleep(0.1)
    start = time.monotonic()
    assert outbox.close().endswith("0 delivered, 1 given up") and time.monotonic() - start < 5
