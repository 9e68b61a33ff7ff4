"""Optical flow and what moves in a volume (spec eval §3.2)."""

import itertools
import sys
import threading

import cv2
import numpy as np
import pytest

from vadjax.ops import flow


def soft(seed: int, size=(48, 64)) -> np.ndarray:
    """A random grey picture, uint8, on which flow finds its way."""
    rough = np.random.default_rng(seed).uniform(0, 255, size)
    picture = cv2.GaussianBlur(rough, (0, 0), 2)
    return cv2.normalize(picture, None, 20, 235, cv2.NORM_MINMAX).astype(np.uint8)


@pytest.fixture
def opencv_threads():
    """Sets the number of OpenCV's threads; the test ends with the number that it began with."""
    before = cv2.getNumThreads()
    yield cv2.setNumThreads
    cv2.setNumThreads(before)


@pytest.mark.parametrize("method", flow.DIS)
@pytest.mark.parametrize(("axis", "step", "expected"), [(1, 2, (2, 0)), (0, -1, (0, -1))])
def test_flow_is_right_and_down_in_pixels(method, axis, step, expected):
    one = soft(0)
    found = flow.make_flow(method)(one, np.roll(one, step, axis))
    assert found.shape == (48, 64, 2) and found.dtype == np.float32
    inside = found[12:-12, 12:-12].reshape(-1, 2)
    np.testing.assert_allclose(np.median(inside, 0), expected, atol=0.15)


def test_flow_of_a_pair_does_not_depend_on_the_pairs_before():
    one, two = soft(1), np.roll(soft(1), 3, 1)
    calc = flow.make_flow("dis")
    first = calc(one, two)
    calc(two, soft(2))
    np.testing.assert_array_equal(calc(one, two), first)


def test_flow_of_a_video_is_between_neighbouring_frames():
    frames = [np.full((4, 5, 3), level, np.uint8) for level in (10, 20, 40)]
    pairs = list(flow.video_flow(frames, lambda one, two: (int(one[0, 0]), int(two[0, 0]))))
    assert pairs == [(10, 20), (20, 40)]
    assert list(flow.video_flow(frames[:1], None)) == []


@pytest.mark.parametrize(("method", "factor"), [("dis", 2), ("dis_light", 2), ("dis_half", 4)])
def test_a_flow_is_that_of_its_finest_level_enlarged(method, factor):
    # Something moves the other way within a picture, so that the flow bends all over it.
    one = soft(4, (240, 320))
    two = np.roll(one, 3, 1)
    two[60:180, 80:240] = np.roll(one, -3, 1)[60:180, 80:240]
    found = flow.make_flow(method)(one, two)
    assert found.shape == (240, 320, 2)
    # Enlarged bilinearly by an even factor, it bends only at the two pixels beside a sample.
    bends = np.abs(np.diff(found, 2, axis=1)).max((0, 2)) > 1e-3
    middle = np.flatnonzero(bends) + 1
    assert len(middle) > 20 and set(middle % factor) == {factor // 2 - 1, factor // 2}


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("method", flow.DIS)
def test_flow_of_a_video_is_the_same_to_the_bit_on_any_number_of_threads(
    method, threads, opencv_threads
):
    frames = [np.roll(soft(0), 2 * number, 1)[..., None].repeat(3, 2) for number in range(25)]
    opencv_threads(1)
    one_by_one = [
        flow.make_flow(method)(one[..., 0], two[..., 0]) for one, two in itertools.pairwise(frames)
    ]
    opencv_threads(threads)
    found = list(flow.video_flow(frames, flow.make_flow(method)))
    np.testing.assert_array_equal(found, one_by_one)
    assert cv2.getNumThreads() == threads  # OpenCV has them back


def test_flows_are_made_side_by_side_in_order_and_few_at_a_time(opencv_threads):
    opencv_threads(3)
    together, read, side_by_side = threading.Barrier(3, timeout=60), [], []

    def frames():
        for level in range(31):
            read.append(level)
            yield np.full((4, 5, 3), level, np.uint8)

    def slow(one, two):
        side_by_side.append(cv2.getNumThreads())
        together.wait()  # goes on only if three flows are made at the same time
        return int(one[0, 0])

    for taken, level in enumerate(flow.video_flow(frames(), slow)):
        assert level == taken and len(read) <= taken + flow.AHEAD + 2
    assert len(read) == 31 and side_by_side == [1] * 30
    assert cv2.getNumThreads() == 3


def test_an_error_of_a_flow_or_of_a_frame_ends_the_video(opencv_threads):
    opencv_threads(2)
    frames = [np.full((4, 5, 3), level, np.uint8) for level in range(30)]

    def broken(one, two):
        if one[0, 0] == 2:
            raise ValueError("no flow of frame 2")
        return int(one[0, 0])

    found = flow.video_flow(frames, broken)
    assert [next(found), next(found)] == [0, 1]
    with pytest.raises(ValueError, match="no flow of frame 2"):
        next(found)
    with pytest.raises(ZeroDivisionError):
        list(flow.video_flow((frames[1 // (3 - k)] for k in range(9)), broken))
    # A video that nobody reads to its end gives the threads back too.
    found = flow.video_flow(frames, lambda one, two: 0)
    next(found)
    assert cv2.getNumThreads() == 1
    del found
    assert cv2.getNumThreads() == 2


def test_tvl1_needs_scikit_image_and_unknown_methods_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    monkeypatch.setitem(sys.modules, "skimage.registration", None)
    with pytest.raises(ImportError, match="scikit-image: pip install"):
        flow.make_flow("tvl1")
    with pytest.raises(
        ValueError, match="flow method 'magic'; expected one of dis, dis_light, dis_half, tvl1"
    ):
        flow.make_flow("magic")


def test_tvl1_is_right_and_down_too():
    pytest.importorskip("skimage", reason="scikit-image is not installed")
    one = soft(3)
    found = flow.make_flow("tvl1")(one, np.roll(one, 2, 1))
    np.testing.assert_allclose(np.median(found[12:-12, 12:-12].reshape(-1, 2), 0), (2, 0), atol=0.3)


def test_a_bin_begins_at_its_edge_and_the_last_ends_at_a_whole_turn():
    turns = np.arange(12) * 30.0
    for shift, expected in ((1e-6, np.arange(12)), (-1e-6, (np.arange(12) - 1) % 12)):
        angle = np.deg2rad(turns + shift)
        np.testing.assert_array_equal(flow.directions(np.cos(angle), np.sin(angle)), expected)
    zero = np.zeros(2)
    assert flow.directions(np.ones(2), np.array([0.0, -0.0])).tolist() == [0, 0]
    assert flow.directions(-np.ones(1), zero[:1]).tolist() == [6]
    assert flow.directions(np.ones(1), np.array([-1e-30])).tolist() in ([0], [11])  # never 12


def test_targets_turn_with_the_flow():
    found = np.random.default_rng(0).normal(0, 1, (5, 9, 7, 2))
    straight = flow.targets(found, 0.5)
    angle = np.deg2rad(30)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turned = flow.targets(found @ turn, 0.5)
    np.testing.assert_allclose(turned.ang, np.roll(straight.ang, 1), atol=1e-12)
    np.testing.assert_allclose(turned.mag, np.roll(straight.mag, 1), atol=1e-12)
    assert turned.bkg == straight.bkg
    np.testing.assert_allclose(straight.ang.sum(), 1)


def speeds_by_hand(speed: np.ndarray, tau: float) -> list[float]:
    """Of one volume, by sorting all its pixels."""
    falling = np.sort(speed.astype(np.float64))[::-1]
    moving = falling[falling >= tau]
    fastest = falling[: max(1, round(0.05 * len(falling)))]
    top = falling[: max(1, round(0.01 * len(falling)))]
    mean = moving.mean() if len(moving) and len(moving) >= 0.02 * len(falling) else 0.0
    return [mean, fastest.mean(), top[-1], falling.mean()]


@pytest.mark.parametrize("pixels", [1, 7, 50, 333, 1000])
@pytest.mark.parametrize("tau", [0.3, 2.0, 9.0])
def test_speeds_by_brute_force(pixels, tau):
    speed = np.random.default_rng(pixels).gamma(1, 1, (6, pixels)).astype(np.float32)
    expected = [speeds_by_hand(row, tau) for row in speed]
    found = flow.speeds(speed.copy(), tau)
    assert found.shape == (6, len(flow.SPEEDS))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_few_fast_pixels_are_no_motion_but_two_percent_are():
    speed = np.zeros((2, 100), np.float32)
    speed[0, :1], speed[1, :2] = 5, 5
    found = dict(zip(flow.SPEEDS, flow.speeds(speed, 0.3).T, strict=True))
    assert found["moving"].tolist() == [0, 5] and found["fastest"].tolist() == [1, 2]
    assert found["p99"].tolist() == [5, 5]
    np.testing.assert_allclose(found["all"], [0.05, 0.1])
