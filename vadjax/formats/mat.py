"""MATLAB files of version 5 to 7 (`save -v6`, `save -v7`): numbers, cells and structs; no JAX.

The reader of SciPy crashes the interpreter on some damaged files; this one checks every length
before it uses it. The layout is that of "MAT-File Format" by MathWorks, level 5. A file is a header
of 128 bytes and then elements, each a tag (type, number of bytes) and its bytes, filled up to a
multiple of 8.
"""

import contextlib
import math
import pathlib
import struct
import zlib
from collections.abc import Iterator

import numpy as np

from vadjax.formats.regular import NotRegular, read_bytes

MAX_BYTES = 1 << 31  # of a file, and of a variable after decompression
DEPTH = 8  # cells and structs in each other
HEAD = 128  # bytes of the header
PEEK = 4096  # bytes that hold the type and shape of a variable
MATRIX, COMPRESSED = 14, 15  # types of elements
# Type of an element of numbers → type of NumPy
NUMBERS = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
ERRORS = (ValueError, TypeError, struct.error, OverflowError, RecursionError, MemoryError)
TEXT = {16: "utf-8", 17: "utf-16", 18: "utf-32"}
HDF5 = "a MATLAB 7.3 file (HDF5)"
EMPTY = np.zeros((0, 0))  # the array that MATLAB stores without a head
CELL, STRUCT, CHARACTERS = 1, 2, 4  # classes of arrays
# Class of an array of numbers → type of NumPy; its values may be stored in a smaller type
CLASSES = {
    6: "f8",
    7: "f4",
    8: "i1",
    9: "u1",
    10: "i2",
    11: "u2",
    12: "i4",
    13: "u4",
    14: "i8",
    15: "u8",
}

Value = np.ndarray  # numbers; an array of objects for cells; an array of dicts for structs


def read_mat(path: str | pathlib.Path, only: str | None = None) -> dict[str, Value]:
    """Reads the variables of a file.

    Args:
      path: the file.
      only: name of the only variable to read; None for all.

    Returns:
      Name → array with the shape in MATLAB: of numbers; of arrays, for cells; of dicts by field,
      for structs.

    Raises:
      FileNotFoundError: no such file.
      ValueError: not such a file, damaged, or with a class of arrays that is not read.
    """
    path = pathlib.Path(path)
    with _naming(path):
        matrices = _variables(path, MAX_BYTES)
        return {name: matrix.value(name) for name, matrix in matrices if only in (None, name)}


def shapes(path: str | pathlib.Path) -> dict[str, tuple[tuple[int, ...], bool]]:
    """The shape of every variable, and whether it is a cell array, without reading its values.

    Raises:
      FileNotFoundError, ValueError: as `read_mat`.
    """
    path = pathlib.Path(path)
    with _naming(path):
        matrices = _variables(path, PEEK)
        return {name: (matrix.shape, matrix.is_cells) for name, matrix in matrices}


def _variables(path: pathlib.Path, most: int) -> Iterator[tuple[str, "_Matrix"]]:
    """Name and reader of each variable; compressed ones are read up to `most` bytes."""
    content = memoryview(read_bytes(path, MAX_BYTES))
    order = _check_head(content)
    for kind, data in _elements(content[HEAD:], order):
        # A compressed element holds one other element.
        if kind == COMPRESSED:
            kind, data = next(
                _elements(_decompress(data, most), order, cut=most < MAX_BYTES), (0, b"")
            )
        if kind != MATRIX:
            raise ValueError(f"an element of type {kind} where a variable was expected")
        if len(data):
            matrix = _Matrix(data, order)
            if matrix.name:  # variables without a name are MATLAB's own
                yield matrix.name, matrix


@contextlib.contextmanager
def _naming(path: pathlib.Path) -> Iterator[None]:
    """Adds the file and the remedy to an error."""
    try:
        yield
    except NotRegular:
        raise
    except ERRORS as error:
        if str(error) == HDF5:
            raise ValueError(
                f"{path}: {HDF5}, expected version 7 or older. In MATLAB: "
                f"s = load('{path.name}'); save('{path.name}', '-struct', 's', '-v7')"
            ) from error
        # Whatever damaged bytes raise, the user needs the same remedy
        raise ValueError(
            f"{path}: not a readable .mat file ({error}); it is damaged or cut short, not of "
            "version 5 to 7, or holds other things than numbers, text, cells and structs. Save it "
            "again in MATLAB with save(…, '-v7')"
        ) from error


def _check_head(content: memoryview) -> str:
    """Byte order of the file, `<` or `>`.

    Raises:
      ValueError: the header is of another kind of file.
    """
    # The header ends with the version and two letters that tell the byte order.
    mark = bytes(content[126:128])
    if mark not in (b"IM", b"MI"):
        raise ValueError(f"{len(content):,} bytes without its header")
    order = "<" if mark == b"IM" else ">"
    (version,) = struct.unpack(f"{order}H", content[124:126])
    if version == 0x0200:
        raise ValueError(HDF5)
    if version != 0x0100:
        raise ValueError(f"version {version:#06x}")
    return order


def _decompress(data: memoryview, most: int) -> memoryview:
    """The first `most` bytes of a compressed variable."""
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(data, most)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if most == MAX_BYTES and not inflater.eof:
        raise ValueError("a compressed variable that is cut short or too large")
    return memoryview(content)


def _elements(data: memoryview, order: str, cut: bool = False) -> Iterator[tuple[int, memoryview]]:
    """Yields type and bytes of each element.

    Args:
      data: elements, one after the other.
      order: `<` or `>`.
      cut: whether the last element may be cut short.

    Raises:
      ValueError: an element goes on past the end.
    """
    at = 0
    while at < len(data):
        if len(data) - at < 8:
            raise ValueError("ends inside the tag of an element")
        kind, size = struct.unpack(f"{order}II", data[at : at + 8])
        start = at + 8
        if kind >> 16:  # a small element: its size and bytes are inside the tag
            kind, size, start = kind & 0xFFFF, kind >> 16, at + 4
            if size > 4:
                raise ValueError(f"a small element of {size} bytes")
        if size > len(data) - start and not cut:
            raise ValueError(f"an element of {size:,} bytes, of which {len(data) - start:,} remain")
        yield kind, data[start : start + size]
        at = start + size
        if kind != COMPRESSED:  # all others are filled up
            at += -at % 8


class _Matrix:
    """One array of a file, of which the head is read at once and the values on demand.

    Args:
      data: bytes of the element.
      order: `<` or `>`.
      depth: number of cells and structs that it lies in.

    Attributes:
      name: name of the variable; empty inside cells and structs.
      shape: as in MATLAB, two axes or more.
      is_cells: whether it holds arrays.

    Raises:
      ValueError: the head is damaged.
    """

    def __init__(self, data: memoryview, order: str, depth: int = 0):
        if depth > DEPTH:
            raise ValueError(f"cells and structs {depth} deep in each other")
        self._order, self._depth = order, depth
        self._parts = _elements(data, order, cut=True)
        # The head: flags with the class, dimensions, name
        (flags, *_), dims = self._next_numbers(), self._next_numbers()
        self._class, self._complex = int(flags) & 0xFF, bool(int(flags) & 0x0800)
        self.is_cells = self._class == CELL
        self.shape = tuple(int(side) for side in dims)
        if len(self.shape) < 2 or min(self.shape) < 0 or math.prod(self.shape) > MAX_BYTES:
            raise ValueError(f"an array of shape {self.shape}")
        self.name = bytes(self._next()[1]).decode("latin-1")

    def value(self, where: str) -> Value:
        """Reads the array, once; `where` is its name, for messages.

        Raises:
          ValueError: the values are damaged, or of a class that is not read.
        """
        # Containers, whose values are arrays in turn
        count = math.prod(self.shape)
        if self._class == CELL:
            return self._filled([self._inner(where) for _ in range(self._possible(count))])
        if self._class == STRUCT:
            fields = self._fields()
            return self._filled(
                [
                    {field: self._inner(f"{where}.{field}") for field in fields}
                    for _ in range(self._possible(count))
                ]
            )
        # Text, and numbers by columns as MATLAB stores them
        if self._class == CHARACTERS:
            kind, data = self._next()
            text = bytes(data).decode(TEXT.get(kind, "latin-1"), "replace")
            return np.array(text)
        if self._class not in CLASSES:
            raise ValueError(f"{where}: an array of class {self._class}; expected numbers or cells")
        if self._complex:
            raise ValueError(f"{where}: complex numbers; expected real ones")
        values = self._next_numbers()
        if len(values) != count:
            raise ValueError(f"{where}: {len(values):,} values for an array of shape {self.shape}")
        return values.astype(CLASSES[self._class], copy=False).reshape(self.shape, order="F")

    def _filled(self, values: list) -> np.ndarray:
        """The values as an array of objects, by columns."""
        array = np.empty(len(values), object)
        for place, value in enumerate(values):  # NumPy would unpack arrays of one shape
            array[place] = value
        return array.reshape(self.shape, order="F")

    def _possible(self, count: int) -> int:
        """The number of arrays that should be inside; raises ValueError if there are fewer."""
        self._inside = list(self._parts)
        self._parts = iter(self._inside)
        if count > len(self._inside):
            raise ValueError(f"{len(self._inside):,} arrays in an array of shape {self.shape}")
        return count

    def _inner(self, where: str) -> Value:
        """Reads the next array inside."""
        kind, data = self._next()
        if kind != MATRIX:
            raise ValueError(f"{where}: an element of type {kind} where an array was expected")
        return _Matrix(data, self._order, self._depth + 1).value(where) if len(data) else EMPTY

    def _fields(self) -> list[str]:
        """Names of the fields of a struct."""
        # All names have one length, and are filled up with zero bytes.
        lengths, (_, names) = self._next_numbers(), self._next()
        length = int(lengths[0]) if len(lengths) else 0
        if length < 1 or len(names) % length:
            raise ValueError(f"names of fields of {length} bytes")
        parts = [bytes(names[at : at + length]) for at in range(0, len(names), length)]
        return [part.split(b"\0")[0].decode("latin-1") for part in parts]

    def _next(self) -> tuple[int, memoryview]:
        """Type and bytes of the next element."""
        try:
            return next(self._parts)
        except StopIteration:
            raise ValueError("an array ends before its values") from None

    def _next_numbers(self) -> np.ndarray:
        """The next element, which must hold numbers."""
        kind, data = self._next()
        if kind not in NUMBERS:
            raise ValueError(f"an element of type {kind} where numbers were expected")
        number = np.dtype(self._order + NUMBERS[kind])
        if len(data) % number.itemsize:
            raise ValueError(f"{len(data):,} bytes of numbers of {number.itemsize}")
        return np.frombuffer(data, number)
