"""Headings: followed whatever their spelling, refused where they are not known or contradicted."""

import dataclasses

import numpy as np
import pytest

from vadjax.formats.boxes import read, read_files
from vadjax.formats.columns import Layout, canonical, layout
from vadjax.formats.detections import DETECTIONS
from vadjax.formats.tracks import TRACKS, read_tracks

ROW = [0.5, 3, 2, 4, 11, 9]  # score, frame, x_min, y_min, x_max, y_max
TRACK = [7, 3, 2, 4, 11, 9]
FLAGS = ("--detection_columns", "--first_frame")


@pytest.mark.parametrize(
    "text",
    [
        "frame,x_min,x_max,y_min,y_max,score\n3,2,11,4,9,0.5\n",
        "score,y_max,x_max,y_min,x_min,frame\n0.5,9,11,4,2,3\n",
        '"Frame ID" ; "X Min" ; "Y Min" ; "Width" ; "Height" ; "Conf"\n3;2;4;10;6;0.5\n',
        "id\tframe\txmin\tymin\txmax\tymax\tconfidence\n-1\t3\t2\t4\t11\t9\t0.5\n",
        "frame,id,bb_left,bb_top,bb_width,bb_height,conf\n3,-1,2,4,10,6,0.5\n",
        "frame left top right bottom probability\n3 2 4 11 9 0.5\n",
        "image,x1,y1,x2,y2,label,conf\n000003.jpg,2,4,11,9,person,0.5\n",
        "frame,x0,y0,x1,y1,confidence\n3,2,4,12,10,0.5\n",
        "Frame-Number,CenterX,CenterY,W,H,Score\n3,7,7,10,6,0.5\n",
        "# frame,x_min,x_max,y_min,y_max,score\n3,2,11,4,9,0.5\n",
        "# made by a program\n\n% frame score x y w h\n3 0.5 2 4 10 6\n# the end\n",
    ],
)
def test_a_heading_is_followed(tmp_path, text):
    path = tmp_path / "v.txt"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path.write_bytes(text.encode(encoding))
        np.testing.assert_array_equal(read(path, DETECTIONS), [ROW])


def test_a_heading_of_savetxt_is_followed(tmp_path):
    names = "frame_id,track_id,x_min,y_min,x_max,y_max"
    np.savetxt(tmp_path / "v.txt", [[3, 7, 2, 4, 11, 9]], "%g", ",", header=names)
    np.testing.assert_array_equal(read(tmp_path / "v.txt", TRACKS), [TRACK])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "frame,x_min,y_min,x_max,y_max,certainty",
            "'certainty' is not known here; known are -, cl",
        ),
        ("frame,x_min,y_min,x_max,score", "expected one of y_max, y1, h; got none"),
        ("frame,x_min,y_min,x_max,y_max,id", "expected one of score; got none"),
        ("frame,x_min,xmin,x_max,y_max,score", "x_min is given 2 times"),
        ("# frame,x_min,y_min,x_max,y_max,certainty", "'certainty' is not known here"),
    ],
)
def test_a_heading_that_cannot_be_followed(tmp_path, text, message):
    (tmp_path / "v.txt").write_text(f"{text}\n3,2,4,11,9,0.5\n")
    made = layout(DETECTIONS, None, 0, FLAGS)
    with pytest.raises(
        ValueError, match=rf"v.txt:1: its heading .*{message}.*--detection_columns, -"
    ):
        read(tmp_path / "v.txt", made)


@pytest.mark.parametrize(
    ("heading", "columns", "agree"),
    [
        ("frame,x_min,y_min,x_max,y_max,score", "frame,x_min,y_min,x_max,y_max,score", True),
        ("frame,x_min,y_min,x_max,y_max,score", "frame,x0,y0,x1,y1,score", True),  # other edges
        ("frame,x,y,w,h,score", "frame,cx,cy,w,h,score", True),  # x says little
        ("nr,a,b,c,d,s", "frame,x,y,w,h,score", True),
        ("frame,x_min,x_max,y_min,y_max,score", "frame,x_min,y_min,x_max,y_max,score", False),
        ("frame,left,top,w,h,score", "frame,cx,cy,w,h,score", False),
        ("frame,x,y,w,h,score,class", "frame,x,y,w,h,score", False),
    ],
)
def test_columns_that_are_named_and_a_heading(tmp_path, heading, columns, agree):
    (tmp_path / "v.txt").write_text(f"{heading}\n3,2,4,11,9,0.5\n")
    made = layout(DETECTIONS, columns.split(","), 0, FLAGS)
    if agree:
        assert len(read(tmp_path / "v.txt", made)) == 1
    else:
        with pytest.raises(ValueError, match=f"v.txt:1: its heading begins with '{heading}', but"):
            read(tmp_path / "v.txt", made)


def test_names_of_two_meanings():
    assert canonical(["x1", "x2"]) == ["x_min", "x_max"]
    assert canonical(["x0", "x1"]) == ["x_min", "x1"]
    assert canonical(["-", " X  Max ", "nothing"]) == ["-", "x_max", None]
    with pytest.raises(
        ValueError, match="--detection_columns: columns frame,x: expected one of sco"
    ):
        layout(DETECTIONS, ("frame", "x"), 0, FLAGS)


@pytest.fixture
def folder(tmp_path):
    """Function: writes files and returns video → path."""

    def write(**files):
        for name, text in files.items():
            (tmp_path / f"{name}.txt").write_text(text)
        return {name: tmp_path / f"{name}.txt" for name in files}

    return write


def test_files_of_two_orders_are_refused(folder):
    swapped = "frame,x_min,x_max,y_min,y_max,score\n3,2,11,4,9,0.5\n"
    with pytest.raises(
        ValueError, match="b.txt: has no heading, but a.txt beside it has one of oth"
    ):
        read_files(folder(a=swapped, b="3,2,4,11,9,0.5\n"), DETECTIONS, {})
    found = read_files(folder(a=swapped, b=""), DETECTIONS, {})
    np.testing.assert_array_equal(found["a"], [ROW])
    other = "frame_id,x_min,y_min,x_max,y_max,score\n3,2,4,11,9,0.5\n"
    found = read_files(folder(a=swapped, b=other), DETECTIONS, {})  # each by its own
    np.testing.assert_array_equal(found["a"], found["b"])
    found = read_files(folder(a=other, b="3,2,4,11,9,0.5\n"), DETECTIONS, {})
    np.testing.assert_array_equal(found["a"], found["b"])


def test_what_was_assumed_is_said_once(folder, capsys):
    rows = "1,2,4,11,9,0.5\n"
    read_files(folder(a=rows, b=rows), dataclasses.replace(DETECTIONS, flags=FLAGS), {})
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        "no heading, so their columns are taken as frame_id,x_min,y_min,x_max,y_max,score" in line
    )
    assert "last pixels inside; frames count from 0; the smallest frame is 1: if they" in line
    assert "give --first_frame 1" in line
    read_files(folder(a=rows), layout(DETECTIONS, DETECTIONS.columns, 1, FLAGS), {})
    assert not capsys.readouterr().err


def test_a_wrong_order_that_looks_like_slips(folder):
    """x_min, x_max, y_min, y_max without a heading; dropping what is empty would leave nonsense."""
    rows = "".join(f"{f},{50 + 3 * f},{89 + 3 * f},100,179,0.5\n" for f in range(100))
    made = dataclasses.replace(DETECTIONS, flags=FLAGS)
    with pytest.raises(
        ValueError, match="a.txt:18: .* as 83 of 100 boxes: the order .* looks wrong"
    ):
        read_files(folder(a=rows), made, {})
    with pytest.raises(
        ValueError, match="83 of 100 boxes .* looks wrong.* with --detection_columns"
    ):
        read_files(folder(a=rows), made, {}, drop_degenerate=True)
    one = rows[: rows.index("\n") + 1] * 30 + "0,9,9,5,5,0.5\n"
    with pytest.raises(ValueError, match="a.txt:31: .*; --drop_degenerate leaves it out"):
        read_files(folder(a=one), made, {})
    assert len(read_files(folder(a=one), made, {}, drop_degenerate=True)["a"]) == 30


def test_frames_and_tracks_that_are_exchanged(folder, capsys):
    rows = "".join(f"{frame},{track},0,0,9,9\n" for frame in range(40) for track in (0, 1))
    found = read_tracks(folder(a=rows))
    assert len(found["a"]) == 80
    assert "40 tracks in 2 frames; has the first column frames" in capsys.readouterr().err
    read_tracks(folder(a="frame,track,x_min,y_min,x_max,y_max\n" + rows))
    assert "40 tracks" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        ("frame,x_min,y_min,x_max,y_max,score", "3,0.05,0.2,0.3,0.5,0.5"),
        ("frame,x0,y0,x1,y1,score", "3,0.05,0.2,0.3,0.5,0.5"),
        ("frame,x,y,w,h,score", "3,0.05,0.2,0.25,0.3,0.5"),
        ("frame,cx,cy,w,h,score", "3,0.175,0.35,0.25,0.3,0.5"),
    ],
)
def test_shares_of_the_frame(folder, columns, row):
    """In 20 x 40 pixels (H x W): x from 2 to 12, y from 4 to 10, ends excluded."""
    made, paths = Layout(tuple(columns.split(",")), "score"), folder(a=row + "\n", b="")
    with pytest.raises(ValueError, match="a.txt: all coordinates of the detections lie between 0"):
        read_files(paths, made, {})
    found = read_files(paths, made, {}, size=(20, 40))
    np.testing.assert_allclose(found["a"], [[0.5, 3, 2, 4, 11, 9]])
    with pytest.raises(ValueError, match="a.txt: all coordinates lie .* but c.txt has pixels"):
        read_files(folder(a=row + "\n", c="3,0,0,5,5,0.5\n"), made, {})


def test_shares_that_reach_over_the_edge(folder):
    paths = folder(a="0,-0.003,0.5,0.5,1.02,0.5\n1,0.5,0.5,0.7,0.7,0.5\n")
    with pytest.raises(ValueError, match="a.txt: all coordinates of the detections lie between 0"):
        read_files(paths, DETECTIONS, {})
    found = read_files(paths, DETECTIONS, {}, size=(100, 200))
    np.testing.assert_allclose(found["a"][0, 2:], [-0.6, 50, 99, 101])


def test_boxes_in_the_first_pixels_are_boxes(folder):
    """Whole numbers may be pixels where other files have some; 0 to 2 are pixels."""
    found = read_files(folder(a="0,0,0,1,1,0.5\n", b="0,0,0,9,9,0.5\n"), DETECTIONS, {})
    np.testing.assert_array_equal(found["a"], [[0.5, 0, 0, 0, 1, 1]])
    assert len(read_files(folder(a="0,0,0,2,2,0.5\n"), DETECTIONS, {})["a"]) == 1
