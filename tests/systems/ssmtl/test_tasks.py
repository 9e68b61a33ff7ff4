"""What the tasks of SSMTL see: golden draws and frames, and the batch that they become."""

import jax.numpy as jnp
import numpy as np
import pytest

from vadjax.systems.ssmtl import tasks


@pytest.fixture(scope="module")
def case(golden):
    return dict(np.load(golden / "ssmtl" / "sampling.npz"))


@pytest.mark.golden
def test_draws_and_frames(case):
    frames = int(case["n_frames"])
    for i, key in enumerate(case["keys"]):
        drawn = tasks.draw(*key)
        assert (drawn.backward, drawn.irregular) == (case["backward"][i], case["irregular"][i])
        np.testing.assert_array_equal(drawn.gaps, case["gaps"][i])
        found = tasks.task_frames(int(key[3]), drawn, frames)
        np.testing.assert_array_equal(found.arrow, case["t1_idx"][i])
        np.testing.assert_array_equal(found.irregularity, case["t2_idx"][i])
        np.testing.assert_array_equal(found.middle, case["t3_idx"][i])
        np.testing.assert_array_equal(found.distillation, [key[3]])
        unclipped = tasks.irregular_frames(int(key[3]), drawn.gaps)
        np.testing.assert_array_equal(unclipped, case["irregular_unclipped"][i])


def test_frames_by_hand():
    """The pattern of the paper's figure: steps add up outward from the middle."""
    gaps = np.array([1, 3, 2, 3, 2, 4])
    np.testing.assert_array_equal(tasks.irregular_frames(10, gaps), [4, 6, 9, 10, 13, 15, 19])
    found = tasks.task_frames(1, tasks.Draw(1, 1, gaps), 6)  # at the beginning of a short video
    np.testing.assert_array_equal(found.arrow, [4, 3, 2, 1, 0, 0, 0])
    np.testing.assert_array_equal(found.irregularity, [0, 0, 0, 1, 4, 5, 5])
    np.testing.assert_array_equal(found.middle, [0, 0, 0, 2, 3, 4])
    np.testing.assert_array_equal(found.distillation, [1])
    found = tasks.task_frames(5, tasks.Draw(0, 0, gaps), 6)  # at its end
    np.testing.assert_array_equal(found.irregularity, [2, 3, 4, 5, 5, 5, 5])


def test_frames_to_train_on():
    for count in (0, 6, 7, 8, 30):
        for frame in tasks.trainable(count):
            step = np.diff(tasks.regular_frames(frame, count))
            assert (step == 1).all()
    assert list(tasks.trainable(8)) == [3, 4] and not tasks.trainable(6)


def test_draws_cover_all_there_is():
    drawn = [tasks.draw(1, 2, 3, 4, thing) for thing in range(500)]
    gaps = np.array([own.gaps for own in drawn])
    assert set(gaps.ravel()) == {1, 2, 3, 4} and not (gaps == 1).all(1).any()
    assert {(own.backward, own.irregular) for own in drawn} == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_inputs_and_targets():
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 256, (2, 2, 7, 4, 4, 3), np.uint8)
    batch = {
        "crops": crops[0],
        "irregular_crops": crops[1],
        "backward": np.array([1, 0]),
        "irregular": np.array([0, 1]),
    }
    inputs, targets = tasks.training_inputs(batch)
    plain, jumps = crops / np.float32(255)
    expected = {
        "arrow": np.stack([plain[0, ::-1], plain[1]]),
        "irregularity": jumps,
        "middle": plain[:, [0, 1, 2, 4, 5, 6]],
        "distillation": plain[:, 3:4],
    }
    for task, own in expected.items():
        np.testing.assert_allclose(inputs[task], own, atol=1e-6, err_msg=task)
    np.testing.assert_array_equal(targets["arrow"], [1, 0])
    np.testing.assert_array_equal(targets["irregularity"], [0, 1])
    np.testing.assert_allclose(targets["middle"], plain[:, 3], atol=1e-6)
    assert "distillation" not in targets  # without teachers
    teachers = np.ones((2, 5), np.float32)
    floats = batch | {"crops": plain, "irregular_crops": jumps, "teachers": teachers}
    others, more = tasks.training_inputs(floats)
    assert more["distillation"] is teachers
    for task in inputs:
        np.testing.assert_allclose(others[task], inputs[task], atol=1e-6)


def test_float_crops_stay_as_they_are():
    crops = jnp.array([0.0, 0.5, 1.0])
    np.testing.assert_array_equal(tasks.to_unit(crops), crops)
