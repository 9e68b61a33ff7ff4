"""Films that browsers play: H.264 in mp4, one picture for every frame, a key frame a second.

So the page finds a frame again: frame t is the picture from t / fps to (t + 1) / fps seconds, and a
seek decodes a second of film at most. No frame refers to a later one (no B-frames).
"""

import fractions
import math
import pathlib

import av
import cv2
import numpy as np

from vadjax.report import overlay
from vadjax.report.overlay import FrameSource
from vadjax.runtime import progress, replacing
from vadjax.runtime.terminal import visible

ENCODER = "libx264"
HIGHEST = 480  # pixels, height of the pictures; larger frames are reduced
QUALITY = "26"  # constant rate factor of x264: 0 is lossless, 51 the worst
BYTES = 200_000_000  # most that the films of a report have together


def write(
    frames: FrameSource,
    out: pathlib.Path,
    fps: float,
    title: str,
) -> pathlib.Path:
    """Writes a film beside `out` and moves it there when it is whole.

    Args:
      frames: what it shows.
      out: `.mp4` file.
      fps: frames a second.
      title: of the progress bar.

    Raises:
      ValueError: no frames or another number of them, frames of several sizes, a rate that is
        none, or no encoder.
      OSError: the file could not be written.
    """
    if not 0 < fps < math.inf:
        raise ValueError(f"{fps:g} frames a second; expected more than 0, and finite")
    if lacking := lacks():
        raise ValueError(lacking)
    with replacing.file(out, ending=".tmp.mp4") as new:
        with progress.bar(title, frames.count) as bar:
            _encode(frames, new, fps, title, bar)
    return out


def lacks() -> str:
    """What this machine lacks to write a film, and what to do; empty if nothing."""
    if ENCODER in av.codecs_available:
        return ""
    return (
        f"PyAV {av.__version__} of this machine has no encoder {ENCODER}, so there is no film; "
        "install PyAV from its wheel (pip install --force-reinstall av)"
    )


def _encode(frames: FrameSource, path: pathlib.Path, fps: float, title: str, bar) -> None:
    """Writes the frames to a file, and counts them."""
    rate = fractions.Fraction(fps).limit_denominator(60_000)
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream, shape = None, None
        for t, frame in enumerate(frames.frames):
            # The first frame says the size of all.
            if stream is None:
                shape, size = frame.shape, film_size(*frame.shape[:2])
                stream = _stream(container, rate, size)
            overlay.check_shape(visible(title), t, frame.shape, shape)
            if frame.shape[:2] != size:
                frame = cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA)
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")
            picture.pts, picture.time_base = t, 1 / rate
            container.mux(stream.encode(picture))
            bar.update(t + 1, {})
        written = 0 if stream is None else t + 1
        if stream is None or written != frames.count:
            raise ValueError(f"{title}: {written:,} frames, expected {frames.count:,}")
        container.mux(stream.encode())


def _stream(container: av.container.OutputContainer, rate: fractions.Fraction, size: tuple):
    """An H.264 stream of pictures of (H, W) `size` that every browser plays."""
    options = {"preset": "veryfast", "crf": QUALITY, "bf": "0", "sc_threshold": "0"}
    stream = container.add_stream(ENCODER, rate=rate, options=options)
    stream.height, stream.width = size
    stream.pix_fmt = "yuv420p"
    stream.codec_context.gop_size = max(1, round(float(rate)))
    return stream


def film_size(height: int, width: int) -> tuple[int, int]:
    """(H, W) of the film of frames of a size: at most `HIGHEST` high, and even, as H.264 needs."""
    factor = min(1.0, HIGHEST / height)
    return tuple(max(2, 2 * round(side * factor / 2)) for side in (height, width))
