"""What is done with the events of one camera: lines, snapshots, clips, alerts, the page."""

import collections
import contextlib
import datetime
import json
import pathlib
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from vadjax.data.video.frame_stream import Frame
from vadjax.live.clips import ClipRecorder
from vadjax.live.events import EventTracker, LiveEvent, seconds_of, strength
from vadjax.live.options import LiveOptions
from vadjax.live.outbox import Outbox
from vadjax.live.pictures import RecentFrames
from vadjax.live.rules import AlertRules
from vadjax.live.snapshots import Snapshot, SnapshotWriter
from vadjax.report.intervals import clock as hours
from vadjax.runtime import replacing, space
from vadjax.runtime.terminal import visible
from vadjax.scores.streaming import PartialScores

MINUTES = 5  # of the curve on the page
WINDOW = 60.0  # seconds by whose frames the clock of a camera is set
POINT = 0.25  # seconds that one point of it stands for
MOST_LISTED = 50  # events of a camera on the page
FOLDER = "events"  # of snapshots and clips, in the folder of the results


class Latest(NamedTuple):
    """The frame that was scored last.

    Attributes:
      pixels: uint8 [H, W, 3], RGB.
      boxes: rows x0, y0, x1, y1 at the alarm line or above.
      score: of the frame.
      seconds: of the frame, since the start of the video.
      noted: when it was scored, seconds since 1970.
    """

    pixels: np.ndarray
    boxes: Sequence[Sequence[float]]
    score: float
    seconds: float
    noted: float


class FrameClock:
    """How long ago a frame was filmed, by the frames that came with the least delay."""

    def __init__(self):
        self._start = self._next = np.inf  # of the video, by the monotonic clock
        self._since: float | None = None

    def note(self, seconds: float) -> None:
        """A frame comes now, whose time in the video is so many seconds."""
        now = time.monotonic()
        self._start = min(self._start, now - seconds)
        self._next = min(self._next, now - seconds)
        # Anew now and then, because the clock of a camera runs slower or faster than this one.
        if self._since is None:
            self._since = now
        elif now - self._since > WINDOW:
            self._start, self._next, self._since = self._next, np.inf, now

    def age(self, seconds: float) -> float:
        """Seconds since the frame of that time in the video was filmed."""
        return max(0.0, time.monotonic() - self._start - seconds)


class EventHandling:
    """What is done with one event.

    Attributes:
      id: that its alert, its lines and its files have.
      noticed: time of day at which it was noticed.
      alerted: whether it is an alert.
      held: why it is none so far: `hours`, `zone`, `class` or `cool-down`.
      snapshot, clip: paths of its files; None without one.
    """

    def __init__(self, camera: str, event: LiveEvent):
        self.noticed = datetime.datetime.now().astimezone()
        moment = self.noticed.strftime("%Y%m%dT%H%M%S") + f"{self.noticed.microsecond // 1000:03d}"
        self.id = f"{camera}-{moment}-{event.first.number}"
        self.alerted, self.held = False, ""
        self.snapshot: pathlib.Path | None = None
        self.clip: pathlib.Path | None = None

    def fields(self) -> dict:
        """What the record of its event has of it."""
        noticed = self.noticed.isoformat(timespec="milliseconds")
        told = {"id": self.id, "noticed": noticed, "alert": self.alerted}
        if self.held and not self.alerted:
            told["held"] = self.held
        for key in ("snapshot", "clip"):
            if getattr(self, key) is not None:
                told[key] = str(getattr(self, key))
        return told


class CameraObserver:
    """Watches the scores of one camera for events.

    Args:
      name: of the camera; that of a file.
      out: folder of the results.
      line: score from which a frame is an alarm; None makes no events.
      size: (H, W) of the frames that boxes are in; None for that of the frames.
      options: what is asked for.
      rules: which events are alerts.
      outboxes: where alerts go.
      live: whether the frames come when they are filmed, so that their time of day is known.

    Attributes:
      name, line, size: as above.
      path: of the file of events.
      count: events that are over.
      latest: the frame that was scored last; None before the first, and behind a file's last.
      curve: pairs (seconds since 1970, score) of the last minutes.
      listed: records of the last events without their boxes, the newest last; one that goes on
        has `open`, and is as it was at the last frame if the page is served.
    """

    def __init__(
        self,
        name: str,
        out: pathlib.Path,
        line: float | None,
        size: tuple[int, int] | None,
        options: LiveOptions,
        rules: AlertRules = AlertRules(),  # noqa: B008 (immutable)
        outboxes: Sequence[Outbox] = (),
        live: bool = True,
    ):
        self.name, self.line, self.path = name, line, out / f"{name}.events.jsonl"
        self._folder, self._live = out.absolute() / FOLDER / name, live
        self.size, self._options, self._rules, self._outboxes = size, options, rules, outboxes
        self._started = FrameClock()
        self._recent = RecentFrames()
        self._is_gone = False  # the camera, since the last frame
        self._tracker = None
        if line is not None:
            self._tracker = EventTracker(name, line, self.time_of if live else None)
        self._handling: EventHandling | None = None  # of the event that goes on
        self._quiet_until = -np.inf  # seconds; the cool-down
        self._writer = self._recorder = None
        if options.keeps_pictures and line is not None:
            self._writer = SnapshotWriter(name, self._folder, options.keep_days)
        if options.clips and line is not None:
            self._recorder = ClipRecorder(name)
        self.count = 0
        self.latest: Latest | None = None
        self.curve: collections.deque[tuple[float, float]] = collections.deque(
            maxlen=round(60 * MINUTES / POINT)
        )
        self.listed: collections.deque[dict] = collections.deque(maxlen=MOST_LISTED)

    @property
    def has_alerts(self) -> bool:
        """Whether somebody gets alerts, which go on where files cannot be written."""
        return bool(self._outboxes)

    def time_of(self, seconds: float) -> datetime.datetime:
        """Time of day of a frame, with its zone, by the clock of the machine as it is now."""
        age = self._started.age(seconds)
        return datetime.datetime.now().astimezone() - datetime.timedelta(seconds=age)

    def frames(self, frames: Iterable[Frame | None]) -> Iterator[Frame | None]:
        """The same frames; each is noted before it is scored. None: the camera is gone."""
        for frame in frames:
            self._is_gone = frame is None
            if frame is None:
                yield None
                continue
            self._started.note(seconds_of(frame.stamp))
            if self._writer is not None or self._options.serve:
                self._recent.add(frame)
            if self._recorder is not None:
                self._recorder.add(frame.pixels, seconds_of(frame.stamp))
            yield frame

    def parts(self, run: Iterable[PartialScores]) -> Iterator[PartialScores]:
        """The same scores of frames without a gap; each is noted before it is printed.

        With the last of them the event is over, and the clip too if no frame comes any more.
        """
        for part in run:
            self._take(part)
            yield part
        if self._tracker is not None:
            self._finish(self._tracker.end())
        if self._recorder is not None and self._is_gone:
            self._recorder.stop()

    def close(self) -> None:
        """The video is over: ends the event that goes on, and writes what waits."""
        with contextlib.ExitStack() as stack:  # a full disk keeps nothing from being closed
            stack.callback(self._free)
            stack.callback(self._close_files)
            if self._tracker is not None:
                self._finish(self._tracker.end())

    def _free(self) -> None:
        """Lets pictures go: a folder may have many videos, and the page lists all of them."""
        self._recent = RecentFrames()
        if not self._live:
            self.latest = None

    def _close_files(self) -> None:
        if self._recorder is not None:
            in_time, left_out = self._recorder.close(), self._recorder.left_out
            lost = f"; {left_out:,} frames came too fast to be in one" if left_out else ""
            unfinished = "" if in_time else "; the last one could not be finished in time"
            print(f"{self.name}: {self._recorder.written:,} clips{lost}{unfinished}")
        if self._writer is not None:
            self._writer.close()
        if self._tracker is not None and (self.count or self._options.needs_events):
            where = f" in {self.path}" if self.count else ""
            print(f"{self.name}: {self.count:,} events{where}", flush=True)

    def _take(self, part: PartialScores) -> None:
        """Takes the next scores."""
        first = part.frames[0]
        frame = self._recent.take(first.number)
        if self._tracker is not None:
            for over in self._tracker.add(part):
                self._finish(over)
                if self._tracker.current is not None:
                    self._consider(self._tracker.current, frame)
        if self._options.serve and frame is not None:
            score = float(np.nan_to_num(part.frame_scores.max()))
            self.latest = Latest(
                frame.pixels, self._shown(part), score, seconds_of(first), time.time()
            )
            self._add_point(float(part.frame_scores.max()))

    def _shown(self, part: PartialScores) -> list[list[float]]:
        """Rows x0, y0, x1, y1 of the boxes at the alarm line or above."""
        if part.boxes is None or self.line is None:
            return []
        return [list(row[1:5]) for row in part.boxes if row[5] >= self.line]

    def _add_point(self, score: float) -> None:
        """Adds to the curve: the highest score of each `POINT` seconds."""
        now = time.time()
        if np.isnan(score):
            return
        if self.curve and 0 <= now - self.curve[-1][0] < POINT:
            at, highest = self.curve.pop()
            self.curve.append((at, max(highest, score)))
        else:
            self.curve.append((now, score))

    def _consider(self, event: LiveEvent, frame: Frame | None) -> None:
        """Begins to handle an event, and makes it an alert as soon as it may be one."""
        if self._handling is None:
            self._begin(event, frame)
        if not self._handling.alerted:
            self._alert_if_due(event, frame)
        if self._options.serve:
            self._list_again(event.record() | self._handling.fields() | {"open": True})

    def _alert_if_due(self, event: LiveEvent, frame: Frame | None) -> None:
        """Makes an event an alert if the rules and the cool-down let it be one now."""
        handling = self._handling
        told, held = self._judge(event, frame)
        if held:
            handling.held = held
            return
        handling.alerted = True
        record = event.record(told) | handling.fields() | {"open": True}
        self._alert(record, handling, frame)

    def _begin(self, event: LiveEvent, frame: Frame | None) -> None:
        """A new event: its clip, its place in the list, and a line."""
        handling = self._handling = EventHandling(self.name, event)
        start = seconds_of(event.first)
        if self._recorder is not None:
            clip = self._folder / f"{handling.id}.mp4"
            handling.clip = self._recorder.begin(clip, start)
        record = event.record()
        self.listed.append(record | handling.fields() | {"open": True, "boxes": []})
        print(f"{self.name}: event at {hours(start)}: {visible(record['text'])}", flush=True)

    def _list_again(self, record: dict) -> None:
        """Lists the newest event as it is now, without its boxes, which the page does not show."""
        self.listed[-1] = record | {"boxes": []}

    def _judge(self, event: LiveEvent, frame: Frame | None) -> tuple[dict | None, str]:
        """What is told of the object for which an event is an alert now, and why it is none.

        Returns:
          What is told of the object, None for the strongest one, and `""`; or None and the reason.
        """
        if not self._rules.open_at(datetime.datetime.now().astimezone()):
            return None, "hours"
        held, passed = "", None
        if self._rules.zones or self._rules.ignored:
            size = self.size or (frame.pixels.shape[:2] if frame is not None else (1, 1))
            # An object below the line is told of too, but is not what is unusual.
            objects = [told for told in self._tracker.objects if strength(told) >= self.line]
            refusals = [(told, self._rules.refuse(told, size)) for told in objects]
            passed = next((told for told, why in refusals if why is None), None)
            if passed is None:
                held = refusals[0][1] if refusals else (self._handling.held or "zone")
        if not held and seconds_of(event.last) < self._quiet_until:
            held = "cool-down"
        return (None, held) if held else (passed, "")

    def _alert(self, record: dict, handling: EventHandling, frame: Frame | None) -> None:
        """Writes the snapshot, and then hands the record to all who get it."""

        def deliver(path: pathlib.Path | None) -> None:
            handling.snapshot = path  # none, if it could not be written
            told = record if path is None else record | {"snapshot": str(path)}
            for outbox in self._outboxes:
                outbox.put(told)

        snapshot = None
        if self._writer is None:
            deliver(None)
            return
        if frame is not None:
            boxes = [row[1:5] for row in record["boxes"] if row[0] == frame.number]
            boxes = boxes or ([record["box"]] if "box" in record else [])
            path = handling.snapshot = self._folder / f"{handling.id}.jpg"
            snapshot = Snapshot(path, frame.pixels, boxes, self.size)
        self._writer.put(snapshot, deliver)

    def _finish(self, event: LiveEvent | None) -> None:
        """An event is over: its line in the file, and the cool-down."""
        if event is None:
            return
        handling, self._handling = self._handling, None
        stop = seconds_of(event.last)
        if handling.alerted:
            self._quiet_until = stop + self._options.cool_down
        if self._recorder is not None:
            self._recorder.over(stop)
            if self._recorder.failed == handling.clip:
                handling.clip = None
        record = event.record() | handling.fields()
        self._write(record)
        self.count += 1
        self._list_again(record)
        held = f"; no alert ({record['held']})" if "held" in record else ""
        end = f"event over at {hours(record['stop_s'])}, highest score {record['score']:.2f}"
        print(f"{self.name}: {end}{held}", flush=True)

    def _write(self, record: dict) -> None:
        """Adds the record of an event to the file; if that cannot be, alerts go on all the same.

        Raises:
          vadjax.runtime.space.NotWritten: it cannot be, and there are no alerts.
        """
        line = json.dumps(record, ensure_ascii=False, allow_nan=False)
        try:
            with space.naming(self.path):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("ab", buffering=0) as file:
                    replacing.append(file, line.encode() + b"\n")
        except space.NotWritten as error:
            if not self.has_alerts:
                raise
            print(f"{self.name}: {error}. Event {record['id']} is not in it", flush=True)
