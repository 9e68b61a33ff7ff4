"""Scoring video as its frames come: a line for every 16 frames, and nothing else is kept."""

import contextlib
import csv
import datetime
import io
import itertools
import math
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from vadjax.data.video.reader import Picture
from vadjax.data.video.reconnecting import ReconnectingCamera
from vadjax.data.video.snippets import FRAMES as SNIPPET
from vadjax.formats.names import check_name
from vadjax.live.observer import CameraObserver
from vadjax.predict.restore import Trained, timed
from vadjax.predict.turns import Turns
from vadjax.report.intervals import clock as hours
from vadjax.runtime import replacing, space
from vadjax.runtime.terminal import visible
from vadjax.scores.streaming import PartialScores

NO_SCORE = "too few frames for a score"  # between two gaps, or in all
WARM_UP = 64  # frames; enough for a first score of any system


def warm_up(trained: Trained, name: str) -> None:
    """Compiles what scoring needs on black frames, so that no frame of a camera waits for it."""
    height, width = trained.filmed_size or (240, 320)
    rate = trained.system.frame_rate(trained.data) or 25.0  # no line of another rate is due
    frame = np.zeros((height, width, 3), np.uint8)
    blank = (Picture(frame, "warm-up") for _ in range(WARM_UP))
    for _ in trained.parts(name, timed(blank, rate), live=True):
        break


class Row(NamedTuple):
    """A line of at most 16 frames without a gap, with the columns of the file."""

    clock: str
    seconds: str
    first_frame: int
    last_frame: int
    score: str
    missing: int
    reason: str

    @classmethod
    def of(cls, part: PartialScores) -> "Row":
        """The row of the scores of some frames."""
        now = datetime.datetime.now().isoformat(timespec="milliseconds")
        # The highest score and the strongest reason speak for the line.
        highest = float(part.frame_scores.max())
        strongest = max(part.reasons, key=lambda reason: reason["score"], default={})
        text = visible(strongest.get("text", ""))  # has names of the training videos in it
        score = f"{highest:.5g}"
        if math.isnan(highest):
            score, text = "", NO_SCORE
        first, last = part.frames[0], part.frames[-1]
        missing = sum(frame.missing for frame in part.frames)
        return cls(now, f"{first.seconds:.3f}", first.number, last.number, score, missing, text)

    def __str__(self) -> str:
        score = f"score {float(self.score):.4f}" if self.score else "no score"
        gap = f"  ({self.missing:,} frames missing)" if self.missing else ""
        start = f"{hours(float(self.seconds))}  frames {self.first_frame}-{self.last_frame}"
        return f"{start}  {score}{gap}  {self.reason}".rstrip()


class Pace:
    """Says once, at the first gap, how many of a camera's frames are processed.

    Args:
      name: of the camera.
    """

    def __init__(self, name: str):
        self._name, self._lost, self._is_said = name, 0, False
        self._interruptions = 0

    def note(self, row: Row, interruptions: int = 0) -> None:
        """Takes the next row. At the first gap it prints the rates of the time before the row.

        Args:
          row: the row.
          interruptions: of the camera so far; each counts as one missing frame of its own.
        """
        before, self._interruptions = self._interruptions, interruptions
        missing = row.missing - (interruptions - before)
        self._lost += max(0, missing)
        seconds, scored = float(row.seconds), row.first_frame
        if self._is_said or missing <= 0 or not scored or not seconds > 0:
            return
        self._is_said, sent = True, scored + self._lost
        print(
            f"{self._name}: processing {scored / seconds:.3g} of {sent / seconds:.3g} frames a "
            "second; scoring begins anew after each gap",
            flush=True,
        )


def watch(
    trained: Trained,
    name: str,
    pictures: Iterable[Picture],
    fps: float,
    out: pathlib.Path,
    trust: bool = True,
    *,
    observer: CameraObserver | None = None,
    turns: Turns | None = None,
    tell_name: bool = False,
) -> int:
    """Prints a line for every 16 frames as soon as they are scored, until the video ends.

    The score of a line is the highest of its 16 frames, computed from the frames so far alone
    (`System.stream`). The lines are also appended to `out/NAME.live.csv`. Where frames are missing,
    or a camera is gone, a line ends early and scoring begins anew (`Trained.runs`).

    Args:
      trained: the run.
      name: of the video.
      pictures: its frames.
      fps: frames a second, for pictures whose times are unknown.
      trust: as for `timed`.
      out: where to write.
      observer: notes frames and scores, and finds events; closed at the end. None for none.
      turns: held while scoring, but not while a frame is awaited; None for a video alone.
      tell_name: whether the printed lines begin with the name.

    Returns:
      How many frames came.

    Raises:
      ValueError: a name that cannot be that of a file.
      vadjax.runtime.space.NotWritten: the lines cannot be written, and there are no alerts, which
        would go on.
      KeyboardInterrupt: Ctrl-C was pressed; the lines so far are in the file.
    """
    check_name(name, "--live")
    path, pace, count = out / f"{name}.live.csv", Pace(name), 0
    source, prefix = pictures, f"{name}  " if tell_name else ""
    with contextlib.ExitStack() as stack:
        # Whatever ends it: the place of the lines is said, and the event that goes on is written.
        if observer is not None:
            stack.callback(observer.close)
        stack.callback(print, f"Lines: {path}")
        # A full disk must not keep alerts from coming.
        alerts = observer is not None and observer.has_alerts
        lines = stack.enter_context(_Lines(path, name if alerts else None))
        if isinstance(source, ReconnectingCamera):
            pictures = source.with_drops()
        if turns is not None:
            pictures = stack.enter_context(turns).between(pictures)
        frames = timed(pictures, fps, trust)
        if observer is not None:
            frames = observer.frames(frames)
        for run in trained.runs(name, frames, live=True):
            for part in by_snippet(run if observer is None else observer.parts(run)):
                row = Row.of(part)
                lines.add(row)
                pace.note(row, getattr(source, "interruptions", 0))
                print(f"{prefix}{row}", flush=True)
                count = row.last_frame + 1
    return count


class _Lines:
    """Appends lines to a CSV file, which begins with the names of the columns.

    Args:
      path: of the file.
      going_on: the name by which it is said that lines could not be written, and how many, where
        that ends nothing; None raises `NotWritten`. The first line must fit in any case.
    """

    def __init__(self, path: pathlib.Path, going_on: str | None = None):
        self._path, self._going_on, self._left_out = path, None, 0
        with space.naming(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)
            if not path.stat().st_size:
                self.add(Row._fields)
        self._going_on = going_on

    def __enter__(self) -> "_Lines":
        return self

    def __exit__(self, *error) -> None:
        self._file.close()
        if self._left_out:
            left_out = f"its last {self._left_out:,} lines"
            print(f"{self._going_on}: {self._path} is without {left_out}", flush=True)

    def add(self, row: Sequence) -> None:
        """Adds a line. It is in the file when this returns, whatever ends the program later."""
        text = io.StringIO(newline="")
        csv.writer(text).writerow(row)
        try:
            with space.naming(self._path):
                replacing.append(self._file, text.getvalue().encode())
        except space.NotWritten as error:
            if self._going_on is None:
                raise
            if not self._left_out:
                print(f"{self._going_on}: {error}. Alerts go on", flush=True)
            self._left_out += 1
            return
        if self._left_out:
            left_out, self._left_out = self._left_out, 0
            print(f"{self._going_on}: {self._path} is without {left_out:,} lines", flush=True)


def by_snippet(parts: Iterator[PartialScores]) -> Iterator[PartialScores]:
    """The same scores, 16 frames at a time, each with its own reasons; the last may be fewer.

    Args:
      parts: of frames without a gap.
    """
    scores, frames, reasons = np.zeros(0, np.float32), (), []
    for part in itertools.chain(parts, [None]):
        if part is not None:
            scores = np.concatenate([scores, part.frame_scores])
            frames += part.frames
            reasons += part.reasons
        # All whole lines, and after the last part what is left.
        while len(frames) >= SNIPPET or (part is None and frames):
            line, frames = frames[:SNIPPET], frames[SNIPPET:]
            stop = line[-1].number + 1
            of_line = [reason for reason in reasons if reason["frame"] < stop or part is None]
            yield PartialScores(scores[:SNIPPET], line, reasons=tuple(of_line))
            scores = scores[SNIPPET:]
            reasons = [reason for reason in reasons if reason not in of_line]
