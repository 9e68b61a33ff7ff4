"""Clips of events: what is in them, and that they hold nothing up."""

import os
import threading
import time

import av
import numpy as np
import pytest

from tests.live.cases import HEIGHT, WIDTH, film, lines_of
from vadjax.data.video.decode import VideoDecoder
from vadjax.live import clips, snapshots
from vadjax.live.clips import ClipRecorder
from vadjax.live.options import LiveOptions
from vadjax.live.snapshots import SnapshotWriter, remove_old
from vadjax.predict import run as predict


def grey(number):
    return np.full((HEIGHT, WIDTH, 3), 2 * number, np.uint8)


def seconds_in(path, fps=10):
    """Times of the frames of a clip, by what is seen in them."""
    with VideoDecoder(path) as video:
        frames = list(video)
    numbers = [frame.pixels.mean() / 2 for frame in frames]
    times = np.array([frame.time for frame in frames])
    np.testing.assert_allclose(times, (np.array(numbers) - numbers[0]) / fps, atol=0.1)
    return np.round(numbers).astype(int) / fps


def feed(recorder, numbers):
    for number in numbers:
        while recorder._frames_waiting > 20:
            time.sleep(0.01)
        recorder.add(grey(number), number / 10)


def test_a_clip_has_the_seconds_before_and_after_its_event(tmp_path):
    recorder = ClipRecorder("gate", before=2.0, after=1.0)
    path = tmp_path / "new" / "a.mp4"
    feed(recorder, range(50))
    assert recorder.begin(path, 4.5) == path  # known some frames later
    feed(recorder, range(50, 70))
    recorder.over(6.0)
    feed(recorder, range(70, 90))
    assert recorder.close() and recorder.written == 1 and not recorder.left_out
    seconds = seconds_in(path)
    np.testing.assert_allclose(seconds, np.arange(25, 71) / 10, atol=0.101)  # by one grey level
    # As browsers play it, with a key frame a second.
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264" and stream.codec_context.pix_fmt == "yuv420p"
        keys = [
            float(packet.pts * packet.time_base)
            for packet in container.demux(stream)
            if packet.is_keyframe and packet.pts is not None
        ]
    assert max(np.diff(keys)) <= 1.01 and [one.name for one in tmp_path.rglob("*.mp4")] == ["a.mp4"]


def test_an_event_within_a_clip_is_in_it(tmp_path):
    recorder = ClipRecorder("gate", before=1.0, after=1.0)
    first, second = tmp_path / "a.mp4", tmp_path / "b.mp4"
    feed(recorder, range(20))
    recorder.begin(first, 1.9)
    recorder.over(1.9)
    feed(recorder, range(20, 25))
    assert recorder.begin(second, 2.4) == first
    recorder.over(2.4)
    feed(recorder, range(25, 40))
    assert recorder.begin(second, 3.9) == second
    assert recorder.close() and recorder.written == 2
    assert abs(seconds_in(first)[-1] - 3.4) < 0.11 and abs(seconds_in(second)[0] - 2.9) < 0.11


def test_a_clip_is_not_longer_than_its_most(tmp_path, monkeypatch):
    monkeypatch.setattr(clips, "LONGEST", 2.0)
    recorder = ClipRecorder("gate", before=1.0)
    feed(recorder, range(20))
    recorder.begin(tmp_path / "a.mp4", 1.9)
    feed(recorder, range(20, 100))
    assert recorder.close() and seconds_in(tmp_path / "a.mp4")[-1] <= 4.1


def test_frames_that_come_too_fast_are_counted_and_hold_nothing_up(tmp_path, monkeypatch):
    monkeypatch.setattr(ClipRecorder, "_frame", lambda *_: time.sleep(0.05))
    recorder, start = ClipRecorder("gate"), time.monotonic()
    for number in range(100):
        recorder.add(grey(number), number / 10)
    assert time.monotonic() - start < 1 and recorder.left_out >= 50
    recorder.close()


def test_a_clip_that_cannot_be_written_is_said_and_the_next_one_is_tried(tmp_path, capsys):
    recorder = ClipRecorder("gate", before=1.0, after=0.0)
    (tmp_path / "file").write_text("", "utf-8")
    feed(recorder, range(10))
    recorder.begin(tmp_path / "file/a.mp4", 0.9)
    recorder.over(0.9)
    feed(recorder, range(10, 20))
    recorder.begin(tmp_path / "b.mp4", 1.9)
    assert recorder.close() and recorder.written == 1
    path = tmp_path / "file/a.mp4"
    assert f"gate: {path} could not be written: " in capsys.readouterr().out
    assert recorder.failed == path
    assert {one.name for one in tmp_path.iterdir()} == {"file", "b.mp4"}


@pytest.mark.parametrize("running", [(range(40, 52),), (range(40, 80),)])
def test_the_program_writes_clips(door_run, tmp_path, running, capsys):
    """Also of an event that the video ends in."""
    config, folder = door_run
    video, options = film(tmp_path / "gate.avi", 80, running), LiveOptions(clips=True)
    predict.run(config, folder, str(video), tmp_path / "out", as_it_comes=True, watching=options)
    (event,) = lines_of(tmp_path / "out/gate.events.jsonl")
    with VideoDecoder(event["clip"]) as clip:
        count = len(list(clip))
    assert 60 <= count <= 80 and "gate: 1 clips" in capsys.readouterr().out
    assert event["snapshot"] == event["clip"].replace(".mp4", ".jpg")


def test_the_program_says_what_clips_lack(door_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ClipRecorder, "_frame", lambda *_: time.sleep(0.1))
    config, folder = door_run
    video, options = film(tmp_path / "gate.avi", 80), LiveOptions(clips=True)
    predict.run(config, folder, str(video), tmp_path / "out", as_it_comes=True, watching=options)
    assert "frames came too fast to be in one" in capsys.readouterr().out


def test_an_alert_goes_without_a_snapshot_where_too_many_wait(tmp_path, capsys, monkeypatch):
    held = threading.Event()
    monkeypatch.setattr(SnapshotWriter, "_write", lambda *_: held.wait(10) and None)
    writer, paths = SnapshotWriter("gate", tmp_path), []
    one = snapshots.Snapshot(tmp_path / "a.jpg", grey(1), [], None)
    for _ in range(snapshots.MOST_WAITING + 2):
        writer.put(one, paths.append)
    assert paths and "gate: 16 snapshots wait; an event has none" in capsys.readouterr().out
    held.set()
    writer.close()
    assert len(paths) == snapshots.MOST_WAITING + 2


def test_old_files_are_removed_and_nothing_else(tmp_path, capsys):
    names = ("a.jpg", "a.mp4", ".b.mp4.tmp.mp4", "new.jpg", "notes.txt")
    for name in names:
        (tmp_path / name).write_text("", "utf-8")
        if name != "new.jpg":
            os.utime(tmp_path / name, (time.time() - 3 * 86_400,) * 2)
    (tmp_path / "elsewhere").mkdir()
    os.utime(tmp_path / "elsewhere", (0, 0))
    writer = SnapshotWriter("gate", tmp_path, keep_days=2.0)
    writer.close()
    assert {one.name for one in tmp_path.iterdir()} == {"new.jpg", "notes.txt", "elsewhere"}
    assert "gate: 3 snapshots and clips older than 2 days removed" in capsys.readouterr().out
    assert remove_old(tmp_path / "none", time.time()) == 0


def test_a_snapshot_that_cannot_be_written_leaves_the_alert(tmp_path, capsys):
    (tmp_path / "file").write_text("", "utf-8")
    writer, paths = SnapshotWriter("gate", tmp_path), []
    bad, good = tmp_path / "file/a.jpg", tmp_path / "b.jpg"
    for path in (bad, good):
        writer.put(snapshots.Snapshot(path, grey(1), [], None), paths.append)
    writer.put(None, paths.append)
    writer.close()
    assert paths == [None, good, None] and good.is_file()
    assert f"gate: {bad} could not be written: " in capsys.readouterr().out


def test_a_picture_that_opencv_cannot_compress_leaves_the_alert_and_the_next_one(tmp_path, capsys):
    writer, paths = SnapshotWriter("gate", tmp_path), []
    bad, good = tmp_path / "a.jpg", tmp_path / "b.jpg"
    for path, pixels in ((bad, grey(1)[:0]), (good, grey(1))):
        writer.put(snapshots.Snapshot(path, pixels, [], None), paths.append)
    writer.close()
    assert paths == [None, good] and not bad.exists()
    assert f"gate: {bad} could not be written: " in capsys.readouterr().out
