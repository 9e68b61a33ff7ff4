"""Import of the published weights of LGN-Net and MNAD (spec lgn_net §7 row 22).

LGN-Net publishes a state dict and a file with the items. MNAD publishes whole pickled modules,
which are refused; save their `state_dict()` first.
"""

import pathlib
from collections.abc import Iterator

import jax
import numpy as np

from vadjax.convert import torch
from vadjax.systems.lgn.local import ENCODER, LAYERS
from vadjax.systems.lgn.model import FramePredictor

PUBLISHED = 512  # channels of the published items
UNUSED = "encoder.moduleBatchNorm"  # in every checkpoint, never called by the forward pass
ST_LSTM = {"x": "conv_x.0", "h": "conv_h.0", "m": "conv_m.0", "o": "conv_o.0", "last": "conv_last"}


def read_model(path: str | pathlib.Path, model: FramePredictor) -> tuple[dict, list[str]]:
    """Variables of `model` from a published state dict.

    Returns:
      `{"params": ..., "batch_stats": ...}`, and the names of weights that no model uses.

    Raises:
      FileNotFoundError, ImportError, ValueError: as `vadjax.convert.torch`.
    """
    content = torch.load(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds a {type(content).__name__}, not a state dict")
    return to_variables(content, model, str(path))


def read_items(path: str | pathlib.Path) -> np.ndarray:
    """Memory items [M, 512] from the tensor file that goes with LGN-Net's state dict.

    Raises:
      FileNotFoundError, ImportError, ValueError: as `vadjax.convert.torch`; also if it is not a
        tensor of numbers [M, 512].
    """
    items = torch.load(path)
    is_array = isinstance(items, np.ndarray) and items.dtype.kind in "fiu"
    if not is_array or items.ndim != 2 or items.shape[1] != PUBLISHED:
        raise ValueError(f"{path}: not a tensor of memory items [M, {PUBLISHED}]")
    torch.check_numbers(items, "memory items", str(path))
    return np.asarray(items, np.float32)


def to_variables(state: dict, model: FramePredictor, source: str) -> tuple[dict, list[str]]:
    """As `read_model`, from a state dict in memory; `source` names it in messages."""
    shapes = variable_shapes(model)
    weights = torch.Weights(state, source)
    variables = {"params": {}, "batch_stats": {}}
    # Every variable takes the weight of its name, whose shape must be that of the variable with
    # its axes in torch's order.
    for name, (collection, *path), axes in weight_names(model):
        leaf = shapes[collection]
        for key in path:
            leaf = leaf[key]
        shape = tuple(leaf.shape[axis] for axis in np.argsort(axes))
        place = variables[collection]
        for key in path[:-1]:
            place = place.setdefault(key, {})
        place[path[-1]] = weights.take(name, shape).transpose(axes)
    # What is left over must be known to be of no use.
    unused = weights.drop(lambda name: name.startswith(UNUSED))
    weights.drop(lambda name: name.endswith("num_batches_tracked"))
    weights.finish()
    return variables, unused


def variable_shapes(model: FramePredictor) -> dict:
    """Shapes of the variables of a model, without computing them."""
    frames = jax.ShapeDtypeStruct((1, model.frames, 8, 8, 3), np.float32)
    items = jax.ShapeDtypeStruct((1, model.features), np.float32)
    return jax.eval_shape(model.init, jax.random.key(0), frames, items)


def weight_names(model: FramePredictor) -> Iterator[tuple[str, tuple[str, ...], tuple[int, ...]]]:
    """Every weight of a model as (torch name, path of our variable, transposition to our axes).

    Raises:
      ValueError: no weights were published for the model's local branch.
    """
    if model.local_branch not in ("stlstm", "none"):
        raise ValueError(f"no weights were published for local branch {model.local_branch!r}")
    # Encoder, decoder with its transposed convolutions, output, local branch.
    for level in range(1, 5):
        yield from _pair(f"encoder.moduleConv{level}", ("encoder", f"level{level}"), level < 4)
    yield from _pair("decoder.moduleConv", ("decoder", "level4"))
    for level in (3, 2, 1):
        yield from _pair(f"decoder.moduleDeconv{level}", ("decoder", f"level{level}"))
        yield from _upsample(f"decoder.moduleUpsample{level + 1}", "01", ("decoder", f"up{level}"))
    yield from _conv("decoder.moduleDeconv1.6", ("decoder", "out"))
    if model.local_branch == "stlstm":
        yield from _local_branch()


def _local_branch():
    """Frame encoder, ST-LSTM cells and up-sampler (spec §2.1)."""
    for i in range(len(ENCODER)):
        yield from _conv(f"pred.encoder.{3 * i}", ("local", "encoder", f"conv{i + 1}"))
        yield from _norm(f"pred.encoder.{3 * i + 1}", ("local", "encoder", f"norm{i + 1}"))
    for layer in range(LAYERS):
        for ours, theirs in ST_LSTM.items():
            name = f"pred.convlstm_list.{layer}.{theirs}.weight"
            yield name, ("params", "local", f"layer{layer + 1}", ours), (2, 3, 1, 0)
    yield from _upsample("st_decoder", "01", ("local", "up2"))
    yield from _upsample("st_decoder", "34", ("local", "up1"))


def _pair(name, path, closed=True):
    """A `ConvPair`; without `closed` it has no second norm."""
    for number, place in enumerate((0, 3), 1):
        yield from _conv(f"{name}.{place}", (*path, f"conv{number}"))
        if closed or number == 1:
            yield from _norm(f"{name}.{place + 1}", (*path, f"norm{number}"))


def _upsample(name, places, path):
    """An `Upsample`; `places` are the positions of convolution and norm in the torch module."""
    yield f"{name}.{places[0]}.weight", ("params", *path, "kernel"), (2, 3, 0, 1)
    yield f"{name}.{places[0]}.bias", ("params", *path, "bias"), (0,)
    yield from _norm(f"{name}.{places[1]}", (*path, "norm"))


def _conv(name, path):
    yield f"{name}.weight", ("params", *path, "kernel"), (2, 3, 1, 0)
    yield f"{name}.bias", ("params", *path, "bias"), (0,)


def _norm(name, path):
    yield f"{name}.weight", ("params", *path, "scale"), (0,)
    yield f"{name}.bias", ("params", *path, "bias"), (0,)
    yield f"{name}.running_mean", ("batch_stats", *path, "mean"), (0,)
    yield f"{name}.running_var", ("batch_stats", *path, "var"), (0,)
