"""Scores part by part: which frames they are of, and the whole that they make."""

import json

import numpy as np
import pytest

from vadjax.data.video.frame_stream import Frame, Stamp, numbered
from vadjax.scores.streaming import CollectedScores, PartialScores, join, of_snippets, repeat


def stamps(start: int, stop: int, fps: float | None = None) -> list[Stamp]:
    return [Stamp(number, fps and number / fps) for number in range(start, stop)]


def part(first: int, count: int, **more) -> PartialScores:
    """Frames from number `first` on, whose score is their number."""
    scores = np.arange(first, first + count, dtype=np.float32)
    return PartialScores(scores, tuple(stamps(first, first + count)), {"half": scores / 2}, **more)


def told(*scores: float) -> PartialScores:
    """A frame with a reason of each score, numbered in `frame`."""
    reasons = tuple({"score": score, "frame": i} for i, score in enumerate(scores))
    return PartialScores(np.zeros(1, np.float32), (Stamp(0),), reasons=reasons)


def test_parts_are_joined_in_their_order():
    maps = np.arange(5 * 2 * 3, dtype=np.float32).reshape(5, 2, 3)
    boxes = np.arange(18, dtype=np.float32).reshape(3, 6)
    reasons = {"frame": 4, "text": "later"}, {"frame": 1, "text": "earlier"}  # as they came
    parts = (
        part(0, 2, map=maps[:2], boxes=boxes[:0], reasons=reasons[:1]),
        part(2, 3, map=maps[2:], boxes=boxes, reasons=reasons[1:]),
    )
    whole = join("v", parts)
    assert whole.video == "v" and whole.frame_scores.tolist() == [0, 1, 2, 3, 4]
    assert whole.alternatives["half"].tolist() == [0, 0.5, 1, 1.5, 2]
    np.testing.assert_array_equal(whole.map, maps)
    np.testing.assert_array_equal(whole.boxes, boxes)
    assert json.dumps(whole.reasons) == json.dumps(reasons)


def test_a_part_may_be_changed_once_it_was_taken():
    """Systems fill one buffer again and again."""
    collected, buffer = CollectedScores(), np.zeros((1, 2, 2))
    for value in (1.0, 2.0):
        buffer[:] = value
        collected.add(PartialScores(np.array([value], np.float32), (Stamp(0),), map=buffer))
    assert collected.scores("v").map[:, 0, 0].tolist() == [1, 2]


def test_without_a_frame_there_are_no_scores():
    with pytest.raises(ValueError, match="^v: no frame could be scored$"):
        join("v", [])


def test_a_map_that_needs_too_much_is_given_up_for_good():
    collected, frame = CollectedScores(map_bytes=64), np.zeros((1, 2, 4), np.float32)  # 32 bytes
    for number, given_up in ((0, False), (1, False), (2, True), (3, True)):
        collected.add(part(number, 1, map=frame))
        assert collected.given_up is given_up
    assert collected.scores("v").map is None and len(collected) == 4


def test_the_highest_reasons_are_kept_in_the_order_in_which_they_came():
    collected = CollectedScores(reasons=3)
    collected.add(told(5, 1, 4, 4, 9))
    assert [(r["score"], r["frame"]) for r in collected.scores("v").reasons] == [
        (5, 0),
        (4, 2),  # of two of the same score that which came first
        (9, 4),
    ]
    assert collected.left_out == 2


def test_a_frame_is_its_stamp_and_its_pixels():
    pixels = np.zeros((2, 3, 3), np.uint8)
    assert Frame(pixels, 7, 0.28, 4).stamp == Stamp(7, 0.28, 4)
    first, second = numbered([pixels, pixels])
    assert (first.stamp, second.stamp) == (Stamp(0, None, 0), Stamp(1, None, 0))
    assert second.pixels is pixels


def test_repeated_scores():
    part = repeat(2.5, stamps(3, 6))
    assert part.frame_scores.tolist() == [2.5] * 3 and part.frame_scores.dtype == np.float32
    assert [frame.number for frame in part.frames] == [3, 4, 5]


@pytest.mark.parametrize("at_once", [1, 2, 3, 9])
@pytest.mark.parametrize("rest", [0, 4])
def test_every_frame_has_the_score_of_its_snippet(at_once, rest):
    """Frames behind the last snippet have its score, and are in no group that is scored."""
    rows = [(np.float32([number]), stamps(8 * number, 8 * number + 8)) for number in range(6)]
    if rest:
        rows.append((None, stamps(48, 48 + rest)))
    groups = []

    def score(features):
        groups.append(len(features))
        return [own.item() for own in features]

    parts = list(of_snippets(rows, score, at_once))
    assert [part.frames for part in parts] == [tuple(frames) for _, frames in rows]
    expected = np.repeat([0, 1, 2, 3, 4, 5, 5], [8] * 6 + [rest])
    np.testing.assert_array_equal(join("v", parts).frame_scores, expected)
    assert sum(groups) == 6 and groups[0] == min(at_once, 6)


def test_a_snippet_is_scored_before_the_next_one_is_made():
    made = []

    def rows():
        for number in range(3):
            made.append(number)
            yield np.float32([number]), stamps(number, number + 1)

    parts = of_snippets(rows(), lambda features: [own.item() for own in features])
    assert next(parts).frame_scores == [0] and made == [0]


def test_the_whole_has_the_times_of_its_frames_where_they_are_known():
    whole = CollectedScores()
    whole.add(repeat(1, stamps(0, 2, 10.0)))
    whole.add(repeat(0, stamps(2, 3, 10.0)))
    found = whole.scores("v")
    np.testing.assert_array_equal(found.times, np.float32([0, 0.1, 0.2]))
    assert found.times.dtype == np.float32
    assert join("v", [repeat(1, stamps(0, 2))]).times is None
    with pytest.raises(ValueError, match="v: no frame could be scored"):
        join("v", [])


def test_a_video_without_a_snippet_has_no_part():
    assert list(of_snippets([], lambda features: [0.0 for _ in features])) == []
