"""What of a run can be made again, and its removal.

Removed are only

objects/       of a finished run whose dataset is still there: found again when they are needed
features/, clusters_VERSION/
               of such a run of EVAL (system `exemplar`); the model and all scores stay
toy_data/      of a run whose config names no dataset: made again by the next command
unfinished     what a kill has left: `.NAME.tmp`, half-written checkpoints, a lock without program

Scores, reports, figures, checkpoints and finished states are never touched.
"""

import os
import pathlib
import re
import shutil
from typing import NamedTuple

from vadjax.formats.regular import is_there
from vadjax.runs import folders
from vadjax.runtime import layout, lock, replacing, space

MANIFEST = "manifest.json"  # of a dataset
VERSION = re.compile(r"\w+")  # `model.version` of a run of EVAL
HIDDEN_FOLDER = re.compile(r"\.(?P<name>.+)\.(?:tmp|old|gone)")  # as `replacing.folder` leaves them
HIDDEN_FILE = re.compile(r"\..+\.tmp(?:\.\w+)?")  # as `replacing.file` does


class Piece(NamedTuple):
    """Something that can be made again.

    Attributes:
      path: of the file or folder.
      what: what it is, in words.
      size: its bytes.
    """

    path: pathlib.Path
    what: str
    size: int


def find(run: pathlib.Path) -> tuple[list[Piece], list[str]]:
    """What of a run can be removed, and why the rest of what could be made again is kept.

    Args:
      run: folder of a run that no program uses.
    """
    found, kept = [], []
    finished = (run / layout.FINISHED).is_dir() and not folders.damages(run)
    # Object caches and toy sets, if they can really be made again.
    made = _keeps_made(run, finished)
    for name, what, reason in (
        (layout.OBJECTS, "objects of the videos", made),
        *((name, what, made) for name, what in _stages(run)),
        (layout.TOY, "the built-in toy set", _keeps_toy(run)),
    ):
        path = run / name
        if path.is_dir() and not path.is_symlink():
            if reason:
                kept.append(f"{path}: kept, {reason}")
            else:
                found.append(Piece(path, what, folders.size_of(path)))
    # What a kill has left, wherever it is in the run.
    found += [
        Piece(path, "unfinished", folders.size_of(path))
        for path in _unfinished(run)
        if not any(path.is_relative_to(piece.path) for piece in found)
    ]
    return found, kept


def _stages(run: pathlib.Path) -> list[tuple[str, str]]:
    """Folders of the stages of EVAL that a finished run does not need, and what is in them."""
    config = folders.config_of(run)
    if config.get("system") != "exemplar":
        return []
    version = (config.get("model") or {}).get("version", "")
    if not VERSION.fullmatch(str(version)):  # of a stranger's config, which names no other folder
        return []
    clusters = layout.CLUSTERS.format(version=version), "exemplars of each training video"
    own = not (config.get("features") or {}).get("dir")  # else they are shared, and not here
    return [(layout.FEATURES, "features of the videos")] * own + [clusters]


def _keeps_made(run: pathlib.Path, finished: bool) -> str:
    """Why what was found in the videos is kept; empty if it can be found again."""
    if not finished:
        return "since the run is not finished and goes on with them"
    config, described = folders.config_of(run), folders.dataset_of(run)
    if _names_no_dataset(config):
        return ""
    place = described.get("folder", "")
    if not place or not (pathlib.Path(place) / MANIFEST).is_file():
        return f"since the dataset that they were found in is not there ({place or 'unknown'})"
    return ""


def _keeps_toy(run: pathlib.Path) -> str:
    """Why the toy set in a run is kept; empty if it can be made again."""
    if not _names_no_dataset(folders.config_of(run)):
        return "since no config here says that it is the built-in one"
    return ""


def _names_no_dataset(config: dict) -> bool:
    return bool(config) and not config.get("data", {}).get("dir")


def _unfinished(run: pathlib.Path) -> list[pathlib.Path]:
    """What killed programs have left in a run."""
    left = []
    for place, below, names in os.walk(run):
        folder = pathlib.Path(place)
        for name in list(below):
            path = folder / name
            half = folder == run / layout.CHECKPOINTS and layout.HALF in name
            passing = path == run / layout.PASSING
            if not path.is_symlink() and (half or passing or _is_left_over(path)):
                left.append(path)
                below.remove(name)  # it goes as a whole
        hidden = (folder / name for name in names if HIDDEN_FILE.fullmatch(name))
        left += [path for path in hidden if path.is_file() and not path.is_symlink()]
    if (run / layout.LOCK).is_file():
        left.append(run / layout.LOCK)
    return sorted(left)


def _is_left_over(path: pathlib.Path) -> bool:
    """Whether `replacing` has left a folder; not if it is the only copy of what was replaced."""
    hidden = HIDDEN_FOLDER.fullmatch(path.name)
    if not hidden:
        return False
    return not path.name.endswith(".old") or is_there(path.with_name(hidden["name"]))


def remove(run: pathlib.Path) -> tuple[list[Piece], list[str]]:
    """Removes what can be made again, while no program can use the run.

    Returns:
      What was removed, and why something was kept.

    Raises:
      vadjax.runtime.lock.Held: a program uses the run.
      vadjax.runtime.space.NotWritten: the folder cannot be written.
    """
    with space.naming(run), lock.held(run / layout.LOCK, str(run)) as locked:
        if not locked:
            return [], [f"{run}: kept, since this file system has no locks that tell if it is used"]
        removed = []
        found, kept = find(run)
        for piece in found:
            try:
                _remove(run, piece.path)
                removed.append(piece)
            except (BlockingIOError, lock.Held):
                kept.append(f"{piece.path}: kept, since a program writes it now")
        return [piece for piece in removed if piece.path != run / layout.LOCK], kept


def _remove(run: pathlib.Path, path: pathlib.Path) -> None:
    """Removes a piece.

    Raises:
      vadjax.runtime.lock.Held, BlockingIOError: a program writes it.
    """
    if path == run / layout.LOCK:
        return  # it goes with the lock that is held now
    if not path.is_dir():
        handle = lock.take(path)
        path.unlink(missing_ok=True)
        if handle is not None:
            os.close(handle)
    elif hidden := HIDDEN_FOLDER.fullmatch(path.name):
        replacing.clear(path.with_name(hidden["name"]))
    else:
        shutil.rmtree(path)
