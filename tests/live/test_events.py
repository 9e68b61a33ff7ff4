"""When events begin and end as the frames come, and what is told of them."""

import datetime

import numpy as np
import pytest

from vadjax.data.video.frame_stream import Stamp
from vadjax.live import events
from vadjax.live.events import EventTracker
from vadjax.report import events as report_events
from vadjax.report.events import EventRule
from vadjax.scores.alarm import AlarmLine
from vadjax.scores.files import Scores
from vadjax.scores.streaming import PartialScores
from vadjax.systems.attributes import objects, smoothing
from vadjax.systems.attributes.events import Events, ScoredFrame

ZONE = datetime.timezone(datetime.timedelta(hours=2))


def part(number, score, fps=10, objects=(), boxes=None, every=1):
    told = tuple({"frame": number, "score": score, **one} for one in objects)
    rows = None if boxes is None else np.array([[number, *row] for row in boxes], np.float64)
    stamp = Stamp(number, number / fps)
    scores = np.array([score], np.float32)
    return PartialScores(scores, (stamp,), boxes=rows, reasons=told, every=every)


def found(scores, fps, every=1):
    tracker = EventTracker("gate", 0.5)
    parts = (part(n, score, fps, every=every) for n, score in enumerate(scores))
    over = [one for own in parts for one in tracker.add(own)]
    over = [*filter(None, over), *filter(None, [tracker.end()])]
    return [(one.record()["start"], one.record()["stop"]) for one in over]


@pytest.mark.parametrize("fps", [1, 5, 10, 12.5, 25, 29.97, 30])
def test_events_are_the_alarm_intervals_of_the_live_scores(fps):
    random = np.random.default_rng(3)
    for _ in range(30):
        runs = random.integers(1, 40, 12)
        scores = np.repeat(np.arange(12) % 2 * 0.4 + 0.3, runs)  # 0.3, 0.7, 0.3, …
        expected = smoothing.intervals(scores, fps)
        assert found(scores, fps) == [tuple(row) for row in expected]


@pytest.mark.parametrize("fps", [15, 16, 18, 20, 24, 25, 29.97, 48, 50, 60])
def test_live_events_files_and_reports_join_at_the_same_gaps(fps):
    """Also where every k-th frame alone has a score of its own (spec attributes §1)."""
    random, every = np.random.default_rng(3), objects.taken(0, fps)
    for _ in range(20):
        scores = np.repeat(np.arange(12) % 2 * 0.4 + 0.3, random.integers(1, 10, 12))
        taken = np.repeat(scores, every)
        live = found(taken, fps, every)
        told = Events("gate", fps / every, fps)
        of_file = []
        for rank, score in enumerate(scores):
            stamps = tuple(Stamp(every * rank + k) for k in range(every))
            of_file += told.add(ScoredFrame(stamps, score, np.zeros((0, 6)), None))
        of_file += told.end()
        # The same by scores alone, with times as a score file has them.
        times = (np.arange(len(taken)) / fps).astype(np.float32)
        video = Scores("gate", taken, times=times)
        line = AlarmLine(0.5, True, 1.0, None, False, np.zeros((0, 2)))
        spans = report_events.spans(video, EventRule(line, every=every))
        assert live == spans == [(one["start"], one["stop"]) for one in of_file]


def test_an_event_is_known_with_its_first_frame_and_over_after_half_a_second():
    tracker = EventTracker("gate", 0.5)
    seen = []
    for number, score in enumerate([0.1, 0.5, 0.4, 0.6, *[0.4] * 8]):
        (over,) = tracker.add(part(number, score))
        seen.append((tracker.current is not None, over is not None))
    assert [current for current, _ in seen] == [False] + [True] * 8 + [False] * 3
    assert [over for _, over in seen].index(True) == 9


def test_a_gap_or_an_unknown_score_ends_an_event():
    tracker = EventTracker("gate", 0.5)
    list(tracker.add(part(0, 0.9)))
    (over,) = tracker.add(part(1, float("nan")))
    assert over.record()["stop"] == 1 and tracker.current is None
    list(tracker.add(part(2, 0.9)))
    assert tracker.end().record()["start"] == 2 and tracker.end() is None


def test_the_record_tells_of_the_strongest_object_and_all_boxes_above_the_line():
    at = datetime.datetime(2026, 11, 30, 12, tzinfo=ZONE)
    tracker = EventTracker("gate", 0.5, lambda seconds: at + datetime.timedelta(seconds=seconds))
    strong = {"box": [1, 2, 3, 4], "box_score": 0.9, "lead": "speed"}
    strong |= {"text": "runs, at the left", "place": "at the left"}
    weak = {"box": [5, 6, 7, 8], "box_score": 0.6, "text": "walks"}
    first = [(1, 2, 3, 4.04, 0.9), (5, 6, 7, 8, 0.3)]
    list(tracker.add(part(0, 0.6, objects=[weak, strong], boxes=first)))
    told = ["runs, at 12:00:00, at the left", "walks, at 12:00:00"]
    assert [one["text"] for one in tracker.objects] == told
    list(tracker.add(part(1, 0.3, boxes=[(9, 9, 10, 10, 0.7)])))  # between two frames of it
    list(tracker.add(part(2, 0.7, objects=[weak], boxes=[(5, 6, 7, 8, 0.6)])))
    list(tracker.add(part(3, 0.3, boxes=[(9, 9, 10, 10, 0.8)])))  # behind its last one
    assert tracker.end().record() == {
        "schema": 1,
        "video": "gate",
        "start": 0,
        "stop": 3,
        "start_s": 0.0,
        "stop_s": 0.3,
        "time": "2026-11-30T12:00:00.000+02:00",
        "score": 0.7,
        "boxes": [
            [0, 1.0, 2.0, 3.0, 4.0, 0.9],
            [1, 9.0, 9.0, 10.0, 10.0, 0.7],
            [2, 5.0, 6.0, 7.0, 8.0, 0.6],
        ],
        **strong,
        "text": told[0],
        "frame": 0,
    }


def test_a_sentence_has_the_time_of_its_object_that_of_the_video_for_a_file():
    at = datetime.datetime(2026, 11, 30, 23, 59, 59, 900_000, tzinfo=ZONE)
    clock = [lambda seconds: at + datetime.timedelta(seconds=seconds), None]
    for tracker in (EventTracker("gate", 0.5, one) for one in clock):
        list(tracker.add(part(0, 0.6, objects=[{"text": "walks", "box_score": 0.6}])))
        list(tracker.add(part(2, 0.7, objects=[{"text": "runs", "box_score": 0.7}])))
        list(tracker.add(part(3, 0.6)))
        text = tracker.end().record()["text"]
        assert text == ("runs, at 00:00:00" if tracker._clock else "runs, at 0:00.2")
    tracker = EventTracker("gate", 0.5, clock[0])
    list(tracker.add(part(1, 0.6)))
    record = tracker.end().record()
    assert record["text"] == "unusual for its neighbours alone, at 00:00:00"
    assert record["time"].startswith("2026-12-01T00:00:00")


def test_a_long_event_takes_no_more_room(monkeypatch):
    monkeypatch.setattr(events, "MOST_BOXES", 5)
    tracker = EventTracker("gate", 0.5)
    for number in range(20):
        list(tracker.add(part(number, 0.9 if number % 4 < 2 else 0.1, boxes=[(1, 2, 3, 4, 0.9)])))
    record = tracker.end().record()
    assert len(record["boxes"]) == 5 and record["boxes_left_out"] == record["stop"] - 5
    assert record["text"] == "unusual for its neighbours alone, at 0:00.0" and record["frame"] == 0
