import cv2
import numpy as np
import pytest

from vadjax.data.video import reader as decoding
from vadjax.report import heat, overlay
from vadjax.scores import files as score_files
from vadjax.scores.files import Scores

FRAMES, SIZE = 6, (40, 60)
FACTOR = 9  # 40 rows become 360


def scored(labels=(0, 0, 1, 1, 0, 0), **fields):
    return Scores("v", np.linspace(0, 1, len(labels)), np.array(labels, np.uint8), **fields)


def grey(count=FRAMES, size=SIZE):
    """Grey frames whose brightness tells their number."""
    return [np.full((*size, 3), 100 + 10 * t, np.uint8) for t in range(count)]


def hot_at_the_left():
    """A map [6, 4, 6] whose first column is hot in frames 2 and 3."""
    heat = np.zeros((FRAMES, 4, 6), np.float32)
    heat[2:4, :, 0] = 1
    return heat


def written(tmp_path, video, name="v.mp4", frames=None, **more):
    """The frames of the overlay, read back, in RGB."""
    frames = frames or grey()
    source = overlay.FrameSource(frames, len(frames), **more)
    path = overlay.write(video, source, tmp_path / name)
    return [picture.pixels.astype(int) for picture in decoding.VideoFile(path)]


def picture(frame):
    """The place of the picture in a frame of the overlay."""
    edge = overlay.EDGE
    return frame[edge : edge + FACTOR * SIZE[0], edge : edge + FACTOR * SIZE[1]]


@pytest.mark.parametrize("name", ["v.mp4", "v.webm"])
def test_the_overlay_has_the_frames_of_the_video_in_order(tmp_path, name):
    read = written(tmp_path, scored(), name)
    width, height = 60 * FACTOR + 16 + overlay.SIDE, 40 * FACTOR + 16 + overlay.CURVE
    assert {frame.shape for frame in read} == {(height, width, 3)}
    middles = [picture(frame).mean() for frame in read]
    np.testing.assert_allclose(middles, 100 + 10 * np.arange(FRAMES), atol=5)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_heat_lies_where_the_map_is_hot_and_nowhere_else(tmp_path):
    cold = written(tmp_path, scored(), "cold.mp4")
    warm = written(tmp_path, scored(map=hot_at_the_left()), "warm.mp4")
    for t, (a, b) in enumerate(zip(cold, warm, strict=True)):
        changed = np.abs(picture(a) - picture(b)).mean(axis=(0, 2))
        assert changed[200:].max() < 8  # of a column; the codec's own noise
        assert (changed[:40].min() > 30) == (t in (2, 3))


def test_the_mark_is_red_in_labelled_frames_only(tmp_path):
    for t, frame in enumerate(written(tmp_path, scored())):
        strip = frame[overlay.EDGE : -overlay.CURVE - 20, 2:6].mean(axis=(0, 1))
        red, green, blue = strip
        assert (red - max(green, blue) > 100) == (t in (2, 3)), (t, strip)
        assert (strip.min() > 235) == (t not in (2, 3)), (t, strip)


def test_without_labels_nothing_is_marked_or_claimed():
    video = Scores("v", np.linspace(0, 1, 6))
    stage = overlay.lay_out(video, SIZE)
    known = overlay.lay_out(scored([0] * 6), SIZE)
    plain = overlay.draw(stage, video, 3, grey()[3])
    assert (plain[: overlay.EDGE] == 255).all()
    said = (plain != overlay.draw(known, scored([0] * 6), 3, grey()[3])).any(-1)
    assert said.any() and np.nonzero(said)[1].min() > FACTOR * SIZE[1]  # "labelled normal", beside


def test_the_cursor_moves_along_the_curve_with_the_truth_shaded():
    video = scored()
    stage = overlay.lay_out(video, SIZE)
    top, bottom = stage.span
    shade = np.array([250, 229, 199])  # the truth's colour at 35 % on white
    row = stage.canvas[top + 3].astype(int)
    shaded = np.flatnonzero(np.abs(row - shade).max(-1) < 20)
    assert shaded.min() == pytest.approx(stage.cursor[2], abs=2)
    assert shaded.max() == pytest.approx(stage.cursor[4], abs=2)
    for t in range(FRAMES):
        drawn = overlay.draw(stage, video, t, grey()[t])
        below = (drawn != stage.canvas).any(-1)[top + 1 : bottom]
        assert below.all(0).nonzero()[0].mean() == pytest.approx(stage.cursor[t], abs=1)
    assert (np.diff(stage.cursor) > 50).all()


@pytest.mark.parametrize("box_size", [None, (80, 120)])
def test_boxes_are_drawn_in_their_frame_and_at_their_scale(box_size):
    unit = 2 if box_size else 1
    box = np.array([10, 5, 30, 20]) * unit
    video = scored(boxes=np.array([[2, *box, 0.9]]))
    stage = overlay.lay_out(video, SIZE)
    with_box = overlay.draw(stage, video, 2, grey()[2], box_size)
    assert (picture(with_box)[45:180, 90] == overlay.BOX).all()  # left edge: x = 10 × 9
    assert (picture(with_box)[45, 90:270] == overlay.BOX).all()
    assert (picture(with_box) == overlay.BOX).all(-1).sum() == 2 * (180 + 135) - 4
    assert not (picture(overlay.draw(stage, video, 3, grey()[3])) == overlay.BOX).all(-1).any()


def test_boxes_of_several_scores_have_their_colours():
    rows = [[2, 10, 5, 30, 20, 0.9], [2, 28, 5, 40, 20, 0.1], [3, 1, 1, 5, 5, 0.5]]
    video = scored(boxes=np.array(rows))
    stage = overlay.lay_out(video, SIZE)
    assert stage.boxes == (0.1, 0.9)
    drawn = picture(overlay.draw(stage, video, 2, grey()[2]))
    low, high = (heat.colours(score, stage.boxes) for score in (0.1, 0.9))
    assert (drawn[100, 90] == high).all() and (drawn[100, 359] == low).all()
    assert (drawn[100, 269] == high).all()  # drawn over the other
    assert high.astype(int).sum() > low.astype(int).sum() + 200
    assert overlay.lay_out(scored(boxes=np.zeros((0, 6))), SIZE).boxes is None


def test_a_map_without_contrast_gives_no_heat():
    video = scored(map=np.ones((FRAMES, 2, 2)))
    drawn = overlay.draw(overlay.lay_out(video, SIZE), video, 0, grey()[0])
    assert (picture(drawn) == 100).all()


@pytest.mark.parametrize(
    ("count", "name", "fps", "message"),
    [
        (5, "v.mp4", 25, "v: 6 scores for 5 frames"),
        (6, "v.gif", 25, r"v\.gif: expected a name that ends in \.mp4 or \.webm"),
        (6, "v.mp4", 0, "0 frames a second; expected more than 0"),
        (6, "v.mp4", float("inf"), "inf frames a second; expected more than 0, and finite"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path, count, name, fps, message):
    with pytest.raises(ValueError, match=message):
        overlay.write(scored(), overlay.FrameSource(grey(count), count), tmp_path / name, fps)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["v.mp4", "v.webm"])
@pytest.mark.parametrize(("fps", "shown"), [(0.2, 0.2), (0.5, 0.5), (1 / 60, 0.05)])
def test_films_of_slow_cameras_are_whole(tmp_path, capsys, name, fps, shown):
    path = overlay.write(scored(), overlay.FrameSource(grey(), FRAMES), tmp_path / name, fps)
    film = cv2.VideoCapture(str(path))
    assert film.get(cv2.CAP_PROP_FPS) == pytest.approx(shown)
    middles = []
    while (read := film.read())[0]:
        middles.append(picture(read[1]).mean())
    np.testing.assert_allclose(middles, 100 + 10 * np.arange(FRAMES), atol=8)
    said = f"{name}: shown at 0.05 frames a second; a film cannot have 0.0166667"
    assert (said in capsys.readouterr().out) == (fps != shown)


def test_a_failure_leaves_the_earlier_file_and_nothing_else(tmp_path):
    (tmp_path / "v.mp4").write_text("earlier")
    frames = [*grey(5), np.zeros((20, 60, 3), np.uint8)]
    with pytest.raises(ValueError, match="v: frame 5 is 20 × 60, frame 0 40 × 60"):
        overlay.write(scored(), overlay.FrameSource(frames, 6), tmp_path / "v.mp4")
    with pytest.raises(OSError, match=r"v\.mp4: 3 of 6 frames were written"):
        overlay.write(scored(), overlay.FrameSource(grey(3), 6), tmp_path / "v.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["v.mp4"]
    assert (tmp_path / "v.mp4").read_text() == "earlier"


def test_a_folder_of_pictures_and_a_video_file_give_the_same_overlay(tmp_path):
    (tmp_path / "frames").mkdir()
    for t, frame in enumerate(grey()):
        cv2.imwrite(str(tmp_path / "frames" / f"{t}.png"), frame)
    scores = score_files.write(tmp_path / "scores", scored())
    overlay.main([str(scores), str(tmp_path / "frames")])
    first = list(decoding.VideoFile(tmp_path / "scores" / "v.mp4"))
    assert len(first) == FRAMES and abs(picture(first[5].pixels).mean() - 150) < 5
    again = [str(scores), str(tmp_path / "scores" / "v.mp4"), "--out", str(tmp_path / "again.mp4")]
    overlay.main([*again, "--fps", "10"])
    film = decoding.VideoFile(tmp_path / "again.mp4")
    assert (film.fps, len(film)) == (10, FRAMES)


def test_a_prepared_dataset_gives_the_video_of_that_name(tmp_path, toy_scenes, toy_bags):
    from vadjax.data import clips
    from vadjax.data.store import records

    video = clips.Videos(records.Dataset(toy_scenes), "test")[1]
    source = overlay.open_source(toy_scenes, video.name)
    assert (source.count, source.size) == (20, (48, 64))
    for seen, stored in zip(source.frames, video, strict=True):
        np.testing.assert_array_equal(seen, stored)
    with pytest.raises(ValueError, match="no video 'test_01' in split 'train'; --split names"):
        overlay.open_source(toy_scenes, "test_01", "train")
    with pytest.raises(ValueError, match="holds 'features' records; expected a dataset of frames"):
        overlay.open_source(toy_bags, "v")


def test_the_commands_errors_are_one_line(tmp_path):
    scores = score_files.write(tmp_path, scored())
    (tmp_path / "frames").mkdir()
    cv2.imwrite(str(tmp_path / "frames" / "0.png"), grey()[0])
    np.savez(tmp_path / "other.npz", labels=np.zeros(3))
    for arguments, message in (
        ((scores, tmp_path / "frames"), "error: v: 6 scores for 1 frames"),
        ((scores, tmp_path / "none"), "none: no such video file"),
        ((tmp_path / "other.npz", tmp_path / "frames"), "expected frame_scores"),
        ((tmp_path / "none.npz", tmp_path / "frames"), "No such file"),
    ):
        with pytest.raises(SystemExit, match=message) as stopped:
            overlay.main([str(argument) for argument in arguments])
        assert "\n" not in str(stopped.value)
