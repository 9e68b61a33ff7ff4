"""Snippets: their number, their crops, their pixels."""

import json
import tracemalloc

import cv2
import numpy as np
import pytest

from vadjax.data.video import snippets
from vadjax.data.video.frame_stream import numbered as numbered_frames
from vadjax.data.video.snippets import FRAMES, Snippets, count_snippets


@pytest.fixture
def rules(golden):
    return json.loads((golden / "i3d" / "preprocessing.json").read_text())


def numbered(count, size=(256, 340)):
    """Frames in which every pixel holds the rank of its frame."""
    return [np.full((*size, 3), i, np.uint8) for i in range(count)]


def grey_frames(count):
    """The same, one pixel each, with their numbers."""
    return numbered_frames(numbered(count, (1, 1)))


@pytest.mark.golden
def test_ten_crops_in_the_published_order(rules):
    codes = 1000 * np.arange(256)[:, None] + np.arange(340)
    found = snippets.ten_crops(codes[None, :, :, None])
    assert len(found) == len(rules["ten_crop"]["crops"])
    for crop, expected in zip(found[:, 0, ..., 0], rules["ten_crop"]["crops"], strict=True):
        assert list(crop.shape) == expected["shape"]
        assert crop[0, 0] == expected["top_left"]
        assert crop[-1, -1] == expected["bottom_right"]


@pytest.mark.golden
def test_counts_equal_the_original(rules):
    for frames, count in rules["snippets"].items():
        assert count_snippets(int(frames)) == count
        found = list(Snippets("ten").cut(numbered(min(int(frames), 100))))
        assert len(found) == count_snippets(min(int(frames), 100))


@pytest.mark.parametrize("step", [1, 5, 8, 16, 17, 40])
@pytest.mark.parametrize("pad_last", [False, True])
def test_snippets_of_every_length(step, pad_last, monkeypatch):
    monkeypatch.setitem(snippets.CROPS, "whole", (lambda frame: frame, lambda clip: clip[None], 1))
    for frames in range(1, 70):
        expected = []
        for start in range(0, frames, step):
            clip = np.minimum(np.arange(start, start + FRAMES), frames - 1)
            seen = expected[-1][-1] + 1 if expected else 0
            if start + FRAMES <= frames or (pad_last and seen < frames):
                expected.append(clip)
        assert count_snippets(frames, step, pad_last) == len(expected)
        cut = Snippets("whole", step, pad_last).cut(numbered(frames, (1, 1)))
        if expected:
            np.testing.assert_array_equal([s[0, :, 0, 0, 0] for s in cut], expected)
        else:
            with pytest.raises(ValueError, match=rf"{frames} frames, a snippet has 16.*--pad_last"):
                list(cut)


@pytest.mark.parametrize("step", [1, 8, 16, 17, 40])
@pytest.mark.parametrize("count", [16, 17, 33, 40, 41, 60, 69])
def test_every_frame_comes_with_the_first_snippet_that_ends_with_it_or_later(
    step, count, monkeypatch
):
    monkeypatch.setitem(snippets.CROPS, "whole", (lambda frame: frame, lambda clip: clip[None], 1))
    frames = [frame._replace(number=100 + rank) for rank, frame in enumerate(grey_frames(count))]
    found = list(Snippets("whole", step, pad_last=True).cut_frames(frames))
    numbers = [[frame.number for frame in snippet.frames] for snippet in found]
    assert sum(numbers, []) == list(range(100, 100 + count))
    whole = count_snippets(count, step, pad_last=True)
    ends = [min(100 + step * i + FRAMES, 100 + count) for i in range(whole)]
    assert [own[-1] + 1 for own in numbers[:whole]] == ends
    assert [snippet.pixels is None for snippet in found] == [False] * whole + [True] * (
        ends[-1] < 100 + count
    )


def test_no_frames_at_all():
    assert count_snippets(0, pad_last=True) == 0
    with pytest.raises(ValueError, match="0 frames"):
        list(Snippets(pad_last=True).cut([]))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((240, 320), (256, 341)),
        ((320, 240), (341, 256)),
        ((61, 45), (347, 256)),
        ((1080, 1920), (256, 455)),
        ((256, 300), (256, 300)),
        ((2, 2), (256, 256)),
    ],
)
def test_short_side_keeps_the_aspect(size, expected):
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    found = snippets.short_side(frame)
    assert found.shape == (*expected, 3) and found.dtype == np.uint8
    assert abs(found.mean() - frame.mean()) < 5 or size == (2, 2)
    assert snippets.stretch(frame).shape == (256, 340, 3)


def test_lanczos_is_antialiased():
    stripes = np.zeros((512, 680, 3), np.uint8)
    stripes[:, ::2] = 200
    found = snippets.stretch(stripes)[:, 8:-8]
    assert abs(found.astype(int) - 100).max() <= 1


@pytest.mark.parametrize(("width", "first"), [(340, 58), (341, 58), (342, 59), (343, 60), (224, 0)])
def test_the_centre_begins_at_the_even_half(width, first):
    columns = np.broadcast_to(np.arange(width)[:, None], (1, 256, width, 3))
    found = snippets.centre_crop(columns)
    assert found.shape == (1, 1, 224, 224, 3)
    assert found[0, 0, 0, 0, 0] == first and found[0, 0, 0, -1, 0] == first + 223


def test_normalisations():
    pixels = np.array([0, 255], np.uint8)
    np.testing.assert_array_equal(snippets.normalise(pixels, "pm1"), [-1, 1])
    kinetics = snippets.normalise(pixels, "kinetics")
    np.testing.assert_allclose(kinetics, [-2, 2.4444444], rtol=1e-6)
    assert kinetics.dtype == np.float32


def test_shapes_and_memory():
    def frames():
        for i in range(100):
            yield np.full((120, 161, 3), i, np.uint8)

    tracemalloc.start()
    for crops, count in (("centre", 1), ("ten", 10)):
        for i, snippet in enumerate(Snippets(crops).cut(frames())):
            assert snippet.shape == (count, 16, 224, 224, 3) and snippet.dtype == np.uint8
            assert (snippet[:, :, 0, 0, 0] == 16 * i + np.arange(16)).all()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert Snippets("ten").count == 10
    assert peak < 4 * snippet.nbytes  # not the 100 frames' 150 MB


@pytest.fixture
def texture():
    """A soft random picture, 256 x 300, on which flow finds its way."""
    rough = np.random.default_rng(0).uniform(0, 255, (256, 300))
    picture = cv2.normalize(cv2.GaussianBlur(rough, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)
    return np.repeat(picture.astype(np.uint8)[..., None], 3, 2)


def test_flow_is_the_motion_since_the_frame_before(texture):
    places = np.cumsum([0, 3, 1, *[2] * 17])
    (first,), (last,) = Snippets(flow="dis", step=4).cut(np.roll(texture, x, 1) for x in places)
    assert first.shape == (16, 224, 224, 5) and first.dtype == np.uint8
    np.testing.assert_array_equal(first[4:], last[:12])
    x, y = np.moveaxis(np.median(first[..., 3:], (1, 2)), 1, 0)
    np.testing.assert_allclose(x[:5], 127.5 + 6.375 * np.array([3, 3, 1, 2, 2]), atol=1)
    np.testing.assert_allclose(y, 127.5, atol=1)
    np.testing.assert_array_equal(first[0, ..., 3:], first[1, ..., 3:])  # none before it: repeated
    plain, _ = Snippets(step=4).cut(np.roll(texture, x, 1) for x in places)
    np.testing.assert_array_equal(first[..., :3], plain[0])


def test_flow_of_a_long_step_and_of_a_single_frame(texture):
    frames = [np.roll(texture, 2 * i, 1) for i in range(40)]
    every = list(Snippets(flow="dis", step=1).cut(frames))
    some = list(Snippets(flow="dis", step=20).cut(frames))
    np.testing.assert_array_equal(some, [every[0], every[20]])
    (alone,) = Snippets(flow="dis", pad_last=True).cut([texture])
    assert (alone[..., 3:] == 128).all()


def test_flow_images():
    flow = np.array([[[-30, -20], [0, 0.07], [20, 99]]], np.float32)
    found = snippets.flow_image(flow)
    assert found.dtype == np.uint8 and found.tolist() == [[[0, 0], [128, 128], [255, 255]]]


def test_what_is_refused():
    with pytest.raises(
        ValueError, match="flow 'farneback'; expected one of dis, dis_light, dis_half, tvl1"
    ):
        Snippets(flow="farneback")
    with pytest.raises(ValueError, match="crops 'five'; expected one of centre, ten"):
        Snippets("five")
    with pytest.raises(ValueError, match="step 0; expected 1 frame or more"):
        Snippets(step=0)
    mixed = [*numbered(3, (20, 20)), *numbered(1, (20, 22))]
    with pytest.raises(ValueError, match=r"frame 3 is \(20, 22, 3\), those before are \(20, 20, "):
        list(Snippets().cut(mixed))
