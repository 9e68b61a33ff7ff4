"""Weights of files as NumPy arrays, read without running code, and used all or not at all.

`read` returns name → array of a state dict (`.pt`, `.pth`), of an `.npz`, or of a pickle of nested
dicts (`.pkl`, `.ckpt`), whose names are joined with "/". `to_variables` makes variables of Flax of
them.
"""

import pathlib
from collections.abc import Callable, Mapping

import numpy as np
from flax import traverse_util

from vadjax.convert import pickles, torch
from vadjax.formats import npy
from vadjax.formats.regular import check_regular, open_regular

MOST_NAMED = 4  # differences of each kind that a message names
KEPT = {1: (0,), 2: (0, 1), 5: (0, 1, 2, 3, 4)}  # `axes` of files with the layout of Flax
COUNTER = "num_batches_tracked"


def read(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """Reads the arrays of a file by name.

    Raises:
      FileNotFoundError: no such file.
      ImportError: a torch file, and torch is not installed.
      ValueError: not a file of named arrays of numbers, or one that holds anything else.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file of weights (--file)")
    check_regular(path)
    # By the ending; torch writes a network under DataParallel with names that begin "module.".
    if path.suffix in (".pkl", ".ckpt"):
        content = read_pickle(path)
    elif path.suffix == ".npz":
        content = _read_npz(path)
    else:
        content = torch.load_state(path)
        content = {name.removeprefix("module."): array for name, array in content.items()}
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds a {type(content).__name__}, not a dict of arrays")
    # Nested dicts to one, with arrays of numbers alone.
    arrays = traverse_util.flatten_dict(content, sep="/")
    if wrong := [name for name, array in arrays.items() if not _has_numbers(array)]:
        raise ValueError(f"{path}: not arrays: {wrong[:MOST_NAMED]}")
    return arrays


def _has_numbers(array: object) -> bool:
    return isinstance(array, np.ndarray) and array.dtype.kind in "fiub"


def to_variables(
    arrays: Mapping[str, np.ndarray],
    shapes: Mapping,
    name_of: Callable[[tuple[str, ...]], str | None],
    source: str,
    axes: Mapping[int, tuple[int, ...]] = torch.AXES,
) -> dict:
    """Makes the variables of a Flax network, each from one array, until no array is left.

    Only torch's counters of batches are left out.

    Args:
      arrays: name → array.
      shapes: `{"params": ..., "batch_stats": ...}` with the shapes of the network.
      name_of: path of a variable, such as ("params", "Conv3d_1a_7x7", "conv", "kernel") → its
        name in `arrays`; None for a variable that the file lacks, which becomes 1.
      source: where `arrays` come from, for messages.
      axes: number of dimensions → the transposition that turns an array into a variable.

    Raises:
      ValueError: names or shapes differ; the message has the first of each. Or numbers that no
        training makes (`torch.check_numbers`).
    """
    # What the network needs: the name of each array and its shape, in the layout of the file.
    flat = traverse_util.flatten_dict(shapes)
    names = {path: name_of(path) for path in flat}
    turns = {path: axes[len(leaf.shape)] for path, leaf in flat.items()}
    wanted = {
        names[path]: tuple(leaf.shape[axis] for axis in np.argsort(turns[path]))
        for path, leaf in flat.items()
        if names[path]
    }
    # All names and shapes must agree before a number is looked at.
    arrays = {n: _flat_if_one(a) for n, a in arrays.items() if not n.endswith(COUNTER)}
    _compare({name: array.shape for name, array in arrays.items()}, wanted, source)
    for path, name in names.items():
        if name:
            torch.check_numbers(arrays[name], name, source, path[-1] == "var")
    # Transposed into the layout of Flax.
    variables = {
        path: np.asarray(arrays[name], np.float32).transpose(turns[path])
        if (name := names[path])
        else np.ones(leaf.shape, np.float32)
        for path, leaf in flat.items()
    }
    return traverse_util.unflatten_dict(variables)


def _flat_if_one(array: np.ndarray) -> np.ndarray:
    """[1, 1, 1, 1, C] → [C]; TensorFlow stores the statistics of batch norms in the former."""
    ones = array.ndim == 5 and array.shape[:4] == (1, 1, 1, 1)
    return array.reshape(-1) if ones else array


def _compare(have: Mapping[str, tuple], wanted: Mapping[str, tuple], source: str) -> None:
    """Compares names and shapes.

    Raises:
      ValueError: they differ.
    """
    # All kinds of differences at once, so that one message is enough.
    missing, extra = sorted(wanted.keys() - have.keys()), sorted(have.keys() - wanted.keys())
    other = [
        f"{name} is {have[name]}, this network needs {wanted[name]}"
        for name in sorted(wanted.keys() & have.keys())
        if have[name] != wanted[name]
    ]
    kinds = {"missing": missing, "of no use here": extra, "of another shape": other}
    parts = [f"{len(names)} {kind}: {_first(names)}" for kind, names in kinds.items() if names]
    if parts:
        raise ValueError(f"{source}: these are not the weights of this network; {'; '.join(parts)}")


def _first(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _read_npz(path: pathlib.Path) -> dict:
    try:
        return npy.read_npz(path)
    except ValueError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise ValueError(f"{path}: refused, not a file of plain arrays ({reason})") from error


def read_pickle(path: pathlib.Path) -> object:
    """Reads a pickle of arrays and plain containers, also one that Python 2 wrote.

    Raises:
      ValueError: not a pickle, one that holds anything else, or one beyond the bounds of `pickles`.
    """
    try:
        return pickles.load(path)
    except Exception as error:  # what a damaged pickle raises is open-ended
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else repr(error)
        raise ValueError(
            f"{path}: refused, not a pickle of plain arrays ({reason}). vadjax never runs code "
            "from a weights file"
        ) from error


def read_npy(path: pathlib.Path) -> np.ndarray:
    """Reads the numbers of an `.npy` file, also of one whose array was saved as objects.

    Raises:
      ValueError: not such a file, or one that holds anything but numbers.
    """
    try:
        try:
            array = npy.read_npy(path)
        except npy.HoldsObjects:  # the values are a pickle behind the header
            with open_regular(path) as file:
                npy.skip_header(file)
                start = file.tell()
            return pickles.load_listed(path, start)
    except Exception as error:  # what a damaged file raises is open-ended
        reason = str(error).removeprefix(f"{path}: ")
        raise ValueError(f"{path}: refused, not a readable array of numbers ({reason})") from error
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{path}: {array.dtype}; expected an array of numbers")
    return array
