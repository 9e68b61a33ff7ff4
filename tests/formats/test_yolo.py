import numpy as np
import pytest

from vadjax.formats.detections import format_of, read_detections

SIZE = (20, 40)  # H x W
ROW = "0 0.175 0.35 0.25 0.3 0.5\n"  # x from 2 to 12, y from 4 to 10, ends excluded
BOX = [2, 4, 11, 9]


@pytest.fixture
def write(tmp_path):
    """Function: writes files by their paths below a folder."""

    def files(**texts):
        for name, text in texts.items():
            path = tmp_path / "yolo" / f"{name.replace('__', '/')}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / "yolo"

    return files


def read(folder, **flags):
    return read_detections(folder, "yolo", **({"size": SIZE} | flags))


def test_a_folder_a_video(write):
    folder = write(a__000="", a__2=ROW + ROW.replace("0.5\n", "0.75\n"), b__img_00007=ROW)
    assert format_of(folder) == "yolo"
    found = read(folder)
    np.testing.assert_allclose(found.boxes["a"], [[0.5, 2, *BOX], [0.75, 2, *BOX]])
    np.testing.assert_allclose(found.boxes["b"], [[0.5, 7, *BOX]])
    assert found.frames == {"a": None, "b": None}
    assert read(folder, frames={"a": 3, "b": 8}).frames == {"a": 3, "b": 8}
    with pytest.raises(ValueError, match=r"yolo/a/2.txt:1: no such frame; .* 0 to 1"):
        read(folder, frames={"a": 2, "b": 8})


def test_all_videos_in_one_folder_are_said(write, capsys):
    folder = write(**{"01_0014_1": ROW, "01_0014_12": ROW, "02_1": ROW, "classes": "person\ncar\n"})
    assert format_of(folder) == "table"  # cannot be told apart
    found = read(folder, first_frame=1)
    assert sorted(found.boxes) == ["01_0014", "02"]
    np.testing.assert_array_equal(found.boxes["01_0014"][:, 1], [0, 11])
    assert "classes.txt: holds no row of numbers" in capsys.readouterr().err
    read(folder)
    said = capsys.readouterr().err
    assert "the smallest frame is 1: if they count from 1, give --first_frame 1" in said


def test_a_box_over_the_edge_stays_a_share(write):
    folder = write(a__0="0 0.99 0.5 0.04 1.02 0.5\n")
    np.testing.assert_allclose(read(folder).boxes["a"], [[0.5, 0, 38.8, -0.2, 39.4, 19.2]])


@pytest.mark.parametrize(
    ("texts", "flags", "message"),
    [
        ({"a__0": ROW}, {"size": None}, "coordinates are shares of the frame; .*--frame_size"),
        ({"a__0": "0 0.1 0.2 0.3 0.4\n"}, {}, "a/0.txt:1: 5 columns, expected 6 .*save_conf=True"),
        ({"a__0": "0 0.1 0.2 0.3 x 0.4\n"}, {}, "a/0.txt:1: h 'x' is not a number"),
        ({"a__0": ROW + "0 16 22 30 44 0.5\n"}, {}, "a/0.txt:2: a coordinate is not a share"),
        (
            {"a__0": ROW, "a__7": "\n# none\n0 0.1 0.2 3 0.4 0.5\n"},
            {},
            "a/7.txt:3: a coordinate is",
        ),
        ({"a__0": ROW, "a__7": "0 0.1 0.2 0.3\n"}, {}, "a/7.txt:1: 4 columns"),
        ({"a__0": "0 nan 0.2 0.3 0.4 0.5\n"}, {}, "a/0.txt:1: a coordinate is not a share"),
        ({"a__0": "0 0.1 0.2 0.3 0.4 nan\n"}, {}, "a/0.txt:1: score is NaN"),
        ({"a__0": ROW, "a__x_0": ROW}, {}, "x_0.txt: frame 0 of video 'a' has another file"),
        ({"a__last": ROW}, {}, "'a/last.txt' has no number of a frame"),
        ({"12": ROW}, {}, "'12.txt' names no video"),
        ({"a__0": "\x00\x01"}, {}, "a/0.txt:1: a zero byte"),
    ],
)
def test_one_line_for_what_cannot_be_read(write, texts, flags, message):
    with pytest.raises(ValueError, match=message) as error:
        read(write(**texts), **flags)
    assert "\n" not in str(error.value)


def test_an_empty_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="no files VIDEO/NUMBER.txt or VIDEO_NUMBER.txt"):
        read(tmp_path)
