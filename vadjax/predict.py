"""Any video, folder of frames or camera → scores, curve, film, and when it was."""

import array
import collections
import csv
import datetime
import itertools
import pathlib
import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import cv2
import jax
import ml_collections
import numpy as np

from vadjax import checkpoint, evaluate, mesh, progress, scores, workdir, writers
from vadjax.data import clips
from vadjax.data.camera import Camera, is_camera
from vadjax.data.records import Description
from vadjax.data.snippets import FRAMES as SNIPPET
from vadjax.data.video import Picture, VideoFile, find_videos, open_frames, resize
from vadjax.parts import Part, Whole
from vadjax.report import curves, intervals, overlay
from vadjax.scores import Scores
from vadjax.system import State, System, load

FREE = (*evaluate.FREE, "features.")
FPS = 25.0  # of what says nothing of it
MAP_BYTES = 64 << 20  # a score file's map; of a video that needs more it is left out
REASONS = 2000  # of one video that are kept
TOP = 5  # intervals that are named


class Trained(NamedTuple):
    """A finished run: its system and state, and what is known of the dataset of the training."""

    system: System
    state: State
    data: Description

    def parts(self, name: str, clock: "Clock", live: bool = False) -> Iterator[Part]:
        """Scores of the frames of a clock, in the size that the system takes."""
        frames = clock.frames()
        if self.data.kind == clips.KIND:
            size = tuple(self.data.manifest["size"])
            frames = (resize(frame, size) for frame in frames)
        return self.system.stream(self.state, name, frames, self.data, live)


class Clock:
    """The frames of a video with their times.

    Args:
      pictures: the frames.
      fps: frames a second, where the pictures do not know their times.
      see: called with the number of every frame, from 1.
    """

    def __init__(self, pictures: Iterator[Picture], fps: float, see: Callable[[int], None]):
        self._pictures, self._fps, self._see = pictures, fps, see
        self._waiting: collections.deque = collections.deque()

    def frames(self) -> Iterator[np.ndarray]:
        """The frames, uint8 [H, W, 3], RGB."""
        for rank, picture in enumerate(self._pictures):
            self._waiting.append(rank / self._fps if picture.time is None else picture.time)
            self._see(rank + 1)
            yield picture.pixels

    def times(self, count: int) -> list[float]:
        """Seconds of the next `count` frames; each is given once."""
        return [self._waiting.popleft() for _ in range(count)]


def run(
    config: ml_collections.ConfigDict,
    folder: str | pathlib.Path,
    video: str,
    out: str | pathlib.Path | None = None,
    *,
    live: bool = False,
    film: bool = True,
    fps: float | None = None,
) -> dict[str, str]:
    """Scores video with the finished run in `folder`.

    Args:
      config: the run's; `eval.*`, `report.*`, `features.*` and `data.*` may differ.
      folder: workdir of the run.
      video: file, folder of frames, folder of such, or camera (`camera.is_camera`).
      out: where to write; `folder/predict` if None.
      live: a line for every snippet as it comes, and no other file than those lines; always so
        for a camera.
      film: write the overlay too.
      fps: frames a second, where the video does not say it.

    Returns:
      Name and reason of the videos that could not be used.

    Raises:
      FileNotFoundError: no finished run, or no such video.
      ValueError: another config than the run's, or nothing can be scored.
    """
    folder = pathlib.Path(folder)
    out = pathlib.Path(out or folder / "predict")
    if fps is not None and not fps > 0:
        raise ValueError(f"--fps {fps:g}; expected more than 0")
    camera = is_camera(video)
    videos = {f"camera_{video}" if camera else "": video} if camera else _named(find_videos(video))
    trained = restore(config, folder)
    if camera:
        source = Camera(video)
        watch(trained, "camera", source, fps or FPS, out, lambda: source.dropped)
        return {}
    failed = {}
    for name, path in videos.items():
        try:
            pictures = open_frames(path)
            rate = fps or getattr(pictures, "fps", None) or FPS
            if live:
                watch(trained, name, pictures, rate, out)
            else:
                write(trained, name, path, rate, out, film)
        except (ValueError, OSError, cv2.error) as error:
            if len(videos) == 1:
                raise
            failed[name] = str(error).strip()
            print(f"{name}: {failed[name]}")
    return failed


def restore(config: ml_collections.ConfigDict, folder: pathlib.Path) -> Trained:
    """The finished run in a folder.

    Raises:
      FileNotFoundError, ValueError: as `run`.
    """
    config.data.dir = workdir.saved(folder)["data"]["dir"]
    workdir.check(folder, config, free=FREE)
    data, system = workdir.trained_on(folder), load(config, folder)
    if not evaluate.scores_videos(system):
        raise ValueError(f"{folder}: {config.system!r} scores no videos")
    first = jax.eval_shape(lambda: system.init(jax.random.key(config.seed), data))
    target = mesh.abstract(mesh.make(1), first)
    return Trained(system, checkpoint.read_finished(folder, target), data)


def _named(videos: dict[str, pathlib.Path]) -> dict[str, pathlib.Path]:
    """Videos by their own names where these differ, else with their folders' in front."""
    alone = {name.rsplit("/", 1)[-1]: path for name, path in videos.items()}
    if len(alone) == len(videos):
        return alone
    return {name.replace("/", "_"): path for name, path in videos.items()}


def write(
    trained: Trained, name: str, path: pathlib.Path, fps: float, out: pathlib.Path, film: bool
) -> None:
    """Scores a video and writes `scores/NAME.npz`, `NAME.png`, `NAME.json` and `NAME.webm`.

    Raises:
      ValueError: it cannot be decoded, or is too short to be scored.
    """
    source = open_frames(path)
    result, times, given_up = score(trained, name, source, fps)
    if given_up:
        print(f"{name}: too long for a map in the score file, which has none")
    scores.write(out / "scores", result)
    found = intervals.top(result.frame_scores, TOP, result.scored)
    summary = {
        "video": str(path),
        "frames": len(times),
        "fps": fps,
        "seconds": round(float(times[-1]) + 1 / fps, 3),
        "median": round(float(np.median(result.counted().frame_scores)), 4),
        "intervals": [_row(one, times, result) for one in found],
    }
    writers.write_json(out / f"{name}.json", summary)
    curve = curves.draw_predicted(result, times, found)
    (out / f"{name}.png").write_bytes(curves.to_png(curve))
    _print(name, summary)
    if film:
        frames = (picture.pixels for picture in open_frames(path))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # was said at the first reading
            overlay.write(result, overlay.Source(frames, len(times)), out / f"{name}.webm", fps)
    ends = ".png, .json, .webm" if film else ".png, .json"
    print(f"Written: {out}/scores/{name}.npz, {out}/{name}{{{ends}}}")


def score(trained: Trained, name: str, source, fps: float) -> tuple[Scores, np.ndarray, bool]:
    """Scores of a video, and when its frames were.

    Returns:
      The scores; times in seconds, float32 [T]; whether the map was given up.

    Raises:
      ValueError: it cannot be decoded, or is too short to be scored.
    """
    total = source.listed if isinstance(source, VideoFile) else len(source)
    whole, times, seen = Whole(MAP_BYTES, REASONS), array.array("f"), 0
    with progress.bar(f"score {name}", total) as bar:

        def see(number: int) -> None:
            nonlocal seen
            seen = number
            if number % SNIPPET == 0 or number == total:
                bar.update(number, {})

        clock = Clock(iter(source), fps, see)
        for part in trained.parts(name, clock):
            whole.add(part)
            times.extend(clock.times(len(part.frame_scores)))
    if not len(whole):
        raise ValueError(f"{name}: {seen} frames are too few to be scored")
    if isinstance(source, VideoFile):
        try:
            source.check_whole(seen)
        except ValueError as error:
            warnings.warn(f"{error}. What can be decoded was scored", stacklevel=2)
    settled = trained.system.settle(trained.state, whole.scores(name))
    return settled, np.array(times, np.float32), whole.given_up


def _row(one: intervals.Interval, times: np.ndarray, result: Scores) -> dict:
    """An interval as JSON can hold it, with its strongest reason."""
    own = [reason for reason in result.reasons if one.start <= reason["frame"] < one.stop]
    best = max(own, key=lambda reason: reason["score"], default=None)
    return {
        "start": round(float(times[one.start]), 3),
        "stop": round(float(times[one.stop - 1]), 3),
        "frames": [one.start, one.stop],
        "peak": one.peak,
        "score": round(one.score, 4),
        **({"reason": best["text"]} if best else {}),
    }


def _print(name: str, summary: dict) -> None:
    print(f"\n{name}: {summary['frames']:,} frames, median score {summary['median']:.3f}")
    if not summary["intervals"]:
        print("  the score is the same everywhere")
    for row in summary["intervals"]:
        first, stop = row["frames"]
        span = f"{intervals.clock(row['start'])} to {intervals.clock(row['stop'])}"
        print(f"  {span}   frames {first:,}-{stop - 1:,}   score {row['score']:.3f}")
        if "reason" in row:
            print(f"      {row['reason']}")


def watch(
    trained: Trained,
    name: str,
    pictures,
    fps: float,
    out: pathlib.Path,
    dropped: Callable[[], int] = int,
) -> None:
    """Prints a line for every 16 frames as soon as they are scored, until the video ends or Ctrl-C.

    The lines are appended to `out/NAME.live.csv` too; nothing else is kept.

    Args:
      trained: the run.
      name: of the video.
      pictures: its frames.
      fps: frames a second, where the pictures do not know their times.
      out: where to write.
      dropped: how many frames the camera had to drop so far.
    """
    out.mkdir(parents=True, exist_ok=True)
    path, clock, lost = out / f"{name}.live.csv", Clock(iter(pictures), fps, lambda number: None), 0
    new = not path.is_file()
    with path.open("a", newline="") as file:
        table = csv.writer(file)
        if new:
            table.writerow(["clock", "seconds", "first_frame", "last_frame", "score", "reason"])
        try:
            for first, part in _by_snippet(trained.parts(name, clock, live=True)):
                at, count = clock.times(len(part.frame_scores)), len(part.frame_scores)
                high = float(part.frame_scores.max())
                reason = max(part.reasons, key=lambda one: one["score"], default={}).get("text", "")
                now = datetime.datetime.now().isoformat(timespec="milliseconds")
                last = first + count - 1
                table.writerow([now, f"{at[0]:.3f}", first, last, f"{high:.5g}", reason])
                file.flush()
                line = f"{intervals.clock(at[0])}  frames {first}-{last}  score {high:.4f}"
                if dropped() > lost:
                    line, lost = f"{line}  ({dropped() - lost} frames dropped)", dropped()
                print(f"{line}  {reason}".rstrip(), flush=True)
        except KeyboardInterrupt:
            print("Stopped.")
    print(f"Lines: {path}")


def _by_snippet(parts: Iterator[Part]) -> Iterator[tuple[int, Part]]:
    """The same scores, 16 frames at a time, with the number of the first; the last may be fewer."""
    first, waiting, reasons = 0, np.zeros(0, np.float32), ()
    for part in itertools.chain(parts, [None]):
        if part is not None:
            waiting = np.concatenate([waiting, part.frame_scores])
            reasons += part.reasons
        while len(waiting) >= SNIPPET or (part is None and len(waiting)):
            yield first, Part(waiting[:SNIPPET], reasons=reasons)
            first, reasons = first + len(waiting[:SNIPPET]), ()
            waiting = waiting[SNIPPET:]
