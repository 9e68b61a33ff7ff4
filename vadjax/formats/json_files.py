"""JSON files, checked: bounded in size and depth, each key once, the fields of the right types.

`read` and `parse` give what the file holds; `read_lines` the objects of a file with one a line.
`check_fields` compares it with a pattern, so that no reader trips over a field that is missing or
of another type:

    {"name": str, "videos": [{"name": str, "fps?": float}], "splits": {...: dict}}

`str`, `bool`, `list`, `dict`; `int`, a whole number of 0 or more; `float`, a finite number;
`object`, anything; a list of one pattern for every item; a dict of patterns by key, a key with "?"
may be missing, and `...` stands for every other key; a tuple of patterns, any of which will do;
None.
"""

import json
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from vadjax.formats.regular import read_bytes
from vadjax.formats.text import decode, read_text, split

MOST_BYTES = 1 << 28  # of a file
MOST_DEPTH = 100  # of lists and objects in each other
WORDS = {str: "text", bool: "true or false", int: "a whole number of 0 or more"}
WORDS |= {float: "a finite number", list: "a list", dict: "a dict {…}", None: "null"}


def read(
    path: pathlib.Path, pattern: Any = object, most: int = MOST_BYTES, nan: bool = False
) -> Any:
    """What a JSON file holds.

    Args:
      path: of the file.
      pattern: of the module docstring, that the content must have.
      most: bytes that the file may have.
      nan: NaN and Infinity may stand for numbers, which JSON does not know.

    Raises:
      OSError: it cannot be read.
      ValueError: not JSON, too large or too deep, or of another pattern; names the file and, where
        there is one, the line or the field.
    """
    found = parse(read_text(path, most), path, nan)
    check_fields(found, pattern, path)
    return found


def parse(text: str, where: object, nan: bool = False, one_line: bool = False) -> Any:
    """What a JSON text says.

    Args:
      text: in JSON.
      where: it stands, for messages.
      nan: as for `read`.
      one_line: `where` has the number of the line already.

    Raises:
      ValueError: as `read`.
    """
    try:
        found = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=None if nan else _refuse_constant,
        )
        _check_depth(found)
        return found
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
    """The values of a file with one JSON value a line; blank lines are passed over.

    Args:
      path: of the file.
      pattern: of every value.
      cut_last: a last line without its end, as a kill leaves it, is passed over too.
      nan: as for `read`.

    Raises:
      OSError, ValueError: as `read`; names the line.
    """
    content, found = read_bytes(path, MOST_BYTES), []
    end = content.rfind(b"\n") + 1
    last = content[end:]
    if cut_last and _is_cut(last):
        content = content[:end]
    for number, line in enumerate(split(decode(content, path)), 1):
        if line.strip():
            where = f"{path}:{number}"
            found.append(parse(line, where, nan, one_line=True))
            check_fields(found[-1], pattern, where, f": {line[:80]!r}")
    return found


def _is_cut(line: bytes) -> bool:
    """Whether a last line, which has no end, is one that a kill cut short."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return True
    return False


def check_fields(value: Any, pattern: Any, where: object, shown: str = "") -> None:
    """Compares a value with a pattern of the module docstring.

    Args:
      value: what a JSON text says.
      pattern: what it must be.
      where: the value is from, for messages.
      shown: text that a message ends with.

    Raises:
      ValueError: it is not; names the field and what was expected there.
    """
    if wrong := _first_wrong(value, pattern, ""):
        field, told = wrong
        raise ValueError(f"{where}: {f'{field} is ' if field else ''}{told}{shown}")


def _first_wrong(value: Any, pattern: Any, field: str) -> tuple[str, str] | None:
    """Name of the first field that has not its pattern, and what is wrong with it."""
    if isinstance(pattern, tuple):
        ways = [_first_wrong(value, one, field) for one in pattern]
        return None if None in ways else max(ways, key=lambda way: len(way[0]))
    if isinstance(pattern, list):
        if not isinstance(value, list):
            return field, f"{show(value)}; expected {WORDS[list]}"
        items = (_first_wrong(one, pattern[0], f"{field}[{i}]") for i, one in enumerate(value))
        return next(filter(None, items), None)
    if isinstance(pattern, dict):
        return _wrong_object(value, pattern, field)
    fits: Callable[[Any], bool] | None = FITS.get(pattern)
    if fits is None or fits(value):
        return None
    return field, f"{show(value)}; expected {WORDS[pattern]}"


def _wrong_object(value: Any, pattern: Mapping, field: str) -> tuple[str, str] | None:
    """As `_first_wrong`, of an object whose fields have patterns."""
    if not isinstance(value, dict):
        return field, f"{show(value)}; expected {WORDS[dict]}"
    named = {key.removesuffix("?"): key for key in pattern if key is not ...}
    for name, key in named.items():
        if name not in value and key == name:
            return field, f"an object without {name!r}; it has {', '.join(map(repr, value)) or '-'}"
    for name, one in value.items():
        inside = pattern.get(named.get(name, ...), object)
        if wrong := _first_wrong(one, inside, f"{field}.{name}" if field else name):
            return wrong
    return None


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
    """What a JSON value is, for messages."""
    if isinstance(value, dict):
        return f"an object of {', '.join(map(repr, list(value)[:5])) or 'nothing'}"[:80]
    if isinstance(value, list):
        return f"a list of {len(value):,} items"
    return f"{value!r:.40}"


def _unique(pairs: list[tuple[str, Any]]) -> dict:
    """The object of these fields.

    Raises:
      ValueError: a key is there twice, of which readers take one or the other.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r:.40} is there twice in one object")
    return found


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name}, which is no number in JSON")


def _check_depth(found: Any) -> None:
    """Raises ValueError where lists and objects are too deep in each other to be walked."""
    level, depth = [found] if isinstance(found, dict | list) else [], 0
    while level:
        depth += 1
        if depth > MOST_DEPTH:
            raise ValueError("nested too deep")
        inner = (item.values() if isinstance(item, dict) else item for item in level)
        level = [one for items in inner for one in items if isinstance(one, dict | list)]


def finite(value: Any) -> bool:
    """Whether a JSON value is a number that float64 holds."""
    return type(value) in (int, float) and abs(value) < 1e300 and math.isfinite(value)
