r"""Lists of videos with their labels, in the forms in which they are published.

  paths         on each line the path of a feature file or a video, and behind it a label or
                nothing: RTFM and UR-DMU (`G:\UCF_Train\NAME_i3d.npy`), PEL4VAD
                (`train/NAME_0.npy 1.0`)
  CSV           a column `video-id` or `path`; labels in a column `label`: 0 and 1 (S3R), or names
                of classes of which `Normal` is one (VadCLIP)
  four files    train_normal.txt, train_anomaly.txt, test_normal(v2).txt and test_anomaly(v2).txt
                (UCF-Crime, spec mil §4)
  videos.json   a list of videos with split, class, label, frames and intervals

Paths may be those of Windows. The files of the crops of a video become one entry.
"""

import csv
import pathlib
import re

from vadjax.formats import json_files, text
from vadjax.formats.entries import Entry, join_crops, to_posix

LISTS = {
    "train_normal": ("train_normal.txt",),
    "train_anomaly": ("train_anomaly.txt",),
    "test_normal": ("test_normalv2.txt", "test_normal.txt"),
    "test_anomaly": ("test_anomalyv2.txt", "test_anomaly.txt"),
}
VIDEOS_JSON = "videos.json"
COLUMNS, LABEL = ("video-id", "path"), "label"
NORMAL = "normal"  # the class of videos without an anomaly, in lower case
AFTER_PATH = re.compile(r"(.*?\.(?:npy|txt|mp4|avi|mkv|mov))\s+(\S.*)", re.IGNORECASE)


def read_list(path: pathlib.Path) -> list[Entry]:
    """Reads the videos of one list, CSV or paths, in its order.

    Raises:
      FileNotFoundError: no such list.
      ValueError: a line cannot be read, or the crops are not complete (`join_crops`).
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such list of videos")
    entries = _read_csv(path) if path.suffix.lower() == ".csv" else _read_paths(path)
    if not entries:
        raise ValueError(f"{path}: no videos in this list")
    return join_crops(path, entries)


def _read_paths(path: pathlib.Path) -> list[Entry]:
    """Reads a list of paths, with or without labels."""
    entries = []
    for number, line in text.read_lines(path, comments=()):
        # Names may hold blanks, so a label stands behind an ending of files.
        match = AFTER_PATH.fullmatch(line)
        listed, after = match.groups() if match else (line, None)
        if after is not None and (label := _binary(after)) is None:
            raise ValueError(
                f"{path}:{number}: {after!r} after {listed}; expected a path a line, and after it "
                "nothing or a label, 0 or 1"
            )
        try:
            entries.append(Entry(to_posix(listed), None if after is None else label))
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from error
    # Labels on some lines only would be a mistake.
    bare = [entry.path for entry in entries if entry.label is None]
    if bare and len(bare) < len(entries):
        raise ValueError(
            f"{path}: {len(bare)} of {len(entries)} lines have no label, such as {bare[0]}; "
            "expected one on every line or on none"
        )
    return entries


def _binary(label: str | None) -> int | None:
    """The label 0 or 1, also if written as `1.0`; None for anything else."""
    match = re.fullmatch(r"\s*([01])(?:\.0*)?\s*", label or "")
    return int(match[1]) if match else None


def _read_csv(path: pathlib.Path) -> list[Entry]:
    """Reads a list in CSV with a heading."""
    lines = text.split(text.read_text(path))
    # Excel separates by semicolons in some countries.
    delimiter = ";" if ";" in lines[0] and "," not in lines[0] else ","
    try:
        reader = csv.DictReader(lines, delimiter=delimiter, skipinitialspace=True)
        columns = [(name or "").strip() for name in reader.fieldnames or []]
        reader.fieldnames = columns
        rows = list(reader)
    except csv.Error as error:
        raise ValueError(f"{path}: cannot be read as CSV ({error})") from error
    # The column of the paths, and rows that have one.
    column = next((name for name in COLUMNS if name in columns), None)
    if column is None:
        raise ValueError(
            f"{path}: columns {columns}; expected {' or '.join(COLUMNS)}, and {LABEL} if known"
        )
    rows = [row for row in rows if (row[column] or "").strip()]
    try:
        if LABEL not in columns:
            return [Entry(to_posix(row[column])) for row in rows]
        # Labels are names of classes if one of them is that of normal videos.
        classes = any((row[LABEL] or "").strip().lower() == NORMAL for row in rows)
        return [_row(row[column], (row[LABEL] or "").strip(), classes) for row in rows]
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _row(listed: str, label: str, classes: bool) -> Entry:
    """The video of a row.

    Args:
      listed: the path.
      label: the label.
      classes: whether the labels of the list are names of classes.

    Raises:
      ValueError: the label is of another kind.
    """
    if classes and label and _binary(label) is None:
        return Entry(to_posix(listed), int(label.lower() != NORMAL), listed_class=label)
    if classes or _binary(label) is None:
        other = "the name of a class as others have" if classes else "names of classes with Normal"
        raise ValueError(f"{listed} has label {label!r}; expected 0 or 1, or {other}")
    return Entry(to_posix(listed), _binary(label))


def file_in(folder: pathlib.Path, *names: str) -> pathlib.Path | None:
    """The first of these files that a folder has, by the exact name, else in any case."""
    files = {path.name.lower(): path for path in sorted(folder.glob("*")) if not path.is_dir()}
    exact = next((folder / name for name in names if (folder / name).exists()), None)
    return exact or next((files[name] for name in names if name in files), None)


def read_four(folder: pathlib.Path) -> dict[str, list[Entry]]:
    """Reads the entries of both splits from the four list files (spec mil §4).

    Names that are repeated stay repeated.

    Raises:
      FileNotFoundError: a list is missing.
      ValueError: a line cannot be read; the message has its file and number.
    """
    lists = {}
    for kind, names in LISTS.items():
        # A list has the first of its names that the folder has.
        path = file_in(folder, *names)
        if path is None:
            raise FileNotFoundError(
                f"{folder}: no {' or '.join(names)} and no {VIDEOS_JSON}; "
                "name their folder with --labels"
            )
        lists[kind] = _read_one_of_four(path, kind)
    return {
        "train": lists["train_normal"] + lists["train_anomaly"],
        "test": lists["test_normal"] + lists["test_anomaly"],
    }


def _read_one_of_four(path: pathlib.Path, kind: str) -> list[Entry]:
    """Reads one of the four lists; those of training videos hold paths alone."""
    parse = {"test_normal": _parse_test_normal, "test_anomaly": _parse_test_anomaly}.get(kind)
    label, entries = int("anomaly" in kind), []
    for number, line in text.read_lines(path, comments=()):
        try:
            entries.append(parse(line) if parse else Entry(to_posix(line), label))
        except ValueError as error:
            raise ValueError(f"{path}:{number}: cannot read {line!r} ({error})") from error
    return entries


def _parse_test_normal(line: str) -> Entry:
    """A line `path frames -1`."""
    fields = line.split()
    if len(fields) != 3 or fields[2] != "-1":
        raise ValueError("expected: path frames -1")
    return Entry(to_posix(fields[0]), 0, _positive(fields[1]))


def _parse_test_anomaly(line: str) -> Entry:
    """A line `path|frames|[s1, e1]`, or with a second interval; frames from 1, inclusive."""
    fields = [field.strip() for field in line.split("|")]
    if len(fields) != 3 or not re.fullmatch(r"\[\s*\d+(\s*,\s*\d+)*\s*\]", fields[2]):
        raise ValueError("expected: path|frames|[start, end, ...]")
    intervals = inclusive([int(n) for n in re.findall(r"\d+", fields[2])])
    return Entry(to_posix(fields[0]), 1, _positive(fields[1]), intervals)


def inclusive(numbers: list[int]) -> tuple[tuple[int, int], ...]:
    """Starts and ends of events, frames from 1 and inclusive, as `[start, stop)` from 0.

    Raises:
      ValueError: the numbers are no pairs, or an end lies before its start.
    """
    pairs = list(zip(numbers[::2], numbers[1::2], strict=False))
    if len(numbers) % 2 or any(a > b or a < 1 for a, b in pairs):
        raise ValueError("expected pairs start <= end, counted from 1")
    return tuple((a - 1, b) for a, b in pairs)


def _positive(number: str) -> int:
    """A number of frames of 1 or more."""
    if int(number) < 1:
        raise ValueError(f"{number} frames")
    return int(number)


def read_videos_json(path: pathlib.Path) -> dict[str, list[Entry]]:
    """Reads the entries of both splits from `videos.json`, with intervals `[start, stop)` from 0.

    Raises:
      ValueError: the file holds no list of videos, or a video lacks one of the fields.
    """
    splits = {"train": [], "test": []}
    videos = json_files.read(path)
    if not isinstance(videos, list):
        raise ValueError(f"{path}: {json_files.show(videos)}; expected a list of videos")
    # Whatever is wrong with a video, the message shows it and what was expected.
    for video in videos:
        try:
            splits[video["split"]].append(_from_json(video))
        except KeyError as error:
            raise ValueError(f"{path}: {video!r} has no field {error}") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f"{path}: {video!r} cannot be read ({error}); expected frames: int, "
                "anomalous: true or false, split: train or test, intervals: [[start, stop], ...]"
            ) from error
    return splits


def _from_json(video: dict) -> Entry:
    """The entry of a video of `videos.json`."""
    name, class_name = video["name"], video["class_name"]
    if not all(isinstance(part, str) and part for part in (name, class_name)):
        raise TypeError(f"name {name!r} of class {class_name!r}")
    if video["anomalous"] not in (0, 1):
        raise TypeError(f"anomalous: {video['anomalous']!r}")
    return Entry(
        path=f"{class_name}/{name}",
        label=int(video["anomalous"]),
        num_frames=_whole(video["frames"], 1) if video.get("frames") else None,
        intervals=tuple((_whole(a), _whole(b)) for a, b in video.get("intervals") or ()),
    )


def _whole(number: object, least: int = 0) -> int:
    """The number, if it is a whole one of `least` or more; raises TypeError else."""
    if not isinstance(number, int) or isinstance(number, bool) or number < least:
        raise TypeError(f"{number!r} is not a whole number of {least} or more")
    return number
