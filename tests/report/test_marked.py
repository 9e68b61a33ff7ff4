import cv2
import numpy as np
import pytest

from vadjax.data.video import reader as decoding
from vadjax.report import marked, overlay, reasons
from vadjax.scores import alarm
from vadjax.scores import files as score_files
from vadjax.scores.alarm import AlarmLine
from vadjax.scores.files import Scores

SIZE, FACTOR = (40, 60), 9  # 40 rows become 360
GREY = np.full((*SIZE, 3), 100, np.uint8)
TINTED = tuple(round(0.6 * 100 + 0.4 * part) for part in marked.TINT)


def cells(*hot, shape=(4, 6)):
    """A map with those (row, column, value)."""
    found = np.zeros(shape, np.float32)
    for row, column, value in hot:
        found[row, column] = value
    return found


def is_colour(image, colour):
    return (image == np.array(colour)).all(-1)


def block(row, column, inset=0):
    """Slices of a cell of 10 × 10 pixels in the enlarged picture."""
    return tuple(slice(90 * at + inset, 90 * (at + 1) - inset) for at in (row, column))


def test_cells_from_the_threshold_on_are_tinted_and_no_others():
    image = marked.mark(GREY, cells((2, 3, 2.0), (0, 0, 1.99)), 2.0)
    assert image.shape == (360, 540, 3)
    assert is_colour(image[block(2, 3, marked.THICK)], TINTED).all()
    image[block(2, 3)] = 100
    image[180 - 30 : 180] = 100  # the plate above the box
    assert (image == 100).all()


def test_boxes_lie_along_the_cells_and_say_the_highest_score():
    part = cells((1, 1, 2.5), (2, 2, 3.25), (2, 1, 2.0), (0, 5, 9.0))
    found = marked.parts(part, 2.0, SIZE)
    assert [(p.box.tolist(), p.score) for p in found] in (
        [([50, 0, 59, 9], 9.0), ([10, 10, 29, 29], 3.25)],
        [([10, 10, 29, 29], 3.25), ([50, 0, 59, 9], 9.0)],
    )
    image = marked.mark(GREY, part, 2.0)
    for edge in (image[90:270, 90], image[90:270, 269], image[269, 90:270], image[90, 90:270]):
        assert is_colour(edge, marked.BOX).all()
    assert is_colour(image[90 + 2 : 180, 180 + 2 : 268], (100, 100, 100)).all()  # not in the part
    plate = image[90 - 12 : 90 - 4, 90:140]
    assert is_colour(plate, marked.BOX).any() and (plate > 200).all(-1).any()


def test_a_part_inside_the_box_of_another_has_its_own_score():
    ring = cells(
        *[(r, c, 2.0) for r in range(5) for c in range(5) if {r, c} & {0, 4}],
        (2, 2, 7.0),
        shape=(5, 5),
    )
    found = {part.score: part.box.tolist() for part in marked.parts(ring, 2.0, (50, 50))}
    assert found == {2.0: [0, 0, 49, 49], 7.0: [20, 20, 29, 29]}


def test_cells_of_uneven_size_are_those_of_the_metrics():
    image = marked.mark(GREY, cells((1, 2, 5.0), shape=(3, 7)), 2.0)
    assert marked.parts(cells((1, 2, 5.0), shape=(3, 7)), 2.0, SIZE)[0].box.tolist() == [
        18,
        14,
        25,
        26,
    ]
    rows, columns = np.nonzero(is_colour(image, TINTED))
    inner = (rows.min() - 2, rows.max() + 2, columns.min() - 2, columns.max() + 2)
    assert inner == (14 * 9, 27 * 9 - 1, 18 * 9, 26 * 9 - 1)
    with pytest.raises(ValueError, match="41 cells of a map for 40 pixels"):
        marked.mark(GREY, np.zeros((41, 6)), 2.0)


@pytest.mark.parametrize("at", [(0, 0), (0, 5), (3, 0), (3, 5)])
def test_marks_at_the_edge_stay_in_the_picture(at):
    image = marked.mark(GREY, cells((*at, 1234.5)), 2.0)
    rows, columns = np.nonzero(~is_colour(image, (100, 100, 100)))
    box = [at[1] * 90, at[0] * 90, at[1] * 90 + 89, at[0] * 90 + 89]
    assert columns.min() >= min(box[0], 540 - 100) and columns.max() == box[2]
    assert rows.max() == box[3] and rows.min() >= box[1] - 30
    assert is_colour(image[box[3], box[0] : box[2] + 1], marked.BOX).all()


def test_a_single_pixel_of_a_large_frame_is_marked():
    picture = np.full((400, 500, 3), 100, np.uint8)
    heat = np.zeros((400, 500))
    heat[200, 300] = 3
    image = marked.mark(picture, heat, 2.0)
    assert image.shape == (400, 500, 3) and tuple(image[200, 300]) == marked.BOX
    assert (image[202:, 302:] == 100).all()


def test_the_sentence_is_wrapped_below_the_frame():
    text = "unusual speed: moving left at 2.3 px/frame. " * 5
    image = marked.mark(GREY, cells(), 2.0, text)
    assert (image[:360] == 100).all() and image.shape[1] == 540
    below = image[360:]
    ink = (below < 128).all(-1)
    assert len(below) > 40 and not ink[:, -4:].any() and not ink[-3:].any() and not ink[:3].any()
    rows = np.flatnonzero(np.diff(ink.any(1).astype(int)) == 1)
    assert len(marked.wrapped(text, 540)) == 4 and len(rows) >= 4
    assert marked.mark(GREY, cells(), 2.0, "short", lines=4).shape == image.shape
    assert marked.mark(GREY, cells(), 2.0, "", lines=4)[360:].min() == 255


def test_sides_are_even_whatever_the_frame():
    image = marked.mark(np.full((361, 501, 3), 100, np.uint8), cells(), 2.0)
    assert image.shape == (362, 502, 3) and (image[:361, :501] == 100).all()


def test_the_sentence_of_a_frame_is_of_its_highest_reason():
    told = [
        {"text": "low", "score": 1, "frames": [0, 9]},
        {"text": "high", "score": 3, "frames": [4, 6]},
        {"text": "none", "frames": [0, 20]},
        {"text": "one frame", "score": 2, "frame": 2},
    ]
    found = [marked.sentence([reasons.read(r) for r in told], t) for t in (0, 2, 4, 6, 10, 30)]
    assert found == ["low", "one frame", "high", "low", "none", ""]


@pytest.fixture
def inputs(tmp_path):
    """A score file of 6 frames, hot in frames 2 and 3, and a folder of its frames."""
    heat = np.zeros((6, 4, 6), np.float32)
    heat[2:4, 2, 3] = 2.5, 1.5
    told = ({"text": "fast", "score": 2.5, "frames": [2, 3]},)
    (tmp_path / "frames").mkdir()
    for t in range(6):
        cv2.imwrite(str(tmp_path / "frames" / f"{t}.png"), GREY + np.uint8(10 * t))
    scored = Scores("v", heat.max((1, 2)), map=heat, reasons=told)
    return [str(score_files.write(tmp_path / "scores", scored)), str(tmp_path / "frames")]


def run(inputs, out, *more):
    marked.main([*inputs, "--out", str(out), *more])
    return sorted(path.name for path in out.glob("[!.]*"))


def test_the_command_writes_the_frames_with_marks_or_all(tmp_path, inputs, capsys):
    assert run(inputs, tmp_path / "out") == ["000002.png"]
    assert f"1 of 6 frames: {tmp_path / 'out'}" in capsys.readouterr().out
    image = cv2.imread(str(tmp_path / "out" / "000002.png"))[..., ::-1]
    np.testing.assert_array_equal(
        image, marked.mark(GREY + np.uint8(20), cells((2, 3, 2.5)), 2.0, "fast")
    )
    again = run(inputs, tmp_path / "out", "--threshold", "1.5")
    assert again == ["000002.png", "000003.png"]
    names = run(inputs, tmp_path / "out", "--all")
    assert names == [f"{t:06d}.png" for t in range(6)]
    sizes = {cv2.imread(str(tmp_path / "out" / name)).shape for name in names}
    assert sizes == {image.shape}


def test_the_film_holds_all_frames(tmp_path, inputs):
    film = tmp_path / "film.mp4"
    assert run(inputs, tmp_path / "out", "--video", str(film), "--fps", "10") == ["000002.png"]
    read = [picture.pixels.astype(int) for picture in decoding.VideoFile(film)]
    assert len(read) == 6
    assert [round(frame[:80].mean() / 10) for frame in read] == [10, 11, 12, 13, 14, 15]
    middle = read[2][block(2, 3, 20)].mean((0, 1))
    expected = [round(0.6 * 120 + 0.4 * part) for part in marked.TINT]
    np.testing.assert_allclose(middle, expected, atol=12)
    np.testing.assert_allclose(read[3][block(2, 3, 20)].mean((0, 1)), 130, atol=5)


def test_the_commands_errors_are_one_line_and_leave_nothing(tmp_path, inputs):
    score_files.write(tmp_path / "plain", Scores("v", np.zeros(6)))
    score_files.write(tmp_path / "short", Scores("v", np.zeros(5), map=np.zeros((5, 1, 1))))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    out, frames = tmp_path / "out", inputs[1]
    for arguments, message in (
        ((tmp_path / "plain" / "v.npz", frames, "--out", out), "error: v: neither map nor boxes"),
        ((tmp_path / "short" / "v.npz", frames, "--out", out), "v: 5 scores for 6 frames"),
        ((*inputs, "--out", tmp_path / "mine"), "not a marked folder that vadjax wrote"),
        ((*inputs, "--out", out, "--video", "v.gif"), r"v\.gif: expected a name that ends in"),
        ((inputs[0], tmp_path / "none", "--out", out), "none: no such video file"),
    ):
        with pytest.raises(SystemExit, match=message) as stopped:
            marked.main([str(argument) for argument in arguments])
        assert "\n" not in str(stopped.value)
    assert not out.exists() and [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_frames_of_another_size_are_refused_and_the_earlier_folder_stays(tmp_path, inputs):
    run(inputs, tmp_path / "out")
    frames = [GREY] * 5 + [np.zeros((20, 60, 3), np.uint8)]
    with pytest.raises(ValueError, match="v: frame 5 is 20 × 60, frame 0 40 × 60"):
        marked.write(
            score_files.read(inputs[0]),
            overlay.FrameSource(frames, 6),
            tmp_path / "out",
            every=True,
        )
    assert [p.name for p in (tmp_path / "out").glob("[!.]*")] == ["000002.png"]


def test_the_threshold_is_the_alarm_line_of_the_run(tmp_path, inputs, capsys):
    """Beside scores of a run, of its evaluations and of new video."""
    line = AlarmLine(1.25, True, 1.0, None, False, np.zeros((0, 2)))
    alarm.write(tmp_path, line)
    assert run(inputs, tmp_path / "out") == ["000002.png", "000003.png"]
    assert "marked from 1.25 on" in capsys.readouterr().out
    for place in ("scores", "predict/scores", "evaluate_0/scores"):
        assert marked.threshold_of(tmp_path / place / "v.npz") == 1.25
    assert marked.threshold_of(tmp_path / "elsewhere/a/b/c/v.npz") == marked.THRESHOLD
    assert run(inputs, tmp_path / "out", "--threshold", "2") == ["000002.png"]


def test_it_is_said_where_nothing_reaches_the_threshold(tmp_path, inputs, capsys):
    assert run(inputs, tmp_path / "out", "--threshold", "3") == []
    said = capsys.readouterr().out
    assert "v: nothing reaches 3, the highest is 2.5; give a lower --threshold" in said


def test_boxes_are_drawn_where_there_is_no_map(tmp_path, inputs):
    """In pixels of the frames that they belong to, from the threshold on."""
    boxes = np.array([[2, 20, 10, 40, 20, 0.7], [3, 0, 0, 9, 9, 0.4]])
    scored = Scores("v", np.full(6, 0.5), boxes=boxes)
    inputs[0] = str(score_files.write(tmp_path / "scores", scored))
    assert run(inputs, tmp_path / "out", "--threshold", "0.5") == ["000002.png"]
    image = cv2.imread(str(tmp_path / "out" / "000002.png"))[..., ::-1]
    for edge in (image[90:180, 180], image[90:180, 359], image[179, 180:360]):
        assert is_colour(edge, marked.BOX).all()
    found = marked.boxes_of(scored, 2, SIZE, (80, 120))
    assert [(box.box.tolist(), box.score) for box in found] == [([10, 5, 19, 9], 0.7)]
