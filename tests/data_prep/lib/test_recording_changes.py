"""Footage that does not look like the rest is named: by films of one frame a second."""

import cv2
import numpy as np
import pytest

from data_prep import videos
from tests.data_prep.own_films import street
from tests.helpers.video_files import write

SIZE = (96, 128)
USUAL = street(120, size=SIZE)


def shifted(frame, right: int, down: int = 0):
    matrix = np.float32([[1, 0, right], [0, 1, down]])
    return cv2.warpAffine(frame, matrix, SIZE[::-1], borderMode=cv2.BORDER_REFLECT)


def grey(frame):
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, 2)


def hidden(frame):
    """Somebody stands before a third of the picture."""
    return np.concatenate([frame[:, :86], np.full_like(frame[:, 86:], 130)], 1)


def zoomed(frame):
    return cv2.resize(frame[20:70, 30:85], SIZE[::-1])


@pytest.fixture
def warnings_of(tmp_path, capsys):
    """Function of changed frames that returns what is said of the stretch 40 s to 80 s of `new`."""

    def said(change, split="new", first=40, stop=80):
        write(tmp_path / "normal/gate.mp4", USUAL, rate=1)
        write(tmp_path / "new/gate.mp4", USUAL, rate=1)
        frames = [*USUAL[:first], *map(change, USUAL[first:stop]), *USUAL[stop:]]
        write(tmp_path / split / "other.mp4", frames, rate=1)
        sources = ["--normal", str(tmp_path / "normal"), "--new", str(tmp_path / "new")]
        videos.main([*sources, "--out", str(tmp_path / "out")])
        return capsys.readouterr().err

    return said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda frame: frame // 4, "much darker than the rest"),
        (lambda frame: 255 - (255 - frame) // 8, "much brighter than the rest"),
        (grey, "without colour, unlike the rest"),
        (lambda frame: shifted(frame, 5), "the camera seems to have moved or turned"),
        (lambda frame: shifted(frame, -20, 12), "the camera seems to have moved or turned"),
        (zoomed, "another view than the rest, or something large before"),
    ],
    ids=["dark", "bright", "no-colour", "moved", "moved-far", "another-view"],
)
@pytest.mark.parametrize("split", ["normal", "new"])
def test_stretches_are_named(warnings_of, change, words, split):
    said = warnings_of(change, split)
    assert "warning: 1 stretches do not look like the rest of the normal footage" in said
    assert f"  other from 0:00:40 to 0:01:20: {words}" in said


def test_a_whole_video(warnings_of):
    assert "  other: much darker than" in warnings_of(lambda frame: frame // 4, first=0, stop=120)


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame,
        lambda frame: frame // 4 * 3,  # a cloud
        lambda frame: shifted(frame, 1),  # the wind
        hidden,
    ],
    ids=["nothing", "cloud", "wind", "somebody"],
)
def test_what_is_usual_is_not_named(warnings_of, change):
    assert "stretches" not in warnings_of(change)


def test_a_single_sample_is_not_named(warnings_of):
    assert "stretches" not in warnings_of(lambda frame: frame // 8, first=40, stop=45)
