import json

import numpy as np
import pytest

from vadjax.scores.streaming import CollectedScores, Counted, PartialScores, join, of_snippets


def part(first: int, count: int, **more) -> PartialScores:
    """Frames from number `first` on, whose score is their number."""
    scores = np.arange(first, first + count, dtype=np.float32)
    return PartialScores(scores, {"half": scores / 2}, **more)


def told(*scores: float) -> PartialScores:
    """A frame with a reason of each score, numbered in `frame`."""
    reasons = tuple({"score": score, "frame": i} for i, score in enumerate(scores))
    return PartialScores(np.zeros(1, np.float32), reasons=reasons)


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
        collected.add(PartialScores(np.array([value], np.float32), map=buffer))
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


@pytest.mark.parametrize("frames", [1, 3, 4, 5, 8, 11, 12, 13, 23])
@pytest.mark.parametrize("step", [2, 4, 6])  # snippets of four frames overlap, touch, lie apart
def test_a_frame_has_the_score_of_the_first_snippet_that_ends_with_it_or_later(frames, step):
    length, source = 4, Counted(range(frames))
    starts = [0, *range(step, frames - length + 1, step)]  # the first one is filled up if need be

    def scores():
        for number, start in enumerate(starts):
            while source.count < min(start + length, frames):
                next(source)
            yield float(number)
        for _ in source:  # those behind the last snippet
            pass

    parts = list(of_snippets(scores(), source, step, length))
    expected = [
        next((i for i, start in enumerate(starts) if t < start + length), len(starts) - 1)
        for t in range(frames)
    ]
    assert np.concatenate([one.frame_scores for one in parts]).tolist() == expected


def test_a_video_without_a_snippet_has_no_part():
    assert list(of_snippets([], Counted(range(3)), 2, 4)) == []
