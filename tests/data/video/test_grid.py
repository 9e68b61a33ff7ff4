"""Volumes on a grid, and their motion, against a plain loop over pixels."""

import numpy as np
import pytest

from vadjax.data.video import grid
from vadjax.data.video.grid import Grid
from vadjax.ops.flow import BINS, targets


@pytest.mark.parametrize(
    "length, window, step, starts",
    [
        (10, 4, 2, [0, 2, 4, 6]),
        (11, 4, 2, [0, 2, 4, 6, 7]),  # one more that touches the end
        (4, 4, 3, [0]),
        (5, 1, 9, [0, 4]),
    ],
)
def test_positions(length, window, step, starts):
    assert grid.positions(length, window, step).tolist() == starts


@pytest.mark.parametrize("length, window, step", [(3, 4, 1), (3, 0, 1), (3, 2, 0)])
def test_positions_that_do_not_fit_are_refused(length, window, step):
    with pytest.raises(ValueError, match=f"windows of {window} every {step} do not fit"):
        grid.positions(length, window, step)


def test_regions_are_numbered_row_by_row():
    camera = Grid((24, 48), (4, 16, 16), (2, 8, 16))
    assert camera.rows.tolist() == [0, 8] and camera.columns.tolist() == [0, 16, 32]
    assert camera.regions == 6
    assert camera.box(0) == (0, 0, 16, 16) and camera.box(4) == (16, 8, 32, 24)


def test_a_video_that_is_shorter_than_a_volume_has_one():
    camera = Grid((16, 16), (4, 16, 16), (3, 8, 8))
    assert camera.times(2).tolist() == [0]
    assert camera.times(9).tolist() == [0, 3, 5]


@pytest.mark.parametrize(
    "camera",
    [
        Grid((12, 20), (3, 8, 8), (1, 4, 6)),  # regions overlap, the last column touches the border
        Grid((9, 9), (2, 3, 3), (2, 5, 5)),  # with gaps between them
    ],
)
def test_motion_of_regions_equals_that_of_each_cut_out(camera):
    flow = np.random.default_rng(0).normal(size=(3, *camera.frame_size, 2)).astype(np.float32)
    count, total = grid.motion_sums(flow, camera, 0.5)
    assert count.shape == total.shape == (camera.regions, BINS)
    found = grid.motion_of(count, total, 3 * camera.window[1] * camera.window[2])
    for region in range(camera.regions):
        x0, y0, x1, y1 = camera.box(region)
        expected = targets(flow[:, y0:y1, x0:x1], 0.5)
        for own, value in zip(found, expected, strict=True):
            np.testing.assert_allclose(own[region], value, rtol=1e-6, atol=1e-7)


def test_regions_in_which_nothing_moves_are_still():
    camera = Grid((8, 8), (2, 4, 4), (1, 4, 4))
    flow = np.zeros((2, 8, 8, 2), np.float32)
    flow[:, :4, :4, 0] = 1.0  # to the right, in the first region alone
    found = grid.motion_of(*grid.motion_sums(flow, camera, 0.5), 2 * 16)
    np.testing.assert_array_equal(found.bkg, [0, 1, 1, 1])
    assert found.mag[0].max() == 1 and not found.mag[1:].any() and not found.ang[1:].any()


def test_a_pixel_moves_from_the_threshold_on_as_float64_has_it():
    camera = Grid((8, 8), (2, 4, 4), (1, 4, 4))
    # Speeds within a few units in the last place of float32 around the threshold, and far from it.
    flow = np.zeros((1, 8, 8, 2), np.float32)
    near = np.float32(0.3) + np.arange(-8, 8, dtype=np.float32) * np.spacing(np.float32(0.3))
    flow[0, :2, :, 0] = near.reshape(2, 8)
    flow[0, 4:6, :, 1] = -near.reshape(2, 8)
    flow[0, 6] = 0.6, 0.8
    for tau in (0.3, float(np.float32(0.3)), 1.0, 0.0):
        count, _ = grid.motion_sums(flow, camera, tau)
        speed = np.hypot(*np.moveaxis(flow[0].astype(np.float64), -1, 0))
        expected = [
            (speed[y0:y1, x0:x1] >= tau).sum()
            for x0, y0, x1, y1 in (camera.box(region) for region in range(camera.regions))
        ]
        assert count.sum(1).tolist() == expected, tau
