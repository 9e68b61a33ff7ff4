"""Alarm intervals of any system, with the fields of `docs/events.md`.

A system that tells alarm intervals itself has them among the reasons of its score files. For one
that has an alarm line and boxes or a map they are made here, and for one without a line by the
scores of each video alone: half way from their median to the highest.
"""

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Required, TypedDict

import cv2
import numpy as np

from vadjax.data.video.boxes import cell_edges, component_boxes
from vadjax.report import intervals, reasons
from vadjax.scores import alarm_rate, words
from vadjax.scores.alarm import AlarmLine
from vadjax.scores.files import Scores

FILE = "events.jsonl"
SCHEMA = 1
MOST_BOXES = 20_000  # of an event; a map has a box for every part of every frame
TOP = 5  # intervals of a video without an alarm line
FASTER = 1.2  # ratio of two speeds from which one is faster
NAMES = {"angle": "direction", "appearance": "look", "background": "amount of motion"}
HALF_WAY = "half way from the median of the video to its highest score"

# An alarm interval, with the keys of docs/events.md. All of them can be written as JSON. Those that
# are not `Required` are there only for some systems or some events.
Event = TypedDict(
    "Event",
    {
        "schema": Required[int],
        "video": Required[str],
        "start": Required[int],
        "stop": Required[int],
        "start_s": Required[float],
        "stop_s": Required[float],
        "time": str,
        "score": Required[float],
        "line": float,
        "rule": str,
        "reliable": bool,
        "boxes": Required[list[list[float]]],
        "frame": Required[int],
        "box": list[float],
        "box_score": float,
        "place": str,
        "lead": str,
        "evidence": dict[str, float],
        "speed": float,
        "speed_max": float,
        "distance": float,
        "distance_max": float,
        "class": str,
        "class_score": float,
        "nearest": dict[str, Any],
        "text": Required[str],
    },
    total=False,
)


class EventRule(NamedTuple):
    """How the scores of a video become alarm intervals.

    Attributes:
      line: alarm line of the run; None if it has none.
      fps: frames a second of videos that do not know their times; None if unknown.
      size: (H, W) of the frames that a map covers; None if unknown, so that it gives no boxes.
      every: every how many frames one has a score of its own.
    """

    line: AlarmLine | None = None
    fps: float | None = None
    size: tuple[int, int] | None = None
    every: int = 1


NO_RULE = EventRule()


def tells(video: Scores) -> bool:
    """Whether the system itself told the alarm intervals of a video."""
    return any("schema" in reason for reason in video.reasons)


def of_videos(videos: Sequence[Scores], rule: EventRule) -> list[dict]:
    """The alarm intervals of videos, in their order; of each in the order of time.

    Where any system has told its own, none are made: a video without one is quiet.
    """
    if any(map(tells, videos)):
        return [reason for video in videos for reason in video.reasons if "schema" in reason]
    return [event for video in videos for event in of_video(video, rule)]


def of_video(video: Scores, rule: EventRule) -> list[Event]:
    """The alarm intervals of a video that has boxes or a map; else none."""
    if not tells(video) and video.boxes is None and (video.map is None or rule.size is None):
        return []
    return of_any_video(video, rule)


def of_any_video(video: Scores, rule: EventRule) -> list[Event]:
    """As `of_video`; where the system does not say where they are, intervals without a box."""
    if tells(video):
        return [reason for reason in video.reasons if "schema" in reason]
    return [_record(video, start, stop, rule) for start, stop in spans(video, rule)]


def spans(video: Scores, rule: EventRule) -> list[tuple[int, int]]:
    """Alarm intervals `[start, stop)` of a video, in the order of time."""
    fps = frames_a_second(video, rule)
    if rule.line is None:
        found = intervals.top(video.frame_scores, TOP, video.scored, fps)
        return sorted((one.start, one.stop) for one in found)
    found = alarms(video, rule.line.line, fps, rule.every)
    return [(one.start, one.stop) for one in found]


def alarms(video: Scores, line: float, fps: float, every: int = 1) -> list[intervals.Interval]:
    """The alarm intervals of a video by an alarm line, in the order of time.

    Args:
      video: its scores.
      line: score from which a frame is an alarm.
      fps: frames a second.
      every: every how many frames one has a score of its own.
    """
    scores = np.asarray(video.frame_scores, np.float64)
    if video.scored is not None:
        scores = np.where(video.scored, scores, -np.inf)
    found = []
    for start, stop in alarm_rate.intervals(scores, line, alarm_rate.gap_frames(fps, every)):
        found.append(_interval(scores, int(start), int(stop)))
    return found


def interval_of(video: Scores, start: int, stop: int) -> intervals.Interval:
    """Frames `[start, stop)` of a video, with the highest of their scores."""
    return _interval(np.asarray(video.frame_scores, np.float64), start, stop)


def _interval(scores: np.ndarray, start: int, stop: int) -> intervals.Interval:
    peak = start + int(np.argmax(scores[start:stop]))
    return intervals.Interval(start, stop, peak, float(scores[peak]))


def write_lines(events: Sequence[Mapping]) -> str:
    """The text of `events.jsonl`: one JSON object a line."""
    return "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events)


def frames_a_second(video: Scores, rule: EventRule) -> float:
    """Frames a second of a video: by its times, the rule, or the usual rate."""
    if video.times is not None and len(video.times) > 1 and video.times[-1] > video.times[0]:
        return (len(video.times) - 1) / float(video.times[-1] - video.times[0])
    return rule.fps or intervals.FPS


def _record(video: Scores, start: int, stop: int, rule: EventRule) -> Event:
    """An alarm interval as JSON can hold it."""
    fps, scores = frames_a_second(video, rule), np.asarray(video.frame_scores, np.float64)
    peak = start + int(np.argmax(scores[start:stop]))
    level = rule.line.line if rule.line else _half_way(video)
    # Boxes at the line or above; where none is, the highest one, which is where the score is from.
    boxes = _boxes(video, start, stop, level, rule.size)
    if not len(boxes):
        boxes = _boxes(video, peak, peak + 1, -np.inf, rule.size)[:1]
    boxes = boxes[np.argsort(-boxes[:, 5], kind="stable")[:MOST_BOXES]]
    record = {
        "schema": SCHEMA,
        "video": video.video,
        "start": start,
        "stop": stop,
        "start_s": round(_seconds(video, start, fps), 3),
        "stop_s": round(_seconds(video, stop - 1, fps) + 1 / fps, 3),
        "score": round(float(scores[start:stop].max()), 4),
        "line": round(level, 6),
        "reliable": bool(rule.line and rule.line.reliable),
        "boxes": [_row(row) for row in boxes[np.argsort(boxes[:, 0], kind="stable")]],
        "frame": peak,
    }
    if rule.line is None:
        record["rule"] = HALF_WAY
    if len(boxes):
        record |= {"frame": int(boxes[0, 0]), "box": _row(boxes[0])[1:5]}
        record["box_score"] = _row(boxes[0])[5]
    return record | {"text": _text(video, record, level, rule)}


def _row(row: np.ndarray) -> list:
    """A box as JSON can hold it: the frame, four sides to a tenth of a pixel, the score."""
    sides = (round(float(side), 1) for side in row[1:5])
    return [int(row[0]), *sides, round(float(row[5]), 4)]


def _half_way(video: Scores) -> float:
    """The score from which `intervals.top` calls a frame high."""
    counted = video.counted().frame_scores
    return float((np.median(counted) + counted.max()) / 2)


def _seconds(video: Scores, number: int, fps: float) -> float:
    return number / fps if video.times is None else float(video.times[number])


def _strongest(video: Scores, start: int, stop: int) -> reasons.Reason | None:
    """The highest-scoring reason that is about a frame of an interval."""
    told = [reasons.read(reason) for reason in video.reasons]
    inside = [one for one in told if one.frame is not None and start <= one.frame < stop]
    return max(inside, key=lambda one: one.rank, default=None)


def _where(video: Scores, frame: int, box: Sequence[float], rule: EventRule) -> str:
    """When and where, as `at 0:15.5, right of the centre`; without a place if the size is unknown.

    Args:
      video: its scores.
      frame: number of the frame.
      box: `x0, y0, x1, y1`; empty if there is none.
      rule: with the size of the frames.
    """
    when = f"at {words.clock(_seconds(video, frame, frames_a_second(video, rule)))}"
    return f"{when}, {words.place(box, rule.size)}" if len(box) and rule.size else when


def _text(video: Scores, record: Mapping, level: float, rule: EventRule) -> str:
    """A sentence on an interval: what is unusual, when and where."""
    reason = _strongest(video, record["start"], record["stop"])
    if reason is None or not reason.dominant:
        where = _where(video, record["frame"], record.get("box", ()), rule)
        if reason is not None:
            return f"{reason.text} ({where})"
        return f"{where}: the score reaches {record['score']:.3g}; the line is {level:.3g}"
    where = _where(video, reason.frame, reason.box or (), rule)
    return f"{plain(reason)}, {where}"


def plain(reason: reasons.Reason) -> str:
    """What is unusual by a reason with attributes, in plain words; numbers stay in the reason."""
    if reason.never_moved:
        return "something moves where nothing ever moved"
    here, normal = reason.here, reason.normal
    if reason.dominant == "speed" and here.speed and normal.speed:
        factor = here.speed / normal.speed
        if factor >= FASTER:
            return f"about {words.times(factor)} faster than the most similar seen here"
        if factor <= 1 / FASTER:
            return f"about {words.times(1 / factor)} slower than the most similar seen here"
    if reason.dominant == "angle" and here.direction and normal.direction:
        return f"moves {here.direction}, where the most similar moves {normal.direction}"
    return f"unusual {NAMES.get(reason.dominant, reason.dominant)}"


def _boxes(
    video: Scores, start: int, stop: int, level: float, size: tuple[int, int] | None
) -> np.ndarray:
    """Boxes of frames `[start, stop)` that score at least `level`, the highest first.

    Returns:
      float64 [n, 6], `frame, x0, y0, x1, y1, score`, x1 and y1 one past the last pixel.
    """
    if video.boxes is not None:
        boxes = np.asarray(video.boxes, np.float64)
        inside = (boxes[:, 0] >= start) & (boxes[:, 0] < stop) & (boxes[:, 5] >= level)
        rows = boxes[inside]
    elif video.map is None or size is None:
        rows = np.zeros((0, 6))
    else:
        frames = range(start, stop)
        found = [row for t in frames for row in _parts(video.map[t], t, level, size)]
        rows = np.array(found, np.float64).reshape(-1, 6)
    return rows[np.argsort(-rows[:, 5], kind="stable")]


def _parts(cells: np.ndarray, frame: int, level: float, size: tuple[int, int]) -> Iterator[list]:
    """Boxes of the connected parts of a map [h, w] at a level; of its highest cell at -inf."""
    level = float(cells.max()) if level == -np.inf else level
    if not (cells >= level).any():
        return
    edges = _edges(cells.shape, size)
    count, numbers = cv2.connectedComponents((cells >= level).astype(np.uint8), connectivity=8)
    for number in range(1, count):
        mask = numbers == number
        x0, y0, x1, y1 = component_boxes(mask, edges=edges)[0]
        yield [frame, x0, y0, x1 + 1, y1 + 1, float(cells[mask].max())]


@functools.lru_cache(maxsize=8)
def _edges(shape: tuple[int, int], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    return cell_edges(shape[0], size[0]), cell_edges(shape[1], size[1])
