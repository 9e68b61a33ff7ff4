"""Tables of boxes as text, one row for each box: headings, rows and columns.

A first line without any number is a heading, which says what the columns hold (`columns`); so is a
comment line of names, as `numpy.savetxt` writes it. Other lines that begin with # or % are passed
over.
"""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vadjax.formats.columns import Layout, canonical, delimiter, frame_number, heading, number
from vadjax.formats.text import COMMENTS, Line, read_text, split

BEYOND = 0.25  # share of the frame by which a detected box may reach over its edge
KNOWN_IN_COMMENT = 4  # so many known names, or more, make a comment a heading


class Table(NamedTuple):
    """The rows of a file.

    Attributes:
      path: path of the file.
      layout: what its columns hold, by its heading if it has one.
      rows: float64 [n, columns] as in the file; NaN in columns that are not used.
      place: number of a row → where it stands, for messages; None to look for its line in the file.
    """

    path: Path
    layout: Layout
    rows: np.ndarray
    place: Callable[[int], str] | None = None

    @property
    def shares(self) -> bool:
        """Whether all coordinates lie between 0 and 1, as those in pixels do not.

        Detectors may put edges a little outside the frame; where coordinates have fractions, up to
        `BEYOND` outside is allowed.
        """
        values = self.rows[:, self.layout.coordinates]
        beyond = BEYOND if self.fractions else 0
        return bool(((values >= -beyond) & (values <= 1 + beyond)).all())

    @property
    def fractions(self) -> bool:
        """Whether any coordinate is not a whole number."""
        values = self.rows[:, self.layout.coordinates]
        return bool((values != np.floor(values)).any())


def parse(path: Path, layout: Layout) -> Table:
    """Reads the numbers of a file.

    Raises:
      OSError, ValueError: the file cannot be read or is not text, its heading names other columns,
        or a row has another number of columns or something that is not a number. The message names
        file and line.
    """
    layout, before, lines = _below_heading(path, layout)
    remedy = f"; {layout.flags[0]} names others" if layout.flags[0] else ""
    rows = numbers(path, lines, before, layout.columns, layout.numbers, remedy)
    return Table(path, layout, rows)


def numbers(
    path: Path,
    lines: Sequence[str],
    before: int,
    columns: Sequence[str],
    used: Sequence[int],
    remedy: str = "",
) -> np.ndarray:
    """The numbers in the lines of a file, float64 [n, columns]; NaN in columns that are not used.

    Args:
      path: path of the file, for messages.
      lines: rows, blank lines and comments.
      before: number of lines of the file above them.
      columns: names of the columns.
      used: indices of the columns that hold numbers.
      remedy: what to do about another number of columns, for messages.

    Raises:
      ValueError: a row has another number of columns, or something that is not a number. The
        message names file and line.
    """
    rows = quickly(lines, len(columns))
    return (
        _carefully(path, kept_lines(lines, before), columns, used, remedy) if rows is None else rows
    )


def words(path: Path, layout: Layout, wanted: Sequence[str]) -> list[tuple[int, list[str]]]:
    """Reads some columns of a file that `parse` can read, as text.

    Args:
      path: the file.
      layout: what its columns hold where no heading says it.
      wanted: columns to return, by their names in `columns` (`track`, not `track_id`).

    Returns:
      Number of the line (from 1) and its fields, for every row.
    """
    layout, before, lines = _below_heading(path, layout)
    at = [layout.names.index(name) for name in wanted]
    kept = kept_lines(lines, before)
    mark = delimiter(kept[0].text) if kept else None
    rows = [(line.number, line.text.split(mark)) for line in kept]
    return [(number, [fields[i].strip() for i in at]) for number, fields in rows]


def refuse(table: Table, wrong: np.ndarray, what: str) -> None:
    """Raises ValueError with place and text of the first wrong row, if there is one.

    Args:
      table: the table.
      wrong: bool [n], which rows are wrong.
      what: what is wrong with them.
    """
    if not wrong.any():
        return
    at = int(np.argmax(wrong))
    if table.place is not None:
        values = ", ".join(f"{value:g}" for value in table.rows[at])
        raise ValueError(f"{table.place(at)}: {what}: {values} ({table.layout})")
    _, before, lines = _below_heading(table.path, table.layout)
    line = kept_lines(lines, before)[at]
    raise ValueError(f"{table.path}:{line.number}: {what}: {line.text[:80]!r}")


def _below_heading(path: Path, layout: Layout) -> tuple[Layout, int, list[str]]:
    """The layout by the heading, the number of lines above the rows, and the lines of the rows."""
    lines = split(read_text(path))
    for at, text in enumerate(map(str.strip, lines)):
        comment = text.startswith(COMMENTS)
        names = heading(text.lstrip("".join(COMMENTS)).strip())
        # A comment may be prose, so it needs some known names to be a heading.
        if comment and names:
            known_names = sum(name is not None for name in canonical(names))
            names = names if known_names >= KNOWN_IN_COMMENT else None
        if names:
            try:
                layout = layout.follow(names)
            except ValueError as error:
                raise ValueError(f"{path}:{at + 1}: {error}") from error
        # The rows begin here, or below if this line is the heading.
        if text and not comment:
            start = at + bool(names)
            return layout, start, lines[start:]
    return layout, len(lines), []


def kept_lines(lines: Sequence[str], before: int) -> list[Line]:
    """The lines that hold a row, neither blank nor comments; `before` lines are above them."""
    stripped = (Line(i, line.strip()) for i, line in enumerate(lines, before + 1))
    return [line for line in stripped if line.text and not line.text.startswith(COMMENTS)]


def quickly(lines: Sequence[str], width: int) -> np.ndarray | None:
    """Parses rows of numbers and nothing else, the common case.

    Args:
      lines: lines of text; blank ones are passed over.
      width: number of columns.

    Returns:
      float64 [n, width]; None if the lines hold anything else.
    """
    first = next(filter(str.strip, lines), "")
    if len(first.split(delimiter(first))) != width:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            rows = np.loadtxt(lines, delimiter=delimiter(first), comments=None, ndmin=2)
    except (ValueError, UserWarning):
        return None
    return rows if rows.shape[1] == width else None


def _carefully(
    path: Path, lines: Sequence[Line], columns: Sequence[str], used: Sequence[int], remedy: str
) -> np.ndarray:
    """Parses any rows; raises ValueError with the first that cannot be used."""
    rows = np.full((len(lines), len(columns)), np.nan)
    mark, names = (delimiter(lines[0].text) if lines else None), canonical(columns)
    for row, line in zip(rows, lines, strict=True):
        fields = line.text.split(mark)
        if len(fields) != len(columns):
            raise ValueError(
                f"{path}:{line.number}: {len(fields)} columns, expected {len(columns)} "
                f"({','.join(columns)}): {line.text[:80]!r}{remedy}"
            )
        # Other columns may hold anything.
        for i in used:
            convert = frame_number if names[i] == "frame" else number
            if (value := convert(fields[i])) is None:
                raise ValueError(
                    f"{path}:{line.number}: {columns[i]} {fields[i].strip()[:40]!r} is not a number"
                )
            row[i] = value
    return rows
