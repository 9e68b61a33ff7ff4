"""Import of published weights: names and layouts of S3R's and RTFM's states (spec s3r §4.3)."""

import pathlib
from collections.abc import Mapping

import jax
import numpy as np
from flax import traverse_util

from vadjax.convert import arrays, torch
from vadjax.systems.s3r.model import DIVISOR, Network

UNUSED = ("video_projection.", "macro_projection.")  # in every checkpoint of S3R, never called

BLOCKS = {  # module of ours → module of theirs
    "s3r": {
        "video": "video_embedding.0",
        "macro": "macro_embedding.0",
        "reconstruct": "en_normal.en_normal_module",
        "gate": "de_normal.channel_attention.channel_gate",
        "video_head": "video_classifier",
        "macro_head": "macro_classifier.mlp",
    },
    "rtfm": {"video": "Aggregate", "video_head": ""},
}
SCALES = {"scale1": "conv_1", "scale2": "conv_2", "scale3": "conv_3", "fuse": "conv_5"}
NON_LOCAL = {
    "s3r": {"query": "query", "key": "key", "value": "value", "out": "alter.0", "norm": "alter.1"},
    "rtfm": {"query": "theta", "key": "phi", "value": "g", "out": "W.0", "norm": "W.1"},
}
LAYERS = {
    "reconstruct": {
        "query": "query_embedding",
        "key": "cache_embedding",
        "value": "value_embedding",
    },
    "gate": {"squeeze": "mlp.1", "excite": "mlp.3"},
}
HEAD = {
    "s3r": {"hidden": "0", "squeeze": "3", "score": "6"},
    "rtfm": {"hidden": "fc1", "squeeze": "fc2", "score": "fc3"},
}


def read_network(path: str | pathlib.Path, model: Network, width: int) -> tuple[dict, list[str]]:
    """Variables of `model` from a state dict of the published programs, `.pth` or `.pkl`.

    Args:
      path: the file.
      model: S3R or RTFM.
      width: columns of the features that the model is to score.

    Returns:
      `{"params": ..., "batch_stats": ...}`, and the names of weights that no model uses.

    Raises:
      FileNotFoundError, ImportError, ValueError: as `vadjax.convert.torch`; also if the file is
        of another network; then the first differences are named.
    """
    return to_variables(torch.load_state(path), model, width, str(path))


def to_variables(
    state: Mapping[str, np.ndarray], model: Network, width: int, source: str
) -> tuple[dict, list[str]]:
    """As `read_network`, from a state dict in memory; `source` names it in messages."""
    state = {name.removeprefix("module."): array for name, array in state.items()}
    unused = sorted(name for name in state if name.startswith(UNUSED))
    used = {name: array for name, array in state.items() if name not in unused}
    names = weight_names(model, width)
    shapes = variable_shapes(model, width)
    return arrays.to_variables(used, shapes, names.__getitem__, source, torch.AXES), unused


def to_state(variables: Mapping, model: Network, width: int) -> dict[str, np.ndarray]:
    """The published programs' state dict without unused weights: the inverse of `to_variables`."""
    flat, names = traverse_util.flatten_dict(variables), weight_names(model, width)
    return {
        names[path]: np.asarray(leaf).transpose(np.argsort(torch.AXES[leaf.ndim]))
        for path, leaf in flat.items()
    }


def variable_shapes(model: Network, width: int) -> dict:
    """Shapes of the variables of a model for features of `width`, without computing them."""
    video = jax.ShapeDtypeStruct((1, 1, 1, width), np.float32)
    atoms = jax.ShapeDtypeStruct((1, width), np.float32)
    return jax.eval_shape(model.init, jax.random.key(0), video, atoms)


def weight_names(model: Network, width: int = DIVISOR) -> dict[tuple[str, ...], str]:
    """Path of each variable, such as ("params", "video", "fuse", "conv", "kernel") → their name."""
    kind = "s3r" if model.en_normal else "rtfm"
    paths = traverse_util.flatten_dict(variable_shapes(model, width))
    return {path: f"{_layer(kind, *path[1:-1])}.{torch.PARTS[path[-1]]}" for path in paths}


def _layer(kind: str, block: str, layer: str, part: str = "") -> str:
    """The published name of one of our layers."""
    # Convolution and norm of a scale; the non-local layer; dense layers; heads (spec s3r §4.3).
    theirs = BLOCKS[kind][block]
    if layer in SCALES:
        norm = "1" if kind == "s3r" else "2"  # behind the ReLU
        return f"{theirs}.{SCALES[layer]}.{'0' if part == 'conv' else norm}"
    if layer == "non_local":
        return f"{theirs}.non_local.{NON_LOCAL[kind][part]}"
    if block in LAYERS:
        return f"{theirs}.{LAYERS[block][layer]}"
    if block.endswith("_head"):
        return f"{theirs}.{HEAD[kind][layer]}".removeprefix(".")
    return f"{theirs}.conv_4.0"  # "squeeze" of an aggregation
