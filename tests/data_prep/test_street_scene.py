import shutil

import cv2
import numpy as np
import pytest

from data_prep import street_scene
from vadjax.data.clips import Videos
from vadjax.data.store.records import Dataset

TRUTH = "001.jpg 0 20.5 10 9 6\n002.jpg 0 21 10 8 6\n004.jpg 2 18 12 36 24\n"
TRACKS = [[0, 0, 16, 7, 24, 12], [0, 1, 17, 7, 24, 12], [2, 3, 0, 0, 35, 23]]


@pytest.fixture
def tree(tmp_path, write_images):
    """Two training and two test sequences, names from 001, ground truth in both of its places."""
    root = tmp_path / "StreetScene"
    for name, count in (
        ("Train/Train001", 5),
        ("Train/Train002", 4),
        ("Test/Test001", 6),
        ("Test/Test002", 3),
    ):
        write_images(root / name, count, first=1)
    (root / "Test/Test001/Test001_gt.txt").write_text(TRUTH)
    (root / "Test/Test002_gt.txt").write_text("")
    return root


def refused(tree, message, error=ValueError, **options):
    out = tree.parent / "never"
    with pytest.raises(error, match=message):
        street_scene.prepare(tree, out, **options)
    assert not out.exists()


def test_frames_labels_and_tracks(tree, tmp_path, capsys):
    street_scene.main(["--data", str(tree), "--out", str(tmp_path / "out"), "--encoding=jpeg"])
    data = Dataset(tmp_path / "out")
    assert [(video.name, len(video)) for video in Videos(data, "train")] == [
        ("Train001", 5),
        ("Train002", 4),
    ]
    assert not any(video.labels.any() for video in Videos(data, "train"))
    first, second = Videos(data, "test")
    np.testing.assert_array_equal(first.tracks, TRACKS)
    np.testing.assert_array_equal(first.labels, [1, 1, 0, 1, 0, 0])
    assert (second.tracks.shape, second.labels.tolist()) == ((0, 6), [0, 0, 0])
    expected = cv2.imread(str(tree / "Test/Test001/004.jpg"))
    np.testing.assert_array_equal(first[3], expected[..., ::-1])
    text = capsys.readouterr().out
    assert "2 videos, 2 tracks, 3 boxes; frames 0 to 3, x 0 to 35, y 0 to 23" in text
    assert "frames: 0 to 5 in the longest video, x 0 to 35, y 0 to 23" in text


def test_resized_frames_keep_tracks_in_source_pixels(tree, tmp_path):
    street_scene.prepare(tree, tmp_path / "out", size=(12, 18))
    video = Videos(Dataset(tmp_path / "out"), "test")[0]
    assert (video.size, video.source_size) == ((12, 18), (24, 36))
    np.testing.assert_array_equal(video.tracks, TRACKS)


def test_other_columns_with_classes(tree, tmp_path, capsys):
    rows = "0,jaywalking,0,16,7,9,6\n1,jaywalking,0,17,7,8,6\n3,illegal parking,2,0,0,36,24\n"
    path = tree / "Test/Test001/Test001_gt.txt"
    path.write_text(rows)
    flags = ["--columns=frame,class,track_id,x,y,w,h", "--first_frame=0"]
    street_scene.main(["--data", str(tree), "--out", str(tmp_path / "out"), *flags])
    first, second = Videos(Dataset(tmp_path / "out"), "test")
    np.testing.assert_array_equal(first.tracks, TRACKS)
    assert first.kinds == {0: "jaywalking", 2: "illegal parking"} and second.kinds == {}
    assert "classes: jaywalking 1, illegal parking 1" in capsys.readouterr().out
    path.write_text(rows + "4,biker,0,17,7,8,6\n")
    columns = ("frame", "class", "track", "x", "y", "w", "h")
    refused(
        tree,
        r"Test001_gt\.txt:4: track 0 is of class 'biker', before 'jaywalking'",
        columns=columns,
        first_frame=0,
    )


def test_a_heading_with_classes(tree, tmp_path, capsys):
    rows = "16,7,25,13,0,jaywalking,001.jpg\n17,7,25,13,0,jaywalking,002.jpg\n"
    path = tree / "Test/Test001/Test001_gt.txt"
    path.write_text(f"\ufeffX Min,Y Min,x1,y1,ID,Label,Image\n{rows}", "utf-8")
    street_scene.main(["--data", str(tree), "--out", str(tmp_path / "out")])
    first = Videos(Dataset(tmp_path / "out"), "test")[0]
    np.testing.assert_array_equal(first.tracks, TRACKS[:2])
    assert first.kinds == {0: "jaywalking"}
    assert "tracks: columns by the heading, X Min,Y Min,x1" in capsys.readouterr().err
    path.write_text("001.jpg 0 0.5 0.5 0.25 0.25\n")
    refused(tree, "Test001_gt.txt: all coordinates of the tracks lie between 0 and 1")


def test_pictures_numbered_from_0(tree, tmp_path, write_images):
    shutil.rmtree(tree / "Test/Test001")
    write_images(tree / "Test/Test001", 6)
    (tree / "Test/Test001_gt.txt").write_text(TRUTH)
    street_scene.prepare(tree, tmp_path / "out")
    video = Videos(Dataset(tmp_path / "out"), "test")[0]
    np.testing.assert_array_equal(video.tracks[:, 1], [1, 2, 4])


def test_folders_that_are_missing_or_empty(tree, tmp_path):
    refused(tree / "none", "no such folder .--data", FileNotFoundError)
    shutil.rmtree(tree / "Train/Train002")
    (tree / "Train/Train002").mkdir()
    refused(tree, r"Train002: empty; expected the frames of a video")
    shutil.rmtree(tree / "Train")
    refused(tree, "has no folder Train", FileNotFoundError)
    (tree / "Train").mkdir()
    refused(tree, r"Train: no sequences; expected a folder Train001 of frames")


@pytest.mark.parametrize("place", ["Train002/Train002_gt.txt", "Train002_gt.txt"])
def test_a_training_sequence_with_ground_truth(tree, place):
    (tree / "Train" / place).write_text(TRUTH)
    refused(tree, rf"{place}: ground truth of a training sequence; .* Move it to Test")


def test_ground_truth_that_is_missing_or_there_twice(tree):
    (tree / "Test/Test001_gt.txt").write_text(TRUTH)
    refused(tree, r"Test001_gt\.txt and .*Test001_gt\.txt: both for Test001")
    (tree / "Test/Test002_gt.txt").rename(tree / "Test/Test003_gt.txt")
    (tree / "Test/Test001_gt.txt").unlink()
    refused(tree, r"Test002_gt\.txt: not there, nor .*needs its ground truth", FileNotFoundError)
    (tree / "Test/Test002_gt.txt").write_text("")
    refused(tree, r"Test003_gt\.txt: ground truth of a sequence that is not there")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("007.jpg 0 20 10 8 8", "no such frame; frames are numbered 1 to 6"),
        ("000.jpg 0 20 10 8 8", "no such frame; frames are numbered 1 to 6"),
        ("003.jpg 0 90 10 8 8", r"a box far outside its frame of 24 x 36 pixels \(H x W\)"),
        ("003.jpg 0 2 10 60 8", "a box far outside its frame"),
        ("003.jpg 0 20 10 8 8 car", r"7 columns, expected 6 \(frame,track,cx,cy,w,h\)"),
        ("003.jpg 0 20 10 8", "5 columns, expected 6"),
        ("frame 0 20 10 8 8", "frame 'frame' is not a number"),
        ("003.jpg car 20 10 8 8", "track 'car' is not a number"),
        ("003.jpg 0.5 20 10 8 8", "is not a whole number"),
        ("003.jpg 0 20 10 nan 8", "NaN or infinite"),
        ("003.jpg 0 20 10 0 8", "--drop_degenerate leaves it out"),
    ],
)
def test_lines_that_are_refused(tree, line, message):
    (tree / "Test/Test001/Test001_gt.txt").write_text(TRUTH + line + "\n")
    refused(
        tree,
        rf"Test001_gt\.txt:4: .*{message}.*\. Compare the file with --columns "
        r"frame,track,cx,cy,w,h and --first_frame 1$",
    )


def test_empty_boxes_are_left_out_on_request(tree, tmp_path):
    (tree / "Test/Test001/Test001_gt.txt").write_text(TRUTH + "006.jpg 0 20 10 0 8\n")
    street_scene.prepare(tree, tmp_path / "out", drop_degenerate=True)
    video = Videos(Dataset(tmp_path / "out"), "test")[0]
    np.testing.assert_array_equal(video.tracks, TRACKS)


def test_a_missing_picture(tree):
    (tree / "Test/Test001/003.jpg").unlink()
    refused(tree, r"Test001: 5 frames from 001\.jpg to 006\.jpg, expected consecutive numbers")


def test_errors_end_the_program_with_one_line(tree, tmp_path):
    flags = ["--data", str(tree), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit, match="error: --columns: .*,w,h: expected one of track"):
        street_scene.main([*flags, "--columns=frame,x,y,w,h"])
    (tree / "Test/Test001/notes.md").write_text("x")
    with pytest.raises(SystemExit, match=r"error: .*notes\.md: not an image"):
        street_scene.main(flags)
