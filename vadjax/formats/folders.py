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


def natural(path: pathlib.Path) -> list:
    """Sorting key: text as it is, numbers by value; equals text order for padded numbers."""
    parts = re.split(r"(\d+)", path.name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)] + [path.name]
