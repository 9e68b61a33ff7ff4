"""The only way to the terminal, on which text from outside is shown and never obeyed.

Names of videos, arrays, figures and files come from strangers. Control characters in them are made
visible, brackets are no markup for rich, and a letter that the terminal cannot show is replaced by
another one instead of raising an error.
"""

import codecs
import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

ERRORS = "vadjax"  # name of `replace`, for `errors=`
DESCRIPTION, NOTE = "{task.description}", "{task.fields[note]}"  # of rich
PLAIN = {
    "×": "x",
    "±": "+-",
    "·": "-",
    "–": "-",
    "−": "-",
    "…": "...",
    "’": "'",
    "→": "->",
    "≥": ">=",
    "²": "^2",
    "§": "section ",
    "σ": "sigma",
}
# Control characters C0 and C1 (tab and line feed stay), those that turn the direction of writing,
# and surrogates, which cannot be encoded; names that are not UTF-8 and JSON files may have these.
CONTROLS = [*range(9), *range(11, 32), *range(127, 160), 0x061C, 0x200E, 0x200F]
CONTROLS += [*range(0x2028, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000)]
_VISIBLE = {code: ascii(chr(code))[1:-1] for code in CONTROLS}


def visible(text: str) -> str:
    r"""The text with control characters as `\x1b`; tabs and ends of lines stay."""
    return text.translate(_VISIBLE)


def replace(error: UnicodeError) -> tuple[str, int]:
    """Handler for `errors=`: a plain form of a letter that an encoding lacks, or its number."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    plain = [PLAIN.get(x) or x.encode("ascii", "backslashreplace").decode() for x in letters]
    return "".join(plain), error.end


codecs.register_error(ERRORS, replace)


class SafeStream(io.TextIOWrapper):
    """A standard stream that makes control characters visible and can write any letter."""

    def write(self, text: str) -> int:
        """As `TextIOWrapper.write`."""
        return super().write(visible(text))

    @property
    def direct(self) -> "_Direct":
        """The same stream for rich, whose control characters move the cursor."""
        return _Direct(self)


class _Direct:
    """A `SafeStream` to which rich may write control characters."""

    def __init__(self, stream: SafeStream):
        self._stream = stream

    def write(self, text: str) -> int:
        return io.TextIOWrapper.write(self._stream, text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Shown:
    """A stream that gets text with visible control characters; for rich's, which obeys some."""

    def __init__(self, stream: IO):
        self._stream = stream

    def write(self, text: str) -> int:
        """As the stream's."""
        return self._stream.write(visible(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def stream(raw: io.RawIOBase, like: io.TextIOWrapper) -> SafeStream:
    """A standard stream that writes to `raw`, with the encoding and buffering of `like`."""
    return SafeStream(
        io.BufferedWriter(raw),
        encoding=like.encoding,
        errors=ERRORS,
        line_buffering=like.line_buffering,
        write_through=like.write_through,
    )


def nowhere() -> SafeStream:
    """A standard stream that drops what is printed."""
    return SafeStream(open(os.devnull, "wb"), encoding="utf-8", errors=ERRORS)  # noqa: SIM115


class _Console(Console):
    """A console that shows texts as they are, without markup."""

    def render_str(self, text: str, **options) -> Text:
        """As `Console.render_str`, without any markup."""
        return super().render_str(visible(text), **options | {"markup": False, "emoji": False})


def console(file: IO | None = None, width: int | None = None) -> Console:
    """A console of rich. It shows strings, alone or in a table, without markup.

    Args:
      file: where it writes; None is the standard output.
      width: letters in a line if that is no terminal.
    """
    import sys

    file = sys.stdout if file is None else file
    options = {"markup": False, "emoji": False, "highlight": False}
    made = _Console(file=getattr(file, "direct", file), **options)
    if width and not made.is_terminal:
        made.width = width
    return made


class LiveBar:
    """A bar of `live`."""

    def __init__(self, shown: Progress, title: str, total: int, first: int):
        self._shown = shown
        self._task = shown.add_task(visible(title), total=total, completed=first, note="")

    def update(self, step: int, note: str) -> None:
        """Says how many steps are done, and something more."""
        self._shown.update(self._task, completed=step, note=visible(note))


@contextlib.contextmanager
def live(
    title: str, total: int, first: int = 0, file: IO | None = None
) -> Iterator[LiveBar | None]:
    """A bar on a terminal, above which other lines can be printed; None if there is no terminal.

    Args:
      title: before the bar.
      total: steps.
      first: steps that are done already.
      file: the terminal (default: the standard output).
    """
    on = console(file)
    if not on.is_terminal:
        yield None
        return
    described, note = (TextColumn(text, markup=False) for text in (DESCRIPTION, NOTE))
    columns = described, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), note
    with Progress(*columns, console=on) as shown:
        # rich catches what is printed meanwhile, and would obey control characters in it.
        out, errors = Shown(sys.stdout), Shown(sys.stderr)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            yield LiveBar(shown, title, total, first)
