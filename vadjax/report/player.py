"""The page `index.html` that people work with: film, timeline, events, threshold.

It lies beside a folder `page/` with its scripts and data, and opens from disk without a server:
data are scripts, one for each video, and what comes from files is only ever set as text.
"""

import importlib.resources
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote

import numpy as np

from vadjax.report import candidates, events, listing, packed, thumbnails
from vadjax.report.intervals import clock
from vadjax.report.listing import ListedEvent
from vadjax.runtime.terminal import visible
from vadjax.scores.alarm import AlarmLine
from vadjax.scores.files import Scores

INDEX, FOLDER = "index.html", "page"
ASSETS = (
    *("page.css", "player.js", "timeline.js", "page.js"),
    *("uplot.js", "uplot.css", "uplot-license.txt"),
)
FILM_FPS = 25.0  # frames a second of a film of a video whose rate is unknown
LINE = 0.5  # of systems that name their alarm intervals
DATA_BYTES = 1_000_000  # boxes of all videos, and heat of all videos, before base64
LEAST_BYTES = 30_000  # of these for one video
PICTURE_BYTES = 1_400_000  # thumbnails of all events


class PageVideo(NamedTuple):
    """A video of the page.

    Attributes:
      scores: its scores; where `read` is given, at least its `outline`.
      fps: frames a second; None if unknown.
      size: (H, W) of the frames that the boxes of the score file belong to; None if unknown.
      frames: its frames uint8 [H, W, 3], RGB, by number; None where they are not at hand.
      film: its film, `film.write`'s; None without one.
      film_fps: frames a second of the film.
      no_film: why there is no film.
      read: reads all of its scores; None where `scores` has all. So a page of many videos has the
        boxes and maps of one of them in memory.
    """

    scores: Scores
    fps: float | None = None
    size: tuple[int, int] | None = None
    frames: Sequence | None = None
    film: pathlib.Path | None = None
    film_fps: float = FILM_FPS
    no_film: str = ""
    read: Callable[[], Scores] | None = None

    def all_scores(self) -> Scores:
        """Its scores with all that the file has."""
        return self.scores if self.read is None else self.read()


class About(NamedTuple):
    """What the page says of all videos.

    Attributes:
      title: of the page.
      notes: warnings, one line each.
      alarm: the alarm line of the run; None if it has none.
      figures: whether `figures.html` lies beside the page.
      normal_command: the command that adds frames `[start, stop)` of a video to what is normal;
        None for a system that cannot.
      made: with what it was made (`provenance.made_with`), if known.
    """

    title: str
    notes: Sequence[str] = ()
    alarm: AlarmLine | None = None
    figures: bool = False
    normal_command: Callable[[str, int, int], str | None] | None = None
    made: Mapping | None = None


def write(
    folder: pathlib.Path,
    videos: Sequence[PageVideo],
    found: Sequence[Mapping],
    about: About,
    home: pathlib.Path | None = None,
) -> None:
    """Writes `index.html` and `page/` to a folder that has neither.

    Args:
      folder: where to write.
      videos: of the page; at least one.
      found: their alarm intervals, with the fields of `docs/events.md`.
      about: what it says of them.
      home: folder that the page will lie in, from which films are addressed; `folder` if None.
    """
    place = folder / FOLDER
    place.mkdir(parents=True)
    # Videos by their highest score, and the line from which an event is an alarm.
    videos = sorted(videos, key=lambda one: (-highest(one.scores), one.scores.video))
    outlines = [video.scores for video in videos]
    line, start = _line(outlines, about.alarm)
    scale = _scale(outlines, start)
    # One video after the other: its script, what is said of it, and its events with their rows.
    told, listed, left_out = [], [], 0
    alarms = _Alarms(found, line)
    for number, video in enumerate(videos):
        room = max(LEAST_BYTES, DATA_BYTES // len(videos))
        data, rows = alarms.of_video(number, video, start, room, about)
        _write(place / _file(number), packed.script("vadjax.add", number, data))
        told.append(_video(home or folder, number, video, scale))
        # No more events than the page lists.
        listed = sorted([*listed, *rows], key=lambda one: listing.rank(one[0]))
        left_out += len(listed[listing.MOST :])
        del listed[listing.MOST :]
    pictures = _pictures(place, videos, [event for event, _ in listed])
    rows = [row | pictures.get(number, {}) for number, (_, row) in enumerate(listed)]
    notes = [*about.notes, *_notes(line, about.alarm, left_out)]
    report = _report(about, notes, outlines, line, start, scale)
    report |= {"videos": told, "events": rows}
    _write(place / "data.js", packed.script("vadjax.start", report))
    # The page itself, as it is for all reports.
    browser = importlib.resources.files("vadjax.report") / "browser"
    for name in ASSETS:
        (place / name).write_bytes((browser / name).read_bytes())
    (folder / INDEX).write_bytes((browser / INDEX).read_bytes())


class _Alarms:
    """The alarm intervals of all videos, from which the list of events is made.

    Args:
      found: as for `write`.
      line: the alarm line; None if there is none.
    """

    def __init__(self, found: Sequence[Mapping], line: float | None):
        self._line, self._are_known = line, bool(found) and line is not None
        self._of_videos: dict[str, list[Mapping]] = {}
        for alarm in found:
            self._of_videos.setdefault(str(alarm.get("video")), []).append(alarm)

    def of_video(
        self, number: int, video: PageVideo, start: float, room: int, about: About
    ) -> tuple[dict, list[tuple[ListedEvent, dict]]]:
        """The data of a video; and its events, bare of what is stored, with what is shown of each.

        Args:
          number: of the video.
          video: the video, whose scores are read here.
          start: the threshold that the page begins with.
          room: bytes that boxes and heat may take.
          about: the page.
        """
        scores, fps, line = video.all_scores(), video.fps, self._line
        data = packed.video(scores, video.size, line is not None, fps, room)
        own, of_day = self._of_videos.get(scores.video, ()), listing.started(scores)
        found = listing.events(number, scores, own, self._are_known, start, fps)
        command = about.normal_command
        rows = [listing.row(event, scores, fps, of_day, line, command) for event in found]
        bare = [event._replace(stored={}) for event in found]  # it may have thousands of boxes
        return data, list(zip(bare, rows, strict=True))


def outline(scores: Scores) -> Scores:
    """What the order of videos, the line and the figures of a page need of the scores of a video.

    These are some bytes a frame, and the alarm intervals that the system tells itself, without
    their boxes.
    """
    own = [reason | {"boxes": []} for reason in scores.reasons if "schema" in reason]
    return Scores(
        scores.video,
        scores.frame_scores,
        labels=scores.labels,
        scored=scores.scored,
        times=scores.times,
        reasons=tuple(own),
    )


def _write(path: pathlib.Path, text: str) -> None:
    path.write_text(text, "utf-8")


def _file(number: int) -> str:
    """The script of a video."""
    return f"video{number:04}.js"


def highest(scores: Scores) -> float:
    """The highest score of the frames of a video that count; of all where none does."""
    counted = scores.counted().frame_scores
    return float(np.max(counted if len(counted) else scores.frame_scores))


def _line(videos: Sequence[Scores], alarm: AlarmLine | None) -> tuple[float | None, float]:
    """The alarm line, or None if there is none; and the threshold that the page begins with."""
    if alarm is not None:
        return alarm.line, alarm.line
    if any(map(events.tells, videos)):
        return LINE, LINE
    # Half way from the median of all frames to the highest.
    every = np.concatenate([np.asarray(video.frame_scores, np.float64) for video in videos])
    return None, float((np.median(every) + max(map(highest, videos))) / 2)


def _scale(videos: Sequence[Scores], start: float) -> tuple[float, float]:
    """The scores between which the page draws, for videos whose threshold begins at `start`."""
    low = min(float(np.min(video.frame_scores)) for video in videos)
    high = max(float(np.max(video.frame_scores)) for video in videos)
    return min(low, 0.0), max(high, start, 1.0 if high <= 1 else high)


def _report(
    about: About,
    notes: Sequence[str],
    videos: Sequence[Scores],
    line: float | None,
    start: float,
    scale: tuple[float, float],
) -> dict:
    """What `vadjax.start` of the page takes, apart from the videos and the events."""
    alarm = about.alarm and {
        "hours": about.alarm.hours,
        "reliable": about.alarm.reliable,
        "rates": packed.thinned(about.alarm.rates),
    }
    return {
        "title": visible(about.title),
        "notes": [visible(note) for note in notes],
        "line": line,
        "start": start,
        "range": scale,
        "alarm": alarm,
        "measures": candidates.measures(videos, *scale),
        "figures": about.figures,
        "made": _made(about.made),
    }


def _notes(line: float | None, alarm: AlarmLine | None, left_out: int) -> list[str]:
    """What limits the use of the line and of the list."""
    notes = []
    if line is None:
        notes.append(
            "This run has no calibrated alarm line. The threshold begins half way from the median "
            "score to the highest, so something is always above it."
        )
    elif alarm is not None and not alarm.reliable:
        notes.append(
            f"The alarm line was set on {alarm.hours * 60:.1f} minutes of held-out normal footage, "
            "too little to rely on."
        )
    if left_out:
        notes.append(
            f"The {listing.MOST:,} highest-scoring events are listed; {left_out:,} weaker ones "
            "are not."
        )
    return notes


def _made(made: Mapping | None) -> str:
    """With what the page was made, in a line."""
    if not made:
        return ""
    return visible(f"Made with vadjax {made.get('vadjax', '')}, {made.get('date', '')}")


def _video(folder: pathlib.Path, number: int, video: PageVideo, scale: tuple[float, float]) -> dict:
    """What the page says of a video before its own data are there."""
    scores, frames = video.scores, len(video.scores.frame_scores)
    if scores.times is not None:
        seconds = float(scores.times[-1]) + (1 / video.fps if video.fps else 0)
    else:
        seconds = frames / video.fps if video.fps else None
    of_day = listing.started(scores)
    lasts = "" if seconds is None else f"{clock(seconds)}, "
    return {
        "name": visible(scores.video),
        "frames": frames,
        "fps": video.fps,
        "length": f"{lasts}{frames:,} frames",
        "started": of_day and of_day.isoformat(timespec="milliseconds"),
        "score": highest(scores),
        "peak": int(np.argmax(_counting(scores))),
        "order": number,
        "range": scale,
        "film": video.film and _address(folder, video.film),
        "film_fps": video.film_fps,
        "no_film": video.no_film,
        "data": f"{FOLDER}/{_file(number)}",
    }


def _counting(scores: Scores) -> np.ndarray:
    """Scores of all frames, those that do not count below all others."""
    if scores.scored is None:
        return scores.frame_scores
    return np.where(np.asarray(scores.scored, bool), scores.frame_scores, -np.inf)


def _address(folder: pathlib.Path, path: pathlib.Path) -> str:
    """The address of a file from the page on, whatever letters its name has."""
    return quote(path.relative_to(folder).as_posix().encode("utf-8", "surrogateescape"))


def _pictures(
    place: pathlib.Path, videos: Sequence[PageVideo], found: Sequence[ListedEvent]
) -> dict[int, dict]:
    """Writes thumbnails of events, the highest first, as far as there is room; their addresses."""
    # Video by video, since each is opened once.
    files: dict[int, dict[str, bytes]] = {}
    for number, video in enumerate(videos):
        own = {rank: event for rank, event in enumerate(found) if event.video == number}
        has_examples = any(event.example is not None for event in own.values())
        scores = video.all_scores() if has_examples else video.scores
        files |= _thumbnails(video, scores, own)
    addresses: dict[int, dict] = {}
    room = PICTURE_BYTES
    for rank in sorted(files):
        room -= sum(map(len, files[rank].values()))
        if room < 0:
            break
        for kind, data in files[rank].items():
            name = f"event{rank:04}_{kind}.jpg"
            (place / name).write_bytes(data)
            addresses.setdefault(rank, {})[kind] = f"{FOLDER}/{name}"
    return addresses


def _thumbnails(
    video: PageVideo, scores: Scores, events: Mapping[int, ListedEvent]
) -> dict[int, dict[str, bytes]]:
    """JPEG files of what was seen, and of the normal picture most like it, of each event."""
    files: dict[int, dict[str, bytes]] = {}
    without = {}
    for rank, event in events.items():
        if event.example is None:
            without[rank] = event
            continue
        examples, reason = scores.examples, event.reason
        seen, normal = examples.seen[event.example], examples.normal[event.example]
        files[rank] = {
            "seen": thumbnails.draw(seen, reason.box, None, thumbnails.SEEN),
            "normal": thumbnails.draw(normal, reason.normal_box, None, thumbnails.NORMAL),
        }
    # Of the others only what was seen: from the frames, else from the film.
    # Boxes of reasons are in pixels of the frames that were scored, others in those of the source.
    size = None if video.frames is not None and scores.reasons else video.size
    pictures: Mapping[int, np.ndarray] = {}
    if video.frames is None and video.film is not None and without:
        pictures = thumbnails.of_film(video.film, [event.frame for event in without.values()])
    for rank, event in without.items():
        frames = pictures if video.frames is None else video.frames
        if video.frames is not None or event.frame in pictures:
            box = event.reason and event.reason.box
            files[rank] = {"seen": thumbnails.draw(frames[event.frame], box, size, thumbnails.SEEN)}
    return files
