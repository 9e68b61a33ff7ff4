"""Alarm intervals of systems with boxes or maps."""

import dataclasses
import json

import numpy as np
import pytest

from vadjax.report import events
from vadjax.report.events import EventRule
from vadjax.scores.alarm import AlarmLine
from vadjax.scores.files import Scores

LINE = AlarmLine(1.0, True, 1.0, None, False, np.zeros((0, 2)))


def of_map():
    """Two intervals; in the second one the map reaches the line nowhere."""
    cells = np.zeros((40, 4, 8))
    cells[5:8, 1, 2] = 2.0
    cells[6, 1:3, 2:4] = 3.0
    cells[30, 3, 7] = 0.5
    scores = np.zeros(40)
    scores[5:8], scores[30] = (2.0, 3.0, 2.0), 1.5
    return Scores("v", scores, map=cells)


def test_boxes_of_a_map_are_its_parts_at_the_line():
    first, second = events.of_video(of_map(), EventRule(LINE, 10.0, (40, 80)))
    assert (first["start"], first["stop"]) == (5, 8)
    assert (first["start_s"], first["stop_s"]) == (0.5, 0.8)
    assert first["boxes"] == [
        [5, 20.0, 10.0, 30.0, 20.0, 2.0],
        [6, 20.0, 10.0, 40.0, 30.0, 3.0],
        [7, 20.0, 10.0, 30.0, 20.0, 2.0],
    ]
    assert (first["score"], first["line"], first["reliable"]) == (3.0, 1.0, True)
    # Where nothing reaches the line, the highest place of the frame with the highest score.
    assert second["boxes"] == [[30, 70.0, 30.0, 80.0, 40.0, 0.5]]
    assert second["text"] == ("at 0:03.0, at the lower right: the score reaches 1.5; the line is 1")
    assert json.loads(events.write_lines([first, second]).splitlines()[0]) == first


def test_boxes_at_the_line_or_above_are_those_of_an_event():
    boxes = np.array([[2, 0, 0, 5, 5, 0.9], [2, 1, 1, 4, 4, 1.2], [9, 0, 0, 5, 5, 3]], float)
    scores = np.array([0, 0, 1.2, 0, 0, 0, 0, 0, 0, 0.5])
    reasons = ({"frame": 2, "score": 1.2, "text": "a cart"}, {"frame": 9, "text": "elsewhere"})
    (event,) = events.of_video(
        Scores("v", scores, boxes=boxes, reasons=reasons), EventRule(LINE, 10.0)
    )
    assert event["boxes"] == [[2, 1.0, 1.0, 4.0, 4.0, 1.2]] and event["box"] == [1, 1, 4, 4]
    assert (event["frame"], event["box_score"], event["text"]) == (2, 1.2, "a cart (at 0:00.2)")


def test_runs_within_half_a_second_are_one():
    scores = np.zeros(60)
    scores[[10, 16, 30, 37]] = 2
    found = events.alarms(Scores("v", scores), 1.0, 10.0)
    assert [(one.start, one.stop) for one in found] == [(10, 17), (30, 31), (37, 38)]


def test_frames_that_do_not_count_are_no_alarm():
    scores = np.full(4, 2.0)
    found = events.alarms(Scores("v", scores, scored=np.array([0, 0, 1, 1], bool)), 1.0, 10.0)
    assert [(one.start, one.stop, one.peak) for one in found] == [(2, 4, 2)]


def test_times_are_those_of_the_frames():
    scores = np.array([0, 2, 2, 0, 0])
    video = Scores("v", scores, times=np.arange(5) * 2.0, map=np.ones((5, 1, 1)))
    (event,) = events.of_video(video, EventRule(LINE, 10.0, (4, 4)))
    assert (event["start_s"], event["stop_s"]) == (2.0, 6.0)


def test_a_system_without_a_line_says_by_which_rule():
    (one, *_) = events.of_video(of_map(), EventRule(None, 10.0, (40, 80)))
    assert one["rule"] == events.HALF_WAY and one["line"] == 1.5 and one["reliable"] is False


@pytest.mark.parametrize(
    ("video", "rule"),
    [
        (Scores("v", np.full(4, 2.0)), EventRule(LINE)),  # no place is known
        (Scores("v", np.full(4, 2.0), map=np.ones((4, 2, 2))), EventRule(LINE)),  # nor its size
        (Scores("v", np.full(4, 0.5), boxes=np.zeros((0, 6))), EventRule(LINE)),  # quiet
    ],
)
def test_what_has_no_events(video, rule):
    assert events.of_video(video, rule) == []


def test_what_a_system_tells_itself_stays_as_it_is():
    own = {"schema": 1, "video": "a", "start": 0, "stop": 2, "score": 0.7}
    loud = Scores("a", np.full(4, 0.7), boxes=np.zeros((0, 6)), reasons=(own,))
    quiet = Scores("b", np.full(4, 2.0), boxes=np.zeros((0, 6)))
    assert events.of_videos([loud, quiet], EventRule(LINE)) == [own]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "about 3.0 × faster than the most similar seen here"),
        ({"here": {"speed": 0.5}}, "about 2.0 × slower than the most similar seen here"),
        ({"here": {"speed": 1.1}}, "unusual speed"),
        ({"dominant": "angle"}, "moves left, where the most similar moves right"),
        ({"dominant": "background"}, "unusual amount of motion"),
        ({"never_moved": True}, "something moves where nothing ever moved"),
    ],
)
def test_a_sentence_says_what_when_and_where(changes, text):
    """The reasons of the exemplar system speak of regions and pixels; those of events do not."""
    reason = {
        "frame": 6,
        "score": 2.5,
        "box": [60, 10, 80, 20],
        "dominant": "speed",
        "text": "frame 6, region (1,6) [60,10,80,20], score 2.50: unusual speed. Here: …",
        "here": {"speed": 3.0, "direction": "left"},
        "normal": {"speed": 1.0, "direction": "right"},
    }
    video = of_map()
    video = dataclasses.replace(video, reasons=(reason | changes,))
    event = events.of_video(video, EventRule(LINE, 10.0, (40, 80)))[0]
    assert event["text"] == f"{text}, at 0:00.6, at the upper right"
