import json
import sys

import numpy as np
import pytest
import scipy.io
import scipy.stats
import sklearn.metrics

from vadjax.data.segments import expand_seed, frame_labels
from vadjax.metrics import frame
from vadjax.scores import files as score_files
from vadjax.scores.files import Scores


def by_video(case) -> list[Scores]:
    ids = case["video_id"]
    return [
        Scores(str(i), case["scores"][ids == i], case["labels"][ids == i]) for i in np.unique(ids)
    ]


@pytest.mark.golden
def test_golden_curve_and_areas(frame_level_case):
    case = np.load(frame_level_case)
    points = frame.curve(case["labels"], case["scores"])
    corners = points.corners()
    np.testing.assert_allclose(corners.fpr, case["roc_fpr"], atol=1e-12)
    np.testing.assert_allclose(corners.tpr, case["roc_tpr"], atol=1e-12)
    np.testing.assert_array_equal(corners.thresholds, case["roc_thresholds"])
    for ours, theirs in {
        frame.area(points): "micro_auc",
        frame.area(corners): "micro_auc",
        frame.average_precision(points): "average_precision",
        frame.pr_auc(points): "pr_auc_trapezoid",
        frame.equal_error_rate(points): "eer",
    }.items():
        np.testing.assert_allclose(ours, case[theirs], atol=1e-9, rtol=0, err_msg=theirs)


@pytest.mark.golden
def test_golden_video_conventions(frame_level_case):
    case = np.load(frame_level_case)
    videos = by_video(case)
    for padded, per_video, macro in (
        (False, "per_video_auc", "macro_auc_skip"),
        (True, "per_video_auc_padded", "macro_auc_padded"),
    ):
        found = list(frame.video_aucs(videos, padded).values())
        np.testing.assert_allclose(found, case[per_video], atol=1e-9, rtol=0)
        np.testing.assert_allclose(frame.macro_auc(videos, padded), case[macro], atol=1e-9, rtol=0)
    figures = frame.evaluate(videos)
    expected = case["micro_auc_minmax_per_video"]
    np.testing.assert_allclose(figures["auc_minmax"], expected, atol=1e-9, rtol=0)


@pytest.mark.golden
def test_golden_toy_evaluation(golden):
    toy = json.loads((golden / "mil" / "eval_toy.json").read_text())
    arrays = np.load(golden / "mil" / "eval_toy.npz")
    anomalous = [
        toy_video(f"a{i}", segments, frames, ends)
        for i, (segments, frames, ends) in enumerate(
            zip(arrays["scores_anomaly"], toy["frames_anomaly"], toy["intervals"], strict=True)
        )
    ]
    normal = [
        toy_video(f"n{i}", segments, frames, [])
        for i, (segments, frames) in enumerate(
            zip(arrays["scores_normal"], toy["frames_normal"], strict=True)
        )
    ]
    pairs = [frame.pair_auc(a, n) for a, n in zip(anomalous, normal, strict=False)]
    np.testing.assert_allclose(pairs, toy["per_pair_auc"], atol=1e-9, rtol=0)
    np.testing.assert_allclose(np.mean(pairs), toy["mean_per_pair_auc"], atol=1e-9, rtol=0)
    figures = frame.evaluate(anomalous + normal)
    for ours, theirs in (
        ("auc", "pooled_auc_all"),
        ("ap", "pooled_ap_all"),
        ("auc_anomalous", "pooled_auc_anomaly_only"),
    ):
        np.testing.assert_allclose(figures[ours], toy[theirs], atol=1e-9, rtol=0)
    assert (figures["anomalous_frames"], figures["frames"]) == (toy["positives"], toy["total"])


def toy_video(name: str, segments, frames: int, ends: list[int]) -> Scores:
    """Intervals are from 1, inclusive, and may pass the end."""
    inside = [(a - 1, min(b, frames)) for a, b in zip(ends[::2], ends[1::2], strict=True)]
    return Scores(name, expand_seed(segments, frames), frame_labels(np.array(inside), frames))


def brute_force_auc(labels, scores) -> float:
    """Share of (anomalous, normal) pairs in the right order, ties one half."""
    a, n = scores[labels == 1][:, None], scores[labels == 0][None]
    return float(((a > n) + 0.5 * (a == n)).mean())


def rank_form_auc(labels, scores) -> float:
    """Spec metrics §1: from the midranks of the anomalous frames."""
    positives, negatives = (labels == 1).sum(), (labels == 0).sum()
    ranks = scipy.stats.rankdata(scores)[labels == 1].sum()
    return (ranks - positives * (positives + 1) / 2) / (positives * negatives)


@pytest.mark.parametrize("seed", range(20))
def test_curve_and_areas_equal_brute_force_and_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    labels = np.append(rng.integers(0, 2, 60), [0, 1])
    scores = rng.integers(0, 10, 62) / 7 if seed % 2 else rng.standard_normal(62)
    assert abs(frame.auc(labels, scores) - brute_force_auc(labels, scores)) < 1e-12
    points = frame.curve(labels, scores)
    thresholds = np.unique(scores)[::-1]
    np.testing.assert_array_equal(points.thresholds[1:], thresholds)
    for i, threshold in enumerate(thresholds, 1):
        assert points.true_positives[i] == (labels[scores >= threshold] == 1).sum()
        assert points.false_positives[i] == (labels[scores >= threshold] == 0).sum()
    precision, recall, _ = sklearn.metrics.precision_recall_curve(labels, scores)
    for ours, theirs in (
        (frame.area(points), sklearn.metrics.roc_auc_score(labels, scores)),
        (frame.average_precision(points), sklearn.metrics.average_precision_score(labels, scores)),
        (frame.pr_auc(points), sklearn.metrics.auc(recall, precision)),
        (frame.area(points), rank_form_auc(labels, scores)),
    ):
        assert abs(ours - theirs) < 1e-12


def test_close_scores_are_not_made_equal():
    scores = np.array([1.0, 1.0 + 1e-12])
    assert frame.auc(np.array([0, 1]), scores) == 1.0


def test_hand_computed_small_case():
    videos = [
        Scores("a", np.array([0.9, 0.2, 0.6]), np.array([1, 0, 0])),
        Scores("b", np.array([0.5, 0.1]), np.array([0, 0])),
    ]
    figures = frame.evaluate(videos, threshold=0.5)
    assert figures["auc"] == figures["auc_macro"] == figures["ap"] == 1.0
    assert figures["auc_pairs"] == 1.0 and figures["auc_pairs_deviation"] == 0.0
    assert figures["false_alarm_rate"] == 0.5
    assert figures["auc_minmax"] == 0.875  # b's maximum becomes 1 as well: a tie
    assert (figures["videos"], figures["anomalous_videos"], figures["frames"]) == (2, 1, 5)


def test_pairing_is_seeded_and_leaves_out_the_surplus():
    rng = np.random.default_rng(0)
    videos = [
        Scores(f"v{i}", rng.random(20), (np.arange(20) < 5).astype(int) * (i < 3)) for i in range(8)
    ]
    first = frame.pair_aucs(videos, pairings=4, seed=7)
    np.testing.assert_array_equal(first, frame.pair_aucs(videos, pairings=4, seed=7))
    assert len(set(first)) == 4
    assert frame.pair_aucs(videos[:3], 4).size == 0


@pytest.mark.parametrize(("label", "which"), [(0, "normal"), (1, "anomalous")])
def test_one_class_is_undefined(label, which):
    with pytest.raises(ValueError, match=f"all 3 frames are {which}"):
        frame.auc(np.full(3, label), np.arange(3))


def test_nan_scores_and_missing_labels_are_refused():
    with pytest.raises(ValueError, match="NaN"):
        frame.auc(np.array([0, 1]), np.array([0, np.nan]))
    with pytest.raises(ValueError, match="v: no labels"):
        frame.evaluate([Scores("v", np.zeros(3))])


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(4):
        labels = (np.arange(64) < 10 * (i % 2)).astype(np.uint8)
        segments = rng.random(4).astype(np.float32)
        score_files.write(
            tmp_path / "scores",
            Scores(f"v{i}", expand_seed(segments, 64), labels, segment_scores=segments),
        )
    return tmp_path / "scores"


def test_command_prints_what_evaluate_returns(folder, capsys):
    frame.main([str(folder), "--json"])
    assert json.loads(capsys.readouterr().out) == pytest.approx(
        frame.evaluate(score_files.read_folder(folder))
    )
    frame.main([str(folder)])
    assert "auc_macro" in capsys.readouterr().out


def test_command_takes_labels_from_a_file_and_another_expansion(folder, tmp_path, capsys):
    labels = {f"v{i}": np.arange(64) % 2 for i in range(4)}
    np.savez(tmp_path / "labels.npz", **labels)
    frame.main([str(folder), "--labels", str(tmp_path / "labels.npz"), "--json"])
    assert json.loads(capsys.readouterr().out)["anomalous_frames"] == 128
    frame.main([str(folder), "--expansion", "matlab", "--json"])
    other = json.loads(capsys.readouterr().out)
    frame.main([str(folder), "--json"])
    assert json.loads(capsys.readouterr().out)["auc"] != other["auc"]


def test_command_says_what_is_wrong_in_one_line(tmp_path, folder):
    with pytest.raises(SystemExit, match="no score files"):
        frame.main([str(tmp_path)])
    np.savez(tmp_path / "labels.npz", v0=np.zeros(64))
    with pytest.raises(SystemExit, match="no labels for v1"):
        frame.main([str(folder), "--labels", str(tmp_path / "labels.npz")])


def perfect(folder, events: dict[str, slice], segments: dict[str, tuple[int, int]], low=0.0):
    """Files of (K, T): scores `low` to `low + 0.1`, and 4 more in `events`, which are true."""
    rng = np.random.default_rng(0)
    for name, (count, frames) in segments.items():
        scores, labels = low + 0.1 * rng.random(count), np.zeros(frames, int)
        if name in events:
            scores[events[name]] += 4
            labels[16 * events[name].start : 16 * events[name].stop] = 1
        np.savez(folder / f"{name}.npz", segment_scores=scores, num_frames=frames, labels=labels)


def measured(capsys, *options) -> dict:
    frame.main([*map(str, options), "--json"])
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("part", [0, 1], ids=["whole", "last one missing"])
def test_a_perfect_detector_of_snippets_is_perfect_by_default(tmp_path, capsys, part):
    lengths = (313, 650, 777, 888)
    counts = {f"v{t}": (-(-t // 16) - part, t) for t in lengths}
    perfect(tmp_path, {"v650": slice(30, 35), "v888": slice(40, 44)}, counts)
    found = measured(capsys, tmp_path)
    assert found["auc"] == found["ap"] == 1
    if not part:
        assert measured(capsys, tmp_path, "--expansion", "seed")["auc"] < 1


@pytest.mark.parametrize("low", [-5.0, 5.0])
def test_a_perfect_detector_of_32_segments_is_perfect_whatever_the_sign(tmp_path, capsys, low):
    counts = {f"v{i}": (32, 32 * 16 + 9) for i in range(4)}
    perfect(tmp_path, {"v0": slice(10, 14), "v1": slice(28, 32)}, counts, low)
    found = measured(capsys, tmp_path)
    assert found["auc"] > 1 - 18 / 2000  # the 9 frames past the last clip of v1 have its score
    perfect(tmp_path, {"v0": slice(10, 14), "v1": slice(10, 14)}, counts, low)
    found = measured(capsys, tmp_path)
    assert found["auc"] == found["ap"] == 1
    frame.main([str(tmp_path), "--expansion", "seed"])
    said = capsys.readouterr().err
    assert ("to 36 frames that no segment covers" in said) == (low < 0)


@pytest.fixture
def two_sided(tmp_path):
    """Ten videos, five anomalous, with labels in a file."""
    rng, labels = np.random.default_rng(0), {}
    for i in range(10):
        labels[f"v{i}"] = ((np.arange(200) >= 150) & (i < 5)).astype(int)
        written = Scores(f"v{i}", labels[f"v{i}"] + rng.random(200))
        score_files.write(tmp_path / "scores", written)
    np.savez(tmp_path / "labels.npz", **labels)
    return tmp_path / "scores", "--labels", str(tmp_path / "labels.npz")


def test_labelled_videos_without_scores_are_an_error(two_sided, capsys):
    assert measured(capsys, *two_sided)["videos"] == 10
    for i in range(3):
        (two_sided[0] / f"v{i}.npz").unlink()
    with pytest.raises(SystemExit, match=r"labels\.npz: no scores for v0, v1, v2, which have lab"):
        frame.main([*map(str, two_sided)])
    frame.main([*map(str, two_sided), "--allow_missing", "--json"])
    out, said = capsys.readouterr()
    found = json.loads(out)
    assert (found["videos"], found["left_out_videos"]) == (7, 3)
    assert "no scores for v0, v1, v2" in said and "The figures are of 7 videos" in said


def test_scores_without_labels_are_an_error(two_sided, capsys):
    score_files.write(two_sided[0], Scores("other", np.zeros(5)))
    with pytest.raises(SystemExit, match="no labels for other"):
        frame.main([*map(str, two_sided)])
    found = measured(capsys, *two_sided, "--allow_missing")
    assert (found["videos"], found["left_out_videos"]) == (10, 1)
    with pytest.raises(SystemExit, match=r"no labels for other, v0, v1, v2, v3 and 6 more; give"):
        frame.main([str(two_sided[0])])


@pytest.mark.parametrize(("gone", "kind"), [(range(5), "anomalous"), (range(5, 10), "normal")])
def test_a_class_that_vanishes_is_named(two_sided, gone, kind):
    for i in gone:
        (two_sided[0] / f"v{i}.npz").unlink()
    with pytest.raises(SystemExit, match=f"All 5 {kind} videos of the labels are among them"):
        frame.main([*map(str, two_sided)])


def test_names_that_agree_nowhere_are_an_error_even_where_some_may_be_missing(two_sided):
    for i in range(10):
        (two_sided[0] / f"v{i}.npz").rename(two_sided[0] / f"V{i}.npz")
    with pytest.raises(SystemExit, match="no video has both; do the names agree"):
        frame.main([*map(str, two_sided), "--allow_missing"])


def test_own_labels_of_some_score_files_only_are_an_error(two_sided, capsys):
    for i in range(6):
        labels = (np.arange(200) < 50 * (i % 2)).astype(int)
        score_files.write(two_sided[0], Scores(f"v{i}", labels + 0.5, labels))
    with pytest.raises(SystemExit, match="no labels for v6, v7, v8, v9"):
        frame.main([str(two_sided[0])])
    found = measured(capsys, two_sided[0], "--allow_missing")
    assert (found["videos"], found["left_out_videos"], found["auc"]) == (6, 4, 1)


def test_labels_of_another_length_name_the_video_and_the_file(two_sided, tmp_path):
    with np.load(two_sided[2]) as file:
        labels = dict(file)
    labels["v3"] = labels["v3"][:-1]
    np.savez(two_sided[2], **labels)
    with pytest.raises(SystemExit, match=r"v3: 200 scores for 199 labels \(.*labels\.npz\)"):
        frame.main([*map(str, two_sided)])


def test_labels_of_matlab_are_measured(two_sided, tmp_path, capsys):
    with np.load(two_sided[2]) as file:
        scipy.io.savemat(tmp_path / "gt.mat", {name: row[:, None] for name, row in file.items()})
    found = measured(capsys, two_sided[0], "--labels", tmp_path / "gt.mat")
    assert found == measured(capsys, *two_sided)


def test_a_video_whose_frames_do_not_count_is_named():
    videos = [
        Scores("a", np.arange(4.0), np.array([0, 0, 1, 1])),
        Scores("b", np.arange(4.0), np.zeros(4), scored=np.zeros(4, bool)),
    ]
    with pytest.raises(ValueError, match="b: none of its frames counts"):
        frame.evaluate(videos)


def test_metrics_and_report_need_no_jax():
    import subprocess

    code = (
        "import sys, vadjax.metrics.frame, vadjax.metrics.region, vadjax.metrics.compute_auc, "
        "vadjax.report.__main__, vadjax.report.overlay; "
        "sys.exit(any(name in sys.modules for name in ('jax', 'flax', 'tensorflow_datasets')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_frames_that_do_not_count_are_left_out_and_alternatives_measured():
    labels = np.array([1, 0, 1, 0])
    video = Scores(
        "v",
        np.array([0.0, 1.0, 0.9, 0.1]),
        labels,
        scored=np.array([False, False, True, True]),
        alternatives={"baseline": np.array([5.0, 0.0, 1.0, 2.0])},
    )
    figures = frame.evaluate([video])
    assert figures["auc"] == 1.0 and figures["frames"] == 2
    assert figures["auc:baseline"] == figures["auc_minmax:baseline"] == 0.0
    assert frame.auc(labels, video.frame_scores) < 1


def test_an_alternative_that_not_all_videos_have_is_no_number():
    labels = np.array([0, 1])
    videos = [Scores(name, labels + 0.5, labels, alternatives={"b": labels}) for name in "xy"]
    assert frame.evaluate(videos)["auc:b"] == 1
    videos[0] = Scores("x", labels + 0.5, labels)
    figures = frame.evaluate(videos)
    assert np.isnan(figures["auc:b"]) and np.isnan(figures["auc_minmax:b"])


def test_the_largest_numbers_are_scaled_too():
    largest = np.finfo(np.float64).max
    np.testing.assert_array_equal(frame.minmax([-largest, 0, largest]), [0, 0.5, 1])
    np.testing.assert_array_equal(frame.minmax([-1, 1, 3]), [0, 0.5, 1])


@pytest.mark.skipif(np.finfo(np.longdouble).max == np.finfo(np.float64).max, reason="no wider one")
def test_numbers_too_large_for_float64_are_refused(tmp_path):
    np.savez(tmp_path / "v.npz", frame_scores=np.array(["1e4000", "1"], np.longdouble))
    with pytest.raises(ValueError, match="v: 1 of 2 scores are NaN or infinite"):
        score_files.read(tmp_path / "v.npz")
