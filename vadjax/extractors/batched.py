"""Runs a network on any number of rows, in batches of one size, on all devices.

Since batches have one size, a network is compiled only once for each size of its inputs.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from vadjax.runtime import mesh

BATCH = 64  # rows of a batch; the fastest on CPU


def digest_of(variables: dict, about: Mapping) -> str:
    """SHA-256 of a network's settings and of all its weights, as hexadecimal text.

    Args:
      variables: tree of arrays.
      about: settings that decide the outputs besides the weights; JSON can hold them.
    """
    total = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        total.update(jax.tree_util.keystr(path).encode())
        total.update(np.ascontiguousarray(leaf))
    return total.hexdigest()


class Batches:
    """A jitted function of `batch` rows, shared out over the devices, for any number of rows.

    Args:
      apply: (variables, rows [batch, …]) → tree of outputs [batch, …].
      variables: variables of the network, the same on all devices.
      batch: rows of a batch; the devices of this process that divide it are used.
    """

    def __init__(self, apply: Callable, variables: dict, batch: int = BATCH):
        self._batch, self._devices = batch, mesh.make(batch, here=True)
        everywhere, by_row = mesh.replicated(self._devices), mesh.by_row(self._devices)
        self._variables = mesh.put_state(self._devices, variables)
        self._apply = jax.jit(apply, in_shardings=(everywhere, by_row), out_shardings=by_row)

    def __call__(self, rows: np.ndarray) -> Any:
        """Outputs for all rows, as NumPy arrays float32; the last batch is filled up with zeros."""
        outputs, pending = [], None
        for start in range(0, max(len(rows), 1), self._batch):
            part = rows[start : start + self._batch]
            padded = np.zeros((self._batch, *rows.shape[1:]), rows.dtype)
            padded[: len(part)] = part
            # The next batch runs while the outputs of the previous one are fetched.
            previous, pending = pending, self._start(padded, len(part))
            if previous:
                outputs.append(_fetch(*previous))
        outputs.append(_fetch(*pending))
        return jax.tree.map(lambda *parts: np.concatenate(parts), *outputs)

    def _start(self, padded: np.ndarray, count: int) -> tuple[Any, int]:
        """Starts a batch without waiting for it; its outputs, and how many rows count."""
        return self._apply(self._variables, mesh.put_batch(self._devices, padded)), count


def _fetch(outputs: Any, count: int) -> Any:
    """Waits for the outputs of a batch; their first `count` rows as NumPy arrays float32."""
    return jax.tree.map(lambda a: np.asarray(a, np.float32)[:count], outputs)
