"""UCF-Crime's own files: Temporal_Anomaly_Annotation.txt, Anomaly_Train.txt, numbers of frames.

A line of the annotations is `NAME.mp4 CLASS start end start end` for a test video, with -1 where
there is no event. Frames count from 1, and the last frame of an event belongs to it. The lists of
the public programs (spec mil §4) count the same way, and agree in all of their 140 videos.
"""

import dataclasses
import pathlib
import re
from collections import Counter

from vadjax.formats import text
from vadjax.formats.entries import Entry, some, split_name, to_posix
from vadjax.formats.lists import NORMAL, file_in, inclusive, read_list

TRAIN_LIST = "anomaly_train.txt"
PATTERN = "*temporal_anomaly_annotation*.txt"
LINE = re.compile(r"(\S+)\s+([A-Za-z]\w*)((?:\s+-?\d+){2,})")
# A name and a number of frames; the test lists have -1 or intervals behind
FRAMES = re.compile(r"(.+?)\s*[\s,;|]\s*(\d+)(?:\s+-1|\s*\|.*)?")


def is_annotation(path: pathlib.Path) -> bool:
    """Whether a file is one of annotations, by its first line."""
    lines = text.read_lines(path) if path.is_file() and path.suffix.lower() == ".txt" else []
    return bool(lines and LINE.fullmatch(lines[0].text))


def find_annotation(folder: pathlib.Path) -> pathlib.Path | None:
    """Finds the annotations in a folder by the name of their file; None if there are none.

    Raises:
      ValueError: there are several.
    """
    pattern = re.compile(PATTERN.replace(".", r"\.").replace("*", ".*"))
    paths = sorted(path for path in folder.glob("*") if pattern.fullmatch(path.name.lower()))
    if len(paths) > 1:
        raise ValueError(f"{folder}: {', '.join(p.name for p in paths)}; keep one of them there")
    return paths[0] if paths else None


def read_annotation(path: pathlib.Path) -> list[Entry]:
    """Reads the test videos of annotations, with intervals `[start, stop)` counted from 0.

    Raises:
      ValueError: a line cannot be read (the message has its number), or a video is there twice.
    """
    entries = []
    for number, line in text.read_lines(path):
        try:
            entries.append(_parse(line))
        except ValueError as error:
            raise ValueError(f"{path}:{number}: cannot read {line!r} ({error})") from error
    twice = [name for name, times in Counter(e.name for e in entries).items() if times > 1]
    if twice:
        raise ValueError(f"{path}: annotated more than once: {some(twice)}")
    return entries


def _parse(line: str) -> Entry:
    """The video of a line of annotations."""
    match = LINE.fullmatch(line)
    if not match:
        raise ValueError("expected: NAME.mp4 CLASS start end start end, -1 where there is none")
    numbers = [int(number) for number in match[3].split()]
    if len(numbers) % 2:
        raise ValueError("expected pairs of start and end")
    # A second pair of -1 says that there is no second event.
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    intervals = inclusive([n for pair in pairs if pair != (-1, -1) for n in pair])
    label = int(match[2].lower() != NORMAL)
    if bool(intervals) != bool(label):
        raise ValueError(f"class {match[2]} with {len(intervals)} events")
    return Entry(to_posix(match[1]), label, intervals=intervals, listed_class=match[2])


def read_official(
    annotation: pathlib.Path, train_list: pathlib.Path | None
) -> dict[str, list[Entry]]:
    """Reads the entries of both splits from the annotations and the list of training videos.

    Args:
      annotation: annotations of the test videos.
      train_list: list of the training videos; None for Anomaly_Train.txt beside the annotations.

    Raises:
      FileNotFoundError: no list of training videos.
      ValueError: as `read_annotation` and `read_list`.
    """
    path = train_list or file_in(annotation.parent, TRAIN_LIST)
    if path is None:
        raise FileNotFoundError(
            f"{annotation}: these are test videos; the list of training videos, "
            "Anomaly_Train.txt, is not beside it. Name it with --train_list"
        )
    train = []
    for entry in read_list(path):  # labels by the names, as the dataset's authors give them
        label = int(NORMAL not in f"{entry.folder}/{entry.name}".lower())
        label = label if entry.label is None else entry.label
        train.append(dataclasses.replace(entry, label=label))
    return {"train": train, "test": read_annotation(annotation)}


def read_frames(path: pathlib.Path) -> dict[str, int]:
    """Reads numbers of frames by names of videos, from lines `NAME FRAMES` or `NAME,FRAMES`.

    The lists test_normalv2.txt and test_anomalyv2.txt can be read too.

    Raises:
      FileNotFoundError: no such file.
      ValueError: a line cannot be read (the message has its number), or a name has two numbers.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of numbers of frames (--frames)")
    frames = {}
    for number, line in text.read_lines(path):
        match = FRAMES.fullmatch(line)
        if not match or not int(match[2]):
            raise ValueError(f"{path}:{number}: {line!r}; expected NAME FRAMES")
        name = split_name(to_posix(match[1]).rsplit("/", 1)[-1])[0]
        if frames.setdefault(name, int(match[2])) != int(match[2]):
            raise ValueError(f"{path}:{number}: {name} has {frames[name]} frames on another line")
    return frames
