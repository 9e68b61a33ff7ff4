"""Scoring as the frames come: a line for every snippet, and nothing else kept."""

import csv
import datetime
import itertools
import pathlib
from collections.abc import Iterable, Iterator

import numpy as np

from vadjax.data.snippets import FRAMES as SNIPPET
from vadjax.data.video import Picture
from vadjax.parts import Part
from vadjax.report.intervals import clock as hours
from vadjax.trained import Clock, Trained

COLUMNS = ("clock", "seconds", "first_frame", "last_frame", "score", "missing", "reason")
WARM_UP = 64  # frames; enough for a first score of any system


def warm_up(trained: Trained, name: str) -> None:
    """Compiles what scoring needs, so that the first frames of a camera are not lost to it."""
    height, width = trained.size or (240, 320)
    frame = np.zeros((height, width, 3), np.uint8)
    blank = (Picture(frame, "warm-up") for _ in range(WARM_UP))
    for _ in trained.parts(name, Clock(blank, 25.0), live=True):
        break


def watch(
    trained: Trained, name: str, pictures: Iterable[Picture], fps: float, out: pathlib.Path,
    trust: bool = True,
) -> int:  # fmt: skip
    """Prints a line for every 16 frames as soon as they are scored, until the video ends or Ctrl-C.

    A score is of the frames so far alone (`System.stream`), the highest of the 16. The lines are
    appended to `out/NAME.live.csv` too.

    Args:
      trained: the run.
      name: of the video.
      pictures: its frames.
      fps: frames a second, where the pictures do not know their times.
      trust: as for `Clock`.
      out: where to write.

    Returns:
      How many frames were scored.
    """
    out.mkdir(parents=True, exist_ok=True)
    path, clock, done = out / f"{name}.live.csv", Clock(pictures, fps, trust=trust), 0
    new = not path.is_file()
    with path.open("a", newline="") as file:
        table = csv.writer(file)
        if new:
            table.writerow(COLUMNS)
        try:
            for part in by_snippet(trained.parts(name, clock, live=True)):
                times = clock.times(len(part.frame_scores))
                last = done + len(times) - 1
                high = float(part.frame_scores.max())
                missing = sum(count for _, count in times)
                reason = max(part.reasons, key=lambda one: one["score"], default={}).get("text", "")
                now = datetime.datetime.now().isoformat(timespec="milliseconds")
                seconds = times[0][0]
                table.writerow([now, f"{seconds:.3f}", done, last, f"{high:.5g}", missing, reason])
                file.flush()
                gap = f"  ({missing:,} frames missing)" if missing else ""
                line = f"{hours(seconds)}  frames {done}-{last}  score {high:.4f}{gap}"
                print(f"{line}  {reason}".rstrip(), flush=True)
                done = last + 1
        except KeyboardInterrupt:
            print("Stopped.")
    print(f"Lines: {path}")
    return done


def by_snippet(parts: Iterator[Part]) -> Iterator[Part]:
    """The same scores, 16 frames at a time, each with its own reasons; the last may be fewer."""
    first, waiting, reasons = 0, np.zeros(0, np.float32), []
    for part in itertools.chain(parts, [None]):
        if part is not None:
            waiting = np.concatenate([waiting, part.frame_scores])
            reasons += part.reasons
        while len(waiting) >= SNIPPET or (part is None and len(waiting)):
            first += len(waiting[:SNIPPET])
            own = [one for one in reasons if one["frame"] < first or part is None]
            yield Part(waiting[:SNIPPET], reasons=tuple(own))
            waiting, reasons = waiting[SNIPPET:], [one for one in reasons if one not in own]
