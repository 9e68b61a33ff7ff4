"""Variables of frozen networks from the folders of runs and of published weights."""

import pathlib
from collections.abc import Mapping

import jax
import numpy as np

from vadjax.convert.torch import check_numbers
from vadjax.extractors.batched import BATCH
from vadjax.runtime import mesh
from vadjax.runtime.checkpoint import Checkpoints


def restore(folder: str | pathlib.Path, shapes: Mapping, batch: int = BATCH) -> dict:
    """Variables of these shapes from the newest checkpoint of the folder.

    Args:
      folder: folder of a run, or of published weights.
      shapes: tree of the arrays' shapes and types.
      batch: rows of the batches that the network will get; decides its devices, as `Batches`.

    Raises:
      FileNotFoundError: there is no checkpoint.
      ValueError: it is of another network, or a weight has values that no training makes.
    """
    target = mesh.abstract(mesh.make(batch, here=True), shapes)
    with Checkpoints(folder, read_only=True) as checkpoints:
        variables, step = checkpoints.restore_part(target), checkpoints.newest
    # A checkpoint may come from anywhere: numbers are checked before the network is used.
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        name, source = jax.tree_util.keystr(path), f"{folder}/checkpoints/{step}"
        check_numbers(np.asarray(leaf), name, source, name.endswith("['var']"))
    return variables
