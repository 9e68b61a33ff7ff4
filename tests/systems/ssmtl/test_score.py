"""Scores of SSMTL: of objects, of frames, over time; golden numbers and cases by hand."""

import re

import numpy as np
import pytest
from scipy import ndimage

from vadjax.metrics import frame as metrics
from vadjax.scores.files import Scores
from vadjax.systems.ssmtl import score
from vadjax.systems.ssmtl.model import TASKS

SIZE = 12, 16


# Objects


@pytest.fixture(scope="module")
def losses(golden):
    return dict(np.load(golden / "ssmtl" / "losses_scores.npz"))


def golden_outputs(case):
    names = ("logits_t1", "logits_t2", "recon", "kd_pred")
    return {task: case[name] for task, name in zip(TASKS, names, strict=True)}


@pytest.mark.golden
def test_standardised_scores_of_objects():
    """No task decides alone because its scores are widest; normal objects have 0 or little."""
    by_task = {"a": np.array([0.5, 0.7, 0.1]), "b": np.array([10.0, 30.0, 5.0])}
    normal = np.array([[0.5, 0.1], [10.0, 10.0]])
    found = score.object_scores(by_task, "standardised", normal)
    np.testing.assert_allclose(found, [0, 2, 0], atol=1e-6)


def test_object_scores(losses):
    detector = losses["kd_target"][:, :80]  # the README: the first 80 are the detector's
    found = score.task_scores(golden_outputs(losses), losses["middle"], detector)
    parts = np.stack([found[task] for task in TASKS], 1)
    np.testing.assert_allclose(parts, losses["score_parts"], atol=1e-6, rtol=0)
    np.testing.assert_allclose(score.object_scores(found), losses["score"], atol=1e-6, rtol=0)


@pytest.mark.golden
def test_mean_over_the_tasks_in_use(losses):
    outputs = golden_outputs(losses)
    for used in ({"arrow"}, {"middle", "irregularity"}):
        found = score.task_scores({task: outputs[task] for task in used}, losses["middle"])
        columns = [TASKS.index(task) for task in used]
        expected = losses["score_parts"][:, columns].mean(1)
        np.testing.assert_allclose(score.object_scores(found), expected, atol=1e-6, rtol=0)


def test_distillation_in_probabilities():
    outputs = {"distillation": np.array([[0.0, 2.0, 99.0]], np.float32)}
    detector, crops = np.array([[0.0, -2.0]], np.float32), np.zeros((1, 4, 4, 3))
    found = score.task_scores(outputs, crops, detector)["distillation"]
    np.testing.assert_allclose(found, [2.0], rtol=1e-6)
    found = score.task_scores(outputs, crops, detector, "probabilities")["distillation"]
    np.testing.assert_allclose(found, [np.tanh(1) / 2], rtol=1e-6)
    with pytest.raises(ValueError, match="'softmax'; expected one of logits, probabilities"):
        score.task_scores(outputs, crops, detector, "softmax")
    with pytest.raises(ValueError, match="no detector outputs"):
        score.task_scores(outputs, crops)


# Frames


@pytest.fixture(scope="module")
def case(golden):
    return dict(np.load(golden / "ssmtl" / "aggregation.npz"))


def objects_of(case):
    size = int(case["height"]), int(case["width"])
    objects = case["obj_frame"], case["obj_box"], case["obj_score"]
    return *objects, int(case["n_frames"]), size


@pytest.mark.golden
def test_pixel_volume(case):
    volume = score.pixel_volume(*objects_of(case))
    for name, own in (("max_per_frame", volume.max((1, 2))), ("sum", volume.sum((1, 2)))):
        np.testing.assert_allclose(own, case[f"volume_{name}"], atol=1e-9, rtol=0)


@pytest.mark.golden
def test_mean_filter(case):
    filtered = score.mean_filter(score.pixel_volume(*objects_of(case)))
    np.testing.assert_allclose(filtered.max((1, 2)), case["mean3d_frame_max"], atol=1e-9, rtol=0)
    count = len(filtered)
    slices = filtered[[0, count // 4, count // 2, count - 1]]
    np.testing.assert_allclose(slices, case["mean3d_slices"], atol=1e-6, rtol=0)


@pytest.mark.golden
@pytest.mark.parametrize("block", [1, 10**5, 10**9])
def test_frame_scores_in_blocks(case, block, monkeypatch):
    monkeypatch.setattr(score, "BLOCK", block)
    found = score.frame_scores(*objects_of(case))
    np.testing.assert_allclose(found, case["mean3d_frame_max"], atol=1e-9, rtol=0)


@pytest.mark.golden
def test_frame_scores_without_the_filter(case):
    frames, boxes, scores, count, size = objects_of(case)
    expected = case["frame_score_object_max"]
    found = score.highest_of_frames(frames, scores, count)
    np.testing.assert_allclose(found, expected, atol=1e-9, rtol=0)
    found = score.frame_scores(frames, boxes, scores, count, size, filter_size=1)
    np.testing.assert_allclose(found, expected, atol=1e-9, rtol=0)


def test_mean_filter_by_hand():
    volume = np.zeros((3, *SIZE))
    volume[1, 5, 6] = 27
    found = score.mean_filter(volume, 3)
    expected = np.zeros_like(volume)
    expected[:, 4:7, 5:8] = 1
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_videos_shorter_than_the_filter_and_frames_without_objects():
    none = np.zeros(0, int), np.zeros((0, 4)), np.zeros(0)
    np.testing.assert_array_equal(score.frame_scores(*none, 5, SIZE), np.zeros(5))
    np.testing.assert_array_equal(score.highest_of_frames(none[0], none[2], 5), np.zeros(5))
    one = np.array([2]), np.array([[0.0, 0, 16, 12]]), np.array([0.9])
    found = score.frame_scores(*one, 3, SIZE)
    np.testing.assert_allclose(found, np.full(3, 0.1), atol=1e-12)  # one of nine frames


def test_the_higher_of_two_objects_counts():
    boxes = np.array([[2.0, 2, 6, 6], [4, 4, 9, 9], [0, 0, 1, 1]])
    volume = score.pixel_volume(np.array([0, 0, 7]), boxes, np.array([0.5, 0.2, 1]), 1, SIZE)
    assert volume[0, 5, 5] == 0.5 and volume[0, 7, 7] == 0.2
    assert (volume > 0).sum() == 16 + 25 - 4  # the third is in a frame that is not asked for


# Time


@pytest.mark.golden
def test_smoothing(case):
    source = case["mean3d_frame_max"]
    for form in score.GAUSSIANS:
        found = score.smooth(source, form=form)
        np.testing.assert_allclose(found, case[f"gauss_{form}"], atol=1e-9, rtol=0, err_msg=form)


@pytest.mark.golden
def test_smoothing_of_object_scores(case):
    names = [name for name in case if name.startswith("gauss_objmax_")]
    assert names
    for name in names:
        form, sigma, length = re.fullmatch(r"gauss_objmax_(\w+)_s(\d+)_t(\d+)", name).groups()
        found = score.smooth(case["frame_score_object_max"], int(sigma), int(length), form)
        np.testing.assert_allclose(found, case[name], atol=1e-9, rtol=0, err_msg=name)


def test_the_offset_form_is_a_frame_late():
    impulse = np.zeros(41)
    impulse[20] = 1
    assert score.smooth(impulse, 2, 21).argmax() == 20
    late = score.smooth(impulse, 2, 21, "offset")
    assert late.argmax() == 21
    np.testing.assert_allclose(late[21], 1 / (2 * np.sqrt(2 * np.pi)), rtol=1e-12)


def test_centred_smoothing_is_that_of_scipy():
    values = np.random.default_rng(0).random(50)
    expected = ndimage.gaussian_filter1d(values, 3.0, mode="constant", radius=12)
    np.testing.assert_allclose(score.smooth(values, 3.0, 25), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("sigma", "length", "form"), [(0, 9, "centred"), (1, 8, "centred"), (1, 9, "left")]
)
def test_smoothing_that_does_not_exist(sigma, length, form):
    with pytest.raises(ValueError, match=f"gaussian '{form}', {length} frames, sigma {sigma}"):
        score.smooth(np.ones(4), sigma, length, form)


# Figures


@pytest.mark.golden
def test_micro_and_macro_auc(golden):
    case = dict(np.load(golden / "ssmtl" / "auc.npz"))
    names = sorted(name.removeprefix("labels") for name in case if name.startswith("labels"))
    videos = [Scores(n, case[f"scores{n}"], labels=case[f"labels{n}"]) for n in names]
    found = metrics.evaluate(videos)
    np.testing.assert_allclose(found["auc"], case["micro"], atol=1e-12, rtol=0)
    np.testing.assert_allclose(found["auc_macro_padded"], case["macro"], atol=1e-12, rtol=0)
