r"""Does the fit of the camera's motion help? A window is panned over the frames of a fixed camera.

    python -m benchmarks.panned data/ped2 [--objects nanodet] [--windows panned] [--periods 28 40]

The dataset is one of frames of a fixed camera with labels. Two datasets are made of it: a window in
the middle (328 columns and 208 rows of Ped2's 360 and 240), and the same window moved over the
frames by sinusoids of 16 columns and 12 rows, in whole pixels. Their periods are 40 and 28 frames
(4 s and 2.8 s at Ped2's rate) unless `--periods` says others, so that the camera moves by up to 2.5
and 2.7 pixels a frame, faster than nearly all that walks there. Every video begins at another
phase. Objects are judged by speed alone. The table has the micro AUC of the window at rest and of
the moved one, without and with the fit.
"""

import argparse
import pathlib
import tempfile
from collections.abc import Sequence

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from configs import ped2_attributes
from vadjax.backbones.detection import Detector
from vadjax.data.clips import Video, Videos
from vadjax.data.store.frame_writer import SourceVideo, write_frames
from vadjax.data.store.records import Dataset
from vadjax.data.video.reader import Picture
from vadjax.extractors.nanodet import NanoDetDetector
from vadjax.metrics import frame as metrics
from vadjax.runtime.cache import RunCache
from vadjax.system import load_system

MOVED = (12, 16)  # rows and columns that the window moves away from the middle
LEFT_OUT = (16, 16)  # rows and columns on each side of the window in the middle
PERIODS = (28, 40)  # frames of a swing, rows and columns
WINDOWS = ("at_rest", "panned")
SPLITS = ("train", "test")


def offsets(frames: int, number: int, periods: Sequence[int] = PERIODS) -> np.ndarray:
    """First row and column of the moved window in each frame, int64 [T, 2].

    Args:
      frames: of the video, T.
      number: of the video in its split; its phase goes by it.
      periods: frames of a swing, rows and columns.
    """
    t = np.arange(frames)[:, None] + 11.0 * number
    swing = np.sin(2 * np.pi * t / np.array(periods))
    return np.array(LEFT_OUT) + np.rint(np.array(MOVED) * swing).astype(np.int64)


def window_size(frame: tuple[int, int]) -> tuple[int, int]:
    """(H, W) of the window in frames of a size."""
    return frame[0] - 2 * LEFT_OUT[0], frame[1] - 2 * LEFT_OUT[1]


def panned(
    video: Video, moves: bool, detector: Detector | None, periods: Sequence[int] = PERIODS
) -> SourceVideo:
    """A video as the window sees it, at rest in the middle or moved over it.

    Args:
      video: of the fixed camera.
      moves: whether the window moves.
      detector: whose boxes are stored with the frames, if any.
      periods: as of `offsets`.
    """
    height, width = window_size(video.size)
    starts = offsets(video.num_frames, video.number, periods)
    if not moves:
        starts = np.broadcast_to(LEFT_OUT, starts.shape)

    def seen(number: int) -> np.ndarray:
        row, column = starts[number]
        return np.ascontiguousarray(video[number][row : row + height, column : column + width])

    numbers = range(video.num_frames)
    return SourceVideo(
        name=video.name,
        frames=(Picture(seen(number), f"{video.name}#{number}") for number in numbers),
        labels=video.labels,
        boxes=np.concatenate([boxes_of(detector, n, seen(n)) for n in numbers])
        if detector
        else None,
    )


def boxes_of(detector: Detector, number: int, frame: np.ndarray) -> np.ndarray:
    """What is detected in a frame, as rows of stored boxes [n, 6].

    Scores of 0 to 1 become 0.5 to 1, because stored boxes count above 0.5; their order stays.
    """
    found = detector(frame)
    scores = (1 + found.scores[:, None].astype(np.float64)) / 2
    return np.concatenate([np.full((len(scores), 1), number), found.boxes, scores], 1)


def write_panned(
    out: pathlib.Path,
    data: Dataset,
    moves: bool,
    detector: Detector | None = None,
    periods: Sequence[int] = PERIODS,
) -> None:
    """Writes a dataset of what the window sees, with boxes of a detector if there is one.

    Raises:
      FileExistsError: `out` exists.
    """
    write_frames(
        out,
        {
            split: (panned(one, moves, detector, periods) for one in Videos(data, split))
            for split in SPLITS
        },
        name=f"{data.manifest['name']}, panned",
        size=window_size(tuple(data.manifest["size"])),
        fps=data.manifest.get("fps"),
    )


def micro(folder: pathlib.Path, data: Dataset, objects: str, camera: str) -> tuple[float, float]:
    """Micro and macro AUC of a dataset by speed alone, of models that are learned in a folder."""
    config = ped2_attributes.get_config("nodetector")
    config.objects.source, config.objects.camera = objects, camera
    system = load_system(config, RunCache(folder))
    state = system.init(jax.random.key(0), data)
    videos = list(system.score(state, list(system.videos(data, "test"))))
    return metrics.auc(*metrics.pooled(videos)), metrics.macro_auc(videos)


def measure(
    work: pathlib.Path,
    source: Dataset,
    objects: str,
    windows: Sequence[str] = WINDOWS,
    periods: Sequence[int] = PERIODS,
) -> dict[tuple[str, str], tuple[float, float]]:
    """Window and camera → micro and macro AUC. Datasets and objects are kept in the folder."""
    detector = NanoDetDetector() if objects == "nanodet" else None
    figures = {}
    for window in windows:
        # the detector sees each frame once, and both cameras take its stored boxes
        name = f"{window}_{objects}"
        if window == "panned" and tuple(periods) != PERIODS:
            name += "_{}_{}".format(*periods)
        if not (work / name / "manifest.json").exists():
            write_panned(work / name, source, window == "panned", detector, periods)
        for camera in ("fixed", "moving"):
            stored = "stored" if detector else "none"
            run = work / f"run_{name}_{camera}"
            figures[window, camera] = micro(run, Dataset(work / name), stored, camera)
    return figures


def main(argv: list[str] | None = None) -> None:
    """Measures and prints the table."""
    # What is moved, how far and how fast, and by which objects it is measured.
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", help="folder of a dataset of frames, with labels")
    parser.add_argument(
        "--objects",
        choices=("none", "nanodet"),
        default="none",
        help="what moves, or also what is detected (default none)",
    )
    parser.add_argument("--windows", nargs="+", choices=WINDOWS, default=WINDOWS)
    parser.add_argument(
        "--periods",
        nargs=2,
        type=int,
        default=PERIODS,
        metavar=("ROWS", "COLUMNS"),
        help=f"frames of a swing (default {PERIODS[0]} {PERIODS[1]})",
    )
    parser.add_argument("--workdir", help="keeps datasets and objects there")
    args = parser.parse_args(argv)
    # The figures, and a row of the table for each window and kind of camera.
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(args.workdir or folder)
        figures = measure(work, Dataset(args.dataset), args.objects, args.windows, args.periods)
    table = Table(title=f"speed alone, objects: {args.objects}")
    for name in ("window", "objects.camera", "micro AUC", "macro AUC"):
        table.add_column(name, justify="right" if "AUC" in name else "left")
    for names, row in figures.items():
        table.add_row(*names, *(f"{figure:.4f}" for figure in row))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
