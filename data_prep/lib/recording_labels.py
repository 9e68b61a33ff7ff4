"""Labels of one's own recordings: intervals in seconds or frames of a file, or masks.

CSV, whose heading says the unit; times are seconds or h:mm:ss from the start of the file:

    video,start_seconds,stop_seconds        video,start_frame,stop_frame
    gate.mp4,12.5,0:00:19                   gate.mp4,125,190

JSON, with the same units:

    {"seconds": {"gate.mp4": [[12.5, 19]]}}     {"frames": {"gate.mp4": [[125, 190]]}}

`video` is a file below --new, with or without its ending, or the name of a video in the dataset
that is one file. Where files have one path in several folders, that of the folder comes first.
Frames count from 0; an interval ends before its second number. A file that has no interval is
normal.
"""

import collections
import csv
import math
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from vadjax.data.video.masks import find_masks, open_video
from vadjax.formats import json_files
from vadjax.formats.text import read_text, split

from .recording_join import Recorded
from .recording_scan import Scan
from .recordings import Recording

UNITS = ("seconds", "frames")
HEADINGS = {
    ("video", "start_seconds", "stop_seconds"): "seconds",
    ("video", "start_frame", "stop_frame"): "frames",
}
EXPECTED = " or ".join(",".join(heading) for heading in HEADINGS)
PAST = 1.0  # seconds by which an interval may end after its file
CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:\.\d*)?)")
Intervals = dict[str, list[tuple[float, float]]]


def read_intervals(path: pathlib.Path) -> tuple[str, Intervals]:
    """The unit and the intervals of every video that a CSV or JSON file names.

    Raises:
      FileNotFoundError: no such file.
      ValueError: it is written otherwise; the message has the line.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file of labels (--labels)")
    return _read_json(path) if path.suffix.lower() == ".json" else _read_csv(path)


def _read_json(path: pathlib.Path) -> tuple[str, Intervals]:
    content = json_files.read(path, dict)
    units = [unit for unit in UNITS if unit in content]
    if len(content) != 1 or not units:
        raise ValueError(
            f'{path}: expected {{"seconds": {{"gate.mp4": [[12.5, 19]]}}}} or '
            f'{{"frames": {{…}}}}; it has {", ".join(map(repr, list(content)[:5])) or "nothing"}'
        )
    json_files.check_fields(content, {units[0]: {...: [[float]]}}, path)
    found: Intervals = {}
    for name, pairs in content[units[0]].items():
        for pair in pairs:
            if len(pair) != 2:
                raise ValueError(f"{path}: {name}: {pair!r:.80}; expected [start, stop]")
        found[name] = [_checked(pair, f"{path}: {name}") for pair in pairs]
    return units[0], found


def _read_csv(path: pathlib.Path) -> tuple[str, Intervals]:
    # Line by line, so that a quote that is not closed swallows no other line.
    first, *lines = split(read_text(path))
    heading = tuple(cell.lower() for cell in _cells(first, f"{path}:1"))
    if heading not in HEADINGS:
        raise ValueError(
            f"{path}: begins with {','.join(heading)!r:.80}; expected the heading {EXPECTED}"
        )
    found: Intervals = {}
    for number, line in enumerate(lines, 2):
        cells = _cells(line, f"{path}:{number}")
        if not any(cells):
            continue
        try:
            name, start, stop = cells
            pair = _number(start), _number(stop)
        except ValueError:
            raise ValueError(
                f"{path}:{number}: {line!r:.80}; expected {','.join(heading)}"
            ) from None
        found.setdefault(name, []).append(_checked(pair, f"{path}:{number}"))
    return HEADINGS[heading], found


def _cells(line: str, where: str) -> list[str]:
    """The cells of a line of CSV, without blanks around them; none of an empty line."""
    try:
        return [cell.strip() for row in csv.reader([line]) for cell in row]
    except csv.Error as error:
        raise ValueError(f"{where}: {line!r:.80}; no line of CSV ({error})") from error


def _number(text: str) -> float:
    """A number, or h:mm:ss or mm:ss as seconds; raises ValueError for other text."""
    if match := CLOCK.fullmatch(text):
        return 3600 * int(match[1] or 0) + 60 * int(match[2]) + float(match[3])
    return float(text)


def _checked(pair: Sequence[float], where: str) -> tuple[float, float]:
    start, stop = pair
    if not (math.isfinite(start) and math.isfinite(stop) and 0 <= start < stop):
        raise ValueError(f"{where}: an interval from {start:g} to {stop:g}; expected start < stop")
    return start, stop


def frame_labels(
    path: pathlib.Path, scans: Sequence[Scan], left_out: Sequence[Recording]
) -> dict[str, np.ndarray]:
    """Labels of the frames of every recording, from a file of intervals.

    Args:
      path: the file.
      scans: the recordings of --new that can be used.
      left_out: those that cannot; their intervals are passed over.

    Returns:
      Path of a recording → uint8 [n], 1 = anomalous, for all of its frames.

    Raises:
      FileNotFoundError, ValueError: as `read_intervals`; or a name that is none of a recording's or
        of several, or an interval past the end of one.
    """
    unit, intervals = read_intervals(path)
    by_path = {str(scan.recording.path): scan for scan in scans}
    labels = {name: np.zeros(len(scan.times), np.uint8) for name, scan in by_path.items()}
    meant = _finder([*(scan.recording for scan in scans), *left_out])
    for name, pairs in intervals.items():
        found = str(meant(name, f"{path}: {name!r:.80} is").path)
        if found not in by_path:
            continue  # it is listed as left out
        for pair in pairs:
            _mark(labels[found], by_path[found], pair, unit, f"{path}: {name}")
    return labels


def _finder(
    recordings: Sequence[Recording], as_video: bool = False
) -> Callable[[str, str], Recording]:
    """Function that finds the recording of a name; the second argument begins its message.

    A name is first taken as a path, of the file or below --new, then as the name of a video, and
    only then as a part of a path: so the exact name of one file does not mean another one too. With
    `as_video` the name of a video comes first, and the message lists these: they can be of a file.
    """
    paths, names, parts = (collections.defaultdict(list) for _ in range(3))
    for recording in recordings:
        plain = pathlib.PurePosixPath(recording.inside)
        for key in {recording.inside, recording.path.as_posix()}:
            paths[key].append(recording)
        names[recording.name].append(recording)
        for key in {plain.with_suffix("").as_posix(), plain.name, plain.stem}:
            parts[key].append(recording)

    def find(name: str, message: str) -> Recording:
        kinds = (names, paths, parts) if as_video else (paths, names, parts)
        meant = next((kind[name] for kind in kinds if name in kind), [])
        if len(meant) == 1:
            return meant[0]
        what = f"{len(meant)} videos of --new" if meant else "no video of --new"
        listed = (meant or recordings)[:5]
        shown = [recording.name if as_video else recording.inside for recording in listed]
        # Files of several folders that were named may lie at one place in each.
        if len(set(shown)) < len(shown):
            shown = [recording.path.as_posix() for recording in listed]
        raise ValueError(f"{message} {what}; expected one of {', '.join(shown)}")

    return find


def _mark(labels: np.ndarray, scan: Scan, pair: tuple[float, float], unit: str, where: str) -> None:
    """Sets the labels of an interval to 1."""
    start, stop = pair
    if unit == "frames":
        if stop > len(labels) or start % 1 or stop % 1:
            raise ValueError(
                f"{where}: frames {start:g} to {stop:g}; expected whole numbers up to its "
                f"{len(labels):,} frames"
            )
        labels[int(start) : int(stop)] = 1
        return
    if scan.fps is None:
        raise ValueError(
            f"{where}: seconds of a folder of pictures, whose rate is unknown; declare it: --fps"
        )
    end = float(scan.times[-1]) + scan.interval
    if stop > end + PAST:
        raise ValueError(
            f"{where}: {start:g} to {stop:g} seconds, but it lasts {end:.1f}; seconds count from "
            "the start of the file"
        )
    # A frame is shown from its time to the next one's, before a hole as long as any other.
    shown_until = np.append(scan.times[1:], end)
    before = np.flatnonzero(np.diff(scan.times) > scan.hole)
    shown_until[before] = scan.times[before] + scan.interval
    labels[(scan.times < stop) & (shown_until > start)] = 1


def find_recording_masks(
    folder: pathlib.Path, scans: Sequence[Scan], left_out: Sequence[Recording]
) -> Mapping[str, pathlib.Path]:
    """Path of a recording → its masks, for all recordings that have some.

    Args:
      folder: with NAME/*.png or NAME.npy for recordings, a mask for each frame; NAME as in a file
        of intervals.
      scans: the recordings of --new that can be used.
      left_out: those that cannot; their masks are passed over.

    Raises:
      FileNotFoundError: no such folder.
      ValueError: masks of no recording, or of another number than its frames.
    """
    by_path = {str(scan.recording.path): scan for scan in scans}
    meant = _finder([*(scan.recording for scan in scans), *left_out], as_video=True)
    found = {}
    for name, path in find_masks(folder).items():
        recording = meant(name, f"{path}: masks of {name!r:.80}, which is")
        if (scan := by_path.get(str(recording.path))) is None:
            continue  # it is listed as left out
        count = len(open_video(path, len(scan.times)))
        if count != len(scan.times):
            raise ValueError(
                f"{path}: {count:,} masks for the {len(scan.times):,} frames of "
                f"{recording.inside}; each frame needs one"
            )
        found[str(recording.path)] = path
    return found


def check_complete(
    folder: pathlib.Path, videos: Sequence[Recorded], paths: Mapping[str, pathlib.Path]
) -> None:
    """Raises ValueError if recordings of these videos have no masks, and so no labels.

    Args:
      folder: of the masks, for the message.
      videos: all videos of --new.
      paths: path of each recording that has masks → its masks.
    """
    used = {str(part.scan.recording.path) for video in videos for part in video.parts}
    if missing := sorted(used - set(paths)):
        raise ValueError(
            f"{folder}: no masks for {len(missing):,} of the {len(used):,} recordings of --new: "
            f"{', '.join(missing[:5])}{', …' if missing[5:] else ''}. Nothing can be measured "
            "where only some have labels: add masks (black where nothing is unusual) or --labels, "
            "or make a dataset of the others alone"
        )


class RecordedMasks:
    """The masks of the frames of a video, one at a time; can be gone through again.

    Args:
      video: the video.
      paths: path of each of its recordings → its masks.
    """

    def __init__(self, video: Recorded, paths: Mapping[str, pathlib.Path]):
        self._video, self._paths = video, paths

    def __iter__(self):
        return self._video.select(
            lambda scan: open_video(self._paths[str(scan.recording.path)], len(scan.times))
        )
