"""Scores of a video as its frames come: objects, judged, over time (spec attributes §6, §7, §9)."""

import collections
import datetime
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from vadjax.data.video.frame_stream import Frame, Stamp
from vadjax.scores.streaming import PartialScores
from vadjax.systems.attributes import smoothing
from vadjax.systems.attributes.calibration import DECADES
from vadjax.systems.attributes.events import Events, ScoredFrame, Strongest
from vadjax.systems.attributes.judge import Judged
from vadjax.systems.attributes.model import CameraModel
from vadjax.systems.attributes.objects import ObjectTable

# Names of alternative scores: the one that is smoothed as the frames come, and the one by all
# evidence before it is scaled to the alarm line, which has the same meaning for all cameras.
LIVE, EVIDENCE = "live", "evidence"
MOST_TOLD = 8  # objects of a live frame that are told of


class JudgedFrame(NamedTuple):
    """A frame that is taken, with its objects.

    Attributes:
      objects: of the frame.
      judged: these objects.
    """

    objects: ObjectTable
    judged: Judged

    @property
    def score(self) -> float:
        """The highest score of its objects, 0 without objects."""
        return float(self.judged.scores.max(initial=0.0))

    def highest(self, attribute: str) -> float:
        """The highest evidence of an attribute, 0 without objects."""
        return float(self.judged.evidence[attribute].max(initial=0.0))


class FrameRate(NamedTuple):
    """How fast the frames of a video follow one another.

    Attributes:
      fps: frames a second.
      every: every how many frames one is taken.
    """

    fps: float
    every: int

    @property
    def taken(self) -> float:
        """Frames a second that are taken."""
        return self.fps / self.every


class Taken:
    """Every k-th frame of a video, and which frames lie between them.

    Args:
      frames: of the video, without a gap.
      every: every how many frames one is taken, the first one always.

    Attributes:
      groups: of each frame that was taken, its stamp and those of the frames behind it, until the
        next one. The last group may still grow.
    """

    def __init__(self, frames: Iterable[Frame], every: int):
        self._frames, self._every = frames, every
        self.groups: collections.deque[list[Stamp]] = collections.deque()

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        for rank, frame in enumerate(self._frames):
            if rank % self._every:
                self.groups[-1].append(frame.stamp)
            else:
                self.groups.append([frame.stamp])
                yield frame.number, frame.pixels


class Reporter:
    """Scores of frames from their judged objects, smoothed over time.

    Args:
      name: of the video.
      model: of the camera.
      tell: frame with its strongest object → what is told of that object (`reasons.fields`).
      rate: frames a second of the video, and every how many one is taken.
      live: whether scores are smoothed by the frames so far alone, and given at once.
      clock: time of the first frame with its zone, where it is known.
    """

    def __init__(
        self,
        name: str,
        model: CameraModel,
        tell: Callable[[JudgedFrame, int], dict],
        rate: FrameRate,
        live: bool,
        clock: datetime.datetime | None = None,
    ):
        self._model, self._tell, self._live, self._every = model, tell, live, rate.every
        self._events = Events(name, rate.taken, rate.fps, clock)
        self._at_once = smoothing.LiveSmoother(rate.taken)
        self._later = _Series(model, rate, live)
        self._waiting: collections.deque[JudgedFrame] = collections.deque()
        self._known: collections.deque[dict[str, float]] = collections.deque()

    def add(self, frame: JudgedFrame) -> None:
        """Takes the next frame that was taken."""
        self._waiting.append(frame)
        self._known.extend(self._later.add(frame, self._at_once(frame.score)))

    def end(self) -> None:
        """No frame follows."""
        self._known.extend(self._later.end())

    def parts(self, groups: collections.deque, closed: int) -> Iterator[PartialScores]:
        """Scores of frames that are known by now.

        Args:
          groups: of the frames without a score; those that get one are taken out.
          closed: so many of the groups do not grow any more.
        """
        while self._known and closed:
            yield self._part(
                self._waiting.popleft(), self._known.popleft(), tuple(groups.popleft())
            )
            closed -= 1

    def last_reasons(self) -> tuple[dict, ...]:
        """The event that the video ends in, if there is one."""
        return tuple(self._events.end())

    def _part(self, frame: JudgedFrame, scores: dict[str, float], stamps: tuple[Stamp, ...]):
        boxes = self._boxes(frame)
        strongest = None
        score = scores.pop("")
        # a quiet frame within an alarm interval may have the strongest object of it
        alarm = score >= smoothing.LINE
        if not self._live:
            alarm |= bool((boxes[:, 5] >= smoothing.LINE).any())
        if frame.objects.count and alarm:
            number = int(frame.judged.scores.argmax())
            told = self._tell(frame, number)
            strongest = Strongest(float(frame.judged.scores[number]), told)
        if self._live:
            told = () if strongest is None else self._told_live(frame, score, boxes)
        else:
            told = tuple(self._events.add(ScoredFrame(stamps, score, boxes, strongest)))
        count = len(stamps)
        others = {name: np.full(count, value, np.float32) for name, value in scores.items()}
        same = np.full(count, score, np.float32)
        return PartialScores(same, stamps, others, None, boxes, told, self._every)

    def _told_live(self, frame: JudgedFrame, score: float, boxes: np.ndarray) -> tuple[dict, ...]:
        """What is told of the strongest objects of a frame, with the frame's own score.

        The first is the strongest one; of the others, those at the alarm line or above.
        """
        strongest_first = np.argsort(-frame.judged.scores, kind="stable")[:MOST_TOLD]
        others = [number for number in strongest_first[1:] if boxes[number, 5] >= smoothing.LINE]
        of_frame = {"score": round(score, 4)}
        numbers = (strongest_first[0], *others)
        return tuple(self._tell(frame, int(number)) | of_frame for number in numbers)

    def _boxes(self, frame: JudgedFrame) -> np.ndarray:
        """Rows `frame, x0, y0, x1, y1, score` of its objects, float64."""
        line = self._model.lines[1 if self._live else 0]
        objects, scores = frame.objects, smoothing.reported(frame.judged.scores, line)
        return np.concatenate([objects.frame[:, None], objects.boxes, scores[:, None]], 1)


class _Series:
    """The scores of frames over time, by name; "" is the one that is reported."""

    def __init__(self, model: CameraModel, rate: FrameRate, live: bool):
        self._model, self._live = model, live
        names = ("", *model.attributes)
        self._smooth = {name: smoothing.GaussianSmoother(rate.taken) for name in names}
        self._now: collections.deque[float] = collections.deque()

    def add(self, frame: JudgedFrame, now: float) -> list[dict[str, float]]:
        """Takes the next frame; the scores that are known now, of one frame or none."""
        later, at_once = self._model.lines
        reported_now = float(smoothing.reported(now, at_once))
        if self._live:
            return [{"": reported_now}]
        self._now.append(reported_now)
        values = {"": frame.score} | {name: frame.highest(name) for name in self._model.attributes}
        known = {name: smooth.add(values[name]) for name, smooth in self._smooth.items()}
        return self._together(known, later)

    def end(self) -> list[dict[str, float]]:
        """The scores of the last frames."""
        if self._live:
            return []
        known = {name: smooth.end() for name, smooth in self._smooth.items()}
        return self._together(known, self._model.lines[0])

    def _together(self, known: dict[str, list[float]], line: float) -> list[dict[str, float]]:
        rows = []
        for values in zip(*known.values(), strict=True):
            row = dict(zip(known, values, strict=True))
            others = {
                name or EVIDENCE: float(smoothing.reported(value, DECADES))
                for name, value in row.items()
            }
            score = float(smoothing.reported(row[""], line))
            rows.append({"": score, **others, LIVE: self._now.popleft()})
        return rows


def parts(
    frames: Iterable[Frame],
    every: int,
    find: Callable[[Iterable[tuple[int, np.ndarray]]], Iterator[ObjectTable]],
    judge: Callable[[ObjectTable], Judged],
    reporter: Reporter,
) -> Iterator[PartialScores]:
    """Scores, boxes and reasons of all frames.

    Args:
      frames: of the video, without a gap.
      every: every how many frames one is taken; the others have the scores of the one before.
      find: numbers and pictures of frames → the objects of each.
      judge: judges the objects of a frame.
      reporter: makes their scores over time.
    """
    taken = Taken(frames, every)
    for objects in find(taken):
        reporter.add(JudgedFrame(objects, judge(objects)))
        # the last group may still grow, unless every frame is taken
        yield from reporter.parts(taken.groups, len(taken.groups) - (every > 1))
    reporter.end()
    last = None
    for part in reporter.parts(taken.groups, len(taken.groups)):
        if last is not None:
            yield last
        last = part
    if last is not None:
        yield last._replace(reasons=(*last.reasons, *reporter.last_reasons()))
