"""Import of published rankers (`.pth`, spec mil §5)."""

import pathlib

import numpy as np

from vadjax.convert import torch
from vadjax.systems.mil.model import WIDTHS

NAMES = {"hidden": "classifier.0", "squeeze": "classifier.3", "score": "classifier.6"}


def read_ranker(path: str | pathlib.Path, width: int) -> dict:
    """Parameters of `Ranker` from a checkpoint of the torch programs.

    Args:
      path: `.pth` file: a state dict, or a dict with one under `net`. The weights have the names
        `classifier.*`, their aliases `vars.0` … `vars.5`, or both.
      width: columns of the features that the ranker is to score.

    Returns:
      `{"params": ...}` for `Ranker.apply`.

    Raises:
      FileNotFoundError, ImportError, ValueError: as `vadjax.convert.torch`; also if the two sets
        of names disagree.
    """
    content = torch.load(path)
    state = content.get("net", content) if isinstance(content, dict) else {}
    weights = torch.Weights(_unalias(state, str(path)), str(path))
    # Layer after layer, each with the outputs of the one before as inputs.
    layers, inputs = {}, width
    for layer, outputs in zip(NAMES, WIDTHS, strict=True):
        layers[layer] = weights.dense(NAMES[layer], inputs, outputs)
        inputs = outputs
    weights.finish()
    return {"params": layers}


def _unalias(state: dict, source: str) -> dict:
    """The same weights under the names `classifier.*` only."""
    aliases = [f"{name}.{part}" for name in NAMES.values() for part in ("weight", "bias")]
    weights = {name: array for name, array in state.items() if not name.startswith("vars.")}
    for i, name in enumerate(aliases):
        array = state.get(f"vars.{i}")
        if array is not None and not np.array_equal(weights.setdefault(name, array), array):
            raise ValueError(f"{source}: {name} and its alias vars.{i} differ")
    return weights
