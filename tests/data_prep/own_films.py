"""Films as people have them, for the tests of `data_prep.videos`."""

import pathlib
from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np

from data_prep import videos
from vadjax.data.clips import Video, Videos
from vadjax.data.store.records import Dataset


def street(count: int, first: int = 0, size: tuple[int, int] = (48, 64)) -> list[np.ndarray]:
    """Frames of a still street with a box that moves, uint8 [H, W, 3] each, RGB."""
    random = np.random.default_rng(0)
    blocks = random.integers(40, 200, (size[0] // 8, size[1] // 8, 3), np.uint8)
    still = blocks.repeat(8, 0).repeat(8, 1)
    frames = []
    for number in range(first, first + count):
        frame = still.copy()
        left = 2 * number % (size[1] - 8)
        frame[20:30, left : left + 6] = (250, 250, 20)
        frames.append(frame)
    return frames


def write_at(
    path: pathlib.Path, seconds: Sequence[float], frames: Sequence[np.ndarray] | None = None
) -> pathlib.Path:
    """A film whose frames are at these times, in milliseconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = frames or street(len(seconds))
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=1000, options={"crf": "10"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", Fraction(1, 1000)
        for picture, time in zip(frames, seconds, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(1000 * time), Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def write_sound(path: pathlib.Path) -> pathlib.Path:
    """A file that holds nothing but sound."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=8000, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), "s16", "mono")
        silence.sample_rate, silence.pts = 8000, 0
        file.mux(stream.encode(silence))
        file.mux(stream.encode(None))
    return path


def without_packets(source: pathlib.Path, path: pathlib.Path, lost: Sequence[int]) -> pathlib.Path:
    """A copy of a film that lacks the packets of these numbers."""
    with av.open(str(source)) as film, av.open(str(path), "w") as copy:
        stream = copy.add_stream_from_template(film.streams.video[0])
        for number, packet in enumerate(film.demux(video=0)):
            if packet.dts is not None and number not in lost:
                packet.stream = stream
                copy.mux(packet)
    return path


def prepare(root: pathlib.Path, *flags: str, new: bool = True) -> Dataset:
    """Runs the program on `root/normal` and `root/new`, and opens what it wrote."""
    sources = ["--normal", str(root / "normal")]
    sources += ["--new", str(root / "new")] if new else []
    videos.main([*sources, "--out", str(root / "out"), *flags])
    return Dataset(root / "out")


def by_name(data: Dataset, split: str = "train") -> dict[str, Video]:
    """The videos of a split by their names."""
    return {video.name: video for video in Videos(data, split)}
