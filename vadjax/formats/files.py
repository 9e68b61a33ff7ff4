"""Folders with one file for each video, and perhaps a readme or a list of classes among them."""

import re
from collections.abc import Sequence
from pathlib import Path

from vadjax.formats.columns import canonical, frame_number, heading
from vadjax.formats.folders import visible
from vadjax.formats.regular import check_regular
from vadjax.formats.text import COMMENTS, note, read_lines

TEXT = (".txt", ".csv")
# Names of files that are about the others
ABOUT = re.compile(
    r"read.?me|licen[cs]e|copying|notes?$|about|change|citation|classes|labels$|format|info$|"
    r"description|obj\.names",
    re.IGNORECASE,
)
FEW_NUMBERS = 3  # most numbers (or known names) of a line of prose; a row of boxes has more


def list_files(folder: Path, endings: Sequence[str]) -> dict[str, Path]:
    """Lists the files with one of the endings, name of the video → path.

    A text file whose name says that it is about the others, and that holds no row of numbers, is
    passed over with a note.

    Raises:
      FileNotFoundError: no such folder, or no such file in it.
      ValueError: the files have different endings, or a folder has the name of a file.
    """
    paths = [path for path in visible(folder) if path.suffix.lower() in endings]
    for path in filter(Path.is_dir, paths):  # other things are refused where they are read
        check_regular(path)
    about = [path for path in paths if ABOUT.search(path.stem) and not holds_rows(path)]
    for path in about:
        note(f"{path}: holds no row of numbers, so it is passed over; it is no video")
    paths = [path for path in paths if path not in about]
    if not paths:
        raise FileNotFoundError(f"{folder}: no files {' or '.join(f'*{end}' for end in endings)}")
    # Two endings could be two files of one video.
    if len(kinds := sorted({path.suffix for path in paths})) > 1:
        raise ValueError(f"{folder}: holds {' and '.join(kinds)} files; expected one kind")
    return {path.stem: path for path in paths}


def holds_rows(path: Path) -> bool:
    """Whether a text file has a heading of boxes or a line with more numbers than prose has.

    An empty file counts as one with rows: it is a video without boxes.

    Raises:
      OSError, ValueError: as `read_lines`.
    """
    if path.suffix.lower() not in TEXT:
        return True
    lines = read_lines(path)
    known_names = (
        [name for name in canonical(heading(lines[0].text) or ()) if name] if lines else []
    )
    rows = (_numbers(line.text) > FEW_NUMBERS for line in lines)
    return not lines or len(known_names) > FEW_NUMBERS or any(rows)


def _numbers(line: str) -> int:
    """How many numbers a line holds."""
    fields = re.split(r"[\s,;|]+", line.strip("".join(COMMENTS)))
    return sum(frame_number(field) is not None for field in fields)
