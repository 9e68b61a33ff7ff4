import numpy as np
import pytest

from vadjax.data.video import boxes
from vadjax.data.video.masks import open_masks


def test_tracks_of_a_dataset_refuse_nan(tmp_path):
    (tmp_path / "v.txt").write_text("0,0,1,1,2,2\n0,1,nan,1,2,2\n")
    with pytest.raises(ValueError, match=r"v\.txt:2: NaN or infinite"):
        boxes.read_tracks(tmp_path / "v.txt")


def test_tracks_of_a_dataset_are_whole_numbers(tmp_path):
    (tmp_path / "v.txt").write_text("frame,id,left,top,right,bottom\n1,0,1,1,2,2\n1,0,1.5,1,2,2\n")
    with pytest.raises(ValueError, match=r"v\.txt:3: not whole numbers: '1,0,1.5,1,2,2'"):
        boxes.read_tracks(tmp_path / "v.txt")
    (tmp_path / "v.txt").write_text("frame,id,left,top,right,bottom\n1,0,1,1,2,2\n")
    np.testing.assert_array_equal(boxes.read_tracks(tmp_path / "v.txt"), [[0, 1, 1, 1, 2, 2]])


def test_boxes_of_a_dataset_have_its_heading(tmp_path):
    path = tmp_path / "v.csv"
    path.write_bytes(
        b"\xef\xbb\xbf" + f"{','.join(boxes.BOX_COLUMNS)}\r\n0,1,2,3,4,0.5\r\n".encode()
    )
    np.testing.assert_array_equal(boxes.read_boxes(path), np.float32([[0, 1, 2, 3, 4, 0.5]]))
    path.write_text("frame,x0,x1,y0,y1,confidence\n0,1,2,3,4,0.5\n")
    with pytest.raises(ValueError, match="v.csv: begins with 'frame,x0,x1,y0,y1,conf"):
        boxes.read_boxes(path)


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
        (0, 0, *still),
        (0, 1, 1, 0, 10, 9),
        (1, 1, *other),
        (1, 2, 24, 0, 33, 9),
        (2, 1, 2, 0, 11, 9),
        (3, 4, 24, 0, 33, 9),
    ]
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
