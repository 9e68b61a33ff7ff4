"""A video over the frames: heat, boxes, the truth, and the score curve with a moving cursor.

    python -m vadjax.report.overlay SCORES/VIDEO.npz FRAMES [--out VIDEO.mp4] [--fps 25]

`FRAMES` is a folder of pictures, a video file, or a prepared dataset of frames, of which the video
with the name of the score file is taken. The heat is the score file's `map`, if it has one: no
colour up to its median over the video, full colour at its 99.5th percentile. Boxes are those of the
score file. A red frame around the picture marks what is labelled anomalous.

Codecs: the wheel opencv-python-headless 5.0 has no encoder for H.264 (`avc1`) or AV1. It writes VP9
to .mp4 and VP8 to .webm, which is much faster; Chromium plays both. MPEG-4 part 2 (`mp4v`), which
it does not play, is the last resort.
"""

import argparse
import contextlib
import math
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import cv2
import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from vadjax.data.video import decode
from vadjax.data.video import reader as decoding
from vadjax.data.video.pictures import add_levels_flag
from vadjax.report import curves, heat
from vadjax.runtime import command, progress, replacing, space
from vadjax.runtime.terminal import visible
from vadjax.scores import files
from vadjax.scores.files import Scores

CODECS = {".mp4": ("vp09", "avc1", "mp4v"), ".webm": ("VP80", "VP90")}  # the first that works
SLOWEST = 0.05  # frames a second of a film; blocks of WebM last 32 s at most
HEIGHT = 360  # pixels, least height of the picture on the screen
EDGE, SIDE, CURVE = 8, 240, 150  # pixels: frame around the picture, column beside, curve below
DPI = 100
ANOMALOUS, BOX, INK, PAPER = (214, 20, 20), (0, 229, 255), (29, 37, 48), (255, 255, 255)


class FrameSource(NamedTuple):
    """The frames of a video.

    Attributes:
      frames: uint8 [H, W, 3] each, RGB.
      count: how many there are.
      size: (H, W) of the frames that boxes belong to; None if these are the frames themselves.
    """

    frames: Iterable[np.ndarray]
    count: int
    size: tuple[int, int] | None = None


class Stage(NamedTuple):
    """What all frames of the overlay share.

    Attributes:
      canvas: uint8 [H, W, 3], RGB, with an empty place for the picture.
      size: (H, W) of the picture on it, whose corner is at (EDGE, EDGE).
      cursor: x of every video frame in the curve, int [T].
      span: y of the top and of the bottom of the curve.
      heat: ends of the scale of the heat; None without a map.
      boxes: ends of the scale of the boxes' scores; None if all boxes have one score, or there is
        no box.
    """

    canvas: np.ndarray
    size: tuple[int, int]
    cursor: np.ndarray
    span: tuple[int, int]
    heat: tuple[float, float] | None
    boxes: tuple[float, float] | None


def write(video: Scores, source: FrameSource, out: pathlib.Path, fps: float = 25) -> pathlib.Path:
    """Writes the overlay of a video beside `out` and moves it there when it is whole.

    Args:
      video: its scores.
      source: its frames.
      out: `.mp4` or `.webm` file.
      fps: frames a second.

    Raises:
      ValueError: another number of frames than of scores, frames of several sizes, an ending other
        than those, or OpenCV can write none of the codecs.
      OSError: the file could not be written whole.
    """
    check_film(out, fps)
    check_source(video, source)
    return film(_drawn(video, source), source.count, out, fps, f"overlay {video.video}")


def check_film(out: pathlib.Path, fps: float) -> None:
    """Raises ValueError for a name of another ending than `CODECS`, or an impossible rate."""
    if out.suffix not in CODECS:
        raise ValueError(f"{out}: expected a name that ends in {' or '.join(CODECS)}")
    if not 0 < fps < math.inf:
        raise ValueError(f"{fps:g} frames a second; expected more than 0, and finite")


def check_source(video: Scores, source: FrameSource) -> None:
    """Raises ValueError if there are not as many frames as scores."""
    count = len(video.frame_scores)
    if source.count != count:
        raise ValueError(
            f"{video.video}: {count:,} scores for {source.count:,} frames; "
            "are these the frames that were scored?"
        )


def film(
    frames: Iterable[np.ndarray], count: int, out: pathlib.Path, fps: float, title: str
) -> pathlib.Path:
    """Writes frames beside `out` and moves the file there when it is whole.

    Args:
      frames: uint8 [H, W, 3] each, RGB; H and W even and always the same.
      count: how many there are.
      out: `.mp4` or `.webm` file.
      fps: frames a second; a film of fewer than `SLOWEST` is shown at `SLOWEST`, with a note.
      title: of the progress bar.

    Raises:
      ValueError: OpenCV can write none of the codecs.
      OSError: the file could not be written whole.
    """
    if fps < SLOWEST:
        print(f"{out.name}: shown at {SLOWEST:g} frames a second; a film cannot have {fps:g}")
        fps = SLOWEST
    with replacing.file(out, ending=f".tmp{out.suffix}") as new:
        with progress.bar(title, count) as bar:
            _encode(iter(frames), new, fps, bar)
        # OpenCV raises nothing when the disk is full, so the frames of the file are counted.
        written = _count(new)
        if written != count:
            left = space.free(out)
            room = f" ({space.size(left)} are free)" if left is not None else ""
            raise OSError(
                f"{out}: {written} of {count} frames were written{room}; is the disk full?"
            )
    return out


def _count(path: pathlib.Path) -> int:
    """Number of frames of a film that can be decoded."""
    try:
        with decode.VideoDecoder(path) as film:
            return sum(1 for _ in film.frames())
    except ValueError:
        return 0


def _encode(frames: Iterator[np.ndarray], path: pathlib.Path, fps: float, bar) -> None:
    """Writes frames to a file; the first one says the size of all."""
    writer = None
    try:
        for done, frame in enumerate(frames, 1):
            writer = writer or _writer(path, fps, frame.shape[1::-1])
            with _silent():
                writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
            bar.update(done, {})
    finally:
        if writer:
            with _silent():
                writer.release()


def _writer(path: pathlib.Path, fps: float, size: tuple[int, int]) -> cv2.VideoWriter:
    """A writer with the first codec of the ending that works; raises ValueError if none does."""
    for codec in CODECS[path.suffix]:
        with _silent():
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), fps, size)
        if writer.isOpened():
            return writer
    raise ValueError(
        f"this OpenCV writes no {path.suffix} here with {', '.join(CODECS[path.suffix])}"
    )


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keeps the standard error silent.

    OpenCV reports there that working codecs do not work, and for every frame that the disk is full,
    which `film` notices and reports once.
    """
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as none:
            os.dup2(none.fileno(), 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _drawn(video: Scores, source: FrameSource) -> Iterator[np.ndarray]:
    """Yields the frames of the overlay."""
    stage = None
    for t, picture in enumerate(source.frames):
        if stage is None:
            stage, shape = lay_out(video, picture.shape[:2]), picture.shape
        check_shape(video.video, t, picture.shape, shape)
        yield draw(stage, video, t, picture, source.size)


def check_shape(video: str, t: int, shape: tuple[int, ...], first: tuple[int, ...]) -> None:
    """Raises ValueError if frame `t` has not the shape of the first."""
    if shape != first:
        raise ValueError(
            f"{video}: frame {t} is {_by(shape)}, frame 0 {_by(first)}; "
            "a video has frames of one size"
        )


def _by(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} × {shape[1]}"


def draw(
    stage: Stage,
    video: Scores,
    t: int,
    picture: np.ndarray,
    box_size: tuple[int, int] | None = None,
) -> np.ndarray:
    """Draws frame number `t` of the overlay.

    Args:
      stage: what all frames share, from `lay_out`.
      video: scores of the video.
      t: number of the frame.
      picture: the frame, uint8 [H, W, 3], RGB.
      box_size: (H, W) of the frames that boxes belong to; None for those of `picture`.

    Returns:
      uint8 [H, W, 3], RGB.
    """
    canvas, (height, width) = stage.canvas.copy(), stage.size
    # The picture with its red frame, heat and boxes
    anomalous = video.labels is not None and bool(video.labels[t])
    if anomalous:
        canvas[: height + 2 * EDGE, : width + 2 * EDGE] = ANOMALOUS
    place = canvas[EDGE : EDGE + height, EDGE : EDGE + width]
    if stage.heat is not None:
        picture = heat.over(picture, video.map[t], stage.heat)
    place[...] = cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC)
    if video.boxes is not None:
        boxes = video.boxes[video.boxes[:, 0] == t]
        _boxes(place, boxes, box_size or picture.shape[:2], stage.boxes)
    # The column beside it: number, score and label.
    left = width + 2 * EDGE + 12
    _text(canvas, f"frame {t:,} of {len(video.frame_scores):,}", (left, 64))
    _text(canvas, f"score {video.frame_scores[t]:.3f}", (left, 90))
    if video.labels is not None:
        colour = ANOMALOUS if anomalous else INK
        _text(canvas, "labelled anomalous" if anomalous else "labelled normal", (left, 116), colour)
    # The cursor in the curve.
    x = int(stage.cursor[t])
    cv2.line(canvas, (x, stage.span[0]), (x, stage.span[1]), ANOMALOUS, 2)
    return canvas


def _boxes(
    place: np.ndarray,
    boxes: np.ndarray,
    size: tuple[int, int],
    ends: tuple[float, float] | None,
) -> None:
    """Draws boxes [n, 6] of frames of (H, W) `size` on the picture, the highest score on top."""
    boxes = boxes[np.argsort(boxes[:, 5], kind="stable")]
    # Boxes are in pixels of frames that may have another size than the picture here.
    ratio = np.tile(np.array(place.shape[1::-1]) / np.array(size[::-1]), 2)
    colours = [BOX] * len(boxes) if ends is None else heat.colours(boxes[:, 5], ends).tolist()
    edges = np.rint(boxes[:, 1:5] * ratio).astype(int).tolist()
    for (x0, y0, x1, y1), colour in zip(edges, colours, strict=True):
        cv2.rectangle(place, (x0, y0), (x1 - 1, y1 - 1), colour, 1 if ends is None else 2)


def _text(
    canvas: np.ndarray, text: str, at: tuple[int, int], colour: tuple[int, int, int] = INK
) -> None:
    """Writes a line of text with its lower left corner at (x, y)."""
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.6, colour, 1, cv2.LINE_AA)


def lay_out(video: Scores, size: tuple[int, int]) -> Stage:
    """Lays out the overlay of a video with frames of (H, W) `size`, and draws what all share."""
    # The picture is enlarged by a whole number; beside it is a column, below it the curve.
    factor = max(1, -(-HEIGHT // size[0]))
    height, width = factor * size[0], factor * size[1]
    canvas_size = np.array([width + 2 * EDGE + SIDE, height + 2 * EDGE + CURVE])
    canvas_size += canvas_size % 2  # codecs want even sizes
    ends = None if video.map is None else heat.limits(video.map)
    boxes = _scale(video.boxes)
    # Name, scale and curve are drawn by Matplotlib, once.
    figure = Figure(figsize=tuple(canvas_size / DPI), dpi=DPI)
    painter = FigureCanvasAgg(figure)
    left = (width + 2 * EDGE + 12) / canvas_size[0]
    name = {"s": visible(video.video), "fontsize": 11, "weight": "bold", "parse_math": False}
    figure.text(left, 1 - 34 / canvas_size[1], **name)
    if ends is not None:
        _legend(figure, ends, "heat: median to 99.5th percentile", left, canvas_size)
    elif boxes is not None:
        _legend(figure, boxes, "boxes: lowest to highest score", left, canvas_size)
    axes = _curve(figure, video, canvas_size)
    painter.draw()
    canvas = np.ascontiguousarray(np.asarray(painter.buffer_rgba())[..., :3])
    # Where the axes have put each frame, in pixels from the left and from the top.
    steps = np.arange(len(video.frame_scores))
    cursor = axes.transData.transform(np.stack([steps, steps], 1))[:, 0]
    span = (round(canvas_size[1] - axes.bbox.y1), round(canvas_size[1] - axes.bbox.y0))
    return Stage(canvas, (height, width), np.rint(cursor).astype(int), span, ends, boxes)


def _scale(boxes: np.ndarray | None) -> tuple[float, float] | None:
    """Lowest and highest score of boxes [n, 6]; None if they do not differ."""
    if boxes is None or not len(boxes) or np.ptp(boxes[:, 5]) == 0:
        return None
    return float(boxes[:, 5].min()), float(boxes[:, 5].max())


def _legend(
    figure: Figure, ends: tuple[float, float], title: str, left: float, canvas_size: np.ndarray
) -> None:
    """Draws the scale of the heat or of the boxes, in the column beside the picture."""
    bar = figure.add_axes(
        (left, 1 - 190 / canvas_size[1], (SIDE - 40) / canvas_size[0], 14 / canvas_size[1])
    )
    colours = ScalarMappable(Normalize(*ends), matplotlib.colormaps[heat.COLOURS])
    figure.colorbar(colours, cax=bar, orientation="horizontal", ticks=list(ends), format="%.2g")
    bar.set_title(title, fontsize=8, loc="left")
    bar.tick_params(labelsize=8)
    # The numbers at both ends of the scale stay within its width.
    for label, side in zip(bar.get_xticklabels(), ("left", "right"), strict=True):
        label.set_horizontalalignment(side)


def _curve(figure: Figure, video: Scores, canvas_size: np.ndarray):
    """Draws the score curve below the picture, over the whole width."""
    width, height = canvas_size
    axes = figure.add_axes((60 / width, 40 / height, 1 - 80 / width, (CURVE - 60) / height))
    values = video.frame_scores
    curves.plot_video(axes, video, max(1.0, float(values.max())), min(0.0, float(values.min())))
    return axes


def open_source(
    path: pathlib.Path,
    name: str,
    split: str = "test",
    reading: decoding.Reading = decoding.AS_IT_IS,
) -> FrameSource:
    """The frames at `path`; of a prepared dataset, those of the video `name` in `split`.

    Args:
      path: folder of pictures, video file or prepared dataset.
      name: name of the video.
      split: split of a dataset.
      reading: how a folder or file is read; it should be as when it was scored.

    Raises:
      FileNotFoundError, ValueError: nothing that can be read is there, or no such video.
    """
    if (path / "manifest.json").is_file():
        return _from_dataset(path, name, split)
    frames = decoding.open_frames(path, reading)
    return FrameSource((picture.pixels for picture in frames), len(frames))


def _from_dataset(path: pathlib.Path, name: str, split: str) -> FrameSource:
    """The frames of a video of a prepared dataset."""
    from vadjax.data import clips
    from vadjax.data.store import records  # not at the top of the file: they import JAX

    data = records.Dataset(path, verify="size")
    if data.kind != clips.KIND:
        raise ValueError(f"{path}: holds {data.kind!r} records; expected a dataset of frames")
    for video in clips.Videos(data, split):
        if video.name == name:
            return FrameSource(video, len(video), video.source_size)
    raise ValueError(f"{path}: no video {name!r} in split {split!r}; --split names another")


def add_reading_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that say how frames are read."""
    parser.add_argument("--deinterlace", action="store_true", help="of an interlaced video file")
    add_levels_flag(parser)


def reading(args: argparse.Namespace) -> decoding.Reading:
    """How frames are read, from the flags of `add_reading_flags`."""
    return decoding.Reading(args.deinterlace, levels=args.levels)


def run(args: argparse.Namespace) -> pathlib.Path:
    """Reads the scores and the frames, and writes the overlay."""
    video = files.read(args.scores)
    source = open_source(args.frames, video.video, args.split, reading(args))
    return write(video, source, args.out or args.scores.with_suffix(".mp4"), args.fps)


def main(argv: list[str] | None = None) -> None:
    """Parses the command line and writes the overlay."""
    parser = argparse.ArgumentParser(
        prog="python -m vadjax.report.overlay",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scores", type=pathlib.Path, help="score file of the video")
    parser.add_argument(
        "frames", type=pathlib.Path, help="folder of pictures, video file or prepared dataset"
    )
    parser.add_argument("--out", type=pathlib.Path, help=".mp4 or .webm (default: beside SCORES)")
    parser.add_argument("--fps", type=float, default=25, help="frames a second (25)")
    parser.add_argument("--split", default="test", help="split of a prepared dataset (test)")
    add_reading_flags(parser)
    args = parser.parse_args(argv)
    print(f"Overlay: {command.report_errors(run, args)}")


if __name__ == "__main__":
    command.run(main)
