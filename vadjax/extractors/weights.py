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

    Raises:
      FileNotFoundError: there is no checkpoint.
      ValueError: it is of another network, or a weight has values that no training makes.
    """
    target = mesh.abstract(mesh.make(batch, here=True), shapes)
    with Checkpoints(folder, read_only=True) as checkpoints:
        found, step = checkpoints.restore_part(target), checkpoints.newest
    for path, leaf in jax.tree_util.tree_leaves_with_path(found):
        name, source = jax.tree_util.keystr(path), f"{folder}/checkpoints/{step}"
        check_numbers(np.asarray(leaf), name, source, name.endswith("['var']"))
    return found
