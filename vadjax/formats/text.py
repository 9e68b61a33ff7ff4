"""Lines of text files that other programs wrote: encodings, byte-order marks, blank lines, sizes.

Text is UTF-8, with or without a byte-order mark (Notepad, Excel), or UTF-16 or UTF-32 with one.
Anything else is refused by name and not guessed: bytes of another encoding can be letters of this.
"""

import codecs
import contextlib
import pathlib
import sys
from collections.abc import Iterator
from typing import NamedTuple

from vadjax.formats.regular import read_bytes

MOST_BYTES = 2**30  # of one file
# The longer marks first: that of UTF-32 begins as that of UTF-16 does
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
COMMENTS = ("#", "%")
_waiting: list[list[str]] = []  # notes of the blocks of `notes_last` that are open


class Line(NamedTuple):
    """A line of a text file.

    Attributes:
      number: from 1, as editors count.
      text: without blanks at both ends.
    """

    number: int
    text: str


def read_text(path: pathlib.Path, most: int = MOST_BYTES) -> str:
    """The text of a file, without a byte-order mark.

    Args:
      path: of the file.
      most: bytes that it may have.

    Raises:
      OSError: it cannot be read.
      ValueError: it is larger, no regular file, or not text; names the file and, where there is
        one, the line.
    """
    return decode(read_bytes(path, most), path)


def decode(content: bytes, path: object) -> str:
    """The text of these bytes, without a byte-order mark; `path` they are from, for messages.

    Raises:
      ValueError: not text; names the file and, where there is one, the line.
    """
    encoding = next((name for mark, name in MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}: not a text file in UTF-8 ({error.reason}, line {line}); save it as UTF-8"
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(
            f"{path}:{line}: a zero byte, so this is no text in UTF-8; save it as UTF-8, or move "
            "the file elsewhere"
        )
    return text


def read_lines(path: pathlib.Path, comments: tuple[str, ...] = COMMENTS) -> list[Line]:
    """The lines of a file that hold something.

    Args:
      path: of the file.
      comments: lines that begin with one of these are left out.

    Raises:
      OSError, ValueError: as `read_text`.
    """
    lines = (Line(number, line.strip()) for number, line in enumerate(split(read_text(path)), 1))
    return [line for line in lines if line.text and not line.text.startswith(comments)]


def read_names(path: pathlib.Path) -> list[str]:
    """The lines of a file by their numbers, as of classes: blank ones too, but not after the last.

    Raises:
      OSError, ValueError: as `read_text`.
    """
    lines = split(read_text(path))
    return lines if lines[-1] else lines[:-1]


def split(text: str) -> list[str]:
    """Lines as editors count them: ended by LF, CR LF or CR, and by nothing else."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def note(text: str) -> None:
    """Says on one line of the standard error what was assumed or passed over."""
    if _waiting:
        _waiting[-1].append(text)
    else:
        print(f"note: {text}", file=sys.stderr)


@contextlib.contextmanager
def notes_last() -> Iterator[None]:
    """Notes of the block are said at its end, below what it prints, where they are seen."""
    _waiting.append([])
    try:
        yield
    finally:
        notes = _waiting.pop()
        sys.stdout.flush()
        for text in notes:
            note(text)
