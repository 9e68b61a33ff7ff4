"""S3R and RTFM against the golden numbers."""

import numpy as np
import pytest
from s3r_golden import Case


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
    np.testing.assert_array_equal(small.dictionary, numbers["dictionary"])
    for length in small.settings["eval_T"]:
        expected = {
            name.split("/")[1]: array
            for name, array in numbers.items()
            if name.startswith(f"T{length}/")
        }
        video = small.video(length)
        np.testing.assert_array_equal(video, expected["video"])
        found, sown = model.apply(variables, video, small.dictionary, mutable=["intermediates"])
        sown = sown["intermediates"]
        close = np.testing.assert_allclose
        close(found.scores[..., None], expected["video_scores"], atol=2e-6, rtol=0)
        close(found.macro[..., None], expected["macro_scores"], atol=2e-6, rtol=0)
        close(found.magnitudes, expected["feature_magnitudes"], rtol=2e-6)
        attention = np.asarray(sown["reconstruct"]["attention"][0])
        attention = np.moveaxis(attention, -1, 0).reshape(1, attention.shape[-1], -1)
        close(attention, expected["memory_attn"], atol=1e-5, rtol=0)
        for ours, theirs in (
            ("en_normal", "en_normal_out"),
            ("video_aggregate", "video_aggregate"),
            ("macro_aggregate", "macro_aggregate"),
            ("gated_video", "denormal_video"),
            ("gated_macro", "denormal_macro"),
        ):
            close(sown[ours][0], expected[theirs], atol=1e-5, rtol=0, err_msg=theirs)
        close(sown["channel_weights"][0][..., None], expected["gate"], atol=1e-5, rtol=0)
        non_local = np.moveaxis(sown["video"]["related"][0], 1, 2)
        close(non_local, expected["video_nonlocal"], atol=1e-5, rtol=0)
