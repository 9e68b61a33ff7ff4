"""Recordings → videos: those that adjoin become one, and one with a hole becomes several."""

import dataclasses
import datetime
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from vadjax.data.video.frame_times import like, resample
from vadjax.data.video.reader import Picture

from .recording_scan import HOLE, Sample, Scan

JOIN = ("auto", "never")
# Seconds that may lie between the end of a recording and the start of the next; and by which all of
# a video may be shorter or longer than the clock says, since its frames' times add up lengths.
ADJOIN = HOLE


class Part(NamedTuple):
    """Frames of one recording between which nothing is missing.

    Attributes:
      scan: the recording.
      ranks: of the frames, int64 [n], rising.
    """

    scan: Scan
    ranks: np.ndarray

    @property
    def first(self) -> float:
        """Seconds of its first frame since the start of the recording."""
        return float(self.scan.times[self.ranks[0]])

    @property
    def seconds(self) -> float:
        """How long it lasts, its last frame included."""
        return float(self.scan.times[self.ranks[-1]]) - self.first + self.scan.interval

    @property
    def start(self) -> datetime.datetime | None:
        """Date and time of its first frame by the name of the recording."""
        return _later(self.scan.recording.start, self.first)


class Gap(NamedTuple):
    """What is missing between two videos of a series.

    Attributes:
      before, after: names of the videos.
      seconds: how long; where only all that is missing in the first video too is a gap, with that.
    """

    before: str
    after: str
    seconds: float


@dataclasses.dataclass
class Recorded(Iterable[Picture]):
    """The frames of a video, of one recording or of several that adjoin.

    Attributes:
      name: name of the video.
      parts: what it is made of, in order.
      rate: frames a second to which it is resampled; None: as it is.
      seen: called at every frame that is read.
    """

    name: str
    parts: list[Part]
    rate: float | None = None
    seen: Callable[[], None] = lambda: None

    @property
    def camera(self) -> str:
        """Name of its camera; empty where there is only one."""
        return self.parts[0].scan.recording.camera

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of its frames."""
        return self.parts[0].scan.size

    @property
    def fps(self) -> float | None:
        """Frames a second as it was recorded; None if unknown."""
        return self.parts[0].scan.fps

    @property
    def start(self) -> datetime.datetime | None:
        """Date and time of its first frame: by the name of the file, else by its header."""
        first = self.parts[0]
        return first.start or _later(first.scan.created, first.first)

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return sum(part.seconds for part in self.parts)

    @property
    def samples(self) -> list[Sample]:
        """The samples of its frames, their times since its own start."""
        samples, offset = [], 0.0
        for part in self.parts:
            stop = part.first + part.seconds
            inside = [s for s in part.scan.samples if part.first <= s.seconds < stop]
            samples += [s._replace(seconds=offset + s.seconds - part.first) for s in inside]
            offset += part.seconds
        return samples

    def __len__(self) -> int:
        if self.rate is None:
            return sum(len(part.ranks) for part in self.parts)
        return sum(1 for _ in self.select(lambda scan: itertools.repeat(None)))

    def __iter__(self) -> Iterator[Picture]:
        def read(part: Part) -> Iterator[Picture]:
            for picture in part.scan.read(part.ranks):
                self.seen()
                yield picture

        return self._resampled(read)

    def select(self, items: Callable[[Scan], Iterable]) -> Iterator[Any]:
        """Of something that there is for each frame of a recording, what belongs to the video.

        Args:
          items: gives it for a recording.
        """

        def chosen(part: Part) -> Iterator[Any]:
            ranks = iter(part.ranks.tolist())
            rank = next(ranks)
            for number, item in enumerate(items(part.scan)):
                if number == rank:
                    yield item
                    if (rank := next(ranks, None)) is None:
                        return

        return self._resampled(chosen)

    def _resampled(self, items_of: Callable[[Part], Iterator]) -> Iterator[Any]:
        """The items of all parts, one after the other, at the rate that is wanted."""

        def timed() -> Iterator[tuple[Any, float]]:
            offset = 0.0
            for part in self.parts:
                times = part.scan.times[part.ranks] - part.first + offset
                yield from zip(items_of(part), times.tolist(), strict=False)
                offset += part.seconds

        chosen = resample(timed(), self.rate) if self.rate else timed()
        return (item for item, _ in chosen)


def make_videos(
    scans: Sequence[Scan], join: str = "auto", rate: float | None = None
) -> tuple[list[Recorded], list[Gap]]:
    """The videos of some recordings, and the gaps between those of a series.

    Args:
      scans: the recordings.
      join: `"auto"` makes one video of recordings of a series that adjoin by the times in their
        names; `"never"` does not.
      rate: frames a second to which they are resampled.
    """
    videos, gaps = [], []
    series = itertools.groupby(sorted(scans, key=_order), key=_series)
    for joinable, group in ((bool(key[1]), list(group)) for key, group in series):
        last, missing = None, 0.0  # seconds between the parts of the last video, in all
        for scan in group:
            for number, part in enumerate(runs(scan)):
                away = _seconds_between(last.parts[-1], part) if last and joinable else None
                apart = None if away is None else missing + away
                near = away is not None and max(abs(away), abs(apart)) <= ADJOIN
                if join == "auto" and not number and near and _alike(last.parts[-1], part):
                    last.parts.append(part)
                    missing = apart
                    continue
                video = Recorded(_name(part, number), [part], rate)
                if last and number:
                    gaps.append(Gap(last.name, video.name, _hole(last.parts[-1], part)))
                elif away is not None and max(away, apart) > ADJOIN and join == "auto":
                    missing = away if away > ADJOIN else apart
                    gaps.append(Gap(last.name, video.name, missing))
                videos.append(video)
                last, missing = video, 0.0
    return videos, gaps


def runs(scan: Scan) -> Iterator[Part]:
    """The parts of a recording between its holes."""
    holes = np.flatnonzero(np.diff(scan.times[scan.ranks]) > scan.hole) + 1
    for ranks in np.split(scan.ranks, holes):
        yield Part(scan, ranks)


def _order(scan: Scan) -> tuple:
    """Sorts by camera and series, and in a series by time; what is in none stays as found."""
    recording, seconds = scan.recording, 0.0
    if recording.series:
        # Without a zone as if it were UTC: the zone of this machine says nothing of the camera.
        zone = recording.start.tzinfo or datetime.UTC
        seconds = recording.start.replace(tzinfo=zone).timestamp()
    return recording.camera, recording.series, seconds


def _series(scan: Scan) -> tuple[str, str]:
    return scan.recording.camera, scan.recording.series


def _later(start: datetime.datetime | None, seconds: float) -> datetime.datetime | None:
    """The time so many seconds later; None if it is unknown, or behind the last that there is."""
    try:
        return None if start is None else start + datetime.timedelta(seconds=seconds)
    except OverflowError:  # the times of a damaged file
        return None


def _seconds_between(one: Part, other: Part) -> float | None:
    """Seconds from the end of a part to the start of another, by the names; None if unknown."""
    if (
        one.start is None
        or other.start is None
        or (not one.start.tzinfo) != (not other.start.tzinfo)
    ):
        return None
    return (other.start - one.start).total_seconds() - one.seconds


def _hole(one: Part, other: Part) -> float:
    """Seconds that are missing between two parts of one recording."""
    return other.first - one.first - one.seconds


def _alike(one: Part, other: Part) -> bool:
    """Whether two parts have frames of one size and about as many a second."""
    rates = one.scan.fps, other.scan.fps
    return one.scan.size == other.scan.size and (None in rates or like(*rates))


def _name(part: Part, number: int) -> str:
    """Name of the video that begins with a part; behind a hole it says when it begins."""
    name = part.scan.recording.name
    if not number:
        return name
    minutes, seconds = divmod(part.first, 60)
    return f"{name}_from_{int(minutes) // 60}h{int(minutes) % 60:02d}m{seconds:04.1f}s"
