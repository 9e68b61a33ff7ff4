"""A tiny ONNX file for tests, written by hand: outputs that depend on the mean colour only.

The file is a message of Protocol Buffers. The numbers of the fields are those of `onnx.proto`.
"""

import pathlib

import numpy as np


def write(path: pathlib.Path, still: tuple[str, ...] = (), **outputs: np.ndarray) -> str:
    """A network with these outputs plus the mean of the first channel of its input.

    Each output is a 1×1 convolution of the mean colour with the values as its bias, reshaped.

    Args:
      path: the file.
      still: names of outputs that do not depend on the colour.
      **outputs: name → float array.

    Returns:
      The path as text.
    """
    # The graph: nodes (field 1), a name (2), weights (5), its input (11) and its outputs (12)
    graph = _field(1, _node("GlobalAveragePool", ["image"], "colour"))
    graph += _field(2, b"tiny") + _field(11, _value("image", [1, 3, "h", "w"]))
    for name, array in outputs.items():
        size = array.size
        kernel = np.zeros((size, 3, 1, 1), np.float32)
        kernel[:, 0] = name not in still
        graph += _field(1, _node("Conv", ["colour", f"{name}_w", f"{name}_b"], f"{name}_flat"))
        graph += _field(1, _node("Reshape", [f"{name}_flat", f"{name}_shape"], name))
        graph += _field(5, _tensor(f"{name}_w", kernel))
        graph += _field(5, _tensor(f"{name}_b", array.reshape(-1).astype(np.float32)))
        graph += _field(5, _tensor(f"{name}_shape", np.array(array.shape, np.int64)))
        graph += _field(12, _value(name, array.shape))
    # The model: version of the format, the graph, and the set of operators with its version
    model = _number(1, 7) + _field(7, graph) + _field(8, _number(2, 13))
    path.write_bytes(model)
    return str(path)


def _varint(value: int) -> bytes:
    """A number in groups of seven bits, the lowest first; the eighth bit says that more follow."""
    low, rest = value & 127, value >> 7
    return bytes([low]) if not rest else bytes([low | 128]) + _varint(rest)


def _field(tag: int, content: bytes) -> bytes:
    """A field of bytes, text or another message: its number and wire type 2, a length, these."""
    return _varint(tag << 3 | 2) + _varint(len(content)) + content


def _number(tag: int, value: int) -> bytes:
    """A field that is a number, of wire type 0."""
    return _varint(tag << 3) + _varint(value)


def _node(kind: str, inputs: list[str], output: str) -> bytes:
    """An operator, which is named after its output."""
    named = b"".join(_field(1, name.encode()) for name in inputs)
    return (
        named + _field(2, output.encode()) + _field(3, output.encode()) + _field(4, kind.encode())
    )


def _tensor(name: str, array: np.ndarray) -> bytes:
    """Weights: shape, type of the numbers, name, raw bytes."""
    kind = {np.dtype(np.float32): 1, np.dtype(np.int64): 7}[array.dtype]
    dims = b"".join(_number(1, size) for size in array.shape)
    return dims + _number(2, kind) + _field(8, name.encode()) + _field(9, array.tobytes())


def _value(name: str, shape) -> bytes:
    """Name, type (float32) and shape of an input or output; text is a size that may vary."""
    dims = b"".join(
        _field(1, _field(2, size.encode()) if isinstance(size, str) else _number(1, size))
        for size in shape
    )
    return _field(1, name.encode()) + _field(2, _field(1, _number(1, 1) + _field(2, dims)))
