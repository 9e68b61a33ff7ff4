"""Ignored pixels: read, kept as text, applied."""

import cv2
import numpy as np
import pytest

from vadjax.data.video.ignored import MOST_TEXT, Ignored


@pytest.fixture
def mask():
    """A mask of 6 × 8 pixels whose left half is ignored."""
    values = np.zeros((6, 8), bool)
    values[:, :4] = True
    return values


def test_pixels_become_black_and_the_frame_is_not_changed(mask):
    frame = np.full((12, 16, 3), 200, np.uint8)
    black = Ignored(mask).black(frame)
    assert (black[:, :8] == 0).all() and (black[:, 8:] == 200).all() and (frame == 200).all()


def test_frames_of_several_sizes_one_after_the_other(mask):
    ignored = Ignored(mask)
    for width in (8, 16, 24, 8):
        black = ignored.black(np.full((width * 3 // 4, width, 3), 9, np.uint8))
        assert (black[:, : width // 2] == 0).all() and (black[:, width // 2 :] == 9).all()


def test_text_and_back(mask):
    again = Ignored.from_text(Ignored(mask).to_text(), "manifest")
    assert (again.mask == mask).all() and again.share == 0.5


def test_a_picture_file(mask, tmp_path):
    cv2.imwrite(str(tmp_path / "mask.png"), mask.astype(np.uint8) * 255)
    assert (Ignored.read(tmp_path / "mask.png").mask == mask).all()


@pytest.mark.parametrize("text", ["", "no base 64!", "aGVsbG8=", "A" * (MOST_TEXT + 1)])
def test_text_that_is_no_mask(text):
    with pytest.raises(ValueError, match="manifest.json: ignored: not the text of a mask"):
        Ignored.from_text(text, "manifest.json: ignored")


@pytest.mark.parametrize(("level", "what"), [(0, "nothing"), (255, "the whole picture")])
def test_a_mask_of_nothing_or_all(level, what, tmp_path):
    path = tmp_path / "mask.png"
    cv2.imwrite(str(path), np.full((6, 8), level, np.uint8))
    with pytest.raises(ValueError, match=f"mask.png: the mask covers {what}; paint what"):
        Ignored.read(path)


def test_files_that_are_no_mask(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such picture \(--mask\)"):
        Ignored.read(tmp_path / "gone.png")
    (tmp_path / "text.png").write_text("x")
    with pytest.raises(ValueError, match="text.png"):
        Ignored.read(tmp_path / "text.png")


def test_another_aspect_ratio(mask):
    Ignored(mask).check((600, 800), "gate")
    with pytest.raises(ValueError, match="gate: frames of 600 x 600 .*paint it on a frame of this"):
        Ignored(mask).check((600, 600), "gate")
