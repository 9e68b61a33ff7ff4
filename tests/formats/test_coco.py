import json

import numpy as np
import pytest

from vadjax.formats.detections import format_of, read_detections


def record(image, box=(2, 4, 10, 6), score=0.5):
    return {"image_id": image, "category_id": 1, "bbox": list(box), "score": score}


def listed(*names):
    return {"images": [{"id": 100 + i, "file_name": name} for i, name in enumerate(names)]}


@pytest.fixture
def read(tmp_path):
    """Function: writes results and images and reads them."""

    def call(results, images=None, **flags):
        path, images_path = tmp_path / "results.json", None
        path.write_text(results if isinstance(results, str) else json.dumps(results))
        if images is not None:
            images_path = tmp_path / "images.json"
            images_path.write_text(images if isinstance(images, str) else json.dumps(images))
        assert format_of(path) == "coco"
        return read_detections(path, "coco", images=images_path, **flags)

    return call


def test_names_of_files_say_video_and_frame(read):
    names = [f"test/{video}/{i:03d}.jpg" for video in ("01_0014", "02") for i in range(3)]
    results = [record(105, score=0.25), record(101), record(101, (0.5, 0, 1, 2.5), 0.75)]
    found = read(results, listed(*names))
    expected = [[0.5, 1, 2, 4, 11, 9], [0.75, 1, 0.5, 0, 0.5, 1.5]]
    np.testing.assert_array_equal(found.boxes["01_0014"], expected)
    np.testing.assert_array_equal(found.boxes["02"], [[0.25, 2, 2, 4, 11, 9]])
    assert found.frames == {"01_0014": 3, "02": 3}


def test_windows_paths_and_names_in_one_folder(read):
    found = read(
        [record(101)], listed("all\\01_0014_000.jpg", "all\\01_0014_001.jpg"), videos={"01_0014"}
    )
    assert found.boxes["01_0014"][0, 1] == 1 and found.frames == {"01_0014": 2}
    found = read([record(100)], listed("01_0014_000.jpg", "01_0014_001.jpg"))
    assert found.frames == {"01_0014": 2}


def test_images_that_are_numbered_from_one(read, capsys):
    names = [f"{video}/{i}.png" for video in "ab" for i in (1, 2, 3)]
    found = read([record(101)], listed(*names))
    assert found.boxes["a"][0, 1] == 1 and found.frames == {"a": 3, "b": 3}
    assert "which count from 1" in capsys.readouterr().err
    assert read([record(101)], listed(*names), first_frame=1).boxes["a"][0, 1] == 1
    given = read([record(101)], listed(*names), first_frame=0)
    assert given.boxes["a"][0, 1] == 2 and given.frames == {"a": None, "b": None}


def test_frames_of_a_list_with_gaps_are_unknown(read):
    found = read([record(101)], listed("a/0.jpg", "a/5.jpg", "b/7.jpg"))
    assert found.boxes["a"][0, 1] == 5 and found.frames == {"a": None, "b": None}
    found = read([record(101)], listed("a/0.jpg", "a/5.jpg"), frames={"a": 6})
    assert found.frames == {"a": 6}
    with pytest.raises(
        ValueError, match=r"results.json: record 0: no such frame; .* 0 to 4: 5, 2, 4"
    ):
        read([record(101)], listed("a/0.jpg", "a/5.jpg"), frames={"a": 5})
    with pytest.raises(
        ValueError, match="images.json: 2 images of video a, but --num_frames says 3"
    ):
        read([record(101)], listed("a/0.jpg", "a/1.jpg"), frames={"a": 3})
    with pytest.raises(ValueError, match="begin with the numbers 0, 154; .* with --first_frame"):
        read([record(101)], listed("a/0.jpg", "a/1.jpg", "b/154.jpg", "b/155.jpg"))


def test_videos_and_frames_by_their_keys_in_one_file(read):
    whole = {
        "videos": [{"id": 1, "name": "clips/a"}, {"id": 2, "name": "b"}],
        "images": [
            {"id": "x", "file_name": "9.jpg", "video_id": 1, "frame_id": 0},
            {"id": "y", "file_name": "9.jpg", "video_id": 2, "frame_index": 0},
            {"id": "z", "file_name": "1.jpg", "video_id": 2},
        ],
        "annotations": [record("y"), record("z", score=1)],
    }
    found = read(whole)
    assert len(found.boxes["a"]) == 0 and found.frames == {"a": 1, "b": 2}
    np.testing.assert_array_equal(found.boxes["b"][:, :2], [[0.5, 0], [1, 1]])


def test_shares_and_boxes_without_a_pixel(read):
    small = [record(100, (0.1, 0.25, 0.5, 0.5))]
    with pytest.raises(ValueError, match="results.json: all coordinates .* between 0 and 1"):
        read(small, listed("a/0.jpg"))
    found = read(small, listed("a/0.jpg"), size=(20, 40))
    np.testing.assert_allclose(found.boxes["a"], [[0.5, 0, 4, 5, 23, 14]])
    with pytest.raises(ValueError, match="record 1: a box of width or height 0 or less"):
        read([record(100), record(100, (3, 3, 0, 5))], listed("a/0.jpg"))
    with pytest.raises(
        ValueError, match=r"record 0: a box far outside its frame of 20 x 40 pixels"
    ):
        read([record(100, (100, 3, 5, 5))], listed("a/0.jpg"), size=(20, 40))


def test_sizes_of_the_images(read):
    images = listed("a/0.jpg")
    images["images"][0] |= {"height": 20, "width": 40}
    with pytest.raises(ValueError, match="record 0: a box far outside its frame of 20 x 40 pixels"):
        read([record(100, (100, 3, 5, 5))], images)
    with pytest.raises(
        ValueError, match="images of 20 x 40 pixels .*, but --frame_size says 40x20"
    ):
        read([record(100)], images, size=(40, 20))
    images["images"][0] |= {"height": "20"}
    assert len(read([record(100, (100, 3, 5, 5))], images).boxes["a"]) == 1


@pytest.mark.parametrize(
    ("results", "images", "message"),
    [
        ("[{", None, r"results.json:1: not JSON \("),
        ("[" * 100_000, None, "results.json: .*nested too deep|not JSON"),
        ("\x00", None, "results.json:1: a zero byte"),
        ("9" * 5000, None, "results.json: "),
        ("3", None, "results.json: 3; expected a list of detections"),
        ({"images": []}, None, "results.json: an object of 'images'; expected a list of detec"),
        ([record(1)], None, "results.json: a list of 1 items; .*--images FILE.json"),
        ([record(1)], [], "images.json: a list of 0 items; .*--images FILE.json"),
        ([record(1)], {"images": [3]}, r"images.json: images\[0\]: 3; expected an object"),
        ([record(1)], {"images": [{"id": [1]}]}, r"images.json: images\[0\]: "),
        ([record(1)], {"images": [{"id": 1}]}, r"images\[0\]: file_name None; expected the path"),
        ([record(1)], {"images": [{"id": 1, "file_name": "a.jpg"}]}, "no number of a frame"),
        ([record(1)], {"images": [{"id": 1, "file_name": "12.jpg"}]}, "names no video; expected"),
        ([record(1)], {"images": [{"id": 1, "file_name": "a/1.jpg"}] * 2}, "id 1 is there twice"),
        ([record(1)], listed("a/1.jpg", "a/01.jpg"), "two images are frame 1 of video 'a'"),
        ([record(1)], listed("a/1.jpg"), "record 0: image_id 1 is none of the images"),
        ([record([])], listed("a/1.jpg"), r"record 0: image_id \[\] is none"),
        ([record(True)], listed("a/1.jpg"), "record 0: image_id True is none"),
        (["x"], listed("a/1.jpg"), "record 0: 'x'; expected image_id, bbox and score"),
        ([record(100, (1, 2, 3))], listed("a/1.jpg"), "record 0: bbox .*; expected x, y, w, h"),
        ([record(100, (1, 2, 3, "4"))], listed("a/1.jpg"), "record 0: bbox .*; expected x, y, w"),
        ([record(100, (1, 2, 3, float("nan")))], listed("a/1.jpg"), "record 0: bbox"),
        ([record(100, score=None)], listed("a/1.jpg"), "record 0: score None; expected a number"),
        ([record(100, score=10**400)], listed("a/1.jpg"), "record 0: score 1000"),
        ([record(100, (10**9, 0, 5, 5))], listed("a/1.jpg"), "record 0: a coordinate beyond"),
    ],
)
def test_one_line_for_what_cannot_be_read(read, results, images, message):
    with pytest.raises(ValueError, match=message) as error:
        read(results, images)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("height", [[], {}])
def test_a_size_that_is_no_number_is_refused(read, height):
    images = listed("v/000.jpg")
    images["images"][0] |= {"height": height, "width": 36}
    with pytest.raises(ValueError, match=r"images.json: images\[0\]: height .*expected pixels"):
        read([record(100)], images)
