"""Windows a second from a prepared dataset of frames, against loose JPEG files in the same run.

    python tests/benchmarks/read_frames.py --data FOLDER

FOLDER has the layout of `python -m data_prep.ucsd_ped --help` (frame folders). Every reader goes
through the same loader: shuffled windows in batches. The baselines read and decode the JPEG files
of each window with OpenCV, and resize where the row says so; a ratio is to the baseline of the
same size and the same number of threads. Times are medians; the readers take turns.
"""

import argparse
import pathlib
import statistics
import tempfile
import time
from collections.abc import Sequence

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from data_prep import frames, ucsd_ped
from vadjax.data import loader
from vadjax.data.clips import Windows
from vadjax.data.records import Dataset


class LooseWindows(Sequence):
    """The same windows from JPEG files."""

    def __init__(self, root: pathlib.Path, length: int, size: tuple[int, int] | None):
        videos = frames.read_layout(root)["train"]
        self._windows = [
            video.frames.paths[start : start + length]
            for video in videos
            for start in range(len(video.frames) - length + 1)
        ]
        self._size = size

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, index: int) -> dict:
        images = [cv2.imread(str(path)) for path in self._windows[index]]
        if self._size:
            images = [cv2.resize(image, self._size[::-1]) for image in images]
        return {"frames": np.stack(images)}


def prepare(root: pathlib.Path, work: pathlib.Path, size: tuple[int, int]) -> dict:
    """Prepared datasets and their baselines: row name → (windows of length, baseline name)."""
    shape = "x".join(map(str, size))
    sets = {
        f"raw {shape}": ({"size": size}, size),
        f"jpeg {shape}": ({"size": size, "encoding": "jpeg"}, size),
        "raw, stored size": ({}, None),
        "jpeg, stored size": ({"encoding": "jpeg"}, None),
    }
    for name, (options, _) in sets.items():
        ucsd_ped.prepare(root, work / name, **options)
    return sets


def measure(source: Sequence, windows: int, batch: int, threads: int, seed: int) -> float:
    """Windows a second over `windows` of them; the first batch is not timed."""
    endless = loader.shuffled(source, seed, loader.Shard()).batch(batch, drop_remainder=True)
    batches = loader.iterate(endless, threads)
    next(batches)
    start = time.perf_counter()
    for _ in range(windows // batch):
        next(batches)
    return windows // batch * batch / (time.perf_counter() - start)


def main() -> None:
    """Parses the command line, measures, prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, type=pathlib.Path, help="loose frames")
    parser.add_argument("--size", type=frames.parse_size, default=(256, 256), metavar="HxW")
    parser.add_argument("--length", type=int, default=5, help="frames of a window (default 5)")
    parser.add_argument("--batch", type=int, default=4, help="windows of a batch (default 4)")
    parser.add_argument("--windows", type=int, default=400, help="windows a run (default 400)")
    parser.add_argument("--runs", type=int, default=5, help="runs of each reader (default 5)")
    parser.add_argument("--threads", type=int, nargs="+", default=[0, 2])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        sets = prepare(args.data, pathlib.Path(work), args.size)
        sizes = {size for _, size in sets.values()}
        readers = {("loose JPEG", size): LooseWindows(args.data, args.length, size)
                   for size in sizes}  # fmt: skip
        megabytes = {}
        for name, (_, size) in sets.items():
            data = Dataset(pathlib.Path(work) / name)
            readers[name, size] = Windows(data, "train", args.length)
            megabytes[name] = sum(s["bytes"] for s in data.splits["train"]["shards"]) / 1e6
        rates = {(*key, threads): [] for key in readers for threads in args.threads}
        for run in range(args.runs):
            for name, size, threads in rates:
                source = readers[name, size]
                rate = measure(source, args.windows, args.batch, threads, run)
                rates[name, size, threads].append(rate)
    print_table(args, rates, megabytes)


def print_table(args: argparse.Namespace, rates: dict, megabytes: dict) -> None:
    """Median, range and ratio of every reader."""
    table = Table(
        title=f"Windows of {args.length} frames a second, batches of {args.batch}, "
        f"{args.windows} windows a run, median of {args.runs} runs (lowest to highest)"
    )
    for column in ("reader", "size", "threads", "windows/s", "range", "x loose", "MB (train)"):
        table.add_column(column, justify="left" if column == "reader" else "right")
    for (name, size, threads), found in rates.items():
        median = statistics.median(found)
        base = statistics.median(rates["loose JPEG", size, threads])
        table.add_row(
            name,
            "x".join(map(str, size)) if size else "stored",
            str(threads),
            f"{median:,.0f}",
            f"{min(found):,.0f} to {max(found):,.0f}",
            f"{median / base:.2f}",
            f"{megabytes[name]:,.0f}" if name in megabytes else "",
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
