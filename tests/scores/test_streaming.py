"""Scores part by part: which frames they are of, and the whole that they make."""

import numpy as np
import pytest

from vadjax.data.video.frame_stream import Frame, Stamp, numbered
from vadjax.scores.streaming import CollectedScores, join, of_snippets, repeat


def stamps(start: int, stop: int, fps: float | None = None) -> list[Stamp]:
    return [Stamp(number, fps and number / fps) for number in range(start, stop)]


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
