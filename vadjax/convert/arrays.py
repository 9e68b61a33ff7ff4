"""Weights of files as NumPy arrays, without running any code in them; and all of them, or none.

`read` gives name → array of a state dict (`.pt`, `.pth`), of an `.npz`, or of a pickle of nested
dicts (`.pkl`, `.ckpt`), names joined with "/". `to_variables` takes them over.
"""

import pathlib
import pickle
import re
from collections.abc import Callable, Mapping

import numpy as np
from flax import traverse_util

from vadjax.convert import torch

MOST_NAMED = 4  # differences of a kind in a message
KEPT = {1: (0,), 2: (0, 1), 5: (0, 1, 2, 3, 4)}  # axes of files that are laid out as ours
COUNTER = "num_batches_tracked"
PLAIN = re.compile(r"[<>|=]?[biuf][1248]")  # types that pickled arrays may have


def read(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """Arrays of a file by name.

    Raises:
      FileNotFoundError: no such file.
      ImportError: a torch file, and torch is not installed.
      ValueError: not a file of named arrays, or one that holds more.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of weights (--file)")
    if path.suffix in (".pkl", ".ckpt"):
        content = read_pickle(path)
    elif path.suffix == ".npz":
        content = _read_npz(path)
    else:
        content = torch.load_state(path)
        content = {name.removeprefix("module."): array for name, array in content.items()}
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds a {type(content).__name__}, not a dict of arrays")
    arrays = traverse_util.flatten_dict(content, sep="/")
    if wrong := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
        raise ValueError(f"{path}: not arrays: {wrong[:MOST_NAMED]}")
    return arrays


def to_variables(
    arrays: Mapping[str, np.ndarray],
    shapes: Mapping,
    name_of: Callable[[tuple[str, ...]], str | None],
    source: str,
    axes: Mapping[int, tuple[int, ...]] = torch.AXES,
) -> dict:
    """Variables of a Flax network, each of which is one array; no array is left.

    Only torch's counters of batches are given up.

    Args:
      arrays: name → array.
      shapes: `{"params": ..., "batch_stats": ...}` with the shapes of the network.
      name_of: path of a variable, such as ("params", "Conv3d_1a_7x7", "conv", "kernel") → its
        name in `arrays`; None where the file has none: those become 1.
      source: where `arrays` come from, for messages.
      axes: number of dimensions → axes that turn theirs into ours.

    Raises:
      ValueError: names or shapes differ; the message has the first of each.
    """
    flat = traverse_util.flatten_dict(shapes)
    names = {path: name_of(path) for path in flat}
    turns = {path: axes[len(leaf.shape)] for path, leaf in flat.items()}
    wanted = {
        names[path]: tuple(leaf.shape[axis] for axis in np.argsort(turns[path]))
        for path, leaf in flat.items()
        if names[path]
    }
    arrays = {n: _flat_if_one(a) for n, a in arrays.items() if not n.endswith(COUNTER)}
    _compare({name: array.shape for name, array in arrays.items()}, wanted, source)
    found = {
        path: np.asarray(arrays[name], np.float32).transpose(turns[path])
        if (name := names[path])
        else np.ones(leaf.shape, np.float32)
        for path, leaf in flat.items()
    }
    return traverse_util.unflatten_dict(found)


def _flat_if_one(array: np.ndarray) -> np.ndarray:
    """[1, 1, 1, 1, C] → [C], as TensorFlow keeps the statistics of batch norms."""
    ones = array.ndim == 5 and array.shape[:4] == (1, 1, 1, 1)
    return array.reshape(-1) if ones else array


def _compare(have: Mapping[str, tuple], wanted: Mapping[str, tuple], source: str) -> None:
    """Compares names and shapes.

    Raises:
      ValueError: they differ.
    """
    missing, extra = sorted(wanted.keys() - have.keys()), sorted(have.keys() - wanted.keys())
    other = [
        f"{name} is {have[name]}, this network needs {wanted[name]}"
        for name in sorted(wanted.keys() & have.keys())
        if have[name] != wanted[name]
    ]
    kinds = {"missing": missing, "of no use here": extra, "of another shape": other}
    parts = [f"{len(all_)} {kind}: {_first(all_)}" for kind, all_ in kinds.items() if all_]
    if parts:
        raise ValueError(f"{source}: these are not the weights of this network; {'; '.join(parts)}")


def _first(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _read_npz(path: pathlib.Path) -> dict:
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except Exception as error:  # zipfile, zlib and NumPy raise half a dozen kinds
        raise ValueError(f"{path}: refused, not a file of plain arrays ({error})") from error


def read_pickle(path: pathlib.Path) -> object:
    """What a pickle of arrays and plain containers holds (also one of Python 2).

    Nothing outside of this file is called, NumPy's own unpickling neither.

    Raises:
      ValueError: not a pickle, or one that holds anything else.
    """
    try:
        with path.open("rb") as file:
            return _opened(_Unpickler(file, encoding="latin1").load())
    except Exception as error:  # what a damaged pickle raises is open-ended
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else repr(error)
        raise ValueError(
            f"{path}: refused, not a pickle of plain arrays ({reason}). vadjax never runs code "
            "from a weights file"
        ) from error


def read_npy(path: pathlib.Path) -> np.ndarray:
    """The numbers of an `.npy` file, also of one whose array was saved as objects.

    Raises:
      ValueError: not such a file, or one that holds anything else.
    """
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            header = getattr(np.lib.format, f"read_array_header_{version[0]}_0")(file)
            if header[2].hasobject:
                found = _Unpickler(file, encoding="latin1").load()
                return np.array(_listed(found), np.float32)
            file.seek(0)
            found = np.lib.format.read_array(file, allow_pickle=False)
    except Exception as error:  # what a damaged file raises is open-ended
        raise ValueError(f"{path}: refused, not a readable array of numbers ({error})") from error
    if found.dtype.kind not in "fiub":
        raise ValueError(f"{path}: {found.dtype}; expected an array of numbers")
    return found


def _listed(value):
    """Arrays of objects as nested lists, which NumPy then makes one array of."""
    if isinstance(value, _Array) and value.value.dtype == object:
        value = value.value.tolist()
    if isinstance(value, list):
        return [_listed(item) for item in value]
    return value.value if isinstance(value, _Array) else value


class _Dtype:
    """Stands for `numpy.dtype` while a pickle is read."""

    def __init__(self, name: str, *_):
        if not PLAIN.fullmatch(name) and name != "O8":
            raise pickle.UnpicklingError(f"arrays of type {name!r}")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: tuple) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Stands for `numpy.ndarray` while a pickle is read."""

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, by_columns, data = state
        if kind.dtype == object:
            if by_columns:
                raise pickle.UnpicklingError("objects in columns")
            self.value = np.empty(len(data), object)
            self.value[:] = data
            self.value = self.value.reshape(shape)
            return
        data = data.encode("latin1") if isinstance(data, str) else data
        order = "F" if by_columns else "C"
        self.value = np.frombuffer(data, kind.dtype).reshape(shape, order=order)


def _reconstruct(*_) -> _Array:
    return _Array()


def _scalar(kind: _Dtype, data: bytes | str) -> np.generic:
    data = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(data, kind.dtype)[0]


def _encode(text: str, *_) -> bytes:
    return text.encode("latin1")


def _opened(value):
    """Containers with their arrays in place of what stands for them."""
    if isinstance(value, dict):
        return {str(key): _opened(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_opened(item) for item in value]
    if isinstance(value, _Array) and value.value.dtype == object:
        raise pickle.UnpicklingError("arrays of type 'O8'")
    return value.value if isinstance(value, _Array) else value


class _Unpickler(pickle.Unpickler):
    """Knows no names but those of arrays."""

    KNOWN = {
        "numpy.core.multiarray._reconstruct": _reconstruct,
        "numpy._core.multiarray._reconstruct": _reconstruct,
        "numpy.core.multiarray.scalar": _scalar,
        "numpy._core.multiarray.scalar": _scalar,
        "numpy.ndarray": _Array,
        "numpy.dtype": _Dtype,
        "_codecs.encode": _encode,
    }

    def find_class(self, module: str, name: str):
        """The stand-in of a known name.

        Raises:
          UnpicklingError: any other name: code.
        """
        if (known := self.KNOWN.get(f"{module}.{name}")) is None:
            raise pickle.UnpicklingError(f"it calls {module}.{name}")
        return known
