"""Alarm intervals of held-out video, and the threshold of so many an hour."""

import numpy as np
import pytest

from vadjax.scores import alarm_rate
from vadjax.scores.alarm_rate import HeldOut, Tail


def video(*pieces, fps=10.0):
    scores = np.concatenate([np.asarray(piece, np.float64) for piece in pieces])
    return HeldOut(scores, np.array([len(piece) for piece in pieces]), fps)


def peaks(*heights, apart=20):
    """One frame of each height, far apart, on a floor of 0.1."""
    scores = np.full(len(heights) * apart, 0.1)
    scores[::apart] = heights
    return scores


def noise(seconds, seed=0, fps=10.0):
    return np.random.default_rng(seed).exponential(size=int(seconds * fps))


def test_intervals_by_hand():
    scores = [0, 2, 0, 2, 0, 0, 0, 2, 2]
    np.testing.assert_array_equal(alarm_rate.intervals(scores, 1, 0), [[1, 2], [3, 4], [7, 9]])
    np.testing.assert_array_equal(alarm_rate.intervals(scores, 1, 1), [[1, 4], [7, 9]])
    np.testing.assert_array_equal(alarm_rate.intervals(scores, 1, 3), [[1, 9]])
    assert alarm_rate.intervals(scores, 3, 1).shape == (0, 2)
    assert alarm_rate.gap_frames(10) == 5 and alarm_rate.gap_frames(25) == 13
    # A rate by times in float32 is a little wrong; and every second frame with a score of its own.
    assert alarm_rate.gap_frames(24.99999) == 13 and alarm_rate.gap_frames(18, every=2) == 10
    assert not alarm_rate.is_apart(0.55, 0.1) and alarm_rate.is_apart(0.56, 0.1)


def test_no_interval_goes_from_one_video_to_the_next():
    one, two = [0, 0, 3], [3, 0, 0]
    assert alarm_rate.counts(video(one, two), [2]).tolist() == [2]
    assert alarm_rate.counts(video([*one, *two]), [2]).tolist() == [1]


def test_counts_are_those_of_each_piece_alone():
    pieces = [noise(20, seed) for seed in range(3)]
    levels = np.linspace(0, 5, 40)
    alone = sum(alarm_rate.counts(video(piece), levels) for piece in pieces)
    np.testing.assert_array_equal(alarm_rate.counts(video(*pieces), levels), alone)


def test_counts_and_thresholds_are_those_of_looking_at_every_score():
    rng = np.random.default_rng(0)
    for case in range(60):
        fps = float(rng.choice([1, 4, 10, 25]))
        levels = int(rng.choice([3, 20, 10_000]))  # few: many scores are equal
        pieces = [rng.integers(0, levels, rng.integers(1, 60)) / levels for _ in range(3)]
        held_out = video(*pieces, fps=fps)
        scores, gap = np.unique(held_out.scores), held_out.gap
        found = alarm_rate.counts(held_out, scores)
        plain = [
            sum(len(alarm_rate.intervals(piece, level, gap)) for piece in pieces)
            for level in scores
        ]
        assert found.tolist() == plain, case
        most = int(rng.integers(1, 6))
        value = alarm_rate.threshold(held_out, most / held_out.hours * (1 + 1e-9)).value
        above = [level for level, count in zip(scores, plain, strict=True) if count > most]
        if above:
            later = scores[scores > above[-1]]
            assert value == (above[-1] + later[0]) / 2 if len(later) else value == above[-1]


@pytest.mark.parametrize("most", [1, 3, 9])
def test_a_threshold_has_as_many_alarms_as_were_asked_for(most):
    held_out = video(peaks(*range(1, 11)))
    found = alarm_rate.threshold(held_out, most / held_out.hours)
    assert alarm_rate.counts(held_out, [found.value]).tolist() == [most]
    assert not found.extrapolated
    # Half way to the next score above, so that rounding changes nothing.
    assert found.value == 10.5 - most


def test_the_rate_is_kept_from_the_threshold_upwards():
    """Never more alarms at a higher threshold, although intervals merge at low ones."""
    held_out = video(noise(300))
    for per_hour in (60, 200, 600):
        found = alarm_rate.threshold(held_out, per_hour).value
        levels = np.linspace(found, held_out.scores.max(), 300)
        most = alarm_rate.counts(held_out, levels).max()
        assert most == int(per_hour * held_out.hours)


def test_fewer_alarms_never_mean_a_lower_threshold():
    for seed in range(3):
        held_out = video(noise(30, seed), noise(15, seed + 10))
        asked = np.geomspace(0.01, 3000, 30)
        found = [alarm_rate.threshold(held_out, per_hour).value for per_hour in asked]
        assert (np.diff(found) <= 0).all()


def test_short_video_is_extrapolated_by_a_tail():
    """Of the alarms of a rate that cannot be counted in ten minutes, an hour of the same has it."""
    held_out = video(noise(600))
    found = alarm_rate.threshold(held_out, 0.5)
    assert found.extrapolated and found.value > np.sort(held_out.scores)[-2]
    long = video(noise(40 * 3600, seed=1))
    assert 0.1 < alarm_rate.counts(long, [found.value])[0] / long.hours < 2.5


def test_a_tail_is_exponential():
    tail = Tail(threshold=2.0, count=20, excess=0.5)
    assert tail.count_at(2.0) == 20
    assert tail.count_at(tail.threshold_of(3.0)) == pytest.approx(3.0)
    heights = np.arange(21) / 10 + 1
    found = alarm_rate.tail(video(peaks(*heights)))
    assert found.count == 20 and found.threshold == pytest.approx(1.1)
    assert found.excess == pytest.approx((heights[1:] - 1.1).mean())


def test_rates_below_one_alarm_are_those_of_the_tail():
    held_out = video(noise(300))
    highest = held_out.scores.max()
    rates = alarm_rate.rates(held_out, np.array([1.0, highest, highest + 0.5, highest + 2]))
    assert rates[1] * held_out.hours == pytest.approx(1)
    assert 1 / held_out.hours >= rates[2] > rates[3] > 0


def test_more_alarms_than_there_are_give_the_threshold_with_the_most():
    held_out = video(peaks(1, 2, 3))
    found = alarm_rate.threshold(held_out, 1e6)
    assert alarm_rate.counts(held_out, [found.value]).tolist() == [3]


def test_equal_scores():
    held_out = video(np.zeros(50))
    assert alarm_rate.threshold(held_out, 1e6).value == 0
    assert np.isfinite(alarm_rate.threshold(held_out, 1).value)
    assert alarm_rate.rates(held_out, np.array([0.0, 1.0]))[1] == pytest.approx(0)


def test_quantiles_are_rows_of_share_and_score():
    rows = alarm_rate.quantiles(np.arange(1001))
    assert rows[:, 0].tolist() == list(alarm_rate.SHARES)
    np.testing.assert_allclose(rows[:, 1], 1000 * rows[:, 0])


def test_the_line_of_a_system_that_reports_scores_as_they_are():
    held_out = video(noise(300), noise(300, 1))
    line = alarm_rate.line_of(held_out, 0, False)
    assert line.line == np.quantile(held_out.scores, 0.999) and line.per_hour is None
    assert line.hours == pytest.approx(1 / 6) and not line.reliable
    assert line.rate_at(line.line) * line.hours == alarm_rate.counts(held_out, [line.line])[0]
    assert (np.diff(line.rates[:, 0]) > 0).all() and line.rates[-1, 0] > held_out.scores.max()
    asked = alarm_rate.line_of(held_out, 60.0, True)
    assert asked.rate_at(asked.line) == pytest.approx(60) and not asked.extrapolated
    assert alarm_rate.line_of(held_out, 1.0, True).extrapolated
    four = alarm_rate.line_of(alarm_rate.joined([held_out, held_out]), 0, True)
    assert four.reliable and four.hours == 2 * line.hours


def test_a_line_is_above_zero_where_nothing_ever_scored():
    assert alarm_rate.line_of(video(np.zeros(100)), 0, True).line == alarm_rate.LEAST_LINE
    assert alarm_rate.line_of(video(np.zeros(0)), 0, True) is None


def test_how_much_normal_video_is_enough():
    """Pieces of one video are one video, however many there are."""
    assert alarm_rate.enough(60, 4)
    assert not alarm_rate.enough(59.9, 4) and not alarm_rate.enough(3600, 3)
