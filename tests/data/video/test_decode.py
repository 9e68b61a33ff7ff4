"""Video files are decoded rightly, or what is wrong with them is said."""

import itertools
import threading
import time
import warnings
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from tests.helpers.places import REAL_DATA, real_data
from tests.helpers.video_files import cut, moving, write, write_interlaced
from vadjax.data.video.decode import VideoDecoder
from vadjax.data.video.frame_times import Times, decide, resample
from vadjax.data.video.reader import Reading, VideoFile, frames_of, open_frames

CASES = REAL_DATA.parent / "cases"  # recordings that users reported lie beside the real data
REAL = (
    "cameras/lobby.mp4",
    "ucf_crime_mini/videos/RoadAccidents002_x264.mp4",
    "ucf_crime_mini/videos/Normal_Videos_006_x264.mp4",
)


def case(name):
    """A file of the cases from the field; skips where they are absent."""
    return real_data(name, CASES)


def pixels_of(path, **options):
    with VideoDecoder(path, **options) as video:
        return [frame.pixels for frame in video]


def by_opencv(path, most=60):
    capture = cv2.VideoCapture(str(path))
    found = []
    while len(found) < most and (read := capture.read())[0]:
        found.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))
    capture.release()
    return found


def same_as_opencv(path):
    with VideoDecoder(path) as video:
        found = [frame.pixels for frame in itertools.islice(video, 60)]
    expected = by_opencv(path)
    assert len(found) == len(expected) > 10
    for own, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(own, other)


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("a.mkv", "libx264", "yuv444p"),
        ("a.mov", "libx264", "yuv420p10le"),
        ("a.avi", "mpeg4", "yuv420p"),
        ("b.avi", "mjpeg", "yuvj420p"),
        ("a.mpg", "mpeg2video", "yuv420p"),
        ("a.webm", "libvpx-vp9", "yuv420p"),
        ("grey.mp4", "libx264", "gray"),
    ],
)
def test_pixels_of_ordinary_files_are_those_of_opencv(tmp_path, name, codec, pixels):
    path = write(tmp_path / name, moving(20, (98, 130)), codec, pixels=pixels)
    same_as_opencv(path)


@pytest.mark.parametrize("name", REAL)
def test_pixels_of_real_files_are_those_of_opencv(name):
    same_as_opencv(real_data(name))


def test_colours_and_order(tmp_path):
    red, blue = (np.full((64, 64, 3), colour, np.uint8) for colour in ([200, 0, 0], [0, 0, 200]))
    path = write(tmp_path / "a.mp4", [red] * 3 + [blue] * 3, options={"crf": "5"})
    found = np.array([frame.mean((0, 1)) for frame in pixels_of(path)])
    np.testing.assert_allclose(found, [[200, 0, 0]] * 3 + [[0, 0, 200]] * 3, atol=8)


def test_interlaced_video_is_refused_and_the_message_names_the_option(tmp_path):
    write_interlaced(tmp_path / "a.mp4")
    for read in (lambda path: list(VideoDecoder(path)), lambda path: len(VideoFile(path))):
        with pytest.raises(ValueError, match=r"a\.mp4: frame 0 is interlaced.*Say --deinterlace"):
            read(tmp_path / "a.mp4")


def test_deinterlacing_gives_as_many_frames_each_of_one_moment(tmp_path):
    expected = write_interlaced(tmp_path / "a.mp4")
    found = pixels_of(tmp_path / "a.mp4", deinterlace=True)
    assert len(found) == len(expected)
    for own, true in zip(found[1:], expected[1:], strict=True):  # the first has none before it
        assert np.abs(own.astype(int) - true).mean() < 1  # woven: 4.4
    times = [p.time for p in VideoFile(tmp_path / "a.mp4", Reading(deinterlace=True))]
    np.testing.assert_allclose(times, np.arange(12) / 25, atol=1e-9)


def test_deinterlacing_leaves_other_video_as_it_is(tmp_path):
    path = write(tmp_path / "a.mp4", moving(12))
    np.testing.assert_array_equal(pixels_of(path, deinterlace=True), pixels_of(path))


def test_interlaced_case():
    path = case("01_interlaced_video/interlaced.mp4")
    with pytest.raises(ValueError, match="--deinterlace"):
        list(frames_of(path))
    means = [frame.mean() for frame in frames_of(path, Reading(deinterlace=True))]
    assert len(means) == 40 and 123 < min(means) and max(means) < 129


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_the_rotation_that_a_file_names_is_applied(tmp_path, degrees):
    plain = write(tmp_path / "plain.mp4", moving(12))
    turned = write(tmp_path / "turned.mp4", moving(12), rotation=degrees)
    found, expected = pixels_of(turned), [np.rot90(p, degrees // 90) for p in pixels_of(plain)]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(found, by_opencv(turned))
    assert found[0].flags.c_contiguous


def test_mirroring_is_applied(tmp_path):
    plain = pixels_of(write(tmp_path / "a.mp4", moving(3)))
    content = bytearray((tmp_path / "a.mp4").read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40  # of the track header, fixed point 16.16
    content[matrix : matrix + 4] = (-(1 << 16)).to_bytes(4, "big", signed=True)
    (tmp_path / "a.mp4").write_bytes(content)
    np.testing.assert_array_equal(pixels_of(tmp_path / "a.mp4"), [p[:, ::-1] for p in plain])


FASTSTART = {"movflags": "faststart"}
PROMISING = {  # kinds of files whose beginning says how long they are
    "mp4": ("libx264", FASTSTART),
    "mov": ("libx264", FASTSTART),
    "avi": ("mpeg4", None),
    "mkv": ("libx264", None),
    "webm": ("libvpx", None),
    "flv": ("libx264", None),
}


@pytest.mark.parametrize("kind", PROMISING)
def test_a_file_that_is_cut_off_says_how_many_frames_of_how_many(tmp_path, kind):
    codec, container = PROMISING[kind]
    path = write(tmp_path / f"a.{kind}", moving(100), codec, container=container)
    whole = pixels_of(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(VideoFile(path)) == len(list(VideoFile(path))) == len(whole) == 100
    cut(path)
    with pytest.warns(UserWarning) as said:
        found = list(VideoFile(path))
    assert 40 < len(found) < 70
    for frame in found:  # before the end of Matroska some may be missing
        np.testing.assert_array_equal(frame.pixels, whole[round(frame.time * 25)])
    message = str(said[-1].message)
    promised = 102 if kind == "flv" else 100
    assert message.startswith(f"{path}: {len(found)} of {promised} frames can be decoded;")
    with pytest.raises(ValueError, match=rf"{len(found)} of {promised} frames .*--strict"):
        list(frames_of(path, Reading(strict=True)))
    with pytest.raises(ValueError, match=f"{len(found)} of {promised} frames"):
        len(VideoFile(path, Reading(strict=True)))


def test_one_frame_of_many_is_a_shortfall_too(tmp_path):
    path = write(tmp_path / "a.mp4", moving(40), "mjpeg", pixels="yuvj420p", container=FASTSTART)
    with av.open(str(path)) as file:
        second = next(packet.pos for packet in file.demux(video=0) if packet.pts)
    path.write_bytes(path.read_bytes()[: second + 10])
    with pytest.warns(UserWarning, match="1 of 40 frames can be decoded"):
        assert len(list(VideoFile(path))) == 1


def test_each_shortfall_is_said_once(tmp_path):
    video = VideoFile(cut(write(tmp_path / "a.mp4", moving(50), container=FASTSTART)))
    with pytest.warns(UserWarning, match="of 50 frames") as said:
        assert len(video) == len(list(video)) == len(list(video))
    assert len(said) == 1


def test_cut_off_cases():
    with pytest.warns(UserWarning, match=r"cut\.mp4: 48 of 100 frames can be decoded"):
        assert len(list(open_frames(case("10_truncated_video/cut.mp4")))) == 48


def test_a_cut_off_mjpeg_avi_has_no_part_of_a_picture(tmp_path):
    noise = [np.random.default_rng(i).integers(0, 255, (120, 160, 3), np.uint8) for i in range(100)]
    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (160, 120))
    for frame in noise:
        writer.write(frame)
    writer.release()
    whole = pixels_of(path)
    with pytest.warns(UserWarning, match=r"a\.avi: 59 of 100 frames"):
        found = list(frames_of(cut(path)))
    np.testing.assert_array_equal(found, whole[:59])


@pytest.mark.parametrize(("kind", "codec"), [("mkv", "mpeg4"), ("wmv", "wmv2"), ("mp4", "libx264")])
def test_a_hole_in_the_middle_is_noticed(tmp_path, kind, codec):
    path = write(tmp_path / f"a.{kind}", moving(100), codec)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 300] = np.random.default_rng(0).bytes(300)
    path.write_bytes(content)
    with pytest.warns(UserWarning) as said:
        frames = list(VideoFile(path))
    told = " ".join(str(one.message) for one in said)
    assert f"{path}: {len(frames)} of 100 frames can be decoded" in told and len(frames) < 100


def test_frames_that_a_stream_copy_hides_are_no_shortfall():
    path = case("11_clip_cut_without_reencoding/clip.mp4")
    with pytest.warns(UserWarning) as said:
        frames = list(open_frames(path, Reading(strict=True)))
    assert len(frames) == 102 and frames[0].time == 0
    assert all("variable frame rate" in str(one.message) for one in said)


def skipping(path, codec="libx264", count=60):
    """An AVI that lists every second tick as a frame without content: 50 a second for 25."""
    return write(path, moving(count), codec, rate=50, every=2)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_the_times_decide_where_the_header_has_another_rate(tmp_path, codec):
    path = skipping(tmp_path / "a.avi", codec)
    with av.open(str(path)) as file:  # what the header says
        assert (file.streams.video[0].average_rate, file.streams.video[0].frames) == (50, 119)
    video = VideoFile(path)
    frames = list(video)
    assert (len(frames), video.fps, video.listed) == (60, 25, 60)
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(60) / 25, atol=1e-9)
    with VideoDecoder(path, deinterlace=True) as decoder:
        np.testing.assert_allclose([f.time for f in decoder], np.arange(60) / 25, atol=1e-9)


def test_rate_case():
    video = VideoFile(case("25_avi_header_rate/header50.avi"))
    frames = list(video)
    assert (len(frames), video.fps) == (150, 25)
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(150) / 25, atol=1e-9)


def test_times_rise_whatever_frames_bear():
    times = Times(25)
    given = [7.0, 7.04, 7.08, None, 7.16, 7.1, 7.3]
    found = [times.rising(time) for time in given]
    np.testing.assert_allclose(found, [0, 0.04, 0.08, 0.12, 0.16, 0.20, 0.30])
    assert times.rate == pytest.approx(6 / 0.3)
    times = Times(10)
    found = [times.rising(time) for time in (None, None, 5.0, 5.1)]
    np.testing.assert_allclose(found, [0, 0.1, 0.2, 0.3])


def test_the_rate_is_the_headers_unless_the_times_are_of_another():
    assert decide(29.97, 29.5) == 29.97 and decide(50, 25.1) == 25.1
    assert decide(None, 12) == 12 and decide(30, None) == 30 and decide(None, None) is None


def test_av1_is_decoded():
    frames = pixels_of(case("20_av1/av1.mp4"))
    assert len(frames) == 40 and 123 < np.mean(frames) < 129


def test_a_codec_that_is_not_known_and_one_that_cannot_be_decoded(tmp_path):
    content = write(tmp_path / "a.mp4", moving(5)).read_bytes()
    (tmp_path / "odd.mp4").write_bytes(content.replace(b"avc1", b"abcd"))
    with pytest.raises(ValueError, match=r"odd\.mp4: its video has a codec .*ffprobe"):
        VideoDecoder(tmp_path / "odd.mp4")
    (tmp_path / "it's.mp4").write_bytes(content.replace(b"avc1", b"Hap1"))
    with pytest.raises(
        ValueError, match=r"it's\.mp4: no frame of its hap video .*ffmpeg -i"
    ) as told:
        list(VideoDecoder(tmp_path / "it's.mp4"))
    assert f"'{tmp_path}/it'\"'\"'s.mp4'" in str(told.value)  # a shell can take the command


def test_files_that_hold_no_video(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as file:
        sound = file.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.rate, frame.time_base = 16000, Fraction(1, 16000)
        file.mux(sound.encode(frame))
        file.mux(sound.encode(None))
    with pytest.raises(ValueError, match=r"a\.mp4: holds no video stream, but audio \(aac\)"):
        list(VideoFile(path))
    for content in (b"", b"<html>"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.mp4: no video can be read from it .*ffprobe"):
            list(VideoFile(path))
    with pytest.raises(ValueError, match="rtsp://127.0.0.1:9/a: cannot be opened: "):
        VideoDecoder("rtsp://127.0.0.1:9/a", timeout=5)


def test_a_name_is_never_taken_for_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "rtsp:a.mp4", moving(3))
    assert len(pixels_of("rtsp:a.mp4")) == 3


@pytest.mark.parametrize("wait", [0, 0.05, 0.2])
def test_another_thread_may_close(tmp_path, wait):
    path = write(tmp_path / "a.mp4", moving(300, (240, 320)), options={"preset": "ultrafast"})
    decoder, counts = VideoDecoder(path), []
    reader = threading.Thread(target=lambda: counts.append(sum(1 for _ in decoder)))
    reader.start()
    time.sleep(wait)
    decoder.close()
    reader.join(10)
    assert not reader.is_alive() and len(counts) == 1 and counts[0] <= 300
    assert list(decoder) == []


def ranks(times, rate):
    return [frame for frame, _ in resample(enumerate(times), rate)]


def test_resampling_takes_the_nearest_frame_and_as_many_as_the_time_has():
    assert ranks(np.arange(4) / 10, 10) == [0, 1, 2, 3]
    assert ranks(np.arange(4) / 10, 5) == [0, 2]
    assert ranks(np.arange(4) / 10, 20) == [0, 0, 1, 1, 2, 2, 3, 3]  # ties: the earlier
    found = ranks(np.arange(30) / 30, 25)
    assert len(found) == 25 and found[:7] == [0, 1, 2, 4, 5, 6, 7]
    ticks = np.arange(25) / 25
    assert np.abs(np.array(found) / 30 - ticks).max() <= 0.5 / 30 + 1e-9
    assert ranks([0, 0.1, 0.5, 0.6], 10) == [0, 1, 1, 1, 2, 2, 3]  # a variable rate
    assert ranks([0.0], 25) == [0] and ranks([], 25) == []
    np.testing.assert_allclose(
        [t for _, t in resample([(0, 0.0), (1, 0.5)], 4)], [0, 0.25, 0.5, 0.75]
    )


def test_a_video_is_resampled_on_request(tmp_path):
    path = write(tmp_path / "a.mp4", moving(60), rate=30)
    video, whole = VideoFile(path, Reading(rate=25)), pixels_of(path)
    frames = list(video)
    assert len(video) == len(frames) == video.listed == 50 and video.fps == 25
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(50) / 25)
    for frame, rank in zip(frames, ranks(np.arange(60) / 30, 25), strict=True):
        np.testing.assert_array_equal(frame.pixels, whole[rank])
    (tmp_path / "b").mkdir()
    with pytest.raises(ValueError, match="b: a folder of pictures has no times, .* to 25 frames"):
        open_frames(tmp_path / "b", Reading(rate=25))
    with pytest.raises(ValueError, match="0 frames a second; expected more than 0"):
        Reading(rate=0)
