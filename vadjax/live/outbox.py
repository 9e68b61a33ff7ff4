"""Delivers alerts in a thread of its own, so that scoring never waits for whoever gets them."""

import collections
import threading
import time

from vadjax.live.sinks import NotDelivered, Sink
from vadjax.runtime.terminal import visible

MOST_WAITING = 100  # alerts of a sink; further ones are dropped
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds between attempts; each is twice the one before
GIVEN_UP = 600.0  # seconds after which an alert is not tried any more
LAST = 10.0  # seconds for what waits when the program ends


class Outbox(threading.Thread):
    """Delivers records to one sink, the oldest first, and counts what does not arrive.

    Args:
      sink: who gets them.
      most: how many records may wait.
      first_pause: seconds before the second attempt.
      given_up: seconds after which a record is not tried any more.

    Attributes:
      delivered, dropped, failed: how many arrived; found no room; were given up.
    """

    def __init__(
        self,
        sink: Sink,
        most: int = MOST_WAITING,
        first_pause: float = FIRST_PAUSE,
        given_up: float = GIVEN_UP,
    ):
        super().__init__(daemon=True, name=f"alerts to {sink.shown}")
        self._sink, self._most = sink, most
        self._first_pause, self._given_up = first_pause, given_up
        self._waiting: collections.deque[tuple[float, dict]] = collections.deque()
        self._changed = threading.Condition()
        self._closing, self._busy = False, False
        self.delivered = self.dropped = self.failed = 0
        self.start()

    def put(self, record: dict) -> None:
        """Takes a record, or drops it if too many wait. Returns at once."""
        with self._changed:
            if len(self._waiting) < self._most:
                self._waiting.append((time.monotonic(), record))
                self._changed.notify_all()
                return
            self.dropped += 1
            dropped = self.dropped
        # Said at 1, 2, 4, 8, … of them, so that a sink that is gone does not fill the screen.
        if dropped & (dropped - 1) == 0:
            print(
                f"alerts to {self._sink.shown}: {self._most:,} wait already; dropped so far: "
                f"{dropped:,}",
                flush=True,
            )

    def run(self) -> None:
        """Delivers until `close`."""
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                since, record = self._waiting.popleft()
                self._busy = True
            self._deliver(since, record)

    def hurry(self) -> None:
        """The program ends: what does not arrive now is not tried again. Returns at once."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def close(self, patience: float = LAST) -> str:
        """Waits until all is delivered, `patience` seconds at most.

        Returns:
          How many arrived and how many did not, in words.
        """
        self.hurry()
        with self._changed:
            self._changed.wait_for(lambda: not (self._waiting or self._busy), patience)
            left = len(self._waiting) + self._busy
            self._waiting.clear()
        told = f"{self.delivered:,} delivered"
        for count, what in (
            (self.failed, "given up"),
            (self.dropped, "dropped"),
            (left, "not delivered before the end"),
        ):
            told += f", {count:,} {what}" if count else ""
        return f"alerts to {self._sink.shown}: {told}"

    def _deliver(self, since: float, record: dict) -> None:
        """Tries again and again until the record has arrived, or is too old."""
        pause, attempts = self._first_pause, 0
        while True:
            attempts += 1
            try:
                self._sink.send(record)
            except NotDelivered as error:
                reason, lasting = visible(str(error)), error.lasting
            except Exception as error:  # a fault of a sink must not end the thread
                reason, lasting = visible(f"{type(error).__name__}: {error}"), True
            else:
                self.delivered += 1
                if attempts > 1:
                    self._say(f"alert {record['id']} arrived at attempt {attempts}")
                return
            age = time.monotonic() - since
            if lasting or self._closing or age + pause > self._given_up:
                self.failed += 1
                self._say(f"alert {record['id']} given up after {attempts} attempts: {reason}")
                return
            if attempts == 1:
                self._say(f"alert {record['id']}: {reason}; trying again in {pause:g} s")
            with self._changed:
                self._changed.wait_for(lambda: self._closing, pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _say(self, text: str) -> None:
        print(f"alerts to {self._sink.shown}: {text}", flush=True)
