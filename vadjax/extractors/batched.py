"""A function of many rows at a time, for any number of rows, on all devices.

Batches have one size, so that a network is compiled once for a size of image.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from vadjax.runtime import mesh

BATCH = 64  # the fastest on CPU


def digest_of(variables: dict, about: Mapping) -> str:
    """SHA-256 of the settings and of every weight."""
    total = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        total.update(jax.tree_util.keystr(path).encode())
        total.update(np.ascontiguousarray(leaf))
    return total.hexdigest()


class Batches:
    """A function of `batch` rows, over all devices, for any number of rows."""

    def __init__(self, apply: Callable, variables: dict, batch: int = BATCH):
        self._batch, self._devices = batch, mesh.make(batch, here=True)
        same, rows = mesh.replicated(self._devices), mesh.by_row(self._devices)
        self._variables = mesh.put_state(self._devices, variables)
        self._apply = jax.jit(apply, in_shardings=(same, rows), out_shardings=rows)

    def __call__(self, rows: np.ndarray) -> Any:
        """Outputs for all rows, as NumPy arrays; the last batch is filled up."""
        found, running = [], None
        for start in range(0, max(len(rows), 1), self._batch):
            part = rows[start : start + self._batch]
            full = np.zeros((self._batch, *rows.shape[1:]), rows.dtype)
            full[: len(part)] = part
            before, running = running, self._start(full, len(part))
            if before:
                found.append(_fetch(*before))
        found.append(_fetch(*running))
        return jax.tree.map(lambda *parts: np.concatenate(parts), *found)

    def _start(self, full: np.ndarray, count: int) -> tuple[Any, int]:
        return self._apply(self._variables, mesh.put_batch(self._devices, full)), count


def _fetch(outputs: Any, count: int) -> Any:
    return jax.tree.map(lambda a: np.asarray(a, np.float32)[:count], outputs)
