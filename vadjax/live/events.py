"""Events as the frames come: when one begins, when it is over, what is told of it.

An event begins with the first frame whose live score is at the alarm line or above. It is over
when more than half a second of frames in a row were below the line, as `alarm_rate` joins alarm
intervals, and at every gap of the video. `docs/events.md` has the fields of its record.
"""

import datetime
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from vadjax.data.video.frame_stream import Stamp
from vadjax.scores import alarm_rate, words
from vadjax.scores.streaming import PartialScores

SCHEMA = 1  # of the records
ALONE = "unusual for its neighbours alone"  # without an object of its own
MOST_BOXES = 1_000  # that are kept of an event; the rest is counted

WallClock = Callable[[float], datetime.datetime]  # seconds of the video → time of day


class LiveEvent:
    """An event that may still go on.

    Args:
      video: name of the video or camera.
      stamp: of its first frame.
      time: time of day of its first frame, with its zone; None where that is unknown.

    Attributes:
      video, time: as above.
      first: stamp of its first frame.
      last: stamp of its last frame so far at or above the alarm line.
      interval: seconds from one frame to the next.
      score: the highest of its scores so far.
      strongest: what is told of its object with the highest score so far.
      boxes: rows `frame, x0, y0, x1, y1, score`, the first `MOST_BOXES` of them.
      boxes_left_out: how many rows there were beside these.
    """

    def __init__(self, video: str, stamp: Stamp, time: datetime.datetime | None = None):
        self.video, self.time = video, time
        self.first = self.last = stamp
        self.interval, self.score = 0.0, -math.inf
        self.strongest: dict = {}
        self.boxes: list[list[float]] = []
        self.boxes_left_out = 0
        self._quiet: list[list[float]] = []  # boxes behind the last frame above the line

    def take(self, stamp: Stamp, score: float, objects: Sequence[dict], above: bool) -> None:
        """Takes its next frame.

        Args:
          stamp: of the frame.
          score: of the frame.
          objects: what is told of the objects in it.
          above: whether the score is at the alarm line or above.
        """
        if not above:
            return
        self.last = stamp
        self.score = max(self.score, score)
        for row in self._quiet:
            self._keep(row)
        self._quiet = []
        for told in objects:
            if strength(told) > strength(self.strongest):
                self.strongest = told

    def take_boxes(self, boxes: Sequence[list[float]], above: bool) -> None:
        """Takes the boxes of its next frame: at once, or when it is again above the line."""
        for row in boxes:
            if above:
                self._keep(row)
            elif len(self._quiet) < MOST_BOXES:
                self._quiet.append(row)

    def _keep(self, row: list[float]) -> None:
        if len(self.boxes) < MOST_BOXES:
            self.boxes.append(row)
        else:
            self.boxes_left_out += 1

    def record(self, strongest: dict | None = None) -> dict:
        """The event so far, as JSON can hold it.

        Args:
          strongest: what is told of an object, in place of the one with the highest score.
        """
        first, last = seconds_of(self.first), seconds_of(self.last) + self.interval
        record = {
            "schema": SCHEMA,
            "video": self.video,
            "start": self.first.number,
            "stop": self.last.number + 1,
            "start_s": round(first, 3),
            "stop_s": round(last, 3),
            "score": round(self.score, 4),
            "boxes": list(self.boxes),
        }
        if self.boxes_left_out:
            record["boxes_left_out"] = self.boxes_left_out
        if self.time is not None:
            record["time"] = self.time.isoformat(timespec="milliseconds")
        told = dict(self.strongest if strongest is None else strongest)
        told.pop("score", None)  # of the frame, which the record has already
        alone = {"frame": self.first.number, "text": words.at(ALONE, "", first, self.time)}
        return record | (told or alone)


class EventTracker:
    """Finds the events of one video as its scores come.

    Args:
      video: name of the video or camera.
      line: score from which a frame is an alarm.
      clock: seconds of the video → time of day; None where that is unknown.

    Attributes:
      current: the event that goes on; None while there is none.
      objects: what is told of the objects of the frame that was taken last; empty below the line.
    """

    def __init__(self, video: str, line: float, clock: WallClock | None = None):
        self._video, self._line, self._clock = video, line, clock
        self._before: float | None = None  # seconds of the frame before
        self.current: LiveEvent | None = None
        self.objects: tuple[dict, ...] = ()

    def add(self, part: PartialScores) -> Iterator[LiveEvent | None]:
        """Takes the next scores, frame by frame.

        Yields:
          After each frame the event that is over with it, or None.
        """
        of_frame: dict[int, list[dict]] = {}
        for told in part.reasons:
            of_frame.setdefault(int(told["frame"]), []).append(told)
        boxes = rows_above(part.boxes, self._line)
        for score, stamp in zip(part.frame_scores, part.frames, strict=True):
            told = sorted(of_frame.get(stamp.number, ()), key=strength, reverse=True)
            rows = boxes.get(stamp.number, [])
            yield self._frame(stamp, float(score), told, rows, part.every)

    def end(self) -> LiveEvent | None:
        """The event that ends with the video, or with a gap; None if there is none."""
        over, self.current, self._before, self.objects = self.current, None, None, ()
        return over

    def _frame(
        self,
        stamp: Stamp,
        score: float,
        told: list[dict],
        boxes: list[list[float]],
        every: int,
    ) -> LiveEvent | None:
        if math.isnan(score):
            return self.end()
        seconds = seconds_of(stamp)
        interval = 0.0 if self._before is None else seconds - self._before
        self._before, over, above = seconds, None, score >= self._line
        # An event that has been quiet for long enough is over.
        if self.current is not None and not above:
            quiet = seconds - seconds_of(self.current.last)
            if alarm_rate.is_apart(quiet, every * interval):
                over, self.current = self.current, None
        # Its objects with the time in their sentences, and the event that begins.
        time = self._clock(seconds) if self._clock and above else None
        told = [one | {"text": _timed(one, seconds, time)} for one in told] if above else []
        self.objects = tuple(told)
        if above and self.current is None:
            self.current = LiveEvent(self._video, stamp, time)
        if self.current is not None:
            self.current.interval = interval or self.current.interval
            self.current.take(stamp, score, told, above)
            self.current.take_boxes(boxes, above)
        return over


def seconds_of(stamp: Stamp) -> float:
    """Seconds since the start of the video; 0 where unknown, which live video never is."""
    return 0.0 if stamp.seconds is None else float(stamp.seconds)


def _timed(told: dict, seconds: float, time: datetime.datetime | None) -> str:
    """The sentence of an object with its time of day; with that in the video if unknown."""
    return words.at(told["text"], told.get("place", ""), seconds, time)


def strength(told: dict) -> float:
    """Score of the object that is told of; that of its frame where it has no box."""
    return float(told.get("box_score", told.get("score", 0.0))) if told else -math.inf


def rows_above(boxes: np.ndarray | None, line: float) -> dict[int, list[list[float]]]:
    """Frame number → rows `frame, x0, y0, x1, y1, score` at or above the line, as JSON has them."""
    found: dict[int, list[list[float]]] = {}
    if boxes is None:
        return found
    for row in np.asarray(boxes, np.float64):
        if row[5] >= line:
            sides = [round(float(side), 1) for side in row[1:5]]
            found.setdefault(int(row[0]), []).append([int(row[0]), *sides, round(float(row[5]), 4)])
    return found
