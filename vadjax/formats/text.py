"""Lines of text files that other programs wrote: encodings, byte-order marks, blank lines, sizes.

Text is UTF-8, with or without a byte-order mark (Notepad, Excel), or UTF-16 or UTF-32 with one.
Other encodings are refused and not guessed, since the same bytes are letters in many of them.
"""

import codecs
import contextlib
import pathlib
import sys
from collections.abc import Iterator
from typing import NamedTuple

from vadjax.formats.regular import read_bytes

MOST_BYTES = 2**30  # of one file
# The longer marks come first, since that of UTF-32 begins like that of UTF-16
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
COMMENTS = ("#", "%")
_waiting: list[list[str]] = []  # a list of notes for each open block of `notes_last`


class Line(NamedTuple):
    """A line of a text file.

    Attributes:
      number: from 1, as editors count.
      text: without blanks at both ends.
    """

    number: int
    text: str


def read_text(path: pathlib.Path, most: int = MOST_BYTES) -> str:
    """Reads the text of a file, without a byte-order mark.

    Args:
      path: path of the file.
      most: most bytes that it may have.

    Raises:
      OSError: the file cannot be read.
      ValueError: the file is larger, no regular file, or not text. The message names the file and,
        if there is one, the line.
    """
    return decode(read_bytes(path, most), path)


def decode(content: bytes, path: object) -> str:
    """Decodes the bytes of a text file, without a byte-order mark.

    Args:
      content: the bytes.
      path: path of the file, for messages.

    Raises:
      ValueError: they are not text; the message names file and line.
    """
    encoding = next((name for mark, name in MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}: not a text file in UTF-8 ({error.reason}, line {line}); save it as UTF-8"
        ) from error
    # UTF-16 without a mark, and most binary files, have zero bytes.
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(
            f"{path}:{line}: a zero byte, so this is no text in UTF-8; save it as UTF-8, or move "
            "the file elsewhere"
        )
    return text


def read_lines(path: pathlib.Path, comments: tuple[str, ...] = COMMENTS) -> list[Line]:
    """Reads the lines of a file that are neither blank nor comments.

    Args:
      path: path of the file.
      comments: beginnings of lines that are comments.

    Raises:
      OSError, ValueError: as `read_text`.
    """
    lines = (Line(number, line.strip()) for number, line in enumerate(split(read_text(path)), 1))
    return [line for line in lines if line.text and not line.text.startswith(comments)]


def read_names(path: pathlib.Path) -> list[str]:
    """Reads all lines of a file, as names of classes by number; blank ones too.

    What follows the last line end is no line if it is empty.

    Raises:
      OSError, ValueError: as `read_text`.
    """
    lines = split(read_text(path))
    return lines if lines[-1] else lines[:-1]


def split(text: str) -> list[str]:
    """Splits text into lines as editors count them, at LF, CR LF or CR and nothing else."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def note(text: str) -> None:
    """Prints on the standard error, in one line, what was assumed or passed over."""
    if _waiting:
        _waiting[-1].append(text)
    else:
        print(f"note: {text}", file=sys.stderr)


@contextlib.contextmanager
def notes_last() -> Iterator[None]:
    """Prints the notes of the block at its end, below its output, where they are seen."""
    _waiting.append([])
    try:
        yield
    finally:
        notes = _waiting.pop()
        sys.stdout.flush()
        for text in notes:
            note(text)
