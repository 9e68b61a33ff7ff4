"""Pickles of arrays, read without running code in them and in bounded time and memory.

A pickle can call only functions of this file, not even NumPy's own unpickling. It can also name a
value many times: a pickle that forty times puts the last list twice into a new one stands for a
million million values. So each container is walked once, and wherever it is named again, all that
it holds is counted again. Hashing a key walks it and a call copies its arguments; so only text and
numbers, or a few of them, may be keys, and a call may have few arguments.
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

MOST_VALUES = 5_000_000  # of a pickle; each takes at least a byte of it
MOST_AGAIN = 100_000  # values in containers that are named again, which take no more bytes
MOST_DEPTH = 100  # containers in each other
MOST_IN_KEY = 16  # values of a tuple that is a key
MOST_ARGUMENTS = 32  # of a call in a pickle
PLAIN = re.compile(r"[<>|=]?[biuf][1248]")  # types that pickled arrays may have
OBJECTS = "O8"  # type of arrays whose values are a list


def load(path: pathlib.Path) -> Any:
    """Reads a pickle of arrays and plain containers, also one that Python 2 wrote.

    Raises:
      OSError: the file cannot be read.
      ValueError, or whatever a damaged pickle raises: it holds anything else, or goes beyond the
        bounds.
    """
    with open_regular(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _Opener().open(_run(_ArrayUnpickler(data, encoding="latin1"), data))


def load_listed(path: pathlib.Path, start: int) -> np.ndarray:
    """Reads nested lists and arrays of objects in a pickle as one float32 array.

    Args:
      path: of the file.
      start: where the pickle begins.

    Raises:
      OSError, ValueError: as `load`.
    """
    with open_regular(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        data.seek(start)
        opener = _Opener(objects=True)
        content = opener.open(_run(_ArrayUnpickler(data, encoding="latin1"), data))
        return np.array(content, np.float32)


def scan(data: Any, count: int = 1) -> None:
    """Checks pickles that another program will load against the same bounds; makes no values.

    Args:
      data: open file of bytes.
      count: number of pickles, one after the other.

    Raises:
      ValueError, or whatever a damaged pickle raises: they go beyond the bounds.
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
        # A frame is read at once; the part of it that was not used lies after the error
        frame = unpickler._unframer.current_frame
        at = data.tell() - (len(frame.getbuffer()) - frame.tell() if frame else 0)
        raise pickle.UnpicklingError(f"{_in_words(error)}, at byte {at:,}") from error


def _in_words(error: Exception) -> str:
    """The message of an error of an unpickler, explained where it is only a number or a key."""
    message = (str(error).strip() or type(error).__name__).splitlines()[0][:150]
    if isinstance(error, KeyError):  # a byte that is no instruction
        return f"an instruction {message} that is unknown or not allowed"
    meanings = {EOFError: "it ends early", IndexError: "it takes a value that is not there"}
    meanings |= {struct.error: "it ends within a number", UnicodeDecodeError: "text that is none"}
    meaning = next((text for kind, text in meanings.items() if isinstance(error, kind)), "")
    return f"{meaning} ({message})" if meaning else message


class _Dtype:
    """Stands for `numpy.dtype` while a pickle is read."""

    def __init__(self, name: str, *_):
        if not PLAIN.fullmatch(name) and name != OBJECTS:
            raise pickle.UnpicklingError(f"arrays of type {name!r:.40}")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: tuple) -> None:  # (version, byte order, …)
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Stands for `numpy.ndarray` while a pickle is read."""

    def __init__(self, *_):
        self.state = None

    def __setstate__(self, state: tuple) -> None:  # (version, shape, type, by columns, values)
        self.state = state


class _Inert:
    """Stands for anything while a pickle is scanned: keeps what it is given, and does nothing."""

    def __init__(self, *args):
        self.contents = [*args]

    def __setstate__(self, state: Any) -> None:
        self.contents.append(state)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.contents.append(value)

    def append(self, value: Any) -> None:
        """As of a list."""
        self.contents.append(value)

    def extend(self, values: Any) -> None:
        """As of a list."""
        self.contents += values

    add, update = append, extend


def _reconstruct(*_) -> _Array:
    """Stands for the function with which NumPy's pickles make an array, before its state."""
    return _Array()


def _scalar(kind: _Dtype, data: bytes | str) -> np.generic:
    """Stands for the function with which NumPy's pickles make a single number."""
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


def _check_arguments(arguments: Any) -> None:
    """Raises UnpicklingError unless the arguments of a call are a tuple or dict of a few."""
    if not isinstance(arguments, tuple | dict) or len(arguments) > MOST_ARGUMENTS:
        raise pickle.UnpicklingError(
            f"a call with a {type(arguments).__name__}; expected at most {MOST_ARGUMENTS} arguments"
        )


def _checking(
    opcode: bytes, chosen: Callable[[list], list], check: Callable[[Any], None] = _check_key
) -> Callable:
    """The opcode's method of the unpickler, after a check of the chosen values of its stack.

    Args:
      opcode: the instruction.
      chosen: stack → the values to check.
      check: raises where a value is refused.
    """
    loaded = pickle._Unpickler.dispatch[opcode[0]]

    def load_checked(self) -> None:
        for value in chosen(self.stack):
            check(value)
        loaded(self)

    return load_checked


class _Checked(pickle._Unpickler):
    """Python's own unpickler with the bounds of this module; that in C has no hooks for keys."""

    STATEFUL: tuple[type, ...] = ()  # types whose state a pickle may set
    dispatch = {
        **pickle._Unpickler.dispatch,
        # Items of dicts and sets: their keys lie at these places of the stack
        pickle.SETITEM[0]: _checking(pickle.SETITEM, lambda stack: stack[-2:-1]),
        pickle.SETITEMS[0]: _checking(pickle.SETITEMS, lambda stack: stack[::2]),
        pickle.DICT[0]: _checking(pickle.DICT, lambda stack: stack[::2]),
        pickle.ADDITEMS[0]: _checking(pickle.ADDITEMS, lambda stack: stack),
        pickle.FROZENSET[0]: _checking(pickle.FROZENSET, lambda stack: stack),
        # Calls: the arguments, and for the last one those with names, are on top of the stack
        pickle.REDUCE[0]: _checking(pickle.REDUCE, lambda stack: stack[-1:], _check_arguments),
        pickle.NEWOBJ[0]: _checking(pickle.NEWOBJ, lambda stack: stack[-1:], _check_arguments),
        pickle.NEWOBJ_EX[0]: _checking(
            pickle.NEWOBJ_EX, lambda stack: stack[-2:], _check_arguments
        ),
    }
    del dispatch[pickle.BYTEARRAY8[0]]  # makes as many bytes as it claims before it reads them

    def _build(self) -> None:
        """Sets the state of an object, if it is of a type that may have one."""
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
          UnpicklingError: any other name, which would run code.
        """
        if (module, name) == ("_codecs", "encode"):
            return self._encode
        if (stand_in := self.KNOWN.get(f"{module}.{name}")) is None:
            raise pickle.UnpicklingError(f"it calls {module}.{name}"[:200])
        return stand_in

    def _encode(self, text: str, *_) -> bytes:
        return _encoded(text, self._encoded)


class _Scanner(_Checked):
    """Accepts every name, and puts the same inert object in its place."""

    STATEFUL = (_Inert,)

    def find_class(self, module: str, name: str):
        """Always the same stand-in."""
        return _Inert

    def persistent_load(self, pid: Any) -> _Inert:
        """An inert object for data beside the pickle, as the numbers of torch's tensors."""
        return _Inert()


CONTAINERS = {dict, list, tuple, set, frozenset, _Inert, _Array}


class _Opened(NamedTuple):
    """A container whose stand-ins have become arrays.

    Attributes:
      source: the container that was read, kept so that no other object gets its `id`.
      value: what it became.
      count: number of values, itself included, each as often as it is named.
      height: number of containers in each other, itself included.
    """

    source: Any
    value: Any
    count: int
    height: int


class _Opener:
    """Replaces the stand-ins of arrays by arrays, and counts values.

    Args:
      objects: whether arrays of objects become lists; else they are refused.
    """

    def __init__(self, objects: bool = False):
        self._objects, self._count, self._again = objects, 0, 0
        self._opened: dict[int, _Opened] = {}
        self._encoded: dict[int, tuple[str, bytes]] = {}

    def open(self, value: Any) -> Any:
        """Returns the value with its arrays; a container that is named many times is made once.

        Raises:
          UnpicklingError: too many values, too deep, or arrays that are refused.
          ValueError: an array whose bytes do not fit its shape.
        """
        return self._walk(value, 1).value if type(value) in CONTAINERS else value

    def _walk(self, value: Any, depth: int) -> _Opened:
        """Opens a container that lies in `depth` - 1 others."""
        # It was walked before: its values count once more, but are not walked again
        if earlier := self._opened.get(id(value)):
            self._add(again=earlier.count, depth=depth + earlier.height - 1)
            return earlier
        # The first time: it is counted before it is walked, so that too many are never made
        inner = self._inner(value)
        self._add(new=len(inner), depth=depth)
        values, count, height = [], 1 + len(inner), 1
        for part in inner:
            if type(part) in CONTAINERS:
                opened = self._walk(part, depth + 1)
                part, count = opened.value, count + opened.count - 1
                height = max(height, opened.height + 1)
            values.append(part)
        opened = _Opened(value, self._made(value, values), count, height)
        self._opened[id(value)] = opened
        return opened

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
            return (value.contents,)
        if isinstance(value, _Array):
            return (value.state[4],) if self._of_objects(value.state) else ()
        return value

    def _made(self, value: Any, parts: list) -> Any:
        """Makes what a container becomes, from its opened values."""
        if isinstance(value, dict):
            return dict(zip(map(str, value), parts, strict=True))
        if isinstance(value, _Array):
            return _shaped(value.state[1], parts[0]) if parts else self._array(value.state)
        return parts

    def _of_objects(self, state: Any) -> bool:
        """Whether an array has objects as values; raises UnpicklingError if it is refused."""
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], _Dtype):
            raise pickle.UnpicklingError("an array without its values")
        # Objects can only become nested lists, so their order must be by rows.
        _, _, kind, by_columns, data = state
        if kind.dtype != object:
            return False
        if not self._objects or by_columns or not isinstance(data, list):
            raise pickle.UnpicklingError(f"arrays of type {OBJECTS!r}")
        return True

    def _array(self, state: tuple) -> np.ndarray:
        """Makes the array of a state as NumPy pickles it, without a copy."""
        _, shape, kind, by_columns, data = state
        data = _encoded(data, self._encoded) if isinstance(data, str) else data
        return np.frombuffer(data, kind.dtype).reshape(shape, order="F" if by_columns else "C")


def _shaped(shape: Any, values: list) -> list:
    """The values of an array of objects as nested lists; of an empty one the empty list."""
    array = np.empty(len(values), object)
    for place, value in enumerate(values):  # NumPy would unpack lists of one length
        array[place] = value
    return array.reshape(shape).tolist() if values else []


def _encoded(text: str, cache: dict[int, tuple[str, bytes]]) -> bytes:
    """The bytes of a text, made once for a text that is named many times."""
    if id(text) not in cache:
        cache[id(text)] = text, text.encode("latin1")
    return cache[id(text)][1]
