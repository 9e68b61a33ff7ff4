"""Content of folders, in the order in which people read names."""

import pathlib
import re

IGNORED = ("thumbs.db", "desktop.ini")  # left by file browsers, as names that begin with a dot


def visible(folder: pathlib.Path) -> list[pathlib.Path]:
    """The entries of a folder in natural order, without those that file browsers leave behind.

    Raises:
      FileNotFoundError: no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    entries = [
        path
        for path in folder.iterdir()
        if not path.name.startswith(".") and path.name.lower() not in IGNORED
    ]
    return sorted(entries, key=natural)


def subfolders(folder: pathlib.Path, named: str) -> list[pathlib.Path]:
    """The folders in a folder, in natural order; files beside them are passed over.

    Args:
      folder: folder to look in.
      named: regular expression of names that only folders may have.

    Raises:
      FileNotFoundError: no such folder.
      ValueError: something else than a folder has such a name.
    """
    entries = visible(folder)
    for path in entries:
        if not path.is_dir() and re.fullmatch(named, path.name):
            raise ValueError(f"{path}: no folder; expected one of pictures. Copy it again")
    return [path for path in entries if path.is_dir()]


def natural(path: pathlib.Path) -> list:
    """Sorting key: text as it is, numbers by value; equals text order for padded numbers."""
    parts = re.split(r"(\d+)", path.name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)] + [path.name]
