"""Labels of frames, 1 = anomalous, in the forms of several programs; nothing is unpickled.

.mat        an array for each video, [1, T] or [T, 1], by the names of the variables (or of the
            fields of one struct); or one cell array with a cell for each video, in the order of the
            videos: such rows, or intervals [2, n] of first and last frames that count from 1
.npz        an array for each video, by name
.json       {video: [0, 1, …]}, {video: {"labels": [0, 1, …]}}, or intervals with frames from 0 and
            `stop` one past the last: {video: [[start, stop], …]}, or, with the number of frames,
            {video: {"frames": T, "intervals": [[start, stop], …]}}
.txt, .csv  a line for each video, its name and then its labels, parted by commas or blanks
folder      a file for each video, VIDEO.npy, VIDEO.txt or VIDEO.csv, of its labels alone
.npy        the labels of all videos, one after the other; text of numbers alone and a list of
            numbers in JSON mean the same
"""

import contextlib
import pathlib
import sys
from collections.abc import Mapping, Sequence

import numpy as np

from vadjax.formats import json_files
from vadjax.formats.mat import read_mat
from vadjax.formats.npy import HoldsObjects, read_npy, read_npz
from vadjax.formats.regular import check_regular, open_regular
from vadjax.formats.text import read_text, split

SUFFIXES = (".mat", ".npz", ".npy", ".json", ".txt", ".csv")
MAX_BYTES = 1 << 30  # of a file, and of the arrays in it
LISTED = 5  # names that a message lists
EXPECTED = "expected .mat, .npz, .json or text with a row a video, or .npy with one row for all"
WHOLE = ("gt", "label", "labels", "frame_labels", "arr_0")  # names of a row for all videos
PICKLE = b"\x80"  # first byte of a pickle of protocol 2 or later


class Intervals(tuple):
    """Anomalous frames of a video as pairs `[start, stop)`, frames from 0."""


def read_labels(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """Reads the labels of every video that a file names.

    Args:
      path: file or folder, in a form of the module docstring.

    Returns:
      Name → uint8 [T], 1 = anomalous.

    Raises:
      FileNotFoundError: no such file.
      ValueError: the file cannot be read, or does not say which label belongs to which video.
    """
    path = pathlib.Path(path)
    content = _read(path)
    # Without the videos at hand, each row needs a name and a label for each frame.
    if not isinstance(content, dict):
        what = f"{len(content):,} {'labels' if isinstance(content, np.ndarray) else 'rows'}"
        raise ValueError(
            f"{path}: {what} without names of videos; expected a .npz, .mat or .json with a row "
            "for each name"
        )
    if named := [name for name, row in content.items() if isinstance(row, Intervals)]:
        raise ValueError(
            f"{path}: {named[0]} has intervals, whose number of frames is not known here; expected "
            "a label for each frame"
        )
    return content


def match_labels(path: str | pathlib.Path, frames: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Reads the labels of given videos, in any form of the module docstring.

    Args:
      path: file or folder.
      frames: name → number of frames, in the order of the videos.

    Returns:
      Name → uint8 [T], for exactly the names of `frames`.

    Raises:
      FileNotFoundError: no such file.
      ValueError: the file cannot be read, a video has no labels, there are labels of another video,
        or a video has another number of labels than frames.
    """
    path = pathlib.Path(path)
    content = _read(path)
    # One array with a name such as "gt" is one row for all videos.
    if isinstance(content, dict) and len(content) == 1 and not set(content) & set(frames):
        content = content.get(next(iter(set(content) & set(WHOLE)), ""), content)
    # Without names, labels belong to the videos in their order.
    if isinstance(content, np.ndarray):
        return _split(path, content, frames)
    if isinstance(content, list):
        if len(content) != len(frames):
            raise ValueError(
                f"{path}: rows of {len(content):,} videos, but there are {len(frames):,}: "
                f"{_listed(frames)}"
            )
        content = dict(zip(frames, content, strict=True))
        _note(f"{path}: has no names; its rows are taken in the order of the videos")
    # With names each video gets its row, or the labels of its intervals.
    content = _by_name(path, content, frames)
    labels = {
        name: _fill(f"{path}: video {name}", content[name], count) for name, count in frames.items()
    }
    wrong = [name for name, count in frames.items() if len(labels[name]) != count]
    if wrong:
        name = wrong[0]
        raise ValueError(
            f"{path}: video {name}: {len(labels[name]):,} labels for {frames[name]:,} frames"
            f"{f', and {len(wrong) - 1:,} more such videos' if wrong[1:] else ''}; each frame "
            "needs one. Are some frames or labels missing?"
        )
    return labels


def read_row(path: str | pathlib.Path) -> np.ndarray:
    """Reads the labels of one video from a file of its own, `.npy`, `.txt` or `.csv`.

    Returns:
      uint8 [T], 1 = anomalous.

    Raises:
      FileNotFoundError: no such file.
      ValueError: the file does not hold one row of labels.
    """
    path = pathlib.Path(path)
    content = _read(path)
    if isinstance(content, np.ndarray):
        return content
    raise ValueError(f"{path}: rows of {len(content):,} videos; expected the labels of one")


def _by_name(path: pathlib.Path, content: dict, frames: Mapping[str, int]) -> dict:
    """The rows by the names of `frames`; MATLAB puts an x before a name that begins with a digit.

    Raises:
      ValueError: a video without labels, or labels of a video that is not there.
    """
    if not set(content) & set(frames):
        content = {name.removeprefix("x"): row for name, row in content.items()}
    missing = [name for name in frames if name not in content]
    extra = [name for name in content if name not in frames]
    if missing or extra:
        sides = [f"no labels for {_listed(missing)}"] if missing else []
        sides += [f"labels for {_listed(extra)}, not among the videos"] if extra else []
        raise ValueError(
            f"{path}: of {len(frames):,} videos and {len(content):,} rows of labels, "
            f"{len(frames) - len(missing):,} have the same name: {' and '.join(sides)}"
        )
    return content


def _note(text: str) -> None:
    """Prints what was assumed, on the standard error so that it is not among the figures."""
    print(f"note: {text}", file=sys.stderr)


def _listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    return f"{', '.join(names[:LISTED])}{more}"


def _fill(where: str, row: np.ndarray | Intervals, frames: int) -> np.ndarray:
    """The row as it is, or labels [frames] made from intervals."""
    if not isinstance(row, Intervals):
        return row
    labels = np.zeros(frames, np.uint8)
    for start, stop in row:
        if not 0 <= start < stop <= frames:
            raise ValueError(
                f"{where}: interval [{start}, {stop}) is not within its {frames:,} frames"
            )
        labels[start:stop] = 1
    return labels


def _split(path: pathlib.Path, row: np.ndarray, frames: Mapping[str, int]) -> dict:
    """Each video's part of one row of labels."""
    names, lengths = list(frames), list(frames.values())
    ends = np.cumsum(lengths)
    if len(row) != ends[-1]:
        # The video in which the labels end, for the message.
        last = min(int(np.searchsorted(ends, len(row))), len(names) - 1)
        left = len(row) - int(ends[last] - lengths[last])
        raise ValueError(
            f"{path}: {len(row):,} labels, but the {len(names)} videos have {ends[-1]:,} "
            f"frames: for video {names[last]} with {lengths[last]:,} frames {left:,} labels "
            "are left. Compare the numbers of frames of the videos"
        )
    return dict(zip(names, np.split(row, ends[:-1]), strict=True))


def _read(path: pathlib.Path) -> dict | list | np.ndarray:
    """Reads a dict of rows by name, a list of rows in order, or one row of all videos."""
    if path.is_dir():
        return _read_folder(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder of labels (--labels)")
    # A pickle is refused by its first byte, whatever the ending of the file.
    check_regular(path)
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path}: {path.stat().st_size:,} bytes, too many for labels; {EXPECTED}")
    with open_regular(path) as file:
        first = file.read(1)
    if first == PICKLE or path.suffix.lower() in (".pkl", ".pickle"):
        raise ValueError(f"{path}: a Python pickle, {_pickle_advice(path)}")
    # Other forms are told by the ending.
    readers = {".mat": _read_mat, ".npz": _read_npz, ".npy": _read_npy, ".json": _read_json}
    readers |= {".txt": _read_text, ".csv": _read_text}
    if path.suffix.lower() not in readers:
        raise ValueError(f"{path}: {path.suffix or 'no ending'}; {EXPECTED}")
    return readers[path.suffix.lower()](path)


def _pickle_advice(path: pathlib.Path) -> str:
    """How to convert a pickle to a form that is read."""
    to = path.with_name(f"{path.stem}_labels")
    return (
        "which can run code when it is opened, so it is not read. If you trust who made it, "
        "convert it once: python -c \"import pickle, numpy as np; x = pickle.load(open('"
        f"{path}', 'rb')); np.savez('{to}.npz', **{{str(k): v for k, v in x.items()}}) "
        "if isinstance(x, dict) else "
        f"np.save('{to}.npy', np.concatenate([np.ravel(v) for v in x]))\""
    )


def _read_folder(folder: pathlib.Path) -> dict:
    """Reads the labels of a folder with a file for each video; hidden files are passed over."""
    rows: dict[str, np.ndarray] = {}
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    for path in paths:
        if path.suffix.lower() not in (".npy", ".txt", ".csv"):
            raise ValueError(f"{path}: not VIDEO.npy, VIDEO.txt or VIDEO.csv; move it elsewhere")
        if path.stem in rows:
            raise ValueError(f"{path}: {path.stem} has labels in another file too; keep one")
        rows[path.stem] = read_row(path)
    if not rows:
        raise ValueError(f"{folder}: empty; expected the labels of each video, VIDEO.npy")
    return rows


def _row(where: str, values) -> np.ndarray:
    """Labels [T], [1, T] or [T, 1] as uint8 [T].

    Raises:
      ValueError: another shape, or values other than 0 and 1.
    """
    if isinstance(values, list) and len({isinstance(value, bool) for value in values}) > 1:
        raise ValueError(f"{where}: some labels are true or false and some are numbers")
    try:
        row = np.asarray(values)
    except ValueError as error:  # lists of several lengths
        raise ValueError(f"{where}: not a row of labels ({error})") from error
    if (
        row.dtype.kind not in "buif"
        or row.ndim not in (1, 2)
        or row.ndim == 2
        and 1 not in row.shape
    ):
        raise ValueError(f"{where}: {row.dtype} {row.shape}; expected [frames] or [1, frames]")
    row = row.reshape(-1)
    if not np.isin(row, (0, 1)).all():
        raise ValueError(f"{where}: labels other than 0 and 1 (1 = anomalous)")
    return row.astype(np.uint8)


def _read_npy(path: pathlib.Path) -> np.ndarray:
    """Reads one row of labels."""
    to = path.with_name(f"{path.stem}_row.npy")
    try:
        return _row(str(path), read_npy(path))
    except HoldsObjects as error:
        raise ValueError(
            f'{error}. If you trust who made it, convert it once: python -c "import numpy as np; '
            f"x = np.load('{path}', allow_pickle=True); "
            f"np.save('{to}', np.concatenate([np.ravel(v) for v in x]))\""
        ) from error


def _read_npz(path: pathlib.Path) -> dict:
    """Reads rows by name."""
    arrays = read_npz(path, MAX_BYTES)
    return {name: _row(f"{path}: {name}", array) for name, array in arrays.items()}


def _read_json(path: pathlib.Path) -> dict | list | np.ndarray:
    """Reads rows or intervals by name, a list of rows, or one row of all videos."""
    try:
        content = json_files.read(path, most=MAX_BYTES)
    except ValueError as error:
        raise ValueError(f"{error}; {EXPECTED}") from error
    if isinstance(content, dict):
        rows = {name: _json_row(f"{path}: {name}", row) for name, row in content.items()}
        if len({type(row) for row in rows.values()}) > 1:
            raise ValueError(
                f"{path}: some videos have labels, others intervals; expected one form"
            )
        return rows
    if isinstance(content, list) and content and all(isinstance(row, list) for row in content):
        return [_row(f"{path}: row {rank}", row) for rank, row in enumerate(content, 1)]
    return _row(str(path), content)


def _json_row(where: str, row) -> np.ndarray | Intervals:
    """The labels of a video, or its intervals."""
    if isinstance(row, dict) and "intervals" in row:
        return _counted_intervals(where, row)
    if isinstance(row, dict):
        if "labels" not in row:
            raise ValueError(f"{where}: has {_listed(row)}; expected labels, or intervals")
        row, count = _row(where, row["labels"]), row.get("num_frames")
        if count is not None and count != len(row):
            raise ValueError(f"{where}: num_frames {count}, but {len(row):,} labels")
        return row
    # Lists of two numbers are intervals; a single list of another length is one row [1, T].
    pairs = isinstance(row, list) and all(isinstance(pair, list) for pair in row)
    if not pairs or len(row) == 1 and len(row[0]) != 2:
        return _row(where, row)
    return _intervals(where, row)


def _intervals(where: str, row) -> Intervals:
    """Intervals of a list of lists; raises ValueError for anything but pairs of whole numbers."""
    if not isinstance(row, list) or not all(
        isinstance(pair, list) and len(pair) == 2 and all(type(end) is int for end in pair)
        for pair in row
    ):
        raise ValueError(f"{where}: expected labels, or intervals [start, stop] of whole numbers")
    return Intervals(map(tuple, row))


def _counted_intervals(where: str, row: Mapping) -> np.ndarray:
    """The labels of a video by its number of frames and its intervals."""
    frames = row.get("frames")
    if type(frames) is not int or not 1 <= frames <= MAX_BYTES:
        raise ValueError(f"{where}: intervals with frames {frames!r:.40}; expected their number")
    return _fill(where, _intervals(where, row["intervals"]), frames)


def _read_text(path: pathlib.Path) -> dict | np.ndarray:
    """Reads lines of a name and labels, or numbers alone."""
    lines = split(read_text(path))
    rows: dict[str, np.ndarray] = {}
    numbers: list[float] = []
    for at, line in enumerate(lines, 1):
        fields = line.replace(",", " ").replace(";", " ").split()
        # A line of labels alone, else a name and its labels.
        if fields and None not in (values := [_label(field) for field in fields]):
            numbers += values
        elif fields:
            name = fields[0].removesuffix(":")
            if name in rows:
                raise ValueError(f"{path}:{at}: {name} has a line already")
            rows[name] = _row(f"{path}:{at}", [_number(path, at, field) for field in fields[1:]])
    # Lines of both kinds, or of none, say nothing for certain.
    if bool(rows) == bool(numbers):
        raise ValueError(
            f"{path}: {'some lines with a name and some without' if rows else 'empty'}; expected "
            "lines VIDEO,0,0,1,… or labels alone"
        )
    return rows or _row(str(path), numbers)


def _label(field: str) -> float | None:
    """The number in a field that cannot be a name, such as 0, 1.0 or 1e0; None for 01 and text."""
    is_number = field in ("0", "1") or "." in field or "e" in field.lower()
    with contextlib.suppress(ValueError):
        return float(field) if is_number else None
    return None


def _number(path: pathlib.Path, line: int, field: str) -> float:
    """The number in a field behind a name; raises ValueError if there is none."""
    try:
        return float(field)
    except ValueError as error:
        raise ValueError(f"{path}:{line}: {field[:40]!r} is not a label 0 or 1") from error


def _read_mat(path: pathlib.Path) -> dict | list | np.ndarray:
    """Reads rows by the names of variables or fields, or a list of rows or intervals from cells."""
    arrays = read_mat(path)
    if len(arrays) == 1:
        ((name, array),) = arrays.items()
        first = array.flat[0] if array.dtype == object and array.size else None
        if isinstance(first, dict) and array.size == 1:  # one struct with a field for each video
            arrays = first
        elif first is not None:
            return _cells(f"{path}: {name}", array.reshape(-1, order="F"))
    if not arrays:
        raise ValueError(f"{path}: holds no array; {EXPECTED}")
    return {name: _row(f"{path}: {name}", value) for name, value in arrays.items()}


def _cells(where: str, cells: np.ndarray) -> list:
    """Cells of videos: all are rows of labels, or all are intervals [2, n], inclusive from 1."""
    shapes = [np.shape(cell) for cell in cells]
    if not all(len(shape) == 2 and (shape[0] == 2 or 0 in shape) for shape in shapes):
        return [_row(f"{where}, cell {rank}", cell) for rank, cell in enumerate(cells, 1)]
    _note(f"{where}: taken as first and last anomalous frames, [2, n] a video, that count from 1")
    videos = []
    for rank, cell in enumerate(cells, 1):
        ends = np.asarray(cell).reshape(2, -1)
        if ends.dtype.kind not in "uif" or (ends != np.floor(ends)).any():
            raise ValueError(f"{where}, cell {rank}: {ends.dtype}; expected whole numbers [2, n]")
        videos.append(Intervals((int(first) - 1, int(last)) for first, last in ends.T))
    return videos
