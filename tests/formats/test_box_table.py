import numpy as np
import pytest

from vadjax.formats.boxes import read
from vadjax.formats.columns import Layout, layout
from vadjax.formats.detections import DETECTIONS
from vadjax.formats.table import words
from vadjax.formats.tracks import TRACKS

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
    layout = Layout(tuple(columns.split(",")), "score", first)
    np.testing.assert_array_equal(read(tmp_path / "v.txt", layout), [ROW])


@pytest.mark.parametrize("text", ["", "\n", "frame_id,x_min,y_min,x_max,y_max,score\n"])
def test_a_file_without_a_row_has_no_boxes(tmp_path, text):
    (tmp_path / "v.txt").write_text(text)
    assert read(tmp_path / "v.txt", DETECTIONS).shape == (0, 6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<html>\n", r"v\.txt:1: 1 columns, expected 6"),
        ("1_0,2,4,11,9,0.5\n", r"v\.txt:1: frame_id '1_0' is not a number"),
        (
            "frame,x_min,y_min,x_max,y_max,score\n3,2,4,11,9,0.5\n3,2,4,11,9,nan",
            r"v\.txt:3: score is NaN",
        ),
        ("\na,b,c,d,e,f\n3,2,4,11,9,0.5\n", r"v\.txt:2: its heading .*'a' is not known here; kno"),
        ("3;2;4;11;9;0,5\n", r"v\.txt:1: score '0,5' is not a number"),
        ("1e12,2,4,11,9,0.5\n", r"v\.txt:1: no such frame"),
        ("3,2,4,1e300,9,0.5\n", r"v\.txt:1: a coordinate beyond 1,000,000 pixels"),
        ("3,-inf,4,inf,9,0.5\n", r"v\.txt:1: a frame or coordinate is NaN or infinite"),
        ("3,2,4,11,9,0.5,7\n", r"v\.txt:1: 7 columns, expected 6 \(frame_id,x_min"),
        ("3,2,4,11,9,0.5\n \n3.5,2,4,11,9,0.5\n", r"v\.txt:3: the frame .* not a whole number"),
        ("3,2,4,11,9,0.5\n5,2,4,11,9,0.5\n", r"v\.txt:2: no such frame; .* 0 to 4: '5,2"),
    ],
)
def test_errors_name_file_and_line(tmp_path, text, message):
    (tmp_path / "v.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        read(tmp_path / "v.txt", DETECTIONS, frames=5)


def test_frames_that_seem_to_count_from_one(tmp_path):
    (tmp_path / "v.txt").write_text("".join(f"{i},2,4,11,9,0.5\n" for i in range(1, 6)))
    made = layout(DETECTIONS, None, 0, ("--detection_columns", "--first_frame"))
    with pytest.raises(ValueError, match=r"v.txt:5: .* 0 to 4, or from 1 with --first_frame 1: '5"):
        read(tmp_path / "v.txt", made, 5)
    with pytest.raises(ValueError, match=r"v.txt:4: no such frame; frames are numbered 0 to 3: '4"):
        read(tmp_path / "v.txt", made, 4)  # nor would they fit then


def test_a_middle_needs_a_size():
    with pytest.raises(ValueError, match="cx is the middle, so w is needed too"):
        Layout(("score", "frame", "cx", "cy", "x1", "h"), "score")
    with pytest.raises(ValueError, match="expected one of x_min, cx; got x_min and cx"):
        Layout(("score", "frame", "x", "cx", "y", "w", "h"), "score")


@pytest.mark.parametrize(
    ("row", "inside"),
    [
        ("0,-9,-6,44,29", True),
        ("0,-10,0,9,9", False),
        ("0,0,-7,9,9", False),
        ("0,0,0,45,9", False),
        ("0,0,0,9,30", False),
    ],
)
def test_boxes_far_outside_a_frame(tmp_path, row, inside):
    """A quarter of 36 x 24 is 9 x 6."""
    (tmp_path / "v.txt").write_text(f"0,{row}\n")
    if inside:
        assert len(read(tmp_path / "v.txt", TRACKS, size=(24, 36))) == 1
    else:
        with pytest.raises(ValueError, match=r"v\.txt:1: a box far outside .* 24 x 36 pixels"):
            read(tmp_path / "v.txt", TRACKS, size=(24, 36))


def test_words_of_named_columns(tmp_path):
    (tmp_path / "v.txt").write_text(
        "t;n;x;y;w;h;what\n\n3;0;1;2;3;4; illegal parking \n4;0;1;2;3;4;dog\n"
    )
    layout = Layout(("track_id", "frame", "x", "y", "w", "h", "class"), "track")
    found = words(tmp_path / "v.txt", layout, ("track", "class"))
    assert found == [(3, ["3", "illegal parking"]), (4, ["4", "dog"])]


def test_what_is_not_text_is_named(tmp_path):
    (tmp_path / "v.txt").write_bytes(b"\x80\x81\xff\n")
    with pytest.raises(ValueError, match=r"v\.txt: not a text file"):
        read(tmp_path / "v.txt", DETECTIONS)
