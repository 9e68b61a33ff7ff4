"""Published weights of the ResNet-50 I3D → its variables, by two sets of names (spec i3d §B3).

torch     pytorch-resnet3d:     "layer2.0.bn1.weight", "layer2.1.nl.theta.bias", "fc.weight"
Caffe2    video-nonlocal-net:   "res3_0_branch2a_bn_s", "nonlocal_conv3_1_theta_b", "pred_w"
"""

import pathlib
from collections.abc import Mapping

import numpy as np

from vadjax.backbones.i3d import CLASSES
from vadjax.backbones.resnet3d import variable_shapes
from vadjax.convert import arrays as files
from vadjax.convert.torch import PARTS

TRAINING = ("_momentum", "lr", "model_iter")  # endings of blobs of Caffe2's training
CAFFE2 = {"kernel": "w", "bias": "b"}
CAFFE2_NORM = {"scale": "s", "bias": "b", "mean": "rm", "var": "riv"}  # riv is the variance (§B3)
STEM_AND_HEAD = {"conv1": "conv1", "bn1": "res_conv1_bn", "fc": "pred"}
BRANCHES = {"conv1": "branch2a", "conv2": "branch2b", "conv3": "branch2c", "downsample": "branch1"}


def read(path: str | pathlib.Path, non_local: bool = False) -> dict:
    """Variables of `ResNet50I3D` from a torch `.pth` or a Caffe2 `.pkl` (§B3).

    Raises:
      FileNotFoundError, ImportError, ValueError: as `vadjax.convert.arrays`.
    """
    return to_variables(files.read(path), non_local, str(path))


def to_variables(arrays: Mapping[str, np.ndarray], non_local: bool, source: str) -> dict:
    """Variables of `ResNet50I3D`, with as many classes as the arrays have.

    The blobs of Caffe2's training are left out: momentum, learning rate, iteration.

    Args:
      arrays: name of a torch weight or of a Caffe2 blob → array.
      non_local: whether the network has non-local blocks.
      source: name of their file, for messages.

    Raises:
      ValueError: arrays are missing, left over, or of another shape; the message names them.
    """
    arrays = {name.removeprefix("blobs/"): array for name, array in arrays.items()}
    caffe2 = "pred_w" in arrays or "conv1_w" in arrays
    if caffe2:
        arrays = {n: a for n, a in arrays.items() if not n.endswith(TRAINING)}
    name_of = _caffe2_name if caffe2 else _torch_name
    bias = arrays.get(name_of(("params", "fc", "bias")))
    shapes = variable_shapes(non_local, CLASSES if bias is None else bias.size)
    return files.to_variables(arrays, shapes, name_of, source)


def _torch_name(path: tuple[str, ...]) -> str:
    """("params", "layer2_0", "conv1", "norm", "scale") → "layer2.0.bn1.weight"."""
    _, block, *inner, part = path
    unit = block.replace("_", ".")
    if len(inner) == 2:  # a convolution or norm of a bottleneck
        which, kind = inner
        if which == "downsample":
            inner = [f"downsample.{0 if kind == 'conv' else 1}"]
        else:
            inner = [which if kind == "conv" else which.replace("conv", "bn")]
    return ".".join((unit, *inner, PARTS[part]))


def _caffe2_name(path: tuple[str, ...]) -> str:
    """("params", "layer2_0", "conv1", "norm", "scale") → "res3_0_branch2a_bn_s"."""
    _, block, *inner, part = path
    # Blob of a convolution, or of its batch norm; Caffe2 counts the layers from 2.
    is_norm = "bn1" in path or inner[-1:] in (["norm"], ["bn"])
    end = (CAFFE2_NORM if is_norm else CAFFE2)[part]
    if block in STEM_AND_HEAD:
        return f"{STEM_AND_HEAD[block]}_{end}"
    layer, number, *non_local = block.removeprefix("layer").split("_")
    place = f"{int(layer) + 1}_{number}"
    if non_local:
        return f"nonlocal_conv{place}_{inner[0]}_{end}"
    branch = BRANCHES[inner[0]]
    return f"res{place}_{branch}{'_bn' if is_norm else ''}_{end}"
