"""JSON files, checked: bounded in size and depth, each key once, fields of the right types.

`read` and `parse` return what a file or text holds; `read_lines` reads a file with one value on
each line. `check_fields` compares a value with a pattern, so that no reader meets a field that is
missing or of another type:

    {"name": str, "videos": [{"name": str, "fps?": float}], "splits": {...: dict}}

A pattern is one of

str, bool, list, dict, None     the JSON value of that type
int                             a whole number of 0 or more
float                           a finite number
object                          anything
[pattern]                       a list whose items all have the pattern
{key: pattern}                  an object; a key that ends in "?" may be missing, and `...` stands
                                for every other key
(pattern, pattern)              any of several patterns
"""

import json
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from vadjax.formats.regular import read_bytes
from vadjax.formats.text import decode, read_text, split

MOST_BYTES = 1 << 28  # of a file
MOST_DEPTH = 100  # lists and objects in each other
WORDS = {str: "text", bool: "true or false", int: "a whole number of 0 or more"}
WORDS |= {float: "a finite number", list: "a list", dict: "a dict {…}", None: "null"}


def read(
    path: pathlib.Path, pattern: Any = object, most: int = MOST_BYTES, nan: bool = False
) -> Any:
    """Reads a JSON file.

    Args:
      path: path of the file.
      pattern: pattern (see the module docstring) that the content must have.
      most: most bytes that the file may have.
      nan: whether NaN and Infinity, which JSON does not know, may stand for numbers.

    Raises:
      OSError: the file cannot be read.
      ValueError: the file is not JSON, too large, too deep, or of another pattern. The message
        names the file and, if there is one, the line or the field.
    """
    content = parse(read_text(path, most), path, nan)
    check_fields(content, pattern, path)
    return content


def parse(text: str, where: object, nan: bool = False, one_line: bool = False) -> Any:
    """Parses a JSON text.

    Args:
      text: the text.
      where: where the text stands, for messages.
      nan: as for `read`.
      one_line: whether `where` has the number of the line already.

    Raises:
      ValueError: as `read`.
    """
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=None if nan else _refuse_constant,
        )
        _check_depth(value)
        return value
    except json.JSONDecodeError as error:
        what = "it is empty" if not text.strip() else error.msg
        at, shown = ("", f": {text[:80]!r}") if one_line else (f":{error.lineno}", "")
        raise ValueError(f"{where}{at}: not JSON ({what}){shown}") from error
    except RecursionError as error:
        raise ValueError(f"{where}: not JSON that can be used: nested too deep") from error
    except ValueError as error:  # ours, or a number of thousands of digits
        raise ValueError(f"{where}: not JSON that can be used: {error}") from error


def read_lines(
    path: pathlib.Path, pattern: Any = dict, cut_last: bool = False, nan: bool = False
) -> list[dict]:
    """Reads a file with one JSON value on each line; blank lines are passed over.

    Args:
      path: path of the file.
      pattern: pattern of every value.
      cut_last: whether a last line that is cut short, as a kill leaves it, is passed over too.
      nan: as for `read`.

    Raises:
      OSError, ValueError: as `read`; the message names the line.
    """
    content, values = read_bytes(path, MOST_BYTES), []
    # A last line without "\n" may be whole, and is left out only if it is no JSON
    end = content.rfind(b"\n") + 1
    last = content[end:]
    if cut_last and _is_cut(last):
        content = content[:end]
    for number, line in enumerate(split(decode(content, path)), 1):
        if line.strip():
            where = f"{path}:{number}"
            values.append(parse(line, where, nan, one_line=True))
            check_fields(values[-1], pattern, where, f": {line[:80]!r}")
    return values


def _is_cut(line: bytes) -> bool:
    """Whether a last line, which has no end, is one that a kill cut short."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return True
    return False


def check_fields(value: Any, pattern: Any, where: object, shown: str = "") -> None:
    """Compares a value with a pattern (see the module docstring).

    Args:
      value: value of a JSON text.
      pattern: pattern that it must have.
      where: where the value comes from, for messages.
      shown: text at the end of a message.

    Raises:
      ValueError: the value has another pattern. The message names the field and what was expected.
    """
    if wrong := _first_wrong(value, pattern, ""):
        field, problem = wrong
        raise ValueError(f"{where}: {f'{field} is ' if field else ''}{problem}{shown}")


def _first_wrong(value: Any, pattern: Any, field: str) -> tuple[str, str] | None:
    """Name of the first field that does not have its pattern, and what is wrong with it."""
    # If no pattern of several fits, the deepest field that is wrong is reported
    if isinstance(pattern, tuple):
        ways = [_first_wrong(value, choice, field) for choice in pattern]
        return None if None in ways else max(ways, key=lambda way: len(way[0]))
    if isinstance(pattern, list):
        if not isinstance(value, list):
            return field, f"{show(value)}; expected {WORDS[list]}"
        items = (_first_wrong(item, pattern[0], f"{field}[{i}]") for i, item in enumerate(value))
        return next(filter(None, items), None)
    if isinstance(pattern, dict):
        return _wrong_object(value, pattern, field)
    fits: Callable[[Any], bool] | None = FITS.get(pattern)
    if fits is None or fits(value):
        return None
    return field, f"{show(value)}; expected {WORDS[pattern]}"


def _wrong_object(value: Any, pattern: Mapping, field: str) -> tuple[str, str] | None:
    """As `_first_wrong`, for an object whose fields have patterns."""
    if not isinstance(value, dict):
        return field, f"{show(value)}; expected {WORDS[dict]}"
    named = {key.removesuffix("?"): key for key in pattern if key is not ...}
    for name, key in named.items():
        if name not in value and key == name:
            return field, f"an object without {name!r}; it has {', '.join(map(repr, value)) or '-'}"
    for name, inner in value.items():
        inner_pattern = pattern.get(named.get(name, ...), object)
        if wrong := _first_wrong(inner, inner_pattern, f"{field}.{name}" if field else name):
            return wrong
    return None


# Pattern → whether a value has it
FITS = {
    str: lambda value: isinstance(value, str),
    bool: lambda value: isinstance(value, bool),
    int: lambda value: type(value) is int and 0 <= value < 1 << 63,
    float: lambda value: type(value) in (int, float) and abs(value) < 1e300,
    list: lambda value: isinstance(value, list),
    dict: lambda value: isinstance(value, dict),
    None: lambda value: value is None,
}


def show(value: Any) -> str:
    """A JSON value in a few words, for messages."""
    if isinstance(value, dict):
        return f"an object of {', '.join(map(repr, list(value)[:5])) or 'nothing'}"[:80]
    if isinstance(value, list):
        return f"a list of {len(value):,} items"
    return f"{value!r:.40}"


def _unique(pairs: list[tuple[str, Any]]) -> dict:
    """The dict of these fields.

    Raises:
      ValueError: a key is there twice; of its values some readers take the first, some the last.
    """
    fields = dict(pairs)
    if len(fields) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r:.40} is there twice in one object")
    return fields


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name}, which is no number in JSON")


def _check_depth(value: Any) -> None:
    """Raises ValueError if lists and objects lie too deep in each other to be walked."""
    level, depth = [value] if isinstance(value, dict | list) else [], 0
    while level:
        depth += 1
        if depth > MOST_DEPTH:
            raise ValueError("nested too deep")
        inner = (item.values() if isinstance(item, dict) else item for item in level)
        level = [item for items in inner for item in items if isinstance(item, dict | list)]


def finite(value: Any) -> bool:
    """Whether a JSON value is a finite number in the range of float64."""
    return type(value) in (int, float) and abs(value) < 1e300 and math.isfinite(value)
