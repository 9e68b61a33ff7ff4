"""Names of videos, classes, scenes and arrays that come from files and become names of files.

A name from a stranger's manifest, list or archive is joined to a folder, and a file of that name is
written. So the name may not lead out of the folder, be hidden, or be too long for a file system.
"""

import re

MOST_BYTES = 200  # of a part; file systems take 255, with endings such as .reasons.jsonl
MOST_PARTS = 16  # of a nested name
# No leading dot, no separators, no control characters, and no surrogates, which UTF-8 lacks
PART = re.compile(r"(?!\.)[^/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
DRIVE = re.compile(r"[A-Za-z]:")


def check_name(name: object, where: object, what: str = "video", nested: bool = False) -> str:
    """Returns the name, if a file below a folder can have it.

    Args:
      name: the name in a file.
      where: the file that holds the name, for messages.
      what: what has the name, for messages.
      nested: whether it may have several parts with "/" between them, CLASS/NAME.

    Raises:
      ValueError: no file can have it; the message has the file, the name and the reason.
    """
    if type(name) is str and len(name) <= MOST_BYTES // 4 and PART.fullmatch(name):
        if name[1:2] != ":":  # the usual case, which is quick since there are many records
            return name
    if reason := wrong_with(name, nested):
        raise ValueError(
            f"{where}: {what} name {shorten(name)} cannot be the name of a file: {reason}. Is the "
            "file from a source that you trust? Rename it there, or prepare it again"
        )
    return name


def wrong_with(name: object, nested: bool = False) -> str | None:
    """Why no file below a folder can have the name; None if it can. `nested` is as above."""
    if not isinstance(name, str):
        return f"it is no text but {type(name).__name__}"
    parts = name.split("/") if nested else [name]
    if len(parts) > MOST_PARTS:
        return f"it has {len(parts):,} parts, expected {MOST_PARTS} at most"
    if name.startswith("/") or DRIVE.match(name):
        return "it is an absolute path"
    return next(filter(None, map(_wrong_part, parts)), None)


def shorten(name: object, most: int = 80) -> str:
    """A name as a message shows it: quoted, its control characters escaped, not too long."""
    shown = ascii(name) if isinstance(name, str) and not name.isprintable() else repr(name)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def _wrong_part(part: str) -> str | None:
    """Why no file or folder can have a part of a name as its name; None if it can."""
    if not part:
        return "it is empty, or has an empty part"
    if part in (".", ".."):
        return f"its part {part!r} leads out of the folder"
    if part.startswith("."):
        return "it begins with a dot, as hidden and unfinished files do"
    if not PART.fullmatch(part):
        return "it has a slash, a backslash or characters that cannot be shown"
    if len(part.encode()) > MOST_BYTES:
        return f"it has {len(part.encode()):,} bytes, expected {MOST_BYTES} at most"
    return None
