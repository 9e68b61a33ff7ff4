"""The events that the page lists: when, how high, why, and what to show."""

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from vadjax.report import candidates, reasons
from vadjax.report.candidates import Candidate
from vadjax.report.reasons import Reason
from vadjax.runtime.terminal import visible
from vadjax.scores import alarm_rate
from vadjax.scores.files import Scores

NAMED = 2.0  # decades of rarity from which an attribute is a reason of an alarm interval
NO_REASON = "no reason given"
TOLD = ("nearest normal", "most like a normal")  # how sentences tell of the nearest normal picture
HIDDEN = ("schema", "video", "text", "boxes", "terms", "here", "normal")  # not among the numbers
MOST = 300  # events of a page


class ListedEvent(NamedTuple):
    """An event of the page.

    Attributes:
      video: number of its video.
      interval: its frames.
      reason: why, as it was read; None without one.
      stored: the same as the dict of the score file; empty without one.
      example: number of its pictures among the examples of the video; None without any.
    """

    video: int
    interval: Candidate
    reason: Reason | None
    stored: Mapping
    example: int | None

    @property
    def frame(self) -> int:
        """The frame to show: that of the reason, or of the highest score."""
        first, last = self.interval.start, self.interval.stop - 1
        if self.reason is not None and self.reason.frame is not None:
            return min(max(self.reason.frame, first), last)
        return self.interval.peak


def events(
    number: int,
    video: Scores,
    own: Sequence[Mapping],
    told: bool,
    start: float,
    fps: float | None,
) -> list[ListedEvent]:
    """The events of a video.

    Args:
      number: of the video.
      video: its scores.
      own: its alarm intervals, with the fields of `docs/events.md`.
      told: whether the alarm intervals of all videos are known, so that one without any is quiet.
      start: the threshold that the page begins with.
      fps: frames a second; None where unknown.
    """
    known = list(filter(None, (_span(alarm, len(video.frame_scores)) for alarm in own)))
    # A system without boxes has no such intervals, but may have a line.
    spans = known if known or told else None
    gap = alarm_rate.gap_frames(fps) if fps else 0
    # A video without reasons has the sentences of its alarm intervals.
    why = [(reasons.read(stored), stored) for stored in video.reasons or own]
    found = candidates.find(video, start, gap, spans)
    return [_event(number, video, why, interval) for interval in found]


def rank(event: ListedEvent) -> tuple:
    """By what events are sorted, the highest-scoring first."""
    return -event.interval.score, event.video, event.interval.start


def _span(alarm: Mapping, length: int) -> tuple[int, int] | None:
    """The frames of an alarm interval; None if the video has no such frames."""
    span = reasons.read(alarm).frames
    return span if span and 0 <= span[0] < span[1] <= length else None


def _event(
    number: int,
    video: Scores,
    told: Sequence[tuple[Reason, Mapping]],
    interval: Candidate,
) -> ListedEvent:
    """An interval with its strongest reason: that of the same frames, else the highest within.

    Args:
      number: of the video.
      video: its scores.
      told: its reasons, as they were read and as they are stored.
      interval: its frames.
    """
    best, place = None, None
    for rank, (read, _) in enumerate(told):
        within = read.frames and read.frames[0] < interval.stop and interval.start < read.frames[1]
        key = (read.frames == (interval.start, interval.stop), read.rank)
        if within and (best is None or key > best):
            best, place = key, rank
    if place is None:
        return ListedEvent(number, interval, None, {}, None)
    # Its pictures, if it is one of the reasons of the score file.
    having = []
    if video.examples is not None and video.reasons:
        having = np.flatnonzero(video.examples.reason == place)
    return ListedEvent(number, interval, *told[place], int(having[0]) if len(having) else None)


def row(
    event: ListedEvent,
    video: Scores,
    fps: float | None,
    started: datetime.datetime | None,
    line: float | None,
    normal_command: Callable[[str, int, int], str | None] | None,
) -> dict:
    """What the page shows of an event, apart from its pictures.

    Args:
      event: the event.
      video: its video.
      fps: frames a second; None if unknown.
      started: time of day of the first frame, with its zone; None if unknown.
      line: score from which it is an alarm; None if the run has none.
      normal_command: the command that adds frames `[start, stop)` of a video to what is normal.
    """
    # The time of day: what the event says, else what the video's beginning says
    start, stop = event.interval.start, event.interval.stop
    seconds = _seconds(video, start, stop, fps)
    time = event.stored.get("time") if "schema" in event.stored else None
    if time is None and started is not None and seconds is not None:
        time = (started + datetime.timedelta(seconds=seconds[0])).isoformat(timespec="milliseconds")
    reason = event.reason
    return {
        "video": event.video,
        "start": start,
        "stop": stop,
        "start_s": seconds and seconds[0],
        "stop_s": seconds and seconds[1],
        "time": time,
        "frame": event.frame,
        "score": event.interval.score,
        "alarm": line is not None and event.interval.score >= line,
        "reasons": _names(event),
        "text": visible(reason.text) if reason else "",
        "nearest": visible(_nearest(reason)) if reason else "",
        "labelled": None if video.labels is None else bool(np.any(video.labels[start:stop])),
        "numbers": visible(_numbers(event)),
        "normal_command": normal_command and normal_command(video.video, start, stop),
    }


def _nearest(reason: Reason) -> str:
    """Where the nearest normal picture is from, unless the sentence says so."""
    if not reason.origin or any(words in reason.text for words in TOLD):
        return ""
    return f"nearest normal: {reason.origin}"


def _seconds(video: Scores, start: int, stop: int, fps: float | None) -> tuple[float, float] | None:
    """First and last moment of frames `[start, stop)`; None where no time is known."""
    if video.times is not None:
        first, last = float(video.times[start]), float(video.times[stop - 1])
        return round(first, 3), round(last + (1 / fps if fps else 0), 3)
    return (round(start / fps, 3), round(stop / fps, 3)) if fps else None


def _names(event: ListedEvent) -> list[str]:
    """What is unusual, in a word each."""
    if event.reason is None:
        return [NO_REASON]
    terms, first = event.reason.terms, event.reason.dominant
    names = [first] if first else []
    if event.reason.measure == reasons.RARITY:
        names += [name for name, value in terms.items() if value >= NAMED]
    names += event.reason.also
    return [visible(name) for name in dict.fromkeys(names)] or [NO_REASON]


def _numbers(event: ListedEvent) -> str:
    """The numbers behind an event, one a line."""
    first, last = event.interval.start, event.interval.stop - 1
    lines = [f"frames {first:,}-{last:,}, highest score {event.interval.score:.4f}"]
    for key, value in event.stored.items():
        if key in HIDDEN or value is None:
            continue
        if isinstance(value, Mapping):
            value = ", ".join(f"{name} {_short(part)}" for name, part in value.items())
        lines.append(f"{key}: {_short(value)}")
    return "\n".join(lines)


def _short(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def started(video: Scores) -> datetime.datetime | None:
    """Time of day of the first frame of a video, by the `time` of an event; None if unknown."""
    for alarm in video.reasons:
        time, seconds = alarm.get("time"), alarm.get("start_s")
        if isinstance(time, str) and isinstance(seconds, int | float):
            try:
                moment = datetime.datetime.fromisoformat(time)
                return moment - datetime.timedelta(seconds=float(seconds))
            except (ValueError, OverflowError):  # of another program
                continue
    return None
