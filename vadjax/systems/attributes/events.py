"""Alarm intervals with their boxes and one sentence, as the frames come (attributes §9).

An event is a run of frames at or above the alarm line; runs with at most half a second between
them are one. What is told of it is a dict that JSON can hold; `docs/events.md` has its fields.
"""

import datetime
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from vadjax.data.video.frame_stream import Stamp
from vadjax.scores import alarm_rate
from vadjax.systems.attributes import reasons
from vadjax.systems.attributes.smoothing import LINE

SCHEMA = 1


class Strongest(NamedTuple):
    """The object with the largest score of an event.

    Attributes:
      score: of the object, before it is scaled to the alarm line.
      fields: what is told of it (`reasons.fields`).
    """

    score: float
    fields: dict


class ScoredFrame(NamedTuple):
    """A frame with its reported score and what is in it.

    Attributes:
      stamps: number and time, and of the frames behind it that have the same score.
      score: reported score, 0.5 at the alarm line.
      boxes: float [n, 6], `frame, x0, y0, x1, y1, score`, of all its objects.
      strongest: of its objects; None without objects.
    """

    stamps: tuple[Stamp, ...]
    score: float
    boxes: np.ndarray
    strongest: Strongest | None


class Events:
    """Collects the frames of an event, and tells it when it is over.

    Args:
      video: name of the video.
      fps: frames a second that are taken.
      rate: frames a second of the video, by which frames are timed that do not know their time.
      clock: time of the first frame of a camera, with its zone; None for a file.
    """

    def __init__(
        self,
        video: str,
        fps: float,
        rate: float | None = None,
        clock: datetime.datetime | None = None,
    ):
        self._video, self._rate, self._clock = video, rate or fps, clock
        self._gap = alarm_rate.gap_frames(fps)
        self._frames: list[
            ScoredFrame
        ] = []  # of the event; the first and last so far above the line
        self._quiet: list[ScoredFrame] = []  # frames below the line since

    def add(self, frame: ScoredFrame) -> Iterator[dict]:
        """Takes the next frame; the event that is over with it, if one is."""
        if frame.score >= LINE:
            self._frames += [*self._quiet, frame]
            self._quiet = []
        elif self._frames:
            self._quiet.append(frame)
            if len(self._quiet) > self._gap:
                yield from self.end()

    def end(self) -> Iterator[dict]:
        """The event that the video ends in, if it does."""
        if self._frames:
            yield self._record(self._frames)
        self._frames, self._quiet = [], []

    def _record(self, frames: Sequence[ScoredFrame]) -> dict:
        first, last = frames[0].stamps[0], frames[-1].stamps[-1]
        boxes = np.concatenate([frame.boxes for frame in frames])
        boxes = boxes[boxes[:, 5] >= LINE]
        # the first of equals: frames and objects are in order
        known = [frame.strongest for frame in frames if frame.strongest is not None]
        strongest = max(known, key=lambda one: one.score, default=None)
        start = self._seconds(first)
        record = {
            "schema": SCHEMA,
            "video": self._video,
            "start": first.number,
            "stop": last.number + 1,
            "start_s": round(start, 3),
            "stop_s": round(self._seconds(last) + 1 / self._rate, 3),
            "score": round(max(frame.score for frame in frames), 4),
            "boxes": [
                [
                    int(row[0]),
                    *(round(float(side), 1) for side in row[1:5]),
                    round(float(row[5]), 4),
                ]
                for row in boxes
            ],
        }
        if self._clock is not None:
            moment = self._clock + datetime.timedelta(seconds=start)
            record["time"] = moment.isoformat(timespec="milliseconds")
        alone = {"frame": first.number, "text": "unusual for its neighbours alone"}
        if strongest is None:
            return record | alone
        when = next(frame for frame in frames if frame.strongest is strongest).stamps[0]
        return (
            record | strongest.fields | {"text": reasons.at(strongest.fields, self._seconds(when))}
        )

    def _seconds(self, stamp: Stamp) -> float:
        return stamp.number / self._rate if stamp.seconds is None else float(stamp.seconds)
