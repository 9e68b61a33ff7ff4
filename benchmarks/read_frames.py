"""Windows a second from a prepared dataset of frames, against loose JPEG files in the same run.

    python benchmarks/read_frames.py --data FOLDER

FOLDER has the layout of `python -m data_prep.ucsd_ped --help` (frame folders). Every reader goes
through the same loader, which gives shuffled windows in batches. The baselines read and decode the
JPEG files of each window with OpenCV, and resize them where the row says so. A ratio is to the
baseline of the same size and the same number of threads. The readers take turns. Processor time is
less disturbed by whatever else the machine does.
"""

import argparse
import functools
import pathlib
import statistics
import tempfile
import time
from collections.abc import Sequence

import cv2
import grain
import numpy as np
from rich.console import Console
from rich.table import Table

from data_prep import ucsd_ped
from data_prep.lib import command, frames
from vadjax.data.clips import window_batches
from vadjax.data.store import loader
from vadjax.data.store.records import Dataset


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


def loose_batches(root: pathlib.Path, length: int, batch: int, size, seed: int):
    """Shuffled batches from the JPEG files."""
    windows = LooseWindows(root, length, size)
    endless = loader.numbers(len(windows), seed)
    return endless.map(windows.__getitem__).batch(batch, drop_remainder=True)


def measure(endless: grain.MapDataset, batches: int, threads: int) -> tuple[float, float]:
    """Seconds a batch, by the clock and of the processor; the first batch is not timed."""
    iterator = loader.iterate(endless, threads)
    next(iterator)
    start, used = time.perf_counter(), time.process_time()
    for _ in range(batches):
        next(iterator)
    return (time.perf_counter() - start) / batches, (time.process_time() - used) / batches


def main() -> None:
    """Parses the command line, measures, prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, type=pathlib.Path, help="loose frames")
    parser.add_argument("--size", type=command.parse_size, default=(256, 256), metavar="HxW")
    parser.add_argument("--length", type=int, default=5, help="frames of a window (default 5)")
    parser.add_argument("--batch", type=int, default=4, help="windows of a batch (default 4)")
    parser.add_argument("--windows", type=int, default=400, help="windows a run (default 400)")
    parser.add_argument("--runs", type=int, default=5, help="runs of each reader (default 5)")
    parser.add_argument("--threads", type=int, nargs="+", default=[0, 2])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        # The same windows by every reader: from loose files, and from each prepared dataset
        sets = prepare(args.data, pathlib.Path(work), args.size)
        shared = args.length, args.batch
        readers = {
            ("loose JPEG", size): functools.partial(loose_batches, args.data, *shared, size)
            for size in {size for _, size in sets.values()}
        }
        megabytes = {}
        for name, (_, size) in sets.items():
            data = Dataset(pathlib.Path(work) / name)
            readers[name, size] = functools.partial(
                window_batches, data, "train", *shared, shard=loader.Shard()
            )
            megabytes[name] = sum(s["bytes"] for s in data.splits["train"]["shards"]) / 1e6
        # Turns: another seed in each, the same one for all readers
        seconds = {(*key, threads): [] for key in readers for threads in args.threads}
        for run in range(args.runs):
            for name, size, threads in seconds:
                endless = readers[name, size](seed=run)
                run_seconds = measure(endless, args.windows // args.batch, threads)
                seconds[name, size, threads].append(run_seconds)
    print_table(args, seconds, megabytes)


def print_table(args: argparse.Namespace, seconds: dict, megabytes: dict) -> None:
    """Median, range and ratio of every reader."""
    table = Table(
        title=f"Windows of {args.length} frames, batches of {args.batch}, {args.windows} windows a "
        f"run, median of {args.runs} runs"
    )
    columns = ("reader", "size", "threads", "windows/s", "range", "x loose", "CPU ms/window")
    for column in (*columns, "x loose (CPU)", "MB"):
        table.add_column(column, justify="left" if column == "reader" else "right")

    # Clock and processor in columns of their own, each beside the loose files'
    def medians(key: tuple) -> tuple[float, ...]:
        return tuple(statistics.median(run[k] / args.batch for run in seconds[key]) for k in (0, 1))

    for (name, size, threads), runs in seconds.items():
        clock, processor = medians((name, size, threads))
        base_clock, base_processor = medians(("loose JPEG", size, threads))
        rates = sorted(args.batch / wall for wall, _ in runs)
        table.add_row(
            name,
            "x".join(map(str, size)) if size else "stored",
            str(threads),
            f"{1 / clock:,.0f}",
            f"{rates[0]:,.0f} to {rates[-1]:,.0f}",
            f"{base_clock / clock:.2f}",
            f"{1000 * processor:.2f}",
            f"{base_processor / processor:.2f}",
            f"{megabytes[name]:,.0f}" if name in megabytes else "",
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
