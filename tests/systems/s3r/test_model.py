"""S3R and RTFM against the golden numbers."""

import functools

import jax
import numpy as np
import pytest

from tests.systems.s3r.golden import (
    Case,
    check_gradient_norms,
    check_losses,
    check_outputs,
    check_training,
    training_step,
    uniform,
)
from vadjax.data.segments import expand
from vadjax.metrics import frame
from vadjax.ops.optim import adam
from vadjax.scores.files import Scores
from vadjax.systems.s3r.convert import to_state
from vadjax.systems.s3r.select import chosen_mean, top_snippets

HEAD = (("hidden", 2), ("squeeze", 5))  # layers and their dropouts in the originals
INTERMEDIATES = {
    "en_normal": "en_normal_out",
    "video_aggregate": "video_aggregate",
    "macro_aggregate": "macro_aggregate",
    "gated_video": "denormal_video",
    "gated_macro": "denormal_macro",
}
LABELS_THEIRS = ("regular", "anomaly")


def jitted(model, **options):
    """Compiled `model.apply`."""
    return jax.jit(functools.partial(model.apply, **options))


@pytest.fixture(scope="module")
def small(golden) -> Case:
    return Case(golden / "s3r", "s3r_small")


@pytest.mark.golden
def test_recipe_gives_the_stored_weights(small):
    stored = np.load(small.folder / "s3r_small_weights.npz")
    state = small.state()
    assert sorted(state) == sorted(stored.files)
    for name, array in state.items():
        np.testing.assert_array_equal(array, stored[name], err_msg=name)


@pytest.mark.golden
def test_small_evaluation(small):
    numbers, variables, model = small.numbers("eval"), small.variables(), small.model()
    apply = jitted(model, mutable=["intermediates"])
    np.testing.assert_array_equal(small.dictionary, numbers["dictionary"])
    for length in small.settings["eval_T"]:
        expected = {
            name.split("/")[1]: array
            for name, array in numbers.items()
            if name.startswith(f"T{length}/")
        }
        video = small.video(length)
        np.testing.assert_array_equal(video, expected["video"])
        found, sown = apply(variables, video, small.dictionary)
        sown = sown["intermediates"]
        sown["en_normal"] = sown["macro"]["input"]
        close = np.testing.assert_allclose
        close(found.scores[..., None], expected["video_scores"], atol=2e-6, rtol=0)
        close(found.macro[..., None], expected["macro_scores"], atol=2e-6, rtol=0)
        close(found.magnitudes, expected["feature_magnitudes"], rtol=2e-6)
        attention = np.asarray(sown["reconstruct"]["attention"][0])
        attention = np.moveaxis(attention, -1, 0).reshape(1, attention.shape[-1], -1)
        close(attention, expected["memory_attn"], atol=1e-5, rtol=0)
        for ours, theirs in INTERMEDIATES.items():
            close(sown[ours][0], expected[theirs], atol=1e-5, rtol=0, err_msg=theirs)
        close(sown["channel_weights"][0][..., None], expected["gate"], atol=1e-5, rtol=0)
        non_local = np.moveaxis(sown["video"]["related"][0], 1, 2)
        close(non_local, expected["video_nonlocal"], atol=1e-5, rtol=0)
        top = top_snippets(found.magnitudes, small.settings["top_k"])
        for name in ("anomaly_score", "regular_score"):
            close(chosen_mean(found.scores, top)[None], expected[name], atol=2e-6, rtol=0)
        chosen = found.features[0][:, top[0]]
        close(chosen, expected["feature_select_anomaly"], atol=1e-5, rtol=0)


@pytest.mark.golden
def test_small_training(small):
    check_training(small, "small")


@pytest.mark.golden
def test_small_step_with_dropout(small):
    numbers, rate = small.numbers("dropout"), small.settings["dropout_rate"]
    masks = {
        name.removeprefix("mask/"): np.unpackbits(packed)
        for name, packed in numbers.items()
        if name.startswith("mask/")
    }
    masks = {
        name: bits[: np.prod(shape := numbers[f"mask_shape/{name}"])].reshape(shape).astype(bool)
        for name, bits in masks.items()
    }
    for name, mask in masks.items():
        np.testing.assert_array_equal(mask, uniform(small.seed, f"mask/{name}", mask.shape) >= rate)
    model = small.model(dropout=rate)
    _, step = training_step(model, 1e-3, 0.0, small.settings["top_k"])
    variables, batch = small.variables(), small.batch(0)
    params, batch_stats = variables["params"], variables["batch_stats"]
    state = adam(1e-3).init(params)
    *_, (total, terms, _, outputs, chosen), gradients = step(
        params, batch_stats, state, batch, small.dictionary, keep_of(masks, small.crops)
    )
    expected = numbers | {f"topk_{label}": numbers[f"topk/{label}"] for label in LABELS_THEIRS}
    check_losses(expected, total, terms, 2e-6)
    check_outputs(expected, outputs, chosen, 2e-6)
    gradients = to_state({"params": gradients}, model, small.dim)
    check_gradient_norms(small, numbers, gradients, 1e-4)


def keep_of(masks: dict, crops: int) -> dict:
    """Masks of the originals as `pair_loss` takes them: bags of both labels in turn."""

    def turns(mask):
        halves = mask.reshape(2, -1, crops, *mask.shape[1:])
        return {"kept": halves.swapaxes(0, 1).reshape(mask.shape)}

    heads = {"video_head": "video_classifier.{}", "macro_head": "macro_classifier.mlp.{}"}
    keep = {
        ours: {f"{layer}_dropout": turns(masks[theirs.format(number)]) for layer, number in HEAD}
        for ours, theirs in heads.items()
    }
    for branch in ("video", "macro"):
        keep[f"{branch}_dropout"] = turns(masks[f"{branch}_embedding.1"])
    selection = {"anomalous": masks["drop_out_call0"], "normal": masks["drop_out_call1"]}
    return keep | {"selection": selection}


@pytest.mark.golden
@pytest.mark.slow
def test_full_evaluation(golden):
    case = Case(golden / "s3r", "s3r_full")
    numbers, variables, model = case.numbers("eval"), case.variables(), case.model()
    apply = jitted(model, mutable=["intermediates"])
    close = np.testing.assert_allclose
    for length in case.settings["eval_T"]:
        found, sown = apply(variables, case.video(length), case.dictionary)
        sown = sown["intermediates"]
        sown["en_normal"] = sown["macro"]["input"]
        expected = {
            name.split("/")[1]: array
            for name, array in numbers.items()
            if name.startswith(f"T{length}/")
        }
        close(found.scores[..., None], expected["video_scores"], atol=5e-6, rtol=0)
        close(found.macro[..., None], expected["macro_scores"], atol=5e-6, rtol=0)
        close(found.magnitudes, expected["feature_magnitudes"], rtol=2e-6)
        attention = sown["reconstruct"]["attention"][0][0].T[None]
        close(attention, expected["memory_attn_crop0"], atol=1e-5, rtol=0)
        close(sown["channel_weights"][0][..., None], expected["gate"], atol=1e-5, rtol=0)
        for ours, theirs in INTERMEDIATES.items():
            part = sown[ours][0][0, :, :32]
            close(part, expected[f"{theirs}_crop0_first32"], atol=1e-5, rtol=0, err_msg=theirs)
            norms = np.linalg.norm(np.asarray(sown[ours][0], np.float64), axis=-1)
            close(norms, expected[f"{theirs}_l2"], rtol=2e-6, err_msg=theirs)
        top = top_snippets(found.magnitudes, case.settings["top_k"])
        for name in ("anomaly_score", "regular_score"):
            close(chosen_mean(found.scores, top)[None], expected[name], atol=5e-6, rtol=0)


@pytest.mark.golden
@pytest.mark.slow
def test_rtfm_evaluation(golden):
    case = Case(golden / "s3r", "rtfm_full")
    numbers, variables, model = case.numbers("eval"), case.variables(), case.model()
    apply = jitted(model, mutable=["intermediates"])
    close = np.testing.assert_allclose
    for length in case.settings["eval_T"]:
        found, sown = apply(variables, case.video(length))
        sown = sown["intermediates"]
        close(found.scores[..., None], numbers[f"T{length}/scores"], atol=5e-6, rtol=0)
        close(found.magnitudes, numbers[f"T{length}/feat_magnitudes"], rtol=2e-6)
        part = sown["video_aggregate"][0][0, :, :32]
        close(part, numbers[f"T{length}/aggregate_crop0_first32"], atol=5e-5, rtol=0)
        part = sown["video"]["related"][0][0, :, :32].T
        close(part, numbers[f"T{length}/nonlocal_crop0_first32"], atol=5e-5, rtol=0)
        top = top_snippets(found.magnitudes, case.settings["top_k"])
        for name in ("score_abnormal", "score_normal"):
            score = chosen_mean(found.scores, top)[None]
            close(score, numbers[f"T{length}/{name}"], atol=5e-6, rtol=0)


@pytest.mark.golden
@pytest.mark.slow
@pytest.mark.parametrize("name", ["s3r_full", "rtfm_full"])
def test_full_training(golden, name):
    check_training(Case(golden / "s3r", name), "full")


@pytest.mark.golden
def test_scores_of_whole_videos(small):
    numbers = dict(np.load(small.folder / "inference.npz"))
    variables, apply, results = small.variables(), jitted(small.model()), []
    videos = range(int(numbers["n_videos"]))
    longest = max(len(numbers[f"score_{i}"]) for i in videos) + 3
    for i in videos:
        video, length = numbers[f"video_{i}"].swapaxes(0, 1)[None], len(numbers[f"score_{i}"])
        padded = np.pad(video, [(0, 0), (0, 0), (0, longest - length), (0, 0)])
        valid = np.arange(longest)[None] < length
        found = apply(variables, padded, numbers["dictionary"], valid=valid)
        scores = np.asarray(found.scores[0, :length])
        np.testing.assert_allclose(scores, numbers[f"score_{i}"], atol=2e-6, rtol=0)
        for kind, values in (("stored", numbers[f"score_{i}"]), ("ours", scores)):
            frames = expand(values, 16 * length, "repeat")
            results.append((kind, Scores(f"video_{i}", frames, labels=numbers[f"gt_{i}"])))
    for kind, tolerance in (("stored", 1e-9), ("ours", 1e-4)):
        figures = frame.evaluate([scores for other, scores in results if other == kind])
        assert figures["auc"] == pytest.approx(float(numbers["auc"]), abs=tolerance)
        assert figures["ap"] == pytest.approx(float(numbers["ap"]), abs=tolerance)
        assert figures["pr_auc"] == pytest.approx(float(numbers["pr_auc_trapezoid"]), abs=tolerance)
