"""Weights of a TensorFlow.js graph model as NumPy arrays (spec nanodet §2).

A model is two files: a JSON file with the graph and a list of arrays, and a file in which these
arrays lie one after another, little-endian, without gaps. Nothing of the graph is run.
"""

import math
import pathlib

import numpy as np

from vadjax.formats import json_files
from vadjax.formats.regular import read_bytes

QUANTISED = {"dtype": str, "scale?": float, "min?": float}
ARRAY = {"name": str, "shape": [int], "dtype": str, "quantization?": QUANTISED}
MODEL = {"weightsManifest": [{"paths": [str], "weights": [ARRAY]}]}
STORED = {"int32": "<i4", "float32": "<f4", "float16": "<f2"}


def read(model: str | pathlib.Path, weights: str | pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays of floating-point numbers, by name.

    Args:
      model: the JSON file.
      weights: the file of the arrays.

    Returns:
      name → float32 array. Arrays that are stored as float16 are widened, which is exact.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: not such a model, several files of arrays, a type that is not known, or a file
        of another length than the list says.
    """
    model, weights = pathlib.Path(model), pathlib.Path(weights)
    groups = json_files.read(model, MODEL)["weightsManifest"]
    if len(groups) != 1 or len(groups[0]["paths"]) != 1:
        raise ValueError(f"{model}: expected one group of weights in one file")
    content = memoryview(read_bytes(weights))
    arrays, start = {}, 0
    for entry in groups[0]["weights"]:
        name, shape = entry["name"], entry["shape"]
        stored = np.dtype(_stored_type(entry, model))
        stop = start + stored.itemsize * math.prod(shape)
        if stop > len(content):
            raise ValueError(f"{weights}: {len(content):,} bytes end before array {name:.80}")
        if name in arrays:
            raise ValueError(f"{model}: array {name:.80} is listed twice")
        arrays[name] = np.frombuffer(content[start:stop], stored).reshape(shape)
        start = stop
    if start != len(content):
        raise ValueError(f"{weights}: {len(content):,} bytes, {model.name} lists {start:,}")
    return {name: a.astype(np.float32) for name, a in arrays.items() if a.dtype.kind == "f"}


def _stored_type(entry: dict, model: pathlib.Path) -> str:
    """The type in which an array lies in the file.

    Raises:
      ValueError: a type, or a quantisation with a scale, that no model here has.
    """
    quantised = entry.get("quantization")
    kind = quantised["dtype"] if quantised else entry["dtype"]
    scaled = quantised and ("scale" in quantised or "min" in quantised)
    if kind not in STORED or scaled:
        raise ValueError(
            f"{model}: array {entry['name']:.80} is stored as {kind:.20}"
            f"{' with a scale' if scaled else ''}; expected one of {', '.join(STORED)}"
        )
    return STORED[kind]
