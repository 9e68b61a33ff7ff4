"""The program for videos of one's own: what it takes, what it leaves out, what it says."""

import contextlib
import os
import re
from types import SimpleNamespace

import numpy as np
import pytest

from data_prep import videos
from data_prep.lib import recordings
from data_prep.lib.recording_scan import How
from tests.data_prep.own_films import (
    by_name,
    prepare,
    street,
    without_packets,
    write_at,
    write_sound,
)
from tests.helpers.video_files import cut, write, write_interlaced
from vadjax.data.video.decode import VideoDecoder
from vadjax.data.video.reader import FrameFolder, VideoFile
from vadjax.runtime import progress, space


def lasting(count: int, rate: int = 10) -> list[float]:
    return [number / rate for number in range(count)]


@pytest.fixture
def films(tmp_path):
    """A folder with a film of 30 frames in each of `normal` and `new`."""
    write(tmp_path / "normal/gate.mp4", street(30), rate=10)
    write(tmp_path / "new/gate.mp4", street(30, 7), rate=10)
    return tmp_path


def test_files_of_any_kind_become_a_dataset(films, capsys, write_images):
    write(films / "normal/ein Tag/früh.mkv", street(20), rate=10)
    write(films / "normal/ein Tag/spät.AVI", street(20), "mpeg4", rate=10)
    write_images(films / "normal/pictures", 12, size=(48, 64))
    data = prepare(films)
    assert {name: len(video) for name, video in by_name(data).items()} == {
        "ein Tag_früh": 20,
        "ein Tag_spät": 20,
        "gate": 30,
        "pictures": 12,
    }
    (new,) = by_name(data, "test").values()
    assert len(new) == 30 and new.labels is None and not new.has_masks
    assert by_name(data)["gate"].labels.sum() == 0
    assert data.manifest["fps"] == 10 and data.manifest["quality"] == videos.QUALITY
    assert "resample_fps" not in data.manifest
    said = capsys.readouterr().out
    assert "frame rate: 10 a second, as measured in the files" in said
    assert "The frames take" in said and "(JPEG of quality 90), the recordings" in said
    assert "--config=configs/camera.py --config.data.dir=" in said and "Left out" not in said


def test_pixels_are_those_of_the_film(films):
    data = prepare(films, "--lossless")
    assert data.manifest["encoding"] == "png"
    stored = list(by_name(data)["gate"])
    film = [picture.pixels for picture in VideoFile(films / "normal/gate.mp4")]
    assert np.array_equal(stored, film)


@pytest.mark.parametrize("flags", [[], ["--lossless"]], ids=["jpeg", "png"])
def test_grey_pictures_stay_as_they_are(films, write_images, flags):
    """A JPEG keeps its own bytes, so that nothing is lost twice."""
    write_images(films / "normal/p", 5, size=(48, 64))
    stored = list(by_name(prepare(films, *flags))["p"])
    pictures = [picture.pixels for picture in FrameFolder(films / "normal/p")]
    assert np.array_equal(stored, pictures)


def test_jpegs_are_near_the_film(films):
    stored = list(by_name(prepare(films, "--quality=95"))["gate"])
    film = [picture.pixels for picture in VideoFile(films / "normal/gate.mp4")]
    assert 0 < np.abs(np.subtract(stored, film, dtype=int)).mean() < 6


def test_without_new_footage(films, capsys):
    data = prepare(films, new=False)
    assert list(data.splits) == ["train"]


def test_several_sources(films):
    again = ["--normal", str(films / "normal"), str(films / "new/gate.mp4")]
    videos.main([*again, "--out", str(films / "out2")])
    assert (films / "out2/manifest.json").is_file()


def test_what_cannot_be_used_is_listed_at_the_end(films, capsys):
    """The others are prepared, and the program ends well."""
    normal = films / "normal"
    cut(write(normal / "cut.mp4", street(50)))  # without its index
    (normal / "empty.mp4").write_bytes(b"")
    (normal / "text.avi").write_text("no video")
    (normal / "gone.mp4").symlink_to(normal / "nowhere.mp4")
    os.mkfifo(normal / "pipe.mp4")
    write_sound(normal / "sound.mkv")
    write(normal / "single.mp4", street(1))
    data = prepare(films)
    assert list(by_name(data)) == ["gate"]
    said = capsys.readouterr().out.splitlines()
    assert "Left out: 7 recordings" in said
    listed = "\n".join(said[said.index("Left out: 7 recordings") :])
    for name, reason in (
        ("cut.mp4", "no video can be read from it"),
        ("empty.mp4", "the file is empty"),
        ("text.avi", "no video can be read from it"),
        ("gone.mp4", "the link leads nowhere"),
        ("pipe.mp4", "a FIFO, expected a regular file"),
        ("sound.mkv", "holds no video stream, but audio"),
        ("single", "too short: 1 frame, expected 2 or more"),
    ):
        assert any(name in line and reason in line for line in listed.splitlines()), (name, listed)


@pytest.mark.parametrize("split", ["normal", "new"])
def test_nothing_left_is_an_error(films, split):
    (films / f"{split}/gate.mp4").write_bytes(b"")
    with pytest.raises(
        SystemExit, match=f"--{split}: nothing is left.*\n  .*gate.mp4: the file is"
    ):
        prepare(films)
    assert not (films / "out").exists()


def test_too_short_for_all_is_an_error(films):
    with pytest.raises(SystemExit, match="nothing is left; .*\n  gate: too short: 30 frames, exp"):
        prepare(films, "--min_frames=31")


def test_damaged_frames_are_left_out(films, capsys):
    """From a damaged frame to the next one that is whole; what is before and behind is taken."""
    film = write(
        films / "normal/b.avi", street(60, size=(96, 128)), "mpeg4", 10, options={"g": "10"}
    )
    content = bytearray(film.read_bytes())
    at = len(content) * 45 // 100
    content[at : at + 400] = b"\xff" * 400
    film.write_bytes(content)
    data = prepare(films, "--size=48x64")
    assert 30 <= sum(len(v) for name, v in by_name(data).items() if name != "gate") < 60
    said = capsys.readouterr().err
    assert "b.avi: " in said and "frames are damaged, or follow a damaged one" in said


def test_a_film_that_is_cut_off_is_taken_as_far_as_it_goes(films, capsys):
    cut(write(films / "normal/b.avi", street(100), "mpeg4", 10))
    data = prepare(films)
    count = len(by_name(data)["b"])
    assert 10 < count < 100
    assert f"b.avi: {count} of 100 frames can be decoded" in capsys.readouterr().err


def test_interlaced_film_becomes_whole_frames(films, capsys):
    expected = write_interlaced(films / "normal/camera.mp4")
    data = prepare(films, "--size=96x128", "--lossless", "--resample_fps=10")
    assert len(by_name(data)["camera"]) == 5  # 12 frames at 25 a second
    first = by_name(data)["camera"][1].astype(int)
    assert min(np.abs(first - true).mean() for true in expected) < 1
    said = capsys.readouterr().err
    assert "camera.mp4: is interlaced; whole frames were made of it. Say --deinterlace" in said


def test_a_film_on_its_side_is_stored_upright(films):
    write(films / "normal/turned.mp4", street(10, size=(64, 48)), rate=10, rotation=90)
    turned = by_name(prepare(films))["turned"]
    assert turned.source_size == (48, 64)


def test_a_hole_in_a_film_ends_a_video(films, capsys):
    write_at(films / "normal/hole.mkv", [*lasting(20), *(62.5 + s for s in lasting(20))])
    found = by_name(prepare(films))
    assert {name: len(video) for name, video in found.items()} == {
        "gate": 30,
        "hole": 20,
        "hole_from_0h01m02.5s": 20,
    }
    assert "60.5 s between hole and hole_from_0h01m02.5s" in capsys.readouterr().out


def test_a_slow_camera_has_no_holes(tmp_path, capsys):
    """Three seconds between two frames are no hole where that is usual."""
    for split in ("normal", "new"):
        write_at(tmp_path / split / "slow.mkv", [3.0 * number for number in range(8)])
    data = prepare(tmp_path)
    assert [len(video) for video in by_name(data).values()] == [8]
    assert data.manifest["fps"] == pytest.approx(1 / 3, abs=1e-3)
    assert "gap" not in capsys.readouterr().out


def test_a_variable_frame_rate_is_said_and_can_be_resampled(films, capsys):
    times = np.cumsum([0.0, *[0.1, 0.05] * 20])
    write_at(films / "normal/phone.mkv", times.tolist())
    with pytest.raises(
        SystemExit,
        match="gate has 10 frames a second, --normal: phone 13.33; a dataset has one rate.*fps=10",
    ):
        prepare(films)
    assert "phone.mkv: variable frame rate, 10 to 20 frames" in capsys.readouterr().err
    data = prepare(films, "--resample_fps=5")
    assert "variable" not in capsys.readouterr().err
    assert {name: len(video) for name, video in by_name(data).items()} == {"gate": 15, "phone": 15}
    assert data.manifest["fps"] == data.manifest["resample_fps"] == 5


def test_rates_of_two_videos_of_one_name(films):
    write(films / "new/gate.mp4", street(30), rate=25)
    with pytest.raises(
        SystemExit, match="--normal: gate has 10 frames a second, --new: gate 25; a dataset has one"
    ):
        prepare(films)


def test_a_few_lost_frames_are_no_variable_rate(films, capsys):
    film = write(films / "film.mkv", street(300), rate=10, options={"bf": "0"})
    without_packets(film, films / "normal/lossy.mkv", [50, 51, 120])
    assert len(by_name(prepare(films))["lossy"]) == 297
    said = capsys.readouterr().err
    assert "lossy.mkv: about 3 frames are missing, less than 2 s at a time" in said
    assert "variable" not in said


def test_a_bare_stream_has_no_times(films, capsys):
    write(films / "normal/bare.h264", street(30), rate=10)
    data = prepare(films, "--fps=10")
    assert data.manifest["fps"] == 10 and "no times" not in capsys.readouterr().err
    (films / "normal/gate.mp4").unlink()
    (films / "out").rename(films / "first")
    with pytest.raises(SystemExit, match="has 10 frames a second, --normal: bare 25"):
        prepare(films)
    said = capsys.readouterr().err
    assert "bare.h264: its frames have no times; they are taken as 25 a second. Declare" in said


def test_frames_of_another_size_are_left_out(films, write_images, capsys):
    first = write(films / "a.h264", street(10), rate=10).read_bytes()
    other = write(films / "b.h264", street(12, size=(96, 128)), rate=10).read_bytes()
    (films / "normal/both.h264").write_bytes(first + other)
    write_images(films / "normal/p", 6, size=(48, 64))
    write_images(films / "normal/p", 2, first=6, size=(24, 32))
    found = by_name(prepare(films, "--fps=10"))
    assert len(found["both"]) == 10 and len(found["p"]) == 6
    said = capsys.readouterr().err
    assert "both.h264: 12 frames of another size than its first are left out" in said
    assert "/p: 2 pictures of another size than its first are left out" in said


def test_a_film_of_damaged_frames_alone(films, monkeypatch, capsys):
    write(films / "normal/b.mp4", street(10), rate=10)
    frames = VideoDecoder.frames

    def damaged(self):
        for frame, time in frames(self):
            broken = self.source.endswith("b.mp4")
            yield (SimpleNamespace(time=time, is_corrupt=True) if broken else frame), time

    monkeypatch.setattr(VideoDecoder, "frames", damaged)
    footage = videos.look_through(
        {"train": recordings.find([films / "normal"], "--normal")},
        How(None, False, None, None, lambda picture: 1),
    )
    assert [reason for _, reason in footage.left_out["train"]] == [
        "all its frames are damaged; copy or record it again"
    ]


def test_nearly_equal_rates_are_one(films, capsys):
    write(films / "normal/b.mp4", street(40), rate=11)
    assert prepare(films).manifest["fps"] == 10
    assert (
        "10 a second, as measured in the files; the files have 10 to 11" in capsys.readouterr().out
    )


def test_a_rate_above_that_of_the_files_repeats_frames(films, capsys):
    assert len(by_name(prepare(films, "--resample_fps=20"))["gate"]) == 60
    said = capsys.readouterr().err
    assert (
        "gate has 10 frames a second; --resample_fps=20 repeats frames, in which nothing moves"
        in said
    )


def test_a_declared_rate_goes_before_that_of_the_files(films, capsys):
    data = prepare(films, "--fps=20", "--resample_fps=10")
    assert data.manifest["fps"] == 10 and [len(v) for v in by_name(data).values()] == [15]


def test_the_rate_of_pictures_is_unknown_or_declared(tmp_path, write_images, capsys):
    for split in ("normal", "new"):
        write_images(tmp_path / split / "gate", 12, size=(48, 64))
    assert "fps" not in prepare(tmp_path).manifest
    assert "frame rate: unknown, pictures do not say it; declare it with --fps" in (
        capsys.readouterr().out
    )
    (tmp_path / "out").rename(tmp_path / "first")
    assert prepare(tmp_path, "--fps=12").manifest["fps"] == 12


def test_pictures_are_resampled_only_by_a_declared_rate(films, write_images):
    write_images(films / "normal/p", 12, size=(48, 64))
    with pytest.raises(
        SystemExit, match="p: a folder of pictures has no times, so it cannot be resampled"
    ):
        prepare(films, "--resample_fps=5")
    assert len(by_name(prepare(films, "--resample_fps=5", "--fps=10"))["p"]) == 6


def test_progress_within_a_file(films, monkeypatch, capsys):
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0)
    prepare(films, new=False)
    said = capsys.readouterr().out
    shown = [int(share) for share in re.findall(r"look through, % (\d+)/100", said)]
    assert len(shown) > 20 and shown == sorted(shown) and shown[-1] == 100
    assert "store frames 30/30" in said


def test_progress_of_resampled_videos_counts_the_frames_that_are_read(films, monkeypatch, capsys):
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0)
    write(films / "normal/gate.mp4", street(120), rate=10)
    prepare(films, "--resample_fps=4", new=False)
    said = capsys.readouterr().out
    assert re.findall(r"store frames (\d+)/(\d+) ", said) == [
        ("50", "120"),
        ("100", "120"),
        ("120", "120"),
    ]


def test_pictures_that_are_damaged_are_left_out(films, write_images, capsys):
    write_images(films / "normal/p", 6, size=(48, 64))
    sorted((films / "normal/p").iterdir())[2].write_bytes(b"no picture")
    assert len(by_name(prepare(films))["p"]) == 5
    assert "/p: 1 of its 6 pictures are left out: " in capsys.readouterr().err


def test_sizes(films):
    write(films / "normal/big.mp4", street(10, size=(96, 128)), rate=10)
    with pytest.raises(
        SystemExit,
        match="gate has frames of 48 x 64 pixels .*big of 96 x 128; a dataset has one size. Say",
    ):
        prepare(films)
    data = prepare(films, "--size=24x32")
    assert {video.size for video in by_name(data).values()} == {(24, 32)}


def test_a_file_that_is_in_both(films, capsys):
    (films / "new/again.mp4").symlink_to(films / "normal/gate.mp4")
    prepare(films)
    assert "warning: 1 files of --new are in --normal too" in capsys.readouterr().err


def test_other_files_are_counted(films, capsys):
    (films / "normal/notes.txt").write_text("x")
    prepare(films)
    assert "  1 other files are passed over (.txt)" in capsys.readouterr().out


def test_cameras(tmp_path, capsys):
    for name in ("normal/front_door/1.mp4", "normal/gate/1.mp4", "new/gate/2.mp4"):
        write(tmp_path / name, street(20), rate=10)
    data = prepare(tmp_path, "--cameras=folder")
    assert list(by_name(data)) == ["front-door_1", "gate_1"]
    assert "configs/camera.py --config.data.cameras=prefix" in capsys.readouterr().out
    (tmp_path / "out").rename(tmp_path / "first")
    write(tmp_path / "new/yard/2.mp4", street(20), rate=10)
    with pytest.raises(
        SystemExit, match="--new: yard_2 is of camera yard, of which there is no normal footage"
    ):
        prepare(tmp_path, "--cameras=folder")


def test_ignored_pixels_are_black_and_kept(films, write_images):
    mask = np.zeros((48, 64, 3), np.uint8)
    mask[:, :16] = 255
    write_images(films / "mask", 1, images=[mask], name="{}.png")
    (picture,) = (films / "mask").iterdir()
    data = prepare(films, "--lossless", f"--mask={picture}")
    frame = by_name(data, "test")["gate"][3]
    assert not frame[:, :16].any() and frame[:, 16:].min() > 0
    assert data.manifest["ignored"]
    (films / "out").rename(films / "first")
    write_images(films / "other", 1, images=[mask[:, :48]], name="{}.png")
    (picture,) = (films / "other").iterdir()
    with pytest.raises(
        SystemExit,
        match="gate: frames of 48 x 64 .*mask has 48 x 48; paint it on a frame of this camera",
    ):
        prepare(films, f"--mask={picture}")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--fps=0"], "--fps is 0; expected more than 0, to 1,000"),
        (["--resample_fps=nan"], "--resample_fps is nan; expected more than 0, to 1,000"),
        (["--quality=0"], "--quality is 0; expected 1 to 100"),
        (["--min_frames=0"], "--min_frames is 0; expected 1 or more"),
        (["--mask=gone.png"], r"gone.png: no such picture \(--mask\)"),
        (["--labels=gone.csv"], r"gone.csv: no such file of labels \(--labels\)"),
        (["--masks=gone"], "gone: no such folder"),
        (["--shards=0"], "--shards 0; expected at least 1"),
    ],
)
def test_flags_that_cannot_be(films, flags, message):
    with pytest.raises(SystemExit, match=message):
        prepare(films, *flags)
    assert not (films / "out").exists()


def test_labels_without_new_footage(films):
    with pytest.raises(SystemExit, match="--labels and --masks are of --new, which was not named"):
        prepare(films, "--labels=x.csv", new=False)


def test_room_on_the_disk_is_checked_before_the_writing(films, monkeypatch):
    monkeypatch.setattr(space, "free", lambda place: 10_000)
    with pytest.raises(
        SystemExit, match=r"out: the dataset: not written: no space left on the disk .*missing"
    ):
        prepare(films)
    assert sorted(path.name for path in films.iterdir()) == ["new", "normal"]


def test_the_size_is_foreseen(films, monkeypatch):
    foreseen = []
    monkeypatch.setattr(space, "check", lambda place, needed, what: foreseen.append(needed))
    data = prepare(films, "--size=384x512")
    stored = sum(s["bytes"] for split in data.splits.values() for s in split["shards"])
    assert 0.8 * stored < foreseen[0] < 1.1 * stored


def test_what_a_kill_left_is_removed_and_a_dataset_that_is_there_is_kept(films):
    left = films / ".out.tmp"
    left.mkdir()
    (left / "part").write_text("x")
    prepare(films)
    assert not left.exists()
    with pytest.raises(SystemExit, match="out exists and is left as it is; name another folder"):
        prepare(films)


def test_a_file_that_changes_meanwhile(films, monkeypatch):
    look_through = videos.look_through

    def then_changed(*args):
        footage = look_through(*args)
        write(films / "normal/gate.mp4", street(10), rate=10)
        return footage

    monkeypatch.setattr(videos, "look_through", then_changed)
    with pytest.raises(
        SystemExit, match="gate.mp4: frame 10 is not there any more; was the file ch"
    ):
        prepare(films)
    assert not (films / "out").exists()


def test_files_are_closed_though_their_ends_are_left_out(films, monkeypatch):
    film = write_at(films / "normal/holed.mkv", [*lasting(20), 9.0])
    opened, footage, look_through = [], [], videos.look_through

    def keep(*args):
        footage.append(look_through(*args))
        return footage[0]

    def at_the_end(*args):
        for number in os.listdir("/proc/self/fd"):
            with contextlib.suppress(FileNotFoundError):  # closed by another thread
                opened.append(os.readlink(f"/proc/self/fd/{number}"))

    monkeypatch.setattr(videos, "look_through", keep)
    monkeypatch.setattr(videos.recording_report, "say_at_end", at_the_end)
    assert {name: len(video) for name, video in by_name(prepare(films)).items()} == {
        "gate": 30,
        "holed": 20,
    }
    assert opened and str(film) not in opened


def test_the_name_of_the_set(films):
    assert prepare(films, "--name=my door").name == "my door"


def test_help_says_how_labels_are_written(capsys):
    with pytest.raises(SystemExit):
        videos.main(["--help"])
    assert "video,start_seconds,stop_seconds" in capsys.readouterr().out
