"""Picture files: whole or refused, 8 bits or scaled by a named rule."""

import argparse
import io

import cv2
import numpy as np
import pytest
from PIL import Image

from vadjax.data.video import pictures
from vadjax.data.video.pictures import Levels, parse_levels
from vadjax.data.video.reader import FrameFolder, Reading, open_frames, read_picture

COLOUR = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
THERMAL = np.random.default_rng(1).integers(7000, 7400, (48, 64)).astype(np.uint16)


def write(path, pixels):
    assert cv2.imwrite(str(path), pixels)
    return path


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "tif"])
@pytest.mark.parametrize("grey", [False, True])
def test_pictures_of_8_bits_are_those_of_opencv(tmp_path, ending, grey):
    path = write(tmp_path / f"0.{ending}", COLOUR[..., 0] if grey else COLOUR)
    expected = cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal(read_picture(path).pixels, expected)


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "tif"])
def test_pictures_that_are_cut_short_are_refused(tmp_path, ending):
    path = write(tmp_path / f"0.{ending}", COLOUR)
    whole = path.read_bytes()
    for size in (0, 10, len(whole) // 3, len(whole) * 9 // 10):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=rf"0\.{ending}: not a readable image .* cut short"):
            read_picture(path)
    path.write_bytes(whole + bytes(100))  # what some cameras write behind the end
    read_picture(path)


def test_the_end_of_a_preview_is_not_the_end_of_the_picture():
    """Whatever OpenCV does with it: some versions fill the rest with grey."""
    content = io.BytesIO()
    exif = Image.Exif().tobytes() + pictures.SCAN + b"preview" + pictures.END
    Image.fromarray(COLOUR).save(content, "JPEG", exif=exif, progressive=True)
    content = content.getvalue()
    assert content.count(pictures.END) == 2 and pictures.is_whole(content)
    assert not pictures.is_whole(content[:-10])


def test_a_header_of_more_pixels_than_there_are(tmp_path):
    path = write(tmp_path / "0.png", COLOUR)
    content = bytearray(path.read_bytes())
    content[16:24] = b"\x7f\xff\xff\xff" * 2
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a readable image"):
        read_picture(path)


def test_more_than_8_bits_are_refused_with_the_option_that_says_how(tmp_path):
    path = write(tmp_path / "0.png", THERMAL)
    text = r"0\.png: uint16 with values from 70\d\d to 73\d\d, expected 8 bits.*--levels LOW,HIGH"
    with pytest.raises(ValueError, match=text):
        read_picture(path)


@pytest.mark.parametrize("kind", [np.uint16, np.int16, np.int32, np.float32])
def test_levels_spread_values_evenly(tmp_path, kind):
    path = write(tmp_path / "0.tif", THERMAL.astype(kind))
    pixels = read_picture(path, Levels(7000, 7400)).pixels
    assert pixels.dtype == np.uint8 and len(np.unique(pixels)) == 255  # 7399 is 254
    expected = np.rint((THERMAL.astype(float) - 7000) / 400 * 255)
    np.testing.assert_array_equal(pixels, np.repeat(expected[..., None], 3, 2))
    pixels = read_picture(path, Levels(7100, 7200)).pixels[..., 0]
    assert (pixels[THERMAL <= 7100] == 0).all() and (pixels[THERMAL >= 7200] == 255).all()


def test_colour_of_16_bits_stays_in_order(tmp_path):
    path = write(tmp_path / "0.png", COLOUR.astype(np.uint16) * 257)
    found = read_picture(path, Levels(0, 65535)).pixels
    np.testing.assert_array_equal(found, COLOUR[..., ::-1])


def test_levels_are_for_pictures_of_16_bits_alone(tmp_path):
    path = write(tmp_path / "0.png", COLOUR)
    with pytest.raises(ValueError, match="0.png: a picture of 8 bits, but --levels 7000,7400"):
        read_picture(path, Levels(7000, 7400))
    (tmp_path / "v.mp4").touch()
    with pytest.raises(ValueError, match="v.mp4: a video file has 8 bits, but levels 7000,7400"):
        open_frames(tmp_path / "v.mp4", Reading(levels=Levels(7000, 7400)))
    path = write(tmp_path / "0.tif", np.full((4, 4), np.nan, np.float32))
    with pytest.raises(ValueError, match="0.tif: float32 with values that are NaN"):
        read_picture(path, Levels(0, 1))


def test_a_folder_keeps_its_levels(tmp_path):
    (tmp_path / "v").mkdir()
    write(tmp_path / "v/0.png", THERMAL)
    folder = FrameFolder(tmp_path / "v")
    assert folder.size == (48, 64)  # known without levels
    (found,) = folder.with_levels(Levels(7000, 7400))
    (expected,) = open_frames(tmp_path / "v", Reading(levels=Levels(7000, 7400)))
    np.testing.assert_array_equal(found.pixels, expected.pixels)
    with pytest.raises(ValueError, match="expected 8 bits"):
        list(folder)


@pytest.mark.parametrize("text", ["7000", "a,b", "2,1", "1,1", "0,inf", "nan,1", "1,2,3", ""])
def test_levels_that_are_none(text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected LOW,HIGH"):
        parse_levels(text)


def test_levels_of_the_command_line():
    assert parse_levels("-40,85.5") == Levels(-40, 85.5)


@pytest.mark.parametrize("quality", [30, 95])
def test_a_jpeg_whose_middle_is_lost_is_refused(tmp_path, quality):
    """Zeros, which a file system leaves, are grey noise to a decoder; the end mark is there."""
    path, smooth = tmp_path / "0.jpg", cv2.GaussianBlur(cv2.resize(COLOUR, (320, 240)), (0, 0), 3)
    cv2.imwrite(str(path), smooth, [cv2.IMWRITE_JPEG_QUALITY, quality])
    whole = path.read_bytes()
    read_picture(path)
    path.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) // 2 - 2) + whole[-2:])
    with pytest.raises(ValueError, match=r"0\.jpg: not a readable image .* cut short"):
        read_picture(path)


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"progressive": True}])
@pytest.mark.parametrize("colour", [0, 128, 255, None])
def test_plain_jpegs_are_no_lost_ones(tmp_path, options, colour):
    """The shortest code may be the one of a plain block, so that the scan is all zeros."""
    pixels = np.full((480, 640, 3), colour or 0, np.uint8)
    if colour is None:
        pixels[200:240, 300:340] = 255
    Image.fromarray(pixels).save(tmp_path / "0.jpg", quality=90, **options)
    assert np.abs(read_picture(tmp_path / "0.jpg").pixels.astype(int) - pixels).max() <= 40
