"""A tiny TFLite file for tests, written by hand: one output that does not depend on the picture.

The format is a FlatBuffer. The fields of a table lie where a list before it (its vtable) says, and
offsets lead to what comes later in the file. Tables are dicts here, by the numbers of the fields in
TensorFlow Lite's schema.
"""

import pathlib
import struct

import numpy as np

POOL, CONVOLUTION, RESHAPE = 1, 3, 22  # operators, and the types of their options
OPTIONS = {POOL: 5, CONVOLUTION: 1, RESHAPE: 17}
VALID, INTEGERS = 1, 2


def write(path: pathlib.Path, size: tuple[int, int], output: np.ndarray) -> str:
    """A network: the mean colour, a 1×1 convolution of zeros with a bias, and a new shape.

    Args:
      path: the file.
      size: (H, W) of its input [1, H, W, 3].
      output: what it always gives.

    Returns:
      The path as text.
    """
    # What holds the weights, and the tensors between the operators; buffer 0 is empty
    count = output.size
    shape = np.array(output.shape, np.int32)
    buffers = [b"", np.zeros((count, 3), "<f4"), output.astype("<f4"), shape]
    tensors = [
        _tensor("image", [1, *size, 3]),
        _tensor("colour", [1, 1, 1, 3]),
        _tensor("kernel", [count, 1, 1, 3], buffer=1),
        _tensor("bias", [count], buffer=2),
        _tensor("flat", [1, 1, 1, count]),
        _tensor("shape", [output.ndim], buffer=3, kind=INTEGERS),
        _tensor("out", [*output.shape]),
    ]
    # Three operators; strides and filter sizes of the pooling are fields 1 to 4
    pool = {0: VALID, 1: 1, 2: 1, 3: size[1], 4: size[0]}
    convolution = {0: VALID, 1: 1, 2: 1, 4: 1, 5: 1}
    operators = [
        _operator(0, POOL, [0], [1], pool),
        _operator(1, CONVOLUTION, [1, 2, 3], [4], convolution),
        _operator(2, RESHAPE, [4, 5], [6], {0: shape.tolist()}),
    ]
    # The file begins with the offset of its root table, and its mark
    codes = [{0: code, 2: 1, 3: code} for code in (POOL, CONVOLUTION, RESHAPE)]
    graph = {0: tensors, 1: [0], 2: [6], 3: operators, 4: "tiny"}
    data = [{0: bytes(buffer)} if len(buffer) else {} for buffer in buffers]
    out = bytearray(struct.pack("<I4s", 0, b"TFL3"))
    struct.pack_into("<I", out, 0, _append(out, {0: 3, 1: codes, 2: [graph], 4: data}))
    path.write_bytes(out)
    return str(path)


def _tensor(name: str, shape: list[int], buffer: int = 0, kind: int = 0) -> dict:
    """A tensor; kind 0 is float32."""
    return {0: shape, 1: kind, 2: buffer, 3: name}


def _operator(code: int, kind: int, inputs: list[int], outputs: list[int], options: dict) -> dict:
    """An operator on tensors by their numbers; `code` is the number in the list of codes."""
    return {0: code, 1: inputs, 2: outputs, 3: OPTIONS[kind], 4: options}


def _append(out: bytearray, value: dict | list | bytes | str) -> int:
    """Appends a value, then what it points to; returns where the value begins."""
    # The numbers that follow the length of a buffer begin at a multiple of 16
    length_bytes = 4 if isinstance(value, bytes) else 0
    out += bytes(-(len(out) + length_bytes) % (16 if length_bytes else 4))
    if isinstance(value, dict):
        return _append_table(out, value)
    start = len(out)
    out += struct.pack("<I", len(value))
    if isinstance(value, bytes):
        out += value
    elif isinstance(value, str):
        out += value.encode() + b"\0"
    else:
        _append_slots(out, value)
    return start


def _append_table(out: bytearray, fields: dict) -> int:
    """Appends a vtable and its table; returns where the table begins."""
    # The vtable: its own size, the table's size, and the place of each field, 0 if it is absent
    places = {field: 4 + 4 * rank for rank, field in enumerate(sorted(fields))}
    slots, vtable = max(fields, default=-1) + 1, len(out)
    offsets = [places.get(field, 0) for field in range(slots)]
    out += struct.pack(f"<{2 + slots}H", 4 + 2 * slots, 4 + 4 * len(fields), *offsets)
    out += bytes(-len(out) % 4)
    # The table: the way back to the vtable, then the fields
    start = len(out)
    out += struct.pack("<i", start - vtable)
    _append_slots(out, [fields[field] for field in sorted(fields)])
    return start


def _append_slots(out: bytearray, values: list) -> None:
    """Appends four bytes for each value: a number, or the way from there to what is appended."""
    start = len(out)
    out += bytes(4 * len(values))
    for slot, value in zip(range(start, start + 4 * len(values), 4), values, strict=True):
        number = value if isinstance(value, int) else _append(out, value) - slot
        struct.pack_into("<i", out, slot, number)
