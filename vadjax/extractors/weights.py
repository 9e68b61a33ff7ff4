"""Variables of frozen networks from the folders of runs and of published weights."""

import pathlib
from collections.abc import Mapping

from vadjax.extractors.batched import BATCH
from vadjax.runtime import mesh
from vadjax.runtime.checkpoint import Checkpoints


def restore(folder: str | pathlib.Path, shapes: Mapping, batch: int = BATCH) -> dict:
    """Variables of these shapes from the newest checkpoint of the folder.

    Raises:
      FileNotFoundError: there is no checkpoint.
      ValueError: it is of another network.
    """
    target = mesh.abstract(mesh.make(batch, here=True), shapes)
    with Checkpoints(folder, read_only=True) as checkpoints:
        return checkpoints.restore_part(target)
