"""Weights of files as NumPy arrays, without running any code in them; and all of them, or none.

`read` gives name → array of a state dict (`.pt`, `.pth`), of an `.npz`, or of a pickle of nested
dicts (`.pkl`, `.ckpt`), names joined with "/". `to_variables` takes them over.
"""

import pathlib
from collections.abc import Callable, Mapping

import numpy as np
from flax import traverse_util

from vadjax.convert import pickles, torch
from vadjax.formats import npy
from vadjax.formats.regular import check_regular, open_regular

MOST_NAMED = 4  # differences of a kind in a message
KEPT = {1: (0,), 2: (0, 1), 5: (0, 1, 2, 3, 4)}  # axes of files that are laid out as ours
COUNTER = "num_batches_tracked"


def read(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """Arrays of a file by name.

    Raises:
      FileNotFoundError: no such file.
      ImportError: a torch file, and torch is not installed.
      ValueError: not a file of named arrays, or one that holds more.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file of weights (--file)")
    check_regular(path)
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
      ValueError: names or shapes differ; the message has the first of each. Or numbers that no
        training makes (`torch.check_numbers`).
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
    for path, name in names.items():
        if name:
            torch.check_numbers(arrays[name], name, source, path[-1] == "var")
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
        return npy.read_npz(path)
    except ValueError as error:
        told = str(error).removeprefix(f"{path}: ")
        raise ValueError(f"{path}: refused, not a file of plain arrays ({told})") from error


def read_pickle(path: pathlib.Path) -> object:
    """What a pickle of arrays and plain containers holds (also one of Python 2).

    Raises:
      ValueError: not a pickle, or one that holds anything else, or without end (`pickles`).
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
    """The numbers of an `.npy` file, also of one whose array was saved as objects.

    Raises:
      ValueError: not such a file, or one that holds anything else.
    """
    try:
        try:
            found = npy.read_npy(path)
        except npy.HoldsObjects:
            with open_regular(path) as file:
                npy.skip_header(file)
                start = file.tell()
            return pickles.load_listed(path, start)
    except Exception as error:  # what a damaged file raises is open-ended
        told = str(error).removeprefix(f"{path}: ")
        raise ValueError(f"{path}: refused, not a readable array of numbers ({told})") from error
    if found.dtype.kind not in "fiub":
        raise ValueError(f"{path}: {found.dtype}; expected an array of numbers")
    return found
