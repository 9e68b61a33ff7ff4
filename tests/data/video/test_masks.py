"""Masks: pictures read unchanged, arrays in either order, UBnormal's objects."""

import numpy as np
import pytest
from PIL import Image

from vadjax.data.video import mask_pictures
from vadjax.data.video.mask_pictures import read_mask
from vadjax.data.video.masks import MaskFile, find_masks, open_masks, open_video
from vadjax.data.video.object_masks import ObjectMasks, object_tracks

BOX = np.zeros((48, 64), bool)
BOX[10:20, 10:20] = True


def save(path, pixels, mode=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels) if mode is None else Image.frombytes(mode, (64, 48), pixels)
    image.save(path, **options)
    return path


def shows_box(path):
    np.testing.assert_array_equal(read_mask(path).pixels, BOX)
    return True


@pytest.fixture(autouse=True)
def nothing_said():
    """Every test begins as a program does, with nothing said yet."""
    mask_pictures._note_jpeg.cache_clear()


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32, np.float32, bool])
@pytest.mark.parametrize("value", [1, 255])
def test_grey_of_any_depth_is_read_unchanged(tmp_path, kind, value):
    ending = "tif" if kind in (np.float32, np.int32) else "png"
    assert shows_box(save(tmp_path / f"0.{ending}", (BOX * value).astype(kind)))


def test_colour_of_any_channel(tmp_path):
    for channel in range(3):
        pixels = np.zeros((48, 64, 3), np.uint8)
        pixels[BOX, channel] = 1
        assert shows_box(save(tmp_path / "0.png", pixels))


def palette(path, index, colours):
    image = Image.fromarray(index.astype(np.uint8), "L")
    image.putpalette(np.array(colours, np.uint8).tobytes(), "RGB")
    image.save(path)
    return path


@pytest.mark.filterwarnings("ignore:'mode' parameter")
def test_palettes_by_their_index(tmp_path):
    red = palette(tmp_path / "0.png", BOX * 1, [(0, 0, 0), (128, 0, 0)])
    assert shows_box(red)
    white = palette(tmp_path / "1.png", BOX * 2, [(255, 255, 255), (0, 0, 9), (128, 0, 0)])
    assert shows_box(white)  # index 0 is the background, whatever its colour
    dark = palette(tmp_path / "2.png", BOX * 1, [(0, 0, 0), (0, 0, 0)])
    assert shows_box(dark)
    turned = palette(tmp_path / "3.png", BOX * 1, [(255, 255, 255), (0, 0, 0)])
    with pytest.raises(ValueError, match=r"3\.png: a palette whose entry 0 is .*255.* 1 is black"):
        read_mask(turned)


def with_alpha(colour, alpha):
    return np.concatenate([np.broadcast_to(colour, (48, 64, 3)), alpha[..., None]], 2)


def test_alpha(tmp_path):
    on, path = BOX * np.uint8(255), tmp_path / "0.png"
    opaque, drawn = np.full((48, 64), 255, np.uint8), np.repeat(on[..., None], 3, 2)
    assert shows_box(save(path, with_alpha(drawn, opaque)))
    assert shows_box(save(path, with_alpha(drawn, on)))
    for colour in (0, 255):  # one colour: the alpha channel is the drawing
        assert shows_box(save(path, with_alpha(np.uint8(colour), on)))
        found = read_mask(save(path, with_alpha(np.uint8(colour), on * 0)))
        assert not found.pixels.any()
    assert not read_mask(save(path, with_alpha(np.uint8(0), opaque))).pixels.any()
    for alpha in (opaque - on, on * 0):
        with pytest.raises(ValueError, match=r"0\.png: 100 pixels have a colour above 0, but "):
            read_mask(save(path, with_alpha(drawn, alpha)))


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_jpeg_at_half_with_one_note(tmp_path, capsys, quality):
    for name in ("0.jpg", "1.jpg"):
        assert shows_box(save(tmp_path / name, BOX * np.uint8(255), quality=quality))
    assert capsys.readouterr().err.count("note: masks in JPEG: values of 128 and more") == 1


def test_jpeg_in_colour(tmp_path):
    """Red is dark as grey; JPEG stores colour at half the resolution, so edges move a little."""
    red = np.stack([BOX * np.uint8(255), BOX * np.uint8(0), BOX * np.uint8(0)], 2)
    found = read_mask(save(tmp_path / "0.jpg", red)).pixels
    assert found[11:19, 11:19].all() and found.sum() < 150


def test_jpeg_of_small_values_is_refused(tmp_path):
    path = save(tmp_path / "0.jpg", BOX * np.uint8(1), quality=95)
    with pytest.raises(
        ValueError, match=r"0\.jpg: a JPEG mask whose largest value is \d, expected"
    ):
        read_mask(path)


@pytest.mark.parametrize("quality", [1, 10, 25, 40, 50, 60, 75, 90, 100])
def test_black_in_a_jpeg_of_any_quality(tmp_path, quality):
    path = save(tmp_path / "0.jpg", BOX * np.uint8(0), quality=quality)
    assert not read_mask(path).pixels.any()


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp"])
def test_masks_that_are_cut_short(tmp_path, ending):
    path = save(tmp_path / f"0.{ending}", BOX * np.uint8(255))
    whole = path.read_bytes()
    for size in (0, 30, len(whole) * 2 // 3):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=rf"0\.{ending}: (cut short|not a readable)"):
            read_mask(path)


def volume():
    """Masks [H, W, T] with the box in the frames 12 to 19 of 30."""
    return np.where(np.arange(30) // 4 % 5 >= 3, BOX[..., None], False)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.float64])
@pytest.mark.parametrize("fortran", [False, True])
def test_the_number_of_frames_decides_the_order(tmp_path, kind, fortran):
    masks = volume().astype(kind)
    for name, array in (("01", masks), ("02", np.moveaxis(masks, 2, 0))):
        np.save(tmp_path / f"{name}.npy", np.asfortranarray(array) if fortran else array)
    for found in open_masks(tmp_path, {"01": 30, "02": 30}).values():
        assert len(found) == 30
        np.testing.assert_array_equal(list(found), np.moveaxis(volume(), 2, 0))


def test_the_order_may_be_said(tmp_path):
    np.save(tmp_path / "01.npy", volume())
    (found,) = open_masks(tmp_path, order="hwt").values()
    assert len(found) == 30 and next(iter(found)).shape == (48, 64)
    (found,) = open_masks(tmp_path, order="thw").values()
    assert len(found) == 48 and next(iter(found)).shape == (64, 30)


def test_an_order_that_nothing_says_is_refused(tmp_path):
    path = tmp_path / "01.npy"
    np.save(path, volume())
    with pytest.raises(
        ValueError, match=r"01\.npy: masks of shape \(48, 64, 30\) may be .* MATLAB"
    ):
        len(MaskFile(path))
    with pytest.raises(ValueError, match=r"shape \(48, 64, 30\), number of frames 31; expected"):
        len(MaskFile(path, 31))


def test_the_size_of_the_frames_decides_between_equal_sides(tmp_path, write_images):
    write_images(tmp_path / "v", 24, size=(24, 36))
    frames = open_video(tmp_path / "v")
    for array in (np.zeros((24, 36, 24)), np.zeros((24, 24, 36))):
        np.save(tmp_path / "v.npy", array)
        masks = MaskFile(tmp_path / "v.npy", frames)
        assert {mask.pixels.shape for mask in masks} == {(24, 36)}
    write_images(tmp_path / "cube", 24, size=(24, 24))
    np.save(tmp_path / "v.npy", np.zeros((24, 24, 24)))
    with pytest.raises(ValueError, match="may be .* save the masks as pictures"):
        len(MaskFile(tmp_path / "v.npy", open_video(tmp_path / "cube")))
    with pytest.raises(ValueError, match=r"\(24, 24, 24\), number of frames 24 \(24 x 36 pixels"):
        len(MaskFile(tmp_path / "v.npy", frames))


@pytest.mark.parametrize("array", [np.zeros((3, 4)), np.zeros((0, 4, 4)), np.full((2, 2, 2), "a")])
def test_arrays_that_are_no_masks(tmp_path, array):
    np.save(tmp_path / "v.npy", array)
    with pytest.raises(ValueError, match=r"v\.npy: .*; expected \[frames, H, W\]"):
        open_masks(tmp_path)
    np.save(tmp_path / "v.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(ValueError, match=r"v\.npy: not a readable array"):
        open_masks(tmp_path)


def test_another_number_or_size_of_masks(tmp_path):
    for frame in range(3):
        save(tmp_path / f"m/v/{frame}.png", BOX)
    with pytest.raises(ValueError, match="m/v: 3 masks for 4 frames"):
        open_masks(tmp_path / "m", {"v": 4})
    save(tmp_path / "m/v/2.png", BOX[:40])
    (found,) = open_masks(tmp_path / "m").values()
    with pytest.raises(
        ValueError, match=r"2\.png: a mask of shape \(40, 64\), expected \(48, 64\)"
    ):
        list(found)


def test_masks_beside_frames_are_told_from_them(tmp_path, capsys):
    for name in ("Test001", "Test001_gt", "Test002"):
        save(tmp_path / name / "0.png", BOX)
    (tmp_path / "UCSDped2.m").touch()
    assert find_masks(tmp_path) == {"Test001": tmp_path / "Test001_gt"}
    assert "passed over, without masks VIDEO_gt beside: Test002" in capsys.readouterr().err


OBJECTS = {"near": 7, "far": 300}  # 300 needs 16 bits
SPANS = "7,1,2\n300.0,2.0,3.0\n"


def annotate(root, pictures=5, spans=SPANS, scene="Scene1", start=0):
    """As UBnormal: object 7 and object 300 at their places, a third one that is normal."""
    name = "abnormal_scene_1_scenario_2"
    folder = root / scene / f"{name}_annotations"
    for frame in range(start, pictures):
        values = np.zeros((48, 64), np.uint16)
        values[10:20, 10 + frame : 20 + frame] = 7
        values[30:34, 40:50] = 300
        values[36:38, 40:42] = 300  # a part behind something
        values[0:5, 0:5] = 9
        save(folder / f"{name}_{frame:04d}_gt.png", values)
    if spans is not None:
        (folder / f"{name}_tracks.txt").write_text(spans)
    (root / scene / f"{name}.mp4").touch()
    return folder


def test_objects_are_anomalous_where_their_tracks_say_so(tmp_path):
    folder = annotate(tmp_path)
    found = {name: list(masks) for name, masks in open_masks(tmp_path).items()}
    (masks,) = found.values()
    assert list(found) == ["abnormal_scene_1_scenario_2"]
    assert [int(mask.sum()) for mask in masks] == [0, 100, 144, 44, 0]
    assert not any(mask[:5, :5].any() for mask in masks)
    (folder / "abnormal_scene_1_scenario_2_new_tracks.txt").write_text("9,0,0\n")  # corrected
    (masks,) = (list(masks) for masks in open_masks(folder.parent).values())
    assert [int(mask.sum()) for mask in masks] == [25, 0, 0, 0, 0]


def test_tracks_of_objects(tmp_path):
    masks = ObjectMasks(annotate(tmp_path))
    rows, hidden = object_tracks(masks.values(), masks.tracks)
    expected = [[0, 1, 11, 10, 20, 19], [0, 2, 12, 10, 21, 19]]
    expected += [[1, 2, 40, 30, 49, 33], [1, 3, 40, 30, 49, 33]]  # its largest part
    np.testing.assert_array_equal(rows, expected)
    assert hidden == 0
    rows, hidden = object_tracks(masks.values(), masks.tracks, min_area=50)
    assert (len(rows), hidden) == (2, 2)
    rows, _ = object_tracks(masks.values(), None)
    assert np.unique(rows[:, 0]).tolist() == [7, 9, 300] and len(rows) == 15


def test_frames_without_a_picture_are_normal_unless_the_tracks_say_otherwise(tmp_path):
    folder = annotate(tmp_path, start=1)
    assert [int(mask.pixels.sum()) for mask in ObjectMasks(folder, 7)] == [0, 100, 144, 44, 0, 0, 0]
    next(folder.glob("*_0003_gt.png")).unlink()
    with pytest.raises(ValueError, match="no picture of frame 3, in which object 300 is anomalous"):
        list(ObjectMasks(folder, 7))
    with pytest.raises(ValueError, match=r"_0004_gt\.png: the video has 4 frames"):
        list(ObjectMasks(folder, 4))


def test_annotations_that_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no abnormal_scene_1_scenario_2_tracks.txt, which"):
        open_masks(annotate(tmp_path, spans=None).parent)
    for spans in ("7,1\n", "7,2,1\n", "0,1,2\n", "7,a,2\n", "7,1.5,2\n", "7,-1,2\n", "7,nan,2\n"):
        with pytest.raises(ValueError, match="_tracks.txt:1: .*; expected object,first,last"):
            ObjectMasks(annotate(tmp_path, spans=spans))
    folder = annotate(tmp_path, pictures=1)
    save(next(folder.glob("*.png")), np.stack([BOX, BOX, ~BOX], 2).astype(np.uint8))
    with pytest.raises(ValueError, match="in colour; expected the numbers of objects"):
        list(ObjectMasks(folder))
