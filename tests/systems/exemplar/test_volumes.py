"""Cutting videos into volumes, what moves in them, and maps of their scores (eval §2, §3.2, §7)."""

import itertools
import time

import cv2
import numpy as np
import pytest

from vadjax.data.video.frame_stream import numbered
from vadjax.data.video.grid import Grid
from vadjax.ops import flow
from vadjax.ops.flow import Motion
from vadjax.systems.exemplar import maps, scoring, volumes
from vadjax.systems.exemplar.features import Extractor
from vadjax.systems.exemplar.maps import pixel_maps
from vadjax.systems.exemplar.presets import exemplar

GRIDS = [
    Grid((32, 48), (4, 16, 16), (2, 8, 16)),  # steps divide everything
    Grid((31, 45), (3, 10, 12), (2, 5, 6)),  # an extra position at both borders
    Grid((29, 37), (4, 11, 13), (3, 7, 4)),  # primes; windows are no multiples of steps
    Grid((17, 23), (2, 17, 23), (1, 5, 5)),  # one window
    Grid((20, 20), (2, 6, 6), (2, 9, 9)),  # gaps between the windows
]
IDS = ["even", "border", "primes", "whole", "gaps"]


def boxes(grid: Grid):
    return [grid.box(region) for region in range(grid.regions)]


@pytest.mark.parametrize("grid", GRIDS, ids=IDS)
@pytest.mark.parametrize("tau", [0.5, 1.5, 9.0])
def test_motion_is_that_of_each_volume_alone(grid, tau):
    rng = np.random.default_rng(0)
    found = rng.normal(0, 1, (grid.window[0] - 1, *grid.frame_size, 2)).astype(np.float32)
    found[:, :8, :8] = 0  # some stand still
    whole = volumes.motion(found, grid, tau)
    assert {part.dtype for part in whole} == {np.dtype(np.float32)}
    for region, (x0, y0, x1, y1) in enumerate(boxes(grid)):
        own = found[:, y0:y1, x0:x1]
        alone = flow.targets(own, tau)
        for name in Motion._fields:
            here, expected = getattr(whole, name)[region], getattr(alone, name)
            np.testing.assert_allclose(here, expected, rtol=1e-6, atol=1e-7, err_msg=name)
        speed = np.hypot(*np.moveaxis(own.astype(np.float64), -1, 0)).astype(np.float32)
        expected = flow.speeds(speed.reshape(1, -1), tau)[0]
        np.testing.assert_allclose(whole.speeds[region], expected, rtol=1e-6)


def test_motion_leaves_the_flow_as_it_is():
    grid = GRIDS[3]
    found = np.random.default_rng(0).normal(0, 1, (1, *grid.frame_size, 2)).astype(np.float32)
    before = found.copy()
    volumes.motion(found, grid, 0.5)
    np.testing.assert_array_equal(found, before)


@pytest.mark.parametrize("grid", GRIDS, ids=IDS)
@pytest.mark.parametrize("rest", [(), (3,)])
def test_cutting_is_slicing(grid, rest):
    frames = np.random.default_rng(0).integers(0, 256, (3, *grid.frame_size, *rest), np.uint8)
    found = volumes.cut(frames, grid)
    assert found.shape == (grid.regions, 3, *grid.window[1:], *rest)
    for own, (x0, y0, x1, y1) in zip(found, boxes(grid), strict=True):
        np.testing.assert_array_equal(own, frames[:, y0:y1, x0:x1])


def grey_frames(count: int):
    """Frames that are as grey as their number, each given out once."""
    return numbered(np.full((8, 8, 3), number, np.uint8) for number in range(count))


def pair(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """In place of a flow, the numbers of the two frames."""
    return np.broadcast_to(np.float32([one[0, 0], two[0, 0]]), (8, 8, 2))


@pytest.mark.parametrize(("count", "step"), [(10, 2), (10, 3), (4, 1), (9, 9)])
def test_slabs_hold_the_frames_of_their_time_and_the_flow_between_them(count, step):
    grid = Grid((8, 8), (4, 8, 8), (step, 8, 8))
    found = list(volumes.slabs(grey_frames(count), grid, pair))
    assert [slab.start for slab in found] == grid.times(count).tolist()
    came = [[frame.number for frame in slab.since] for slab in found]
    assert sum(came, []) == list(range(count))
    assert [numbers[-1] for numbers in came] == [slab.start + 3 for slab in found]
    for slab in found:
        expected = np.arange(slab.start, slab.start + 4)
        np.testing.assert_array_equal(slab.frames[:, 0, 0, 0], expected)
        between = np.stack([expected[:-1], expected[1:]], 1)
        np.testing.assert_array_equal(slab.flow[:, 0, 0], between)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_short_video_is_padded_with_its_last_frame(count):
    grid = Grid((32, 32), (4, 32, 32), (2, 32, 32))
    frames = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), np.uint8)
    (slab,) = volumes.slabs(numbered(frames), grid, flow.make_flow("dis"))
    np.testing.assert_array_equal(slab.frames, frames[np.minimum(np.arange(4), count - 1)])
    assert [frame.number for frame in slab.since] == list(range(count))
    assert slab.start == 0 and slab.flow.shape == (3, 32, 32, 2)
    assert slab.flow[: count - 1].any() or count == 1
    assert not slab.flow[count - 1 :].any()  # nothing moves from a frame to itself


@pytest.mark.parametrize("threads", [1, 3])
def test_features_of_a_video_are_the_same_to_the_bit_on_any_number_of_threads(threads, tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (23, 32, 48, 3), np.uint8)
    frames = np.stack([cv2.GaussianBlur(frame, (0, 0), 2) for frame in frames])
    extractor = Extractor(exemplar((4, 16, 16), (3, 8, 16), 0.1))
    grid, before = extractor.grid((32, 48)), cv2.getNumThreads()
    make = flow.make_flow("dis")
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    between = np.stack([make(one, two) for one, two in itertools.pairwise(grey)])
    expected = [volumes.motion(between[t : t + 3], grid, 0.1) for t in grid.times(23)]
    cv2.setNumThreads(threads)
    try:
        runs = [list(extractor.stream(numbered(frames), grid, ahead)) for ahead in (0, 2, 50)]
        assert cv2.getNumThreads() == threads
    finally:
        cv2.setNumThreads(before)
    for parts in runs:
        assert [int(part.t_start[0]) for part, _ in parts] == grid.times(23).tolist()
        for (part, _), own in zip(parts, expected, strict=True):
            still = own.bkg >= 0.98
            np.testing.assert_array_equal(part.bkg[0, :, 0], own.bkg)
            np.testing.assert_array_equal(part.speeds[0], own.speeds)
            np.testing.assert_array_equal(part.ang[0], np.where(still[:, None], 0, own.ang))
            np.testing.assert_array_equal(part.mag[0], np.where(still[:, None], 0, own.mag))


def test_flows_that_no_volume_needs_do_not_pile_up():
    grid = Grid((8, 8), (4, 8, 8), (40, 8, 8))
    done = []

    def slow(one, two):
        time.sleep(0.002)
        done.append(int(one[0, 0]))
        return pair(one, two)

    def frames():
        for frame in grey_frames(50):
            assert frame.number - len(done) <= 4
            yield frame

    assert [slab.start for slab in volumes.slabs(frames(), grid, slow)] == grid.times(50).tolist()


def test_no_flow_is_made_where_none_is_asked_for():
    grid = Grid((8, 8), (4, 8, 8), (2, 8, 8))
    slabs = list(volumes.slabs(grey_frames(6), grid, None))
    assert slabs and all(slab.flow is None for slab in slabs)


def test_the_gate_closes_from_the_threshold_on():
    bkg = np.float32([0.5, 0.97, 0.98, 1.0])
    one = Motion(np.ones((4, 12), np.float32), np.full((4, 12), 2, np.float32), bkg)
    found = volumes.gate(one, float(np.float32(0.98)))
    assert found.ang[:, 0].tolist() == [1, 1, 0, 0] and found.mag[:, 5].tolist() == [2, 2, 0, 0]
    assert found.bkg is bkg and found.ang.dtype == np.float32
    assert volumes.gate(one, None) is one


@pytest.mark.parametrize("grid", GRIDS, ids=IDS)
@pytest.mark.parametrize("rule", ["max", "mean"])
@pytest.mark.parametrize("frames", [11, 1])
def test_cells_are_the_maps_of_pixels(grid, rule, frames):
    shape = len(grid.times(frames)), len(grid.rows), len(grid.columns)
    scores = np.random.default_rng(0).uniform(0, 4, shape).astype(np.float32)
    by_frame = maps.frame_scores(scores, grid.times(frames), grid.window[0], frames, rule)
    found = scoring.cells(by_frame, grid, rule)
    height, width = grid.frame_size
    assert height % found.shape[1] == 0 and width % found.shape[2] == 0
    pixels = found.repeat(height // found.shape[1], 1).repeat(width // found.shape[2], 2)
    expected = pixel_maps(scores, grid, frames, rule)
    assert found.dtype == np.float32
    np.testing.assert_allclose(pixels, expected, rtol=0 if rule == "max" else 1e-5, atol=1e-6)
    if rule == "max":  # of a frame: over pixels = over regions
        np.testing.assert_array_equal(pixels, expected)
        np.testing.assert_array_equal(found.max((1, 2)), by_frame.max((1, 2)))


def test_smoothing_over_time_is_off_by_default_and_keeps_a_constant():
    scores = np.random.default_rng(0).uniform(0, 4, 30).astype(np.float32)
    assert scoring.smooth(scores, 0) is scores
    smooth = scoring.smooth(scores, 2)
    assert smooth.dtype == np.float32 and np.ptp(smooth) < np.ptp(scores)
    np.testing.assert_allclose(scoring.smooth(np.full(9, 1.5, np.float32), 3), 1.5)
