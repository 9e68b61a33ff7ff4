"""Scoring as the frames come: live lines, cameras, times of frames."""

import numpy as np
import pytest

from tests.predict.cases import rows_of, write_video
from vadjax.data.video.frame_stream import Stamp
from vadjax.data.video.reader import Picture, open_frames
from vadjax.predict import cameras, live
from vadjax.predict import run as predict
from vadjax.predict.restore import restore, timed
from vadjax.scores.streaming import repeat

pytestmark = pytest.mark.usefixtures("no_report")


def test_live_prints_a_line_for_every_snippet_and_keeps_the_lines(ranker, tmp_path, capsys):
    config, folder = ranker
    video = write_video(tmp_path / "gate.avi", 40)
    for _ in range(2):
        assert predict.run(config, folder, str(video), as_it_comes=True) == {}
    said = capsys.readouterr().out.splitlines()
    lines = [line for line in said if "frames 16-31  score 0." in line]
    assert len(lines) == 2 and lines[0].startswith("0:00:00.6  ")
    rows = rows_of(folder / "predict/gate.live.csv")
    spans = [(row["first_frame"], row["last_frame"]) for row in rows]
    assert spans == 2 * [("0", "15"), ("16", "31"), ("32", "39")]
    assert [row["seconds"] for row in rows[:3]] == ["0.000", "0.640", "1.280"]
    left = {path.name for path in (folder / "predict").iterdir()}
    assert left == {"gate.live.csv"}


def test_another_aspect_is_warned_of(exemplars, tmp_path):
    config, folder = exemplars
    video = str(write_video(tmp_path / "v.avi", 12, (48, 96)))
    with pytest.warns(UserWarning, match="v: frames of 48 × 96 are stretched to 48 × 64, the size"):
        predict.run(config, folder, video, tmp_path / "out", film=False)


def test_live_lines_have_reasons(exemplars, frames, tmp_path, capsys):
    config, folder = exemplars
    predict.run(config, folder, str(frames), tmp_path, as_it_comes=True)
    rows = rows_of(tmp_path / f"{frames.name}.live.csv")
    assert [row["last_frame"] for row in rows] == ["15", "19"]
    assert any("unusual speed" in row["reason"] for row in rows)
    assert "unusual speed" in capsys.readouterr().out


def test_a_camera_is_watched_until_it_ends(ranker, tmp_path, capsys):
    config, folder = ranker
    video = write_video(tmp_path / "street.avi", 40)
    url = f"file://{video}"
    failed = predict.run(config, folder, url, name="gate")
    assert failed == {"gate": "ended"}
    rows = rows_of(folder / "predict/gate.live.csv")
    assert rows[-1]["last_frame"] == "39" and rows[-1]["missing"] == "0"
    said = capsys.readouterr().out
    assert "frames 32-39" in said and f"Camera {url} ended after 40 frames." in said
    (named,) = predict.run(config, folder, url)
    assert named.startswith("camera_file") and (folder / f"predict/{named}.live.csv").is_file()
    with pytest.raises(ValueError, match="camera file:///nowhere.avi: cannot be opened: No such"):
        predict.run(config, folder, "file:///nowhere.avi")
    with pytest.raises(ValueError, match="--fps is not for a camera"):
        predict.run(config, folder, url, fps=5.0)


@pytest.mark.parametrize(
    ("video", "name"),
    [
        ("0", "camera_0"),
        ("rtsp://me:secret@10.0.0.2:554/Streaming/Channels/101", "camera_rtsp_10_0_0_2_554_101"),
        ("rtsp://me:sec@re/t@gate/1", "camera_rtsp_gate_1"),
        ("rtsp://gate/user=me&password=secret&channel=1", "camera_rtsp_gate"),
        ("http://gate?pwd=secret", "camera_http_gate"),
        ("http://gate/12345678/video", "camera_http_gate"),
        ("file:///a/b c.mp4", "camera_file_a_b_c_mp4"),
    ],
)
def test_the_name_of_a_camera_without_one_has_no_password(video, name):
    assert cameras.name_of(video) == name


def test_missing_frames_are_in_the_line_that_they_are_missing_from(ranker, tmp_path, capsys):
    config, folder = ranker
    frames = [
        picture._replace(missing=7 * (number == 20))
        for number, picture in enumerate(open_frames(write_video(tmp_path / "v.avi", 40)))
    ]
    live.watch(restore(config, folder), "v", frames, 25.0, tmp_path)
    rows = rows_of(tmp_path / "v.live.csv")
    assert [row["missing"] for row in rows] == ["0", "0", "7", "0"]
    assert [row["first_frame"] for row in rows] == ["0", "16", "20", "36"]  # none spans the gap
    assert "(7 frames missing)" in capsys.readouterr().out


def test_reasons_stand_in_the_line_of_their_frame():
    reason = [{"frame": frame, "score": 1.0, "text": str(frame)} for frame in (5, 20, 40, 99)]
    frames = [Stamp(number) for number in range(4, 50)]  # behind a gap
    parts = [
        repeat(0, frames[:18])._replace(reasons=tuple(reason[:3])),
        repeat(0, frames[18:])._replace(reasons=tuple(reason[3:])),
    ]
    lines = list(live.by_snippet(iter(parts)))
    assert [[one["frame"] for one in line.reasons] for line in lines] == [[5], [20], [40, 99]]
    spans = [(line.frames[0].number, line.frames[-1].number) for line in lines]
    assert spans == [(4, 19), (20, 35), (36, 49)]


def test_times_of_frames(tmp_path):
    pixels = np.zeros((4, 6, 3), np.uint8)
    pictures = [Picture(pixels, "", time=time) for time in (0.0, 0.1, 0.0, None, 0.9)]

    def times(**options):
        frames = list(timed(pictures, 10.0, **options))
        assert [frame.number for frame in frames] == list(range(5))
        return [round(frame.seconds, 3) for frame in frames]

    assert times() == [0, 0.1, 0.2, 0.3, 0.9] and times(trust=False) == [0, 0.1, 0.2, 0.3, 0.4]
    other = Picture(np.zeros((4, 8, 3), np.uint8), "")
    with pytest.raises(ValueError, match="frame 5 is 4 × 8, those before are 4 × 6"):
        list(timed([*pictures, other], 10.0))


def test_ctrl_c_ends_a_camera_in_peace(ranker, tmp_path, capsys, monkeypatch):
    config, folder = ranker

    class Stops:
        fps = 25.0

        def __iter__(self):
            for number, picture in enumerate(open_frames(video)):
                if number == 35:
                    raise KeyboardInterrupt
                yield picture

    video = write_video(tmp_path / "v.avi", 40)
    trained = restore(config, folder)
    with pytest.raises(KeyboardInterrupt):
        live.watch(trained, "v", Stops(), 25.0, tmp_path)
    assert [row["last_frame"] for row in rows_of(tmp_path / "v.live.csv")] == ["15", "31"]
    said = capsys.readouterr().out
    assert "frames 16-31" in said and "v.live.csv" in said
