"""Hours of a camera with events, alerts and clips: resident memory on the way.

    python -m benchmarks.live_hours [--hours 6] [--fps 10] [--no_clips]

A camera of 96 × 128 films somebody who walks by and runs twice a minute. A run of
`configs/camera.py:nodetector` watches it through the same functions as `--live`, faster than real
time, with an alert to a command (`true`), clips, and an address of HTTP that nobody listens on.
"""

import argparse
import contextlib
import io
import os
import pathlib
import tempfile
import time
from collections.abc import Iterator

import cv2
import numpy as np

from benchmarks.memory import resident
from configs import camera
from vadjax import train
from vadjax.data.store.frame_writer import SourceVideo, write_frames
from vadjax.data.video.reader import Picture
from vadjax.live.options import LiveOptions
from vadjax.predict import cameras, live
from vadjax.predict.restore import restore

HEIGHT, WIDTH = 96, 128
STEP, RUN = 2, 8  # pixels a frame
EVERY, LONG = 30.0, 1.5  # seconds from one run to the next, and of a run
TRAINING = 4, 200  # videos, frames
MARKS = (0.01, 0.1, 0.25, 0.5, 0.75, 1.0)  # shares of the stream


def scene(count: int, fps: float, runs: bool, seed: int = 0) -> Iterator[np.ndarray]:
    """Frames uint8 [H, W, 3] of somebody who walks by, and runs now and then."""
    random = np.random.default_rng(7)
    small = random.integers(60, 120, (HEIGHT // 4, WIDTH // 4, 3), np.uint8)
    background = cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    figure = cv2.resize(random.integers(130, 250, (7, 4, 3), np.uint8), (16, 28), interpolation=0)
    x = 11 * seed
    for number in range(count):
        second = number / fps % EVERY
        x += RUN if runs and EVERY - LONG <= second else STEP
        frame, left = background.copy(), x % (WIDTH - 16)
        frame[50 + seed : 78 + seed, left : left + 16] = figure
        yield frame


class Stream:
    """Frames of the camera with their times; notes the resident memory at `MARKS`."""

    def __init__(self, count: int, fps: float):
        self.count, self.fps = count, fps
        self.memory: dict[float, float] = {}

    def __iter__(self) -> Iterator[Picture]:
        marks = {round(mark * self.count): mark for mark in MARKS}
        for number, frame in enumerate(scene(self.count, self.fps, runs=True)):
            yield Picture(frame, "", time=number / self.fps)
            if number + 1 in marks:
                self.memory[marks[number + 1]] = 1000 * resident("self")


def prepare(folder: pathlib.Path, fps: float):
    """A finished run of the camera."""
    videos, frames = TRAINING

    def video(split: str, seed: int, runs: bool) -> SourceVideo:
        pictures = [Picture(frame, "") for frame in scene(frames, fps, runs, seed)]
        labels = np.zeros(frames, np.uint8)
        labels[-5:] = runs
        return SourceVideo(f"{split}{seed}", pictures, labels=labels)

    splits = {
        "train": [video("train", seed, False) for seed in range(videos)],
        "test": [video("test", videos, True)],
    }
    write_frames(folder / "data", splits, name="door", encoding="raw", fps=fps)
    config = camera.get_config("nodetector")
    config.data.dir = str(folder / "data")
    with contextlib.redirect_stdout(io.StringIO()):
        train.run(config, folder / "run")
        return restore(config, folder / "run")


def main(argv: list[str] | None = None) -> None:
    """Prints memory, events, and how fast it went."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=6)
    parser.add_argument("--fps", type=float, default=10)
    parser.add_argument("--no_clips", action="store_true")
    args = parser.parse_args(argv)
    # Learn, and watch a made-up stream as fast as it goes
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        trained = prepare(folder, args.fps)
        stream, start = Stream(round(3600 * args.hours * args.fps), args.fps), time.monotonic()
        alerts = ("true", "http://127.0.0.1:9/")
        options = LiveOptions(alerts=alerts, clips=not args.no_clips, cool_down=5.0)
        out = folder / "out"
        with open(os.devnull, "w") as none, contextlib.redirect_stdout(none):
            with cameras.session(trained, options, ["door"], out) as session:
                observer = session.observe("door", live=True)
                live.watch(trained, "door", stream, args.fps, out, observer=observer)
        seconds = time.monotonic() - start
    # What the process held on the way
    memory = "  ".join(f"{mark:.0%} {megabytes:.0f}" for mark, megabytes in stream.memory.items())
    print(
        f"{args.hours:g} h, {stream.count:,} frames, {observer.count:,} events: resident MB at "
        f"{memory}; from 1 % to 100 % {stream.memory[1.0] - stream.memory[MARKS[0]]:+.0f} MB, from "
        f"10 % {stream.memory[1.0] - stream.memory[0.1]:+.0f} MB; {seconds:.0f} s, "
        f"{stream.count / args.fps / seconds:.0f} times real time"
    )


if __name__ == "__main__":
    main()
