"""The parts of EVAL that need no network (spec eval §2, §3.2, §7)."""

import numpy as np
import pytest

from vadjax.data.video.grid import Grid, positions
from vadjax.ops.flow import targets
from vadjax.systems.exemplar.maps import frame_scores, pixel_maps


def cases(path):
    """The cases `c0_…`, `c1_…` of a golden file, each as a dict."""
    arrays = np.load(path)
    found: dict[str, dict] = {}
    for name in arrays.files:
        if name.startswith("c") and "_" in name:
            case, key = name.split("_", 1)
            found.setdefault(case, {})[key] = arrays[name]
    assert found
    return found.values()


def files(golden, kind):
    """The golden files of a kind, of which there is at least one."""
    found = sorted(golden.glob(f"eval/*{kind}.npz"))
    assert found
    return found


@pytest.mark.golden
def test_volume_grid_and_maps(golden):
    for path in files(golden, "volume_grid_maps"):
        for case in cases(path):
            frames, height, width, t, h, w, *step = case["cfg"].tolist()
            grid = Grid((height, width), (t, h, w), tuple(step))
            np.testing.assert_array_equal(grid.times(frames), case["t"])
            np.testing.assert_array_equal(grid.rows, case["y"])
            np.testing.assert_array_equal(grid.columns, case["x"])
            assert grid.regions == len(case["y"]) * len(case["x"])
            scores = case["scores"]
            highest = pixel_maps(scores, grid, frames)
            np.testing.assert_array_equal(highest, case["map_max"])
            mean = pixel_maps(scores, grid, frames, "mean")
            np.testing.assert_allclose(mean, case["map_mean"], atol=1e-6, rtol=0)
            by_frame = frame_scores(scores, grid.times(frames), t, frames)
            np.testing.assert_array_equal(by_frame.max((1, 2)), highest.max((1, 2)))


@pytest.mark.golden
def test_motion_targets(golden):
    for path in files(golden, "motion_targets"):
        for case in cases(path):
            found = targets(case["flow"], float(case["tau"]))
            for key in ("ang", "mag", "bkg"):
                np.testing.assert_allclose(getattr(found, key), case[key], atol=1e-6, rtol=0)


def test_positions_touch_the_end():
    assert positions(10, 4, 3).tolist() == [0, 3, 6]
    assert positions(11, 4, 3).tolist() == [0, 3, 6, 7]
    assert positions(4, 4, 9).tolist() == [0]
    for length, window, step in ((3, 4, 1), (4, 0, 1), (4, 2, 0)):
        with pytest.raises(ValueError, match=f"windows of {window} every {step}"):
            positions(length, window, step)


def test_regions_count_row_by_row():
    grid = Grid((240, 360), (10, 40, 40), (5, 20, 20))
    assert grid.regions == 187  # of UCSD Ped2, spec eval §2
    assert grid.box(0) == (0, 0, 40, 40) and grid.box(18) == (20, 20, 60, 60)
    assert grid.times(3).tolist() == [0]  # a short video is padded


def test_what_maps_and_motion_refuse():
    grid = Grid((8, 8), (2, 4, 4), (1, 4, 4))
    with pytest.raises(ValueError, match="rule 'sum'; expected max or mean"):
        pixel_maps(np.zeros((2, 2, 2)), grid, 3, "sum")
    with pytest.raises(ValueError, match=r"scores \(1, 2, 2\); the volumes of 3 frames are"):
        pixel_maps(np.zeros((1, 2, 2)), grid, 3)
    with pytest.raises(ValueError, match="NaN"):
        targets(np.full((2, 2, 2), np.nan), 0.3)
    with pytest.raises(ValueError, match=r"flow \(2, 3\)"):
        targets(np.zeros((2, 3)), 0.3)


def test_directions_go_clockwise_from_the_right():
    for bin_, (u, v) in {0: (1, 0.1), 2: (0.1, 1), 6: (-1, -0.1), 9: (0.1, -1)}.items():
        found = targets(np.full((3, 3, 2), (u, v)), 0.3)
        assert found.ang.argmax() == bin_ and found.ang[bin_] == 1 and found.bkg == 0
        assert found.mag[bin_] == pytest.approx(np.hypot(u, v))
