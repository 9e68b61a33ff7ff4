"""What lies in a folder, in the order that people read it in."""

import pathlib
import re

IGNORED = ("thumbs.db", "desktop.ini")  # and names that begin with a dot: left by file browsers


def visible(folder: pathlib.Path) -> list[pathlib.Path]:
    """What a folder holds, in natural order, without what file browsers leave behind.

    Raises:
      FileNotFoundError: no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    found = [
        path
        for path in folder.iterdir()
        if not path.name.startswith(".") and path.name.lower() not in IGNORED
    ]
    return sorted(found, key=natural)


def subfolders(folder: pathlib.Path, named: str) -> list[pathlib.Path]:
    """The folders in a folder, in natural order; files beside them are passed over.

    Args:
      folder: where.
      named: regular expression of the names that only folders may have.

    Raises:
      FileNotFoundError: no such folder.
      ValueError: something else has such a name.
    """
    found = visible(folder)
    for path in found:
        if not path.is_dir() and re.fullmatch(named, path.name):
            raise ValueError(f"{path}: no folder; expected one of pictures. Copy it again")
    return [path for path in found if path.is_dir()]


def natural(path: pathlib.Path) -> list:
    """Sorting key: text as it is, numbers by value; equals text order for padded numbers."""
    parts = re.split(r"(\d+)", path.name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)] + [path.name]
