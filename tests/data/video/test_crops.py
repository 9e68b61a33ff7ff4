import numpy as np
import pytest

from vadjax.data.video import crops
from vadjax.systems.ssmtl.tasks import LENGTH, REACH


@pytest.fixture(scope="module")
def case(golden):
    return dict(np.load(golden / "ssmtl" / "crops.npz"))


@pytest.mark.golden
def test_rectangles(case):
    size = case["frames"].shape[1:3]
    np.testing.assert_array_equal(crops.rectangles(case["boxes"], size), case["rects"])


@pytest.mark.golden
def test_crops(case):
    first = int(case["centre"]) - REACH
    frames = case["frames"][first : first + LENGTH]
    for i, rectangle in enumerate(case["rects"]):
        found = crops.cut(frames, rectangle)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, case["crops_float16"][i], atol=2e-3, rtol=0)
        for name, own in (("mean", found.mean((1, 2))), ("std", found.std((1, 2)))):
            np.testing.assert_allclose(own, case[f"crops_{name}"][i], atol=5e-5, rtol=0)


def test_rectangles_by_hand():
    boxes = [
        [1.2, 2.0, 3.0, 4.1],
        [-9, -9, -2, -3],  # beyond the upper left corner
        [30, 30, 40, 50],  # beyond the lower right one
        [4, 5, 4, 5],  # no area
        [6, 6, 2, 2],  # turned round
        [-1e9, -1e9, 1e9, 1e9],
    ]
    expected = [
        [1, 2, 3, 5],
        [0, 0, 1, 1],
        [19, 9, 20, 10],
        [4, 5, 5, 6],
        [6, 6, 7, 7],
        [0, 0, 20, 10],
    ]
    np.testing.assert_array_equal(crops.rectangles(boxes, (10, 20)), expected)
    assert crops.rectangles(np.zeros((0, 4)), (10, 20)).shape == (0, 4)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[0, 0, 1]], r"boxes \(1, 3\); expected \[n, 4\]"),
        ([[0, 0, 1, 1], [0, np.nan, 1, 1]], "box 1 is .*nan.*; expected finite numbers"),
        ([[0, 0, 1, np.inf]], "box 0 is .*inf"),
    ],
)
def test_boxes_that_are_none(boxes, message):
    with pytest.raises(ValueError, match=message):
        crops.rectangles(boxes, (10, 20))


def test_scaling_by_hand():
    """Half-pixel centres, edges repeated, and values between the grey levels."""
    frame = np.zeros((3, 4, 3), np.uint8)
    frame[1, 1:3] = [[10, 20, 30], [11, 40, 90]]
    found = crops.cut([frame], np.array([1, 1, 3, 2]), side=4)[0]
    weights = np.array([0, 0.25, 0.75, 1])[:, None]
    row = (frame[1, 1] * (1 - weights) + frame[1, 2] * weights) / 255
    np.testing.assert_allclose(found, np.broadcast_to(row, (4, 4, 3)), atol=1e-7)


def test_grey_parts_are_as_coloured_ones():
    grey = np.random.default_rng(1).integers(0, 256, (11, 9), np.uint8)
    found, expected = np.empty((2, 32, 32, 3), np.float32)
    crops.scale(grey, found)
    crops.scale(np.repeat(grey[..., None], 3, 2), expected)
    np.testing.assert_array_equal(found, expected)
