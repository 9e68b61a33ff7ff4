"""Runs as they lie on the disk: where they are, how large, and in what state."""

import os
import pathlib
import stat
from collections.abc import Iterator
from typing import Literal, NamedTuple

from vadjax.formats import json_files
from vadjax.formats.regular import is_there
from vadjax.report.comparison import read_run
from vadjax.report.table import NONE, number
from vadjax.runtime import checksums, layout, lock, provenance

State = Literal["finished", "unfinished", "damaged", "in use"]
BESIDE = (layout.DATASET, layout.METRICS, provenance.FILE, layout.FINISHED)  # the config
DEEPEST = 8  # folders below the one that is searched
FIGURES = ("auc", "ap", "rbdc", "tbdc")  # that are listed
CONFIG = {"system": str, "data?": {"dir?": str, ...: object}, ...: object}
LOCK = {"host": str, "pid": int, "since": str}
DATASET = {"folder": str, "manifest?": {"name?": str, ...: object}, ...: object}


class RunFolder(NamedTuple):
    """A run on the disk.

    Attributes:
      path: its folder.
      size: bytes of all its files.
      state: `in use` by a program that runs; else `damaged` where a file that is checked is not as
        it was written; `finished`; or `unfinished`.
      detail: who uses it, what is damaged, what is saved, or that it could not be checked.
      system: of its config; a dash if unknown.
      data: name of its dataset; a dash if unknown.
      figures: some figures, in words; empty where nothing was measured.
    """

    path: pathlib.Path
    size: int
    state: State
    detail: str
    system: str
    data: str
    figures: str


def find(root: pathlib.Path) -> Iterator[pathlib.Path]:
    """The runs at a folder or below it, in the order of their names.

    Folders within a run are not searched, hidden ones neither, and links are not followed.

    Raises:
      FileNotFoundError, NotADirectoryError: no such folder.
      OSError: it cannot be read.
    """
    if not root.exists():
        raise FileNotFoundError(f"{root}: no such folder; name the folder that your runs are in")
    if not root.is_dir():
        raise NotADirectoryError(f"{root}: a file; name the folder that your runs are in")
    yield from _find(root, DEEPEST)


def _find(folder: pathlib.Path, deeper: int) -> Iterator[pathlib.Path]:
    if is_run(folder):
        yield folder
        return
    with os.scandir(folder) as entries:
        names = sorted(
            entry.name
            for entry in entries
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
        )
    for name in names if deeper else ():
        try:
            yield from _find(folder / name, deeper - 1)
        except PermissionError:
            continue  # another user's


def is_run(folder: pathlib.Path) -> bool:
    """Whether a folder is that of a run: one that has begun, or one that a program has just locked.

    Raises:
      OSError: it cannot be read.
    """
    names = set(os.listdir(folder))
    begun = layout.CONFIG in names or layout.CHECKPOINTS in names
    if begun and not names.isdisjoint(BESIDE):
        return True
    return layout.LOCK in names and bool(_json(folder / layout.LOCK, LOCK))


def read(folder: pathlib.Path) -> RunFolder:
    """What is known of a run; nothing in the folder is changed, and a damaged one is no error."""
    size = size_of(folder)
    system, data = _about(folder)
    holder = lock.in_use(folder / layout.LOCK)
    problems = [] if holder else damages(folder)
    if holder:
        state, detail = "in use", holder
    elif problems:
        state, detail = "damaged", "; ".join(problems)
    elif (folder / layout.FINISHED).is_dir():
        unchecked = not (folder / layout.FINISHED / checksums.FILE).is_file()
        state = "finished"
        detail = "not checked, since a state of an older vadjax has no sums" if unchecked else ""
    else:
        steps = _steps(folder)
        state, detail = "unfinished", f"step {max(steps):,} is saved" if steps else "nothing saved"
    return RunFolder(folder, size, state, detail, system, data, _figures(folder))


def size_of(path: pathlib.Path) -> int:
    """Bytes of a file, or of all files below a folder; links count as nothing."""
    total = 0
    for file in files_below(path):
        try:
            status = file.lstat()
        except OSError:
            continue  # it has gone meanwhile
        total += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return total


def files_below(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """All that is no folder below a folder, or the path itself if it is none."""
    if path.is_symlink() or not path.is_dir():
        yield path
        return
    for place, _, names in os.walk(path):
        yield from (pathlib.Path(place, name) for name in names)


def damages(folder: pathlib.Path) -> list[str]:
    """What in a run is not as it was written, one text for each file or folder.

    Checked are the config, the figures, the finished state and the newest checkpoint, with their
    sums.
    """
    # Files that are read anyway, by their readers
    problems = []
    for name, pattern in ((layout.CONFIG, CONFIG), (layout.DATASET, DATASET)):
        if is_there(folder / name):
            try:
                json_files.read(folder / name, pattern)
            except (OSError, ValueError) as error:
                problems.append(str(error))
    if is_there(folder / layout.METRICS):
        try:
            read_run(folder)
        except (OSError, ValueError) as error:
            problems.append(str(error))
    # States, by the sums beside them
    states = [folder / layout.FINISHED]
    states += [folder / layout.CHECKPOINTS / str(step) for step in _steps(folder)[-1:]]
    for place in states:
        try:
            if place.is_dir():
                checksums.check(place)
        except (OSError, ValueError) as error:
            problems.append(f"{place}: {error}")
    return list(dict.fromkeys(problems))


def _steps(folder: pathlib.Path) -> list[int]:
    """The steps that are saved."""
    place = folder / layout.CHECKPOINTS
    names = [path.name for path in place.iterdir()] if place.is_dir() else []
    return sorted(int(name) for name in names if name.isascii() and name.isdecimal())


def _about(folder: pathlib.Path) -> tuple[str, str]:
    """System and name of the dataset of a run; dashes where they cannot be read."""
    config, described = config_of(folder), dataset_of(folder)
    name = (described.get("manifest") or {}).get("name", NONE)
    return config.get("system", NONE), name


def config_of(folder: pathlib.Path) -> dict:
    """The config of a run; empty if there is none that can be read."""
    return _json(folder / layout.CONFIG, CONFIG)


def dataset_of(folder: pathlib.Path) -> dict:
    """What is known of the dataset of a run; empty if nothing that can be read."""
    return _json(folder / layout.DATASET, DATASET)


def _json(path: pathlib.Path, pattern: dict) -> dict:
    try:
        return json_files.read(path, pattern)
    except (OSError, ValueError):
        return {}


def _figures(folder: pathlib.Path) -> str:
    """Some figures of a run, in words."""
    try:
        metrics = read_run(folder).summary["metrics"]
    except (OSError, ValueError):
        return ""
    shown = [
        f"{name.upper()} {number(metrics[name])}"
        for name in FIGURES
        if metrics.get(name) is not None
    ]
    if not shown and isinstance(metrics.get("videos"), int | float):
        return f"no labels, {metrics['videos']:,.0f} videos"
    return ", ".join(shown)
