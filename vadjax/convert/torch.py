"""Published torch weights: safe loading, layouts, and a check that each weight is used once."""

import pathlib
import zipfile
from collections.abc import Callable, Mapping

import numpy as np

from vadjax.convert import pickles
from vadjax.formats.regular import check_regular, open_regular
from vadjax.formats.zips import check_zip

MOST_BYTES = 1 << 36  # of the tensors of a file
MOST_MEMBERS = 1_000_000  # of the zip archive of a file
PART_BYTES = 1 << 20  # read at once
MOST_WEIGHT = 1e8  # the largest published weight that was seen is a variance of 566
VARIANCE = "running_var"  # end of the names of variances
OLD_PICKLES = 4  # magic number, version, system, content; a fifth names the numbers behind them


def load(path: str | pathlib.Path) -> dict:
    """Reads a `.pth` / `.pt` file without running any code in it.

    Returns:
      What the file holds, tensors as NumPy arrays.

    Raises:
      FileNotFoundError: no such file.
      ImportError: torch is not installed.
      ValueError: not a torch file, or one that holds more than tensors and plain containers.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file of weights (model.weights)")
    check_regular(path)
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            "reading .pth files needs torch: pip install 'vadjax[torch]' (or pip install torch)"
        ) from error
    try:
        _check_bounds(path)
        return _to_numpy(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch raises UnpicklingError, RuntimeError, EOFError, ...
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"{path}: refused, not a file of plain tensors ({reason}). vadjax never runs code "
            "from a weights file; save the state dict alone: torch.save(net.state_dict(), FILE)"
        ) from error


def _check_bounds(path: pathlib.Path) -> None:
    """Checks the file against the bounds of `zips` and `pickles`, before torch reads it.

    It also compares the checksums of a zip, which torch does not.

    Raises:
      ValueError, or whatever a damaged file raises: it goes beyond the bounds.
    """
    with open_regular(path) as file:
        if not zipfile.is_zipfile(file):  # the format before torch 1.6: pickles, then numbers
            file.seek(0)
            pickles.scan(file, OLD_PICKLES)
            return
        with zipfile.ZipFile(file) as archive:
            for member in check_zip(archive, MOST_BYTES, MOST_MEMBERS):
                with archive.open(member) as inner:
                    if member.filename.endswith(".pkl"):
                        pickles.scan(inner)
                    while inner.read(PART_BYTES):  # to the end, which compares the checksum
                        pass


def load_state(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """Reads a state dict, name → array.

    Raises:
      FileNotFoundError, ImportError, ValueError: as `load`; or the file holds anything else.
    """
    content = load(path)
    if not isinstance(content, dict) or not all(hasattr(a, "shape") for a in content.values()):
        raise ValueError(f"{path}: holds a {type(content).__name__}, not a state dict of tensors")
    return content


def _to_numpy(value):
    """Tensors in dicts and lists become arrays; other values stay."""
    if isinstance(value, Mapping):
        return {key: _to_numpy(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_numpy(item) for item in value]
    return _tensor(value) if hasattr(value, "detach") else value


def _tensor(value) -> np.ndarray:
    """The numbers of a tensor; raises ValueError where they are not all stored."""
    import torch

    if value.layout != torch.strided or value.is_meta:
        raise ValueError(f"a tensor of layout {value.layout} on {value.device}")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise ValueError(f"a tensor {tuple(value.shape)} of more numbers than are stored")
    is_bfloat16 = value.dtype == torch.bfloat16  # which NumPy does not know
    return value.detach().to(torch.float32 if is_bfloat16 else value.dtype).numpy()


def check_numbers(array: np.ndarray, name: str, source: str, variance: bool = False) -> None:
    """Raises ValueError where a weight has values that no training makes.

    Such values are NaN, infinite in float32, beyond ±`MOST_WEIGHT`, or variances below 0. In a
    format without checksums this is the only sign of a damaged byte.

    Args:
      array: the weight.
      name: name of the weight, for messages.
      source: where the weight comes from, for messages.
      variance: whether it is the variance of a norm.
    """
    with np.errstate(over="ignore"):
        values = np.asarray(array, np.float32)
    for bad, what in (
        (~np.isfinite(values), "are not finite"),
        (np.abs(values) > MOST_WEIGHT, f"are beyond ±{MOST_WEIGHT:.0e}, as no training makes them"),
        (values < (0 if variance else -np.inf), "are below 0, and variances"),
    ):
        if count := int(bad.sum()):
            raise ValueError(f"{source}: {name}: {count:,} of {array.size:,} values {what}")


class Weights:
    """A state dict from which every weight is taken exactly once.

    Args:
      arrays: name → array; a leading "module.", as of DataParallel, is cut off.
      source: where the arrays come from, for messages.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], source: str):
        self._left = {str(name).removeprefix("module."): a for name, a in arrays.items()}
        self._source = source

    def names(self) -> set[str]:
        """Names of the weights that are not taken yet."""
        return set(self._left)

    def take(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Takes the weight `name`, float32, which must have `shape`.

        Raises:
          ValueError: there is no such weight any more, it has another shape, or it has numbers that
            no training makes (`check_numbers`).
        """
        if name not in self._left:
            have = ", ".join(sorted(self._left)[:8]) or "nothing more"
            raise ValueError(f"{self._source}: no weight {name!r}; it has {have}")
        array = self._left.pop(name)
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
            raise ValueError(f"{self._source}: {name} is no array of numbers")
        if array.shape != shape:
            raise ValueError(f"{self._source}: {name} is {array.shape}, this model needs {shape}")
        check_numbers(array, name, self._source, name.endswith(VARIANCE))
        return np.asarray(array, np.float32)

    def dense(self, name: str, inputs: int, outputs: int) -> dict[str, np.ndarray]:
        """Takes a linear layer, in Flax's layout: `kernel` [inputs, outputs], `bias` [outputs]."""
        kernel = self.take(f"{name}.weight", (outputs, inputs)).T
        return {"kernel": kernel, "bias": self.take(f"{name}.bias", (outputs,))}

    def drop(self, unused: Callable[[str], bool]) -> list[str]:
        """Drops the weights for whose names `unused` is true, and returns these names."""
        names = sorted(filter(unused, self._left))
        for name in names:
            del self._left[name]
        return names

    def finish(self) -> None:
        """Checks that nothing is left.

        Raises:
          ValueError: weights that the model does not use, by name.
        """
        if self._left:
            raise ValueError(f"{self._source}: weights of no use here: {sorted(self._left)}")


PARTS = {"kernel": "weight", "scale": "weight", "bias": "bias"}  # name in Flax → in torch
PARTS |= {"mean": "running_mean", "var": "running_var"}
# Number of dimensions → transposition of a torch array (outputs first) to Flax (outputs last)
AXES = {1: (0,), 2: (1, 0), 3: (2, 1, 0), 4: (2, 3, 1, 0), 5: (2, 3, 4, 1, 0)}


def to_variables(
    weights: Weights, shapes: Mapping, name_of: Callable[[tuple[str, ...]], str]
) -> dict:
    """Takes the variables of a Flax network of convolutions, batch norms and linear layers.

    Counters of batches are dropped. Whether other weights may be left over is for the caller to
    check (`Weights.finish`).

    Args:
      weights: the weights to take from.
      shapes: `{"params": ..., "batch_stats": ...}` with the shapes of the network.
      name_of: path of a layer in Flax, such as ("block3", "norm") → its name in torch.

    Raises:
      ValueError: a weight is not there, or has another shape.
    """

    def take(tree: Mapping, path: tuple[str, ...]) -> dict:
        arrays = {}
        for key, value in tree.items():
            if isinstance(value, Mapping):
                arrays[key] = take(value, (*path, key))
            else:
                # The shape in torch is that of Flax with the axes in the inverse order of `AXES`
                axes = AXES[len(value.shape)]
                torch_shape = tuple(value.shape[axis] for axis in np.argsort(axes))
                weight = weights.take(f"{name_of(path)}.{PARTS[key]}", torch_shape)
                arrays[key] = weight.transpose(axes)
        return arrays

    variables = {collection: take(tree, ()) for collection, tree in shapes.items()}
    weights.drop(lambda name: name.endswith("num_batches_tracked"))
    return variables
