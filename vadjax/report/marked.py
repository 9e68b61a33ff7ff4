"""Frames with what was flagged tinted and boxed, and the reason below (spec eval §8).

    python -m vadjax.report.marked SCORES/VIDEO.npz FRAMES --out FOLDER [--threshold 0.5] [--all]
        [--video FILE.mp4] [--fps 25]

writes one PNG for each frame with something marked, or for every frame with `--all`. The threshold
is that of the run's alarm line, if the scores lie in a run that has one, else 2.0. Of a score file
with a `map` cells of at least the threshold are tinted, and every connected part gets a box with
its highest score; else the boxes of at least the threshold are drawn. The sentence below is that of
the highest-scoring reason that holds for the frame. `FRAMES` is a folder of pictures, a video file,
or a prepared dataset of frames.
"""

import argparse
import functools
import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from vadjax.data.video.boxes import cell_edges, component_boxes
from vadjax.report import overlay, reasons
from vadjax.report.curves import DPI
from vadjax.report.overlay import HEIGHT, FrameSource
from vadjax.report.reasons import Reason
from vadjax.report.sheet import Sheet, height, wrap
from vadjax.runtime import command, progress
from vadjax.scores import alarm, files
from vadjax.scores.files import Scores

TINT, BOX, COVER = (213, 94, 0), (213, 94, 0), 0.4  # RGB, RGB, opacity of the tint
SIZE, EDGE = 9.0, 0.08  # of the sentence: size in points, margin in inches
THRESHOLD = 2.0  # where the run has no alarm line
ABOVE = 3  # folders above a score file in which its run may be: RUN/predict/scores/VIDEO.npz
THICK = 2  # pixels of the line of a box


class ConnectedPart(NamedTuple):
    """A connected part of a map.

    Attributes:
      box: float64 [4], `x_min, y_min, x_max, y_max`, pixels of the frame, inclusive.
      score: highest value in it.
    """

    box: np.ndarray
    score: float


def parts(cells: np.ndarray, threshold: float, size: tuple[int, int]) -> list[ConnectedPart]:
    """Connected parts (8 neighbours) of the cells of a map that reach a threshold.

    Args:
      cells: float [h, w], the map of a frame.
      threshold: cells of at least so much belong to a part.
      size: (H, W) of the frame, in whose pixels boxes are.

    Raises:
      ValueError: more cells than pixels.
    """
    edges = cell_edges(cells.shape[0], size[0]), cell_edges(cells.shape[1], size[1])
    count, labels = cv2.connectedComponents((cells >= threshold).astype(np.uint8), connectivity=8)
    masks = [labels == label for label in range(1, count)]
    return [
        ConnectedPart(component_boxes(mask, edges=edges)[0], float(cells[mask].max()))
        for mask in masks
    ]


def mark(
    picture: np.ndarray,
    cells: np.ndarray | None,
    threshold: float,
    text: str = "",
    lines: int = 0,
    boxes: Sequence[ConnectedPart] = (),
) -> np.ndarray:
    """Tints and boxes what reaches the threshold in a frame, and writes a sentence below.

    Args:
      picture: uint8 [H, W, 3], RGB.
      cells: float [h, w], a map that covers the whole picture; None without one.
      threshold: cells of at least so much are marked.
      text: the sentence; it is wrapped to the width of the frame.
      lines: number of lines that get room at least, for sentences of other frames.
      boxes: what is boxed without a map; those of less than the threshold are left out.

    Returns:
      uint8, RGB: the frame enlarged by a whole number to at least `HEIGHT` rows (pixel p of the
      frame is at p times that number), and the sentence below. Height and width are even, as films
      need them.

    Raises:
      ValueError: more cells than pixels.
    """
    size = picture.shape[:2]
    factor = enlargement(size[0])
    large = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    # Tint below boxes, and scores above all boxes
    regions = [box for box in boxes if box.score >= threshold]
    if cells is not None:
        regions = parts(cells, threshold, size)
    if cells is not None and regions:
        large = _tinted(large, _pixels(cells >= threshold, size), factor)
    for part in regions:
        _box(large, part, factor)
    for part in regions:
        _score(large, part, factor)
    # The sentence, and a white row or column where a side is odd
    below = _sentence(text, large.shape[1], lines)
    whole = np.concatenate([large, below])
    odd = [(0, side % 2) for side in whole.shape[:2]]
    return np.pad(whole, (*odd, (0, 0)), constant_values=255)


def enlargement(rows: int) -> int:
    """Smallest factor that makes a frame of so many rows at least `HEIGHT` high."""
    return max(1, -(-HEIGHT // rows))


def _pixels(cells: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Spreads cells [h, w] over the pixels [H, W] that they cover."""
    for axis in (0, 1):
        cells = cells.repeat(np.diff(cell_edges(cells.shape[axis], size[axis])), axis)
    return cells


def _tinted(picture: np.ndarray, mask: np.ndarray, factor: int) -> np.ndarray:
    """The enlarged picture with the pixels of the mask of the frame tinted."""
    mask = mask.repeat(factor, 0).repeat(factor, 1)
    tint = np.rint((1 - COVER) * picture + COVER * np.array(TINT)).astype(np.uint8)
    return np.where(mask[..., None], tint, picture)


def _box(picture: np.ndarray, part: ConnectedPart, factor: int) -> None:
    """Draws a line along the outermost pixels of the box."""
    (x0, y0), (x1, y1) = _corners(part, factor)
    # One rectangle for each pixel of thickness, inwards, as far as the box has room.
    for inset in range(min(THICK, (min(x1 - x0, y1 - y0) + 2) // 2)):
        cv2.rectangle(picture, (x0 + inset, y0 + inset), (x1 - inset, y1 - inset), BOX, 1)


def _corners(part: ConnectedPart, factor: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """First and last pixel of the box in the enlarged picture, (x, y) each."""
    x0, y0, x1, y1 = part.box.astype(int).tolist()
    return (x0 * factor, y0 * factor), ((x1 + 1) * factor - 1, (y1 + 1) * factor - 1)


def _score(picture: np.ndarray, part: ConnectedPart, factor: int) -> None:
    """Writes the score on a plate above the box, or in its corner if there is no room above."""
    text, style = f"{part.score:.2f}", (cv2.FONT_HERSHEY_SIMPLEX, 0.5)
    (wide, tall), _ = cv2.getTextSize(text, *style, 1)
    (x, y), _ = _corners(part, factor)
    # Moved left at the right edge of the picture, and into the box at its top.
    x = max(min(x, picture.shape[1] - wide - 6), 0)
    y = y - tall - 6 if y >= tall + 6 else y
    cv2.rectangle(picture, (x, y), (x + wide + 5, y + tall + 5), BOX, -1)
    cv2.putText(picture, text, (x + 3, y + tall + 2), *style, (255, 255, 255), 1, cv2.LINE_AA)


def wrapped(text: str, width: int) -> list[str]:
    """The sentence as lines that fit below a frame of `width` pixels."""
    return wrap(text, width / DPI - 2 * EDGE, SIZE)


@functools.lru_cache(maxsize=16)
def _sentence(text: str, width: int, lines: int) -> np.ndarray:
    """The sentence on white, uint8 [rows, width, 3]; no rows without a sentence or room for one."""
    text_lines = wrapped(text, width)
    if not max(len(text_lines), lines):
        return np.zeros((0, width, 3), np.uint8)
    room = [""] * max(len(text_lines), lines)
    sheet = Sheet(width / DPI, round((height(room, SIZE) + 2 * EDGE) * DPI) / DPI)
    sheet.figure.set_dpi(DPI)
    sheet.text(EDGE, EDGE, "\n".join(text_lines), SIZE)
    canvas = FigureCanvasAgg(sheet.figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def sentence(told: Sequence[Reason], frame: int) -> str:
    """Text of the highest-scoring reason that holds for a frame; empty if none does."""
    valid = [reason for reason in told if reason.covers(frame)]
    return max(valid, key=lambda reason: reason.rank).text if valid else ""


def write(
    video: Scores,
    source: FrameSource,
    out: pathlib.Path,
    threshold: float = THRESHOLD,
    every: bool = False,
    film: pathlib.Path | None = None,
    fps: float = 25,
) -> int:
    """Writes the marked frames of a video as `out/000000.png`, named by their numbers.

    Args:
      video: its scores, with a map or boxes.
      source: its frames.
      out: folder to write; what an earlier call left in it is replaced.
      threshold: cells of the map, or boxes, of at least so much are marked.
      every: write frames without marks too.
      film: `.mp4` or `.webm` file for all frames; None for none.
      fps: frames a second of the film.

    Returns:
      How many pictures were written.

    Raises:
      ValueError: neither map nor boxes, more cells than pixels, another number of frames than of
        scores, frames of several sizes, or a film that cannot be written.
      OSError: `out` holds something else, or a file could not be written.
    """
    if video.map is None and video.boxes is None:
        raise ValueError(
            f"{video.video}: neither map nor boxes in the score file, so there is nothing to mark"
        )
    overlay.check_source(video, source)
    if film:
        overlay.check_film(film, fps)
    # The film takes all frames; without one they are still drawn, to be written as pictures.
    with files.replacing(out, "marked") as work:
        frames = _written(video, source, threshold, every, work)
        if film:
            overlay.film(frames, source.count, film, fps, f"mark {video.video}")
        else:
            with progress.bar(f"mark {video.video}", source.count) as bar:
                for done, _ in enumerate(frames, 1):
                    bar.update(done, {})
        return len(list(work.glob("*.png")))


def _written(
    video: Scores, source: FrameSource, threshold: float, every: bool, folder: pathlib.Path
) -> Iterator[np.ndarray]:
    """Yields all frames, marked, and writes those to keep to the folder."""
    # Frames with marks, and their sentences.
    has_marks = _highest(video) >= threshold
    video_reasons = [reasons.read(reason) for reason in video.reasons]
    texts = [sentence(video_reasons, t) if has_marks[t] else "" for t in range(len(has_marks))]
    first = lines = None
    for t, picture in enumerate(source.frames):
        # All pictures get room for the longest sentence, so that a film has one size.
        if first is None:
            first, width = picture.shape, picture.shape[1] * enlargement(picture.shape[0])
            lines = max(len(wrapped(text, width)) for text in set(texts))
        overlay.check_shape(video.video, t, picture.shape, first)
        cells = None if video.map is None else video.map[t]
        boxes = () if cells is not None else boxes_of(video, t, picture.shape[:2], source.size)
        image = mark(picture, cells, threshold, texts[t], lines, boxes)
        if every or has_marks[t]:
            png = cv2.imencode(".png", image[..., ::-1])[1]
            (folder / f"{t:06d}.png").write_bytes(png)
        yield image


def _highest(video: Scores) -> np.ndarray:
    """The highest value of the map, or of the boxes, of every frame; -inf without any."""
    if video.map is not None:
        return np.asarray(video.map).max((1, 2))
    highest = np.full(len(video.frame_scores), -np.inf)
    np.maximum.at(highest, video.boxes[:, 0].astype(int), video.boxes[:, 5])
    return highest


def boxes_of(
    video: Scores, frame: int, size: tuple[int, int], box_size: tuple[int, int] | None
) -> list[ConnectedPart]:
    """The boxes of a frame.

    Args:
      video: scores with boxes.
      frame: its number.
      size: (H, W) of the picture.
      box_size: (H, W) of the frames that the boxes belong to; None for those of the picture.
    """
    rows = video.boxes[video.boxes[:, 0] == frame]
    scale = np.tile(np.array(size[::-1]) / np.array((box_size or size)[::-1]), 2)
    limits = np.array([size[1], size[0], size[1], size[0]]) - 1
    found = []
    for row in rows:
        x0, y0, x1, y1 = np.rint(row[1:5] * scale) - [0, 0, 1, 1]  # inclusive
        box = np.clip([x0, y0, max(x0, x1), max(y0, y1)], 0, limits)
        found.append(ConnectedPart(box, float(row[5])))
    return found


def threshold_of(scores: pathlib.Path) -> float:
    """The alarm line of the run that a score file lies in; 2.0 where there is none.

    Raises:
      OSError, ValueError: the file of the alarm line cannot be read.
    """
    for folder in list(pathlib.Path(scores).absolute().parents)[1 : ABOVE + 1]:
        if (line := alarm.read(folder)) is not None:
            return line.line
    return THRESHOLD


def run(args: argparse.Namespace) -> tuple[int, int]:
    """Reads scores and frames and writes pictures; returns the number of these and of frames."""
    video = files.read(args.scores)
    if args.threshold is None:
        args.threshold = threshold_of(args.scores)
        print(f"{args.scores}: marked from {args.threshold:.3g} on")
    source = overlay.open_source(args.frames, video.video, args.split, overlay.reading(args))
    count = write(video, source, args.out, args.threshold, args.all, args.video, args.fps)
    if (highest := float(_highest(video).max())) < args.threshold:
        print(
            f"{video.video}: nothing reaches {args.threshold:.3g}, the highest is {highest:.3g}; "
            "give a lower --threshold to mark it"
        )
    return count, len(video.frame_scores)


def main(argv: list[str] | None = None) -> None:
    """Parses the command line and writes the frames."""
    parser = argparse.ArgumentParser(
        prog="python -m vadjax.report.marked",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scores", type=pathlib.Path, help="score file of the video")
    parser.add_argument(
        "frames", type=pathlib.Path, help="folder of pictures, video file or prepared dataset"
    )
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder for the pictures")
    parser.add_argument(
        "--threshold", type=float, help="of the map or boxes (the run's alarm line, else 2.0)"
    )
    parser.add_argument("--all", action="store_true", help="write frames without marks too")
    parser.add_argument("--video", type=pathlib.Path, help="also write all frames to .mp4 or .webm")
    parser.add_argument("--fps", type=float, default=25, help="frames a second of that (25)")
    parser.add_argument("--split", default="test", help="split of a prepared dataset (test)")
    # Frames should be read as they were for scoring.
    overlay.add_reading_flags(parser)
    args = parser.parse_args(argv)
    count, frames = command.report_errors(run, args)
    print(f"{count:,} of {frames:,} frames: {args.out}")
    if args.video:
        print(f"Video: {args.video}")


if __name__ == "__main__":
    command.run(main)
