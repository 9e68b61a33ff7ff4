"""Video files for tests, made by PyAV."""

import pathlib
from collections.abc import Iterable
from fractions import Fraction

import av
import numpy as np

SIZE = (96, 128)


def moving(count: int, size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    """Frames of colours that move, uint8 [H, W, 3] each, RGB."""
    y, x = np.mgrid[: size[0], : size[1]]
    return [
        np.stack([2 * x + 5 * i, 2 * y + 3 * i, x + y + i], -1).astype(np.uint8)
        for i in range(count)
    ]


def write(
    path: pathlib.Path,
    frames: Iterable[np.ndarray],
    codec: str = "libx264",
    rate: int = 25,
    *,
    every: int = 1,
    pixels: str = "yuv420p",
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    rotation: int = 0,
) -> pathlib.Path:
    """Encodes frames.

    Args:
      path: file to write; its ending chooses the container.
      frames: uint8 [H, W, 3], RGB, of one size.
      codec: FFmpeg's name of the encoder.
      rate: ticks a second.
      every: ticks between two frames; an AVI lists a frame for every tick.
      pixels: FFmpeg's name of the format of the pixels.
      options: of the encoder.
      container: options of the container.
      rotation: degrees, counterclockwise, by which players turn the frames.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=container or {}) as file:
        stream = file.add_stream(codec, rate=rate, options=options or {})
        stream.pix_fmt = pixels
        for rank, picture in enumerate(frames):
            # The first frame gives the size; rotation must be set before anything is encoded
            if not rank:
                stream.height, stream.width = picture.shape[:2]
            if not rank and rotation:
                stream.set_display_rotation(rotation)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = rank * every, Fraction(1, rate)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def cut(path: pathlib.Path, part: float = 0.6) -> pathlib.Path:
    """Cuts off the end of a file, but for the first `part` of its bytes."""
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    return path


def write_interlaced(path: pathlib.Path, count: int = 12) -> list[np.ndarray]:
    """A bar that moves 4 pixels from field to field, as interlaced H.264, lower field first.

    Returns:
      The pictures at the moments of the lower fields.
    """
    # Bars at twice the frame rate: even moments are lower fields, odd ones upper fields
    moments = [np.full((*SIZE, 3), 60, np.uint8) for _ in range(2 * count)]
    for i, picture in enumerate(moments):
        picture[:, 4 * i : 4 * i + 24] = 200
    woven = [picture.copy() for picture in moments[::2]]
    for frame, upper in zip(woven, moments[1::2], strict=True):
        frame[::2] = upper[::2]
    write(path, woven, options={"flags": "+ildct+ilme", "crf": "5"})
    return moments[::2]
