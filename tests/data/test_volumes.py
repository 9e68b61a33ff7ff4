import numpy as np
import pytest

from vadjax.data.clips import Frames
from vadjax.data.store.records import Dataset
from vadjax.data.video.grid import Grid
from vadjax.data.volumes import NUMBERS, STILL, Volumes, grid_targets, training_order
from vadjax.ops.flow import METHODS, make_flow, targets, video_flow

WINDOW, STEP, TAU = (4, 24, 16), (3, 12, 16), 0.3


@pytest.fixture(scope="module")
def volumes(toy_scenes):
    return Volumes(Dataset(toy_scenes), "train", WINDOW, STEP, TAU, "dis")


def test_grid_targets_equal_those_of_each_volume():
    rng = np.random.default_rng(0)
    flows = rng.normal(0, 1, (8, 20, 30, 2)).astype(np.float32)
    flows[:, :10] *= 0.01  # a still half
    grid, times = Grid((20, 30), (4, 8, 8), (3, 5, 11)), np.array([0, 2, 5])
    found = grid_targets(flows, times, grid, TAU)
    i = 0
    for t in times:
        for y in grid.rows:
            for x in grid.columns:
                motion = targets(flows[t : t + 3, y : y + 8, x : x + 8], TAU)
                expected = np.concatenate([motion.ang, motion.mag, [motion.bkg]])
                np.testing.assert_allclose(found[i], expected, atol=1e-5)
                i += 1
    assert found.shape == (i, NUMBERS) and found.dtype == np.float32


def test_volumes_are_cut_where_their_targets_were_measured(volumes, toy_scenes, small_scenes):
    frames = Frames(Dataset(toy_scenes), "train")
    grid = Grid((small_scenes.height, small_scenes.width), WINDOW, STEP)
    times, columns = grid.times(small_scenes.frames), grid.columns
    assert len(volumes) == 2 * len(times) * grid.regions == len(volumes.targets)
    assert volumes.before(1) == len(volumes) // 2
    number = volumes.before(1) + 2 * grid.regions + 1 * len(columns) + 3
    first, y, x = small_scenes.frames + times[2], STEP[1], columns[3]
    whole = [frames[first + t] for t in range(WINDOW[0])]
    cut = np.stack(whole)[:, y : y + WINDOW[1], x : x + WINDOW[2]]
    batch = volumes.batch([5, number, 0])
    np.testing.assert_array_equal(batch["volume"][1], cut)
    flow = np.stack(list(video_flow(whole, make_flow("dis"))))
    motion = targets(flow[:, y : y + WINDOW[1], x : x + WINDOW[2]], TAU)
    np.testing.assert_allclose(batch["ang"][1], motion.ang, atol=1e-5)
    np.testing.assert_allclose(batch["mag"][1], motion.mag, atol=1e-4)
    np.testing.assert_allclose(batch["bkg"][1], motion.bkg, atol=1e-5)
    one = volumes[number]
    np.testing.assert_array_equal(one["volume"], cut)


def test_targets_are_kept_between_runs(toy_scenes, tmp_path, volumes, monkeypatch):
    data = Dataset(toy_scenes)
    first = Volumes(data, "train", WINDOW, STEP, TAU, "dis", tmp_path).targets
    np.testing.assert_array_equal(first, volumes.targets)
    monkeypatch.setattr(Volumes, "_measured", None)
    again = Volumes(data, "train", WINDOW, STEP, TAU, "dis", tmp_path)
    np.testing.assert_array_equal(again.targets, first)
    with pytest.raises(TypeError):  # another tau is measured anew
        _ = Volumes(data, "train", WINDOW, STEP, 0.5, "dis", tmp_path).targets


def test_half_of_the_volumes_of_an_epoch_move():
    moving = np.zeros(100, bool)
    moving[[3, 50, 99]] = True
    order = training_order(moving, "here")
    numbers = [order[i] for i in range(len(order))]
    assert moving[numbers].mean() >= 0.5 and set(numbers) == set(range(100))
    assert len(training_order(~moving, "here")) == 100  # nothing is repeated where most move
    with pytest.raises(ValueError, match="nothing moves in 5 volumes; lower --config.model.tau"):
        training_order(np.zeros(5, bool), "here")


def test_moving_is_as_the_gate_has_it(volumes):
    np.testing.assert_array_equal(volumes.moving, volumes.targets[:, -1] < STILL)
    assert 0 < volumes.moving.mean() < 1


@pytest.mark.parametrize(
    ("window", "step", "message"),
    [
        ((4, 49, 16), STEP, "hold no window of 49 × 16"),
        ((21, 24, 16), STEP, "shorter than a window of 21 frames"),
        ((1, 24, 16), STEP, "2 frames or more"),
        (WINDOW, (3, 0, 4), "steps of 1 or more"),
    ],
)
def test_windows_that_do_not_fit(toy_scenes, window, step, message):
    with pytest.raises(ValueError, match=message):
        Volumes(Dataset(toy_scenes), "train", window, step, TAU, "dis")


@pytest.mark.parametrize("method", METHODS)
def test_flow_of_a_known_shift(method):
    if method == "tvl1":
        pytest.importorskip("skimage", reason="scikit-image is not installed")
    import cv2

    rng = np.random.default_rng(0)
    large = cv2.GaussianBlur(rng.uniform(0, 255, (80, 100)).astype(np.float32), (0, 0), 3)
    large = cv2.normalize(large, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    one, two = (np.ascontiguousarray(large[10:70, x : x + 80]) for x in (10, 8))
    flow = make_flow(method)(one, two)  # moved to the right by 2
    inside = flow[15:-15, 15:-15]
    assert flow.shape == (60, 80, 2) and flow.dtype == np.float32
    np.testing.assert_allclose(inside.mean((0, 1)), [2, 0], atol=0.15)
