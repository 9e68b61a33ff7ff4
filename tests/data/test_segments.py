import itertools
import json
import re

import cv2
import numpy as np
import pytest

from vadjax.data import segments


@pytest.mark.golden
def test_expansions_equal_the_original(golden):
    case = np.load(golden / "mil" / "frame_expansion.npz")
    for frames in case["counts"]:
        np.testing.assert_array_equal(segments.seed_steps(frames), case[f"step_{frames}"])
        for rule, prefix in (("seed", "rle"), ("paint", "alt_rle")):
            starts = case[f"{prefix}_start_{frames}"]
            runs = np.diff(np.append(starts, frames))
            expected = np.repeat(case[f"{prefix}_val_{frames}"], runs)
            got = segments.expand(case["scores"], int(frames), rule)
            np.testing.assert_array_equal(got, expected, err_msg=f"{rule} {frames}")


@pytest.mark.golden
def test_clip_ranges_equal_the_reference(golden):
    rules = json.loads((golden / "i3d" / "preprocessing.json").read_text())
    for clips, ranges in rules["seg32_ranges_zero_based_half_open"].items():
        bounds = segments.clip_bounds(int(clips), len(ranges))
        stops = np.maximum(bounds[1:], bounds[:-1] + 1)
        np.testing.assert_array_equal(np.stack([bounds[:-1], stops], 1), ranges)


@pytest.mark.golden
def test_sampling_equals_the_originals(golden):
    cases = json.loads((golden / "s3r" / "cases.json").read_text())["segment_sampling"]
    with np.load(golden / "s3r" / "segment_sampling.npz") as file:
        for length, q in itertools.product(cases["lengths"], cases["q"]):
            case = {
                name: file[f"L{length}/q{q}/{name}"]
                for name in ("s3r_linear", "rtfm_average", "rtfm_bounds")
            }
            low, high, weight = (
                file[f"L{length}/q{q}/s3r_{name}"] for name in ("index0", "index1", "weight1")
            )
            features = file[f"L{length}/features"].transpose(1, 0, 2)
            linear = segments.SAMPLINGS["linear"](features, q)
            np.testing.assert_allclose(linear, case["s3r_linear"], rtol=0, atol=1e-6)
            mean = segments.SAMPLINGS["mean"](features, q)
            np.testing.assert_allclose(mean, case["rtfm_average"], rtol=0, atol=1e-6)
            bounds = segments.average_bounds(length, q)
            np.testing.assert_array_equal(bounds, case["rtfm_bounds"])
            ramp = np.arange(length, dtype=np.float64)[:, None]
            at = segments.resize_linear(ramp, q)[:, 0]
            np.testing.assert_allclose(at, (1 - weight) * low + weight * high, rtol=1e-6, atol=1e-6)


def test_sampling_of_as_many_rows_as_segments_is_the_identity():
    rows = np.random.default_rng(0).standard_normal((3, 32, 4)).astype(np.float32)
    for rule in segments.SAMPLINGS.values():
        np.testing.assert_array_equal(rule(rows, 32), rows)


@pytest.mark.parametrize("frames", [0, 5, 15, 16, 17, 160, 511, 512, 527, 4000])
@pytest.mark.parametrize("rule", ["seed", "matlab", "paint"])
def test_every_rule_gives_one_score_a_frame(rule, frames):
    scores = np.arange(1, 33, dtype=np.float32)
    spread = segments.expand(scores, frames, rule)
    assert spread.shape == (frames,) and spread.dtype == np.float32
    assert set(spread) <= {0, *scores}
    if rule == "even":
        assert (spread != 0).all() and (np.diff(spread) >= 0).all()
        return
    if rule != "paint":  # whose empty last segment paints the clip that is not whole
        assert (spread[frames // 16 * 16 :] == 0).all()
    assert (spread != 0).any() == (frames >= 16)


def test_even_rule_gives_every_row_an_equal_part():
    rows = np.array([0.5, 0.25, 1.0])
    np.testing.assert_array_equal(segments.expand(rows, 48, "even"), np.repeat(rows, 16))
    runs = [sum(segments.expand(np.arange(11), 180, "even") == row) for row in range(11)]
    assert set(runs) == {16, 17} and sum(runs) == 180
    assert set(segments.expand(np.arange(32), 120, "even")) == set(range(32))  # no score is lost


def test_matlab_rule_loses_the_last_clip_and_seed_rule_does_not():
    scores = np.ones(32, np.float32)
    assert segments.expand_matlab(scores, 64 * 16).sum() == 63 * 16
    assert segments.expand_seed(scores, 64 * 16).sum() == 64 * 16


def test_snippets_are_repeated_over_their_frames():
    scores = np.array([1, 2, 3], np.float32)
    for frames in (33, 40, 48):
        spread = segments.expand(scores, frames, "repeat")
        np.testing.assert_array_equal(spread, [scores[frame // 16] for frame in range(frames)])
    for frames in (32, 49):
        with pytest.raises(ValueError, match=f"3 snippets for {frames} frames"):
            segments.expand(scores, frames, "repeat")


def test_pooling_averages_and_normalises():
    clips = np.random.default_rng(0).standard_normal((65, 7))
    pooled = segments.pool_clips(clips, 32, normalize=False)
    np.testing.assert_allclose(pooled[3], clips[6:8].mean(0), rtol=1e-6)
    normalized = segments.pool_clips(clips, 32)
    np.testing.assert_allclose(np.linalg.norm(normalized, axis=1), 1, rtol=1e-6)
    few = segments.pool_clips(clips[:5], 32, normalize=False)
    np.testing.assert_allclose(few[:4], np.repeat(clips[:1], 4, 0), rtol=1e-6)


def test_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="seed, matlab, paint, even"):
        segments.expand(np.zeros(32), 100, "other")


@pytest.mark.parametrize(("rows", "count"), [(1, 4), (3, 4), (7, 4), (32, 32), (1000, 32)])
def test_linear_resize_equals_opencv(rows, count):
    found = np.random.default_rng(rows).standard_normal((2, rows, 5)).astype(np.float32)
    resized = segments.resize_linear(found, count)
    assert resized.dtype == np.float32
    for crop, expected in zip(resized, found, strict=True):
        image = np.repeat(expected[None], 2, 0)  # [2, n, 5]: time is the width
        expected = cv2.resize(image, (count, 2), interpolation=cv2.INTER_LINEAR)[0]
        np.testing.assert_allclose(crop, expected, atol=1e-6)


def test_pooling_rules():
    rows = np.random.default_rng(0).standard_normal((3, 40, 6)).astype(np.float32)
    np.testing.assert_array_equal(segments.pool(rows, None, None, False), rows)
    mean = segments.pool(rows, "mean", 8, True)
    assert mean.shape == (3, 8, 6)
    np.testing.assert_allclose(mean[2], segments.pool_clips(rows[2], 8), rtol=1e-5)
    linear = segments.pool(rows, "linear", 40, False)
    np.testing.assert_allclose(linear, rows, atol=1e-6)
    with pytest.raises(ValueError, match="pooling 'max' to 8 segments; expected one of mean, lin"):
        segments.pool(rows, "max", 8, False)


@pytest.mark.parametrize("frames", [5, 16, 17, 300, 511, 512, 521, 4000])
def test_frames_that_no_segment_covers_take_the_last_score(frames):
    scores = np.linspace(-5, -1, 32)
    whole = frames // 16 * 16
    spread = segments.expand(scores, frames, "segments")
    np.testing.assert_array_equal(spread[:whole], segments.expand_seed(scores, frames)[:whole])
    assert (spread[whole:] == -1).all() and spread.shape == (frames,)
    assert segments.uncovered_frames(32, frames, "seed") == frames - whole
    assert segments.uncovered_frames(32, frames, "segments") == 0


def test_a_last_snippet_that_is_not_whole_may_lack_its_score():
    scores = np.array([1.0, 2, 3])
    for frames in (33, 40, 48):
        spread = segments.expand(scores, frames, "snippets")
        np.testing.assert_array_equal(spread, segments.expand(scores, frames, "repeat"))
    spread = segments.expand(scores, 60, "snippets")
    np.testing.assert_array_equal(spread, [scores[min(frame // 16, 2)] for frame in range(60)])
    for frames in (32, 64):
        with pytest.raises(ValueError, match=f"3 snippets for {frames} frames"):
            segments.expand(scores, frames, "snippets")


@pytest.mark.parametrize(
    ("counts", "rules", "assumed"),
    [
        ([(41, 650), (32, 512)], ["snippets"] * 2, None),  # ceil(T / 16) each
        ([(40, 650), (20, 325)], ["snippets"] * 2, None),  # floor(T / 16) each
        ([(32, 650), (32, 505)], ["segments"] * 2, None),  # the first is no snippets
        ([(41, 650), (32, 505)], ["snippets"] * 2, None),  # the first is no segments
        ([(32, 512), (32, 527)], ["snippets"] * 2, None),  # both, and they are the same
        ([(32, 500), (32, 505)], ["snippets"] * 2, "500 to 505 frames, so .* assumed 'snippets'"),
        ([(64, 650), (64, 900)], ["even"] * 2, "2 by 'even' .* 64 scores for 650 frames"),
        ([(41, 650), (32, 900)], ["snippets", "segments"], "1 by 'snippets' .* 1 by 'segments'"),
        ([], [], None),
    ],
)
def test_the_numbers_of_scores_say_which_rule_holds(counts, rules, assumed):
    found, said = segments.choose_expansions(counts)
    assert found == rules
    assert (said is None) if assumed is None else re.search(assumed, said)


def test_where_both_rules_fit_and_nothing_is_said_they_give_the_same():
    scores = np.random.default_rng(0).standard_normal(32)
    both = [t for t in range(1, 2000) if len(segments.fitting_expansions(32, t)) == 2]
    assert both == list(range(497, 528))
    for frames in both:
        given = [segments.expand(scores, frames, rule) for rule in ("snippets", "segments")]
        said = segments.choose_expansions([(32, frames)])[1]
        assert np.array_equal(*given) == (said is None), frames
