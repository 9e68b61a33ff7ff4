import struct

import cv2
import numpy as np
import pytest

from vadjax.data.video.reader import FrameFolder, VideoFile, open_frames, read_picture, resize


def write_images(folder, names, size=(24, 32), seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for name in names:
        cv2.imwrite(str(folder / name), rng.integers(0, 256, (*size, 3), np.uint8))


def test_frames_by_rank_whatever_their_numbers(tmp_path):
    found = {}
    for key, names in {
        "from 0": [f"{i:03d}.png" for i in range(12)],
        "from 1": [f"{i:03d}.png" for i in range(1, 13)],
        "unpadded": [f"{i}.png" for i in range(1, 13)],
        "with gaps": [f"frame{7 * i:04d}.png" for i in range(12)],
    }.items():
        write_images(tmp_path / key, names)
        found[key] = np.stack([picture.pixels for picture in FrameFolder(tmp_path / key)])
    for frames in found.values():
        np.testing.assert_array_equal(frames, found["from 0"])


def test_colours_are_rgb_and_grey_becomes_three_channels(tmp_path):
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 2] = 200  # OpenCV writes BGR
    cv2.imwrite(str(tmp_path / "0.png"), red)
    cv2.imwrite(str(tmp_path / "1.png"), red[..., 2])
    colour, grey = (picture.pixels for picture in FrameFolder(tmp_path))
    np.testing.assert_array_equal(colour[0, 0], [200, 0, 0])
    np.testing.assert_array_equal(grey[0, 0], [200, 200, 200])


def test_only_jpeg_files_keep_their_bytes(tmp_path):
    write_images(tmp_path / "a", ["0.jpg"])
    write_images(tmp_path / "b", ["0.png"])
    (jpeg,), (png,) = FrameFolder(tmp_path / "a"), FrameFolder(tmp_path / "b")
    assert jpeg.jpeg == (tmp_path / "a/0.jpg").read_bytes() and png.jpeg is None


def test_hidden_files_are_passed_over(tmp_path):
    write_images(tmp_path, ["0.png", "1.png"])
    for name in (".DS_Store", "._0.png", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"\0")
    assert len(FrameFolder(tmp_path)) == 2


def test_folders_that_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        FrameFolder(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: empty; expected the frames of a video"):
        FrameFolder(tmp_path / "empty")
    write_images(tmp_path / "mixed", ["0.png", "1.jpg"])
    with pytest.raises(ValueError, match=r"mixed: holds \.jpg and \.png files"):
        FrameFolder(tmp_path / "mixed")
    write_images(tmp_path / "notes", ["0.png"])
    (tmp_path / "notes/notes.txt").write_text("x")
    with pytest.raises(ValueError, match=r"notes\.txt: not an image; .*Move it elsewhere"):
        FrameFolder(tmp_path / "notes")


@pytest.mark.parametrize("content", [b"", b"not an image"])
def test_files_that_are_no_images(tmp_path, content):
    write_images(tmp_path, ["0.png"])
    (tmp_path / "1.png").write_bytes(content)
    with pytest.raises(ValueError, match=rf"1\.png: not a readable image \({len(content)} bytes"):
        list(FrameFolder(tmp_path))


def test_video_files(tmp_path):
    path, frames = tmp_path / "v.avi", []
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (32, 24))
    for i in range(7):
        frames.append(np.full((24, 32, 3), (20 + 30 * i, 100, 50), np.uint8))
        writer.write(frames[-1])
    writer.release()
    video = open_frames(path)
    assert isinstance(video, VideoFile) and len(video) == 7
    for _ in range(2):  # again from the start
        found = [picture.pixels[..., ::-1] for picture in video]
        np.testing.assert_allclose(np.array(found, int), np.array(frames, int), atol=6)
    assert [p.source for p in video][:2] == [f"{path}#0", f"{path}#1"]


def test_unreadable_video(tmp_path):
    (tmp_path / "v.avi").write_bytes(b"no video")
    with pytest.raises(ValueError, match=r"v\.avi: no video can be read from it .* whole"):
        list(VideoFile(tmp_path / "v.avi"))
    with pytest.raises(FileNotFoundError, match="no such video file"):
        VideoFile(tmp_path / "w.avi")


@pytest.mark.golden
def test_resizing_is_that_of_the_original_program(golden, tmp_path):
    numbers = dict(np.load(golden / "lgn_net" / "unit_preprocess.npz"))
    cv2.imwrite(str(tmp_path / "0.png"), numbers["image_bgr"])
    keys = [name.removesuffix("/u8sub") for name in numbers if name.endswith("/u8sub")]
    assert keys
    for key in keys:
        size = tuple(map(int, key.removeprefix("resized_").split("x")))
        small = resize(read_picture(tmp_path / "0.png").pixels, size)[..., ::-1]  # back to BGR
        sub = small[:: size[0] // 32, :: size[1] // 32]
        np.testing.assert_array_equal(sub, numbers[f"{key}/u8sub"])
        total = (small.astype(np.float32) / 127.5 - 1).sum(dtype=np.float64)
        np.testing.assert_allclose(total, numbers[f"{key}/sum"], rtol=1e-6)


def write_video(path, frames):
    """A constant 25 frames a second."""
    writer = cv2.VideoWriter(
        str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), 25, (64, 48)
    )
    for i in range(frames):
        writer.write(np.full((48, 64, 3), 5 * i, np.uint8))
    writer.release()
    return path


def slow_down(path):
    """Makes the second half of the frames of an .mp4 last three times as long."""
    data, kinds = (
        bytearray(path.read_bytes()),
        (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts"),
    )
    places, at = [], 0
    while len(places) < len(kinds):
        size, kind = struct.unpack_from(">I4s", data, at)
        if kind == kinds[len(places)]:
            places.append(at)
            at += 8
        else:
            at += size
    count, duration = struct.unpack_from(">II", data, places[-1] + 16)
    table = struct.pack(">5I", 2, count // 2, duration, count - count // 2, 3 * duration)
    data[places[-1] + 12 : places[-1] + 24] = table
    for place in places:  # the sizes of all that the table lies in
        struct.pack_into(">I", data, place, struct.unpack_from(">I", data, place)[0] + 8)
    path.write_bytes(data)


def test_times_of_frames_and_a_variable_rate_is_noted(tmp_path):
    path = write_video(tmp_path / "v.mp4", 20)
    video = VideoFile(path)
    assert video.fps == 25 and video.listed == 20
    np.testing.assert_allclose([p.time for p in video], np.arange(20) / 25)
    slow_down(path)
    with pytest.warns(UserWarning, match="v.mp4: variable frame rate, 8.33 to 25 frames a second"):
        times = [picture.time for picture in VideoFile(path)]
    np.testing.assert_allclose(np.diff(times)[:9], 0.04)
    np.testing.assert_allclose(np.diff(times)[-3:], 0.12)
