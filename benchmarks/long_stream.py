"""A stream of many hours, scored live and as a file: resident memory on the way.

    python -m benchmarks.long_stream [--system mil exemplar lgn] [--hours 10]

Each system is trained for a moment on toy data. Then it scores a stream that repeats the frames of
a toy scene (240 × 360 for `mil`, 48 × 64 for the others), through the same functions as
`--mode=predict`: `watch` (live) and `score` (file). `mil` needs `--weights FOLDER`
(python -m data_prep.weights i3d_rgb_kinetics400) and takes a snippet of 16 frames every
`--snippet_step` frames, so that hours of video take minutes. Every frame is resized all the same.
"""

import argparse
import contextlib
import io
import os
import pathlib
import tempfile
import time
from collections.abc import Iterator

import jax
import numpy as np

from benchmarks.memory import resident
from configs import ped2_exemplar, ped2_mnad, ucf_mil
from vadjax import train
from vadjax.data.clips import Videos
from vadjax.data.store.records import Dataset
from vadjax.data.toy.datasets import ToyBags, write_bags, write_scenes
from vadjax.data.toy.scenes import ToyScenes
from vadjax.data.video.reader import Picture
from vadjax.predict import live
from vadjax.predict import run as predict
from vadjax.predict.restore import restore

WAYS = ["live", "file"]
MARKS = (0.01, 0.1, 0.25, 0.5, 0.75, 1.0)  # shares of the stream


class Stream:
    """Frames over and over; notes the resident memory at `MARKS`."""

    def __init__(self, frames: list[np.ndarray], count: int, fps: float):
        self.frames, self.count, self.fps = frames, count, fps
        self.memory: dict[float, float] = {}

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Picture]:
        marks = {round(mark * self.count): mark for mark in MARKS}
        for number in range(self.count):
            yield Picture(self.frames[number % len(self.frames)], "", time=number / self.fps)
            if number + 1 in marks:
                self.memory[marks[number + 1]] = 1000 * resident("self")


def scene(folder: pathlib.Path, height: int, width: int) -> pathlib.Path:
    """A toy scene of that size."""
    if not folder.exists():
        write_scenes(folder, ToyScenes(train=2, test=2, frames=40, height=height, width=width))
    return folder


def prepare(system: str, weights: str, snippet_step: int, folder: pathlib.Path):
    """A finished run, and the frames that are repeated."""
    small = scene(folder / "small", 48, 64)
    if system == "mil":
        data, config = folder / "bags", ucf_mil.get_config("smoke")
        write_bags(data, ToyBags(train=(12, 10), test=(5, 4), width=1024))
        config.data.modality, config.features.weights = "RGB", weights
        config.features.step = snippet_step
        frames = scene(folder / "large", 240, 360)
    else:
        config = {"exemplar": ped2_exemplar, "lgn": ped2_mnad}[system].get_config("smoke")
        data = frames = small
    config.data.dir = str(data)
    with contextlib.redirect_stdout(io.StringIO()):
        train.run(config, folder / system)
        trained = restore(config, folder / system)
    return trained, list(Videos(Dataset(frames), "test")[0])


def show(title: str, stream: Stream, seconds: float) -> None:
    """One line: memory at every mark, and how fast it went."""
    memory = "  ".join(f"{mark:.0%} {megabytes:.0f}" for mark, megabytes in stream.memory.items())
    growth = stream.memory[1.0] - stream.memory[MARKS[0]]
    times = stream.count / stream.fps / seconds
    print(
        f"{title}: resident MB at {memory}; from 1 % to 100 % {growth:+.0f} MB; "
        f"{seconds:.0f} s, {times:.0f} times real time",
        flush=True,
    )


def main(argv: list[str] | None = None) -> None:
    """Prints a line for every system, live and as a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--system", nargs="+", default=["mil", "exemplar", "lgn"])
    parser.add_argument("--way", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--hours", type=float, default=10)
    parser.add_argument("--fps", type=float, default=25)
    parser.add_argument("--weights", default="weights/i3d_rgb")
    parser.add_argument("--snippet_step", type=int, default=640)
    args = parser.parse_args(argv)
    count = round(3600 * args.hours * args.fps)
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        # Each system in every way, with nothing compiled left over from the one before
        for system in args.system:
            trained, frames = prepare(system, args.weights, args.snippet_step, folder)
            for title in args.way:
                stream, start = Stream(frames, count, args.fps), time.monotonic()
                with open(os.devnull, "w") as none, contextlib.redirect_stdout(none):
                    if title == "live":
                        live.watch(trained, "stream", stream, args.fps, folder / "out")
                    else:
                        predict.score(trained, "stream", stream, predict.Rate(args.fps, "file"))
                show(f"{system}, {args.hours:g} h, {title}", stream, time.monotonic() - start)
                jax.clear_caches()


if __name__ == "__main__":
    main()
