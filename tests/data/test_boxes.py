import numpy as np
import pytest

from vadjax.data import boxes
from vadjax.data.masks import open_masks

ROW = [0.5, 3, 2, 4, 11, 9]  # score, frame, x_min, y_min, x_max, y_max


@pytest.mark.parametrize(
    ("columns", "first", "text"),
    [
        ("frame_id,x_min,y_min,x_max,y_max,score", 0, "3,2,4,11,9,0.5\n"),
        ("score,frame,x0,y0,x1,y1", 0, "0.5 3 2 4 12 10"),
        ("x,y,w,h,confidence,frame", 1, "x;y;w;h;s;f\n2;4;10;6;0.5;4"),
        ("-,frame,x,y,width,height,-,score", 0, "\n\nwalker, 3, 2, 4, 10, 6, far away, 5e-1\n\n"),
        ("frame,x,y,x_max,h,score", 0, "3\t2\t4\t11\t6\t0.5\r\n"),
        ("frame,class,cx,cy,w,h,score", 1, "Test001/004.JPG car 7 7 10 6 0.5\n"),
        ("center_x,y,width,h,score,frame_id", 3, "7;4;10;6;0.5;img_6.png"),
    ],
)
def test_columns_of_any_order(tmp_path, columns, first, text):
    (tmp_path / "v.txt").write_text(text)
    layout = boxes.Layout(tuple(columns.split(",")), "score", first)
    np.testing.assert_array_equal(boxes.read(tmp_path / "v.txt", layout), [ROW])


@pytest.mark.parametrize("text", ["", "\n", "frame_id,x_min,y_min,x_max,y_max,score\n"])
def test_a_file_without_a_row_has_no_boxes(tmp_path, text):
    (tmp_path / "v.txt").write_text(text)
    assert boxes.read(tmp_path / "v.txt", boxes.DETECTIONS).shape == (0, 6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<html>\n", r"v\.txt:1: 1 columns, expected 6"),
        ("1_0,2,4,11,9,0.5\n", r"v\.txt:1: frame_id '1_0' is not a number"),
        ("a,b,c,d,e,f\n3,2,4,11,9,0.5\n3,2,4,11,9,nan", r"v\.txt:3: score is NaN"),
        ("3,2,4,11,9,0.5\n \n3.5,2,4,11,9,0.5\n", r"v\.txt:3: the frame .* not a whole number"),
        ("3,2,4,11,9,0.5\n5,2,4,11,9,0.5\n", r"v\.txt:2: no such frame; .* 0 to 4: '5,2"),
    ],
)
def test_errors_name_file_and_line(tmp_path, text, message):
    (tmp_path / "v.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        boxes.read(tmp_path / "v.txt", boxes.DETECTIONS, frames=5)


def test_a_middle_needs_a_size():
    with pytest.raises(ValueError, match="cx is the middle, so w is needed too"):
        boxes.Layout(("score", "frame", "cx", "cy", "x1", "h"), "score")
    with pytest.raises(ValueError, match="expected one of x_min, cx; got x_min and cx"):
        boxes.Layout(("score", "frame", "x", "cx", "y", "w", "h"), "score")


@pytest.mark.parametrize(
    ("row", "inside"),
    [("0,-9,-6,44,29", True), ("0,-10,0,9,9", False), ("0,0,-7,9,9", False),
     ("0,0,0,45,9", False), ("0,0,0,9,30", False)],
)  # fmt: skip
def test_boxes_far_outside_a_frame(tmp_path, row, inside):
    """A quarter of 36 x 24 is 9 x 6."""
    (tmp_path / "v.txt").write_text(f"0,{row}\n")
    if inside:
        assert len(boxes.read(tmp_path / "v.txt", boxes.TRACKS, size=(24, 36))) == 1
    else:
        with pytest.raises(ValueError, match=r"v\.txt:1: a box far outside .* 24 x 36 pixels"):
            boxes.read(tmp_path / "v.txt", boxes.TRACKS, size=(24, 36))


def test_words_of_named_columns(tmp_path):
    (tmp_path / "v.txt").write_text("id;kind;n\n\n3; illegal parking ;0\n4;dog;1\n")
    found = boxes.words(tmp_path / "v.txt", ("track_id", "class", "-"), ("track", "class"))
    assert found == [(3, ["3", "illegal parking"]), (4, ["4", "dog"])]


def test_what_is_not_text_is_named(tmp_path):
    (tmp_path / "v.txt").write_bytes(b"\x80\x81\xff\n")
    with pytest.raises(ValueError, match=r"v\.txt: not a text file"):
        boxes.read(tmp_path / "v.txt", boxes.DETECTIONS)


def test_tracks_of_a_dataset_refuse_nan(tmp_path):
    (tmp_path / "v.txt").write_text("0,0,1,1,2,2\n0,1,nan,1,2,2\n")
    with pytest.raises(ValueError, match=r"v\.txt:2: NaN or infinite"):
        boxes.read_tracks(tmp_path / "v.txt")


def test_iou_by_hand_and_by_counting_pixels():
    a, b = np.array([0, 0, 9, 9.0]), np.array([5, 5, 14, 14.0])
    assert boxes.iou(a, b) == 25 / 175
    assert boxes.iou(a, np.array([10, 0, 19, 9.0])) == 0  # beside each other
    assert boxes.iou(a, np.array([9, 9, 9, 9.0])) == 1 / 100
    rng = np.random.default_rng(0)
    corner = rng.integers(0, 8, (40, 2))
    rows = np.concatenate([corner, corner + rng.integers(0, 8, (40, 2))], 1).astype(float)
    grid = np.mgrid[:16, :16]
    pixels = [
        (grid[1] >= x0) & (grid[1] <= x1) & (grid[0] >= y0) & (grid[0] <= y1)
        for x0, y0, x1, y1 in rows
    ]
    expected = [[(p & q).sum() / (p | q).sum() for q in pixels] for p in pixels]
    np.testing.assert_array_equal(boxes.iou(rows[:, None], rows), expected)


def test_boxes_of_the_parts_of_a_mask():
    mask = np.zeros((8, 12), bool)
    mask[1:3, 1:4] = mask[3, 4] = True  # touch at a corner
    mask[6, 10:12] = True
    np.testing.assert_array_equal(boxes.component_boxes(mask), [[1, 1, 4, 3], [10, 6, 11, 6]])
    np.testing.assert_array_equal(boxes.component_boxes(mask, 3), [[1, 1, 4, 3]])
    assert boxes.component_boxes(np.zeros((8, 12), bool)).shape == (0, 4)


def test_linking_by_hand():
    still, other = [0, 0, 9, 9], [20, 0, 29, 9]
    frames = [
        [still],
        [other, [1, 0, 10, 9], [2, 0, 11, 9]],  # two could follow: the nearer does
        [[24, 0, 33, 9]],  # follows `other`; the rest ends
        [],
        [[24, 0, 33, 9]],  # after a gap: a new track
    ]
    found = boxes.link([np.array(f, float).reshape(-1, 4) for f in frames], 0.3)
    expected = [
        (0, 0, *still), (0, 1, 1, 0, 10, 9), (1, 1, *other), (1, 2, 24, 0, 33, 9),
        (2, 1, 2, 0, 11, 9), (3, 4, 24, 0, 33, 9),
    ]  # fmt: skip
    np.testing.assert_array_equal(found, expected)
    apart = boxes.link([np.array([still]), np.array([[4, 0, 13, 9]])], 0.5)  # IoU 3/7
    np.testing.assert_array_equal(apart[:, 0], [0, 1])
    assert boxes.link([]).shape == (0, 6)


def test_masks_of_pictures_and_of_arrays(tmp_path, write_images, masks_of):
    masks = masks_of(4, 1, 3)
    write_images(tmp_path / "v", 4, "{:03d}.png", images=list(masks))
    np.save(tmp_path / "w.npy", masks)
    found = open_masks(tmp_path, {"v": 4, "w": 4})  # what else would say which axis is frames?
    assert list(found) == ["v", "w"] and len(found["v"]) == len(found["w"]) == 4
    for name in found:
        np.testing.assert_array_equal(list(found[name]), masks > 0)
    np.save(tmp_path / "w.npy", masks[0])
    with pytest.raises(ValueError, match=r"w\.npy: uint8 \(24, 36\); expected \[frames, H, W\]"):
        open_masks(tmp_path)
    (tmp_path / "w.npy").write_text("no array")
    with pytest.raises(ValueError, match=r"w\.npy: not a readable array"):
        open_masks(tmp_path)
    (tmp_path / "w.npy").rename(tmp_path / "notes.txt")
    with pytest.raises(ValueError, match=r"notes\.txt: neither a folder of masks nor an \.npy"):
        open_masks(tmp_path)
