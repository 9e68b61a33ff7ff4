"""Pickles of arrays, read without running code in them and in bounded time and memory.

Nothing outside of this file is called, NumPy's own unpickling neither. A pickle can name a value
many times: one that names its last one twice, forty times, stands for a million million values. So
each container is walked once, and counts again with all that it holds wherever it is named again;
only text and numbers may be keys, which are walked when they are hashed; and what is called takes
few arguments, which are copied.
"""

import mmap
import pathlib
import pickle
import re
import struct
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import numpy as np

from vadjax.formats.regular import open_regular

MOST_VALUES = 5_000_000  # of a pickle; each takes a byte of it at least
MOST_AGAIN = 100_000  # values in containers that are named again, which take no bytes of their own
MOST_DEPTH = 100  # of containers in each other
MOST_IN_KEY = 16  # values of a tuple that is a key
MOST_ARGUMENTS = 32  # of what a pickle calls
PLAIN = re.compile(r"[<>|=]?[biuf][1248]")  # types that pickled arrays may have
OBJECTS = "O8"  # type of arrays whose values are a list


def load(path: pathlib.Path) -> Any:
    """What a pickle of arrays and plain containers holds (also one of Python 2).

    Raises:
      OSError: it cannot be read.
      ValueError, and whatever a damaged pickle raises: anything else.
    """
    with open_regular(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _Opener().open(_run(_ArrayUnpickler(data, encoding="latin1"), data))


def load_listed(path: pathlib.Path, start: int) -> np.ndarray:
    """The float32 array that nested lists and arrays of objects in a pickle stand for.

    Args:
      path: of the file.
      start: where the pickle begins.

    Raises:
      OSError, ValueError: as `load`.
    """
    with open_regular(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        data.seek(start)
        opener = _Opener(objects=True)
        found = opener.open(_run(_ArrayUnpickler(data, encoding="latin1"), data))
        return np.array(found, np.float32)


def scan(data: Any, count: int = 1) -> None:
    """Walks pickles that another program will load, by the same bounds; makes nothing of them.

    Args:
      data: open file of bytes.
      count: of pickles, one after the other.

    Raises:
      ValueError, and whatever a damaged pickle raises: they go beyond the bounds.
    """
    for _ in range(count):
        _Opener().open(_run(_Scanner(data, encoding="latin1"), data))


def _run(unpickler: "_Checked", data: Any) -> Any:
    """What the unpickler makes of an open file.

    Raises:
      UnpicklingError: whatever went wrong, in words, and at which byte of the file.
    """
    try:
        return unpickler.load()
    except Exception as error:
        # Of a frame, which is read at once, the rest has not been used
        frame = unpickler._unframer.current_frame
        at = data.tell() - (len(frame.getbuffer()) - frame.tell() if frame else 0)
        raise pickle.UnpicklingError(f"{_in_words(error)}, at byte {at:,}") from error


def _in_words(error: Exception) -> str:
    """What an error of an unpickler says, or for what it stands where that is only a number."""
    said = (str(error).strip() or type(error).__name__).splitlines()[0][:150]
    if isinstance(error, KeyError):  # a byte that is no instruction
        return f"an instruction {said} that is unknown or not allowed"
    known = {EOFError: "it ends early", IndexError: "it takes a value that is not there"}
    known |= {struct.error: "it ends within a number", UnicodeDecodeError: "text that is none"}
    words = next((text for kind, text in known.items() if isinstance(error, kind)), "")
    return f"{words} ({said})" if words else said


class _Dtype:
    """Stands for `numpy.dtype` while a pickle is read."""

    def __init__(self, name: str, *_):
        if not PLAIN.fullmatch(name) and name != OBJECTS:
            raise pickle.UnpicklingError(f"arrays of type {name!r:.40}")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: tuple) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Stands for `numpy.ndarray` while a pickle is read."""

    def __init__(self, *_):
        self.state = None

    def __setstate__(self, state: tuple) -> None:
        self.state = state


class _Inert:
    """Stands for anything while a pickle is scanned: takes what is done to it, and does nothing."""

    def __init__(self, *args):
        self.held = [*args]

    def __setstate__(self, state: Any) -> None:
        self.held.append(state)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.held.append(value)

    def append(self, value: Any) -> None:
        """As of a list."""
        self.held.append(value)

    def extend(self, values: Any) -> None:
        """As of a list."""
        self.held += values

    add, update = append, extend


def _reconstruct(*_) -> _Array:
    return _Array()


def _scalar(kind: _Dtype, data: bytes | str) -> np.generic:
    if not isinstance(kind, _Dtype) or len(data) > 16:
        raise pickle.UnpicklingError("a number of unknown type")
    data = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(data, kind.dtype)[0]


def _check_key(key: Any) -> None:
    """Raises UnpicklingError where a key is more than text or a number, or a few of them."""
    parts = key if isinstance(key, tuple) else (key,)
    if len(parts) > MOST_IN_KEY or not all(
        part is None or isinstance(part, str | bytes | int | float) for part in parts
    ):
        raise pickle.UnpicklingError(f"a key of type {type(key).__name__}; expected text")


def _check_arguments(found: Any) -> None:
    """Raises UnpicklingError unless the arguments of a call are a tuple, or dict, of a few."""
    if not isinstance(found, tuple | dict) or len(found) > MOST_ARGUMENTS:
        raise pickle.UnpicklingError(
            f"a call with a {type(found).__name__}; expected at most {MOST_ARGUMENTS} arguments"
        )


def _checking(
    opcode: bytes, chosen: Callable[[list], list], check: Callable[[Any], None] = _check_key
) -> Callable:
    """The opcode's method of the unpickler, after a check of what is chosen of the stack."""
    loaded = pickle._Unpickler.dispatch[opcode[0]]

    def load_checked(self) -> None:
        for value in chosen(self.stack):
            check(value)
        loaded(self)

    return load_checked


class _Checked(pickle._Unpickler):
    """Python's own unpickler (that in C cannot be asked about keys), with the bounds of above."""

    STATEFUL: tuple[type, ...] = ()
    dispatch = {
        **pickle._Unpickler.dispatch,
        pickle.SETITEM[0]: _checking(pickle.SETITEM, lambda stack: stack[-2:-1]),
        pickle.SETITEMS[0]: _checking(pickle.SETITEMS, lambda stack: stack[::2]),
        pickle.DICT[0]: _checking(pickle.DICT, lambda stack: stack[::2]),
        pickle.ADDITEMS[0]: _checking(pickle.ADDITEMS, lambda stack: stack),
        pickle.FROZENSET[0]: _checking(pickle.FROZENSET, lambda stack: stack),
        pickle.REDUCE[0]: _checking(pickle.REDUCE, lambda stack: stack[-1:], _check_arguments),
        pickle.NEWOBJ[0]: _checking(pickle.NEWOBJ, lambda stack: stack[-1:], _check_arguments),
        pickle.NEWOBJ_EX[0]: _checking(
            pickle.NEWOBJ_EX, lambda stack: stack[-2:], _check_arguments
        ),
    }
    del dispatch[pickle.BYTEARRAY8[0]]  # makes as many bytes as it claims before it reads them

    def _build(self) -> None:
        if not isinstance(self.stack[-2], self.STATEFUL):
            raise pickle.UnpicklingError(f"a state of type {type(self.stack[-2]).__name__}")
        self.load_build()

    dispatch[pickle.BUILD[0]] = _build


class _ArrayUnpickler(_Checked):
    """Knows no names but those of arrays."""

    STATEFUL = (_Array, _Dtype)
    KNOWN = {
        "numpy.core.multiarray._reconstruct": _reconstruct,
        "numpy._core.multiarray._reconstruct": _reconstruct,
        "numpy.core.multiarray.scalar": _scalar,
        "numpy._core.multiarray.scalar": _scalar,
        "numpy.ndarray": _Array,
        "numpy.dtype": _Dtype,
    }

    def __init__(self, file: Any, **options):
        super().__init__(file, **options)
        self._encoded: dict[int, tuple[str, bytes]] = {}

    def find_class(self, module: str, name: str):
        """The stand-in of a known name.

        Raises:
          UnpicklingError: any other name: code.
        """
        if (module, name) == ("_codecs", "encode"):
            return self._encode
        if (known := self.KNOWN.get(f"{module}.{name}")) is None:
            raise pickle.UnpicklingError(f"it calls {module}.{name}"[:200])
        return known

    def _encode(self, text: str, *_) -> bytes:
        return _encoded(text, self._encoded)


class _Scanner(_Checked):
    """Knows every name and makes nothing of it."""

    STATEFUL = (_Inert,)

    def find_class(self, module: str, name: str):
        """Always the same stand-in."""
        return _Inert

    def persistent_load(self, pid: Any) -> _Inert:
        """The same, for what lies beside the pickle."""
        return _Inert()


CONTAINERS = {dict, list, tuple, set, frozenset, _Inert, _Array}


class _Opened(NamedTuple):
    """A container with its arrays in their place.

    Attributes:
      source: what it was made from, kept so that its `id` stays its own.
      value: what it became.
      count: of values, itself among them, each as often as it is named.
      height: of containers in each other, itself among them.
    """

    source: Any
    value: Any
    count: int
    height: int


class _Opener:
    """Puts arrays in the place of what stands for them, and counts values.

    Args:
      objects: arrays of objects become lists; else they are refused.
    """

    def __init__(self, objects: bool = False):
        self._objects, self._count, self._again = objects, 0, 0
        self._opened: dict[int, _Opened] = {}
        self._encoded: dict[int, tuple[str, bytes]] = {}

    def open(self, value: Any) -> Any:
        """The value with its arrays; what is named many times is made once.

        Raises:
          UnpicklingError: too many values or too deep, or arrays that are refused.
          ValueError: an array whose bytes are not those of its shape.
        """
        return self._walk(value, 1).value if type(value) in CONTAINERS else value

    def _walk(self, value: Any, depth: int) -> _Opened:
        """A container that is the `depth`-th of those in each other."""
        if known := self._opened.get(id(value)):
            self._add(again=known.count, depth=depth + known.height - 1)
            return known
        inner = self._inner(value)
        self._add(new=len(inner), depth=depth)
        values, count, height = [], 1 + len(inner), 1
        for part in inner:
            if type(part) in CONTAINERS:
                found = self._walk(part, depth + 1)
                part, count = found.value, count + found.count - 1
                height = max(height, found.height + 1)
            values.append(part)
        found = _Opened(value, self._made(value, values), count, height)
        self._opened[id(value)] = found
        return found

    def _add(self, depth: int, new: int = 0, again: int = 0) -> None:
        """Counts values; raises UnpicklingError where they are too many or too deep."""
        self._count += new
        self._again += again
        if self._count > MOST_VALUES or depth > MOST_DEPTH:
            raise pickle.UnpicklingError(
                f"more than {MOST_VALUES:,} values, or {MOST_DEPTH} containers in each other"
            )
        if self._again > MOST_AGAIN:
            raise pickle.UnpicklingError(
                f"more than {MOST_AGAIN:,} values in containers that are named again"
            )

    def _inner(self, value: Any) -> Collection:
        """The values in a container, in order."""
        if isinstance(value, dict):
            return value.values()
        if isinstance(value, _Inert):
            return (value.held,)
        if isinstance(value, _Array):
            return (value.state[4],) if self._of_objects(value.state) else ()
        return value

    def _made(self, value: Any, parts: list) -> Any:
        """What a container becomes, of its opened values."""
        if isinstance(value, dict):
            return dict(zip(map(str, value), parts, strict=True))
        if isinstance(value, _Array):
            return _shaped(value.state[1], parts[0]) if parts else self._array(value.state)
        return parts

    def _of_objects(self, state: Any) -> bool:
        """Whether an array is one of objects; raises UnpicklingError where it is refused."""
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], _Dtype):
            raise pickle.UnpicklingError("an array without its values")
        _, _, kind, by_columns, data = state
        if kind.dtype != object:
            return False
        if not self._objects or by_columns or not isinstance(data, list):
            raise pickle.UnpicklingError(f"arrays of type {OBJECTS!r}")
        return True

    def _array(self, state: tuple) -> np.ndarray:
        """The array of a state as NumPy pickles it, not copied."""
        _, shape, kind, by_columns, data = state
        data = _encoded(data, self._encoded) if isinstance(data, str) else data
        return np.frombuffer(data, kind.dtype).reshape(shape, order="F" if by_columns else "C")


def _shaped(shape: Any, values: list) -> list:
    """The values of an array of objects as nested lists; an empty one has no shape."""
    found = np.empty(len(values), object)
    for place, value in enumerate(values):  # NumPy would unpack lists of one length
        found[place] = value
    return found.reshape(shape).tolist() if values else []


def _encoded(text: str, known: dict[int, tuple[str, bytes]]) -> bytes:
    """The bytes of a text; of one that is named many times they are made once."""
    if id(text) not in known:
        known[id(text)] = text, text.encode("latin1")
    return known[id(text)][1]
