"""Runs a network on any number of rows, in batches of one size, on all devices.

Since batches have one size, a network is compiled only once for each size of its inputs.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
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
      threads: batches at once. More than one saves time where a batch of a small network keeps
        one core busy.

    Attributes:
      size: rows of a batch.
    """

    def __init__(self, apply: Callable, variables: dict, batch: int = BATCH, threads: int = 1):
        # Kept: the memory of new threads would have to be given to them anew by the system
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self.size, self._devices = batch, mesh.make(batch, here=True)
        everywhere, by_row = mesh.replicated(self._devices), mesh.by_row(self._devices)
        self._variables = mesh.put_state(self._devices, variables)
        self._apply = jax.jit(apply, in_shardings=(everywhere, by_row), out_shardings=by_row)

    def __call__(self, rows: np.ndarray) -> Any:
        """Outputs for all rows, as NumPy arrays float32; the last batch is filled up with zeros."""
        starts = range(0, max(len(rows), 1), self.size)
        parts = (rows[start : start + self.size] for start in starts)
        if self._pool and len(starts) > 1:
            outputs = list(self._pool.map(lambda part: _fetch(*self._start(part)), parts))
        else:
            outputs, pending = [], None
            for part in parts:
                # The next batch runs while the outputs of the previous one are fetched.
                previous, pending = pending, self._start(part)
                if previous:
                    outputs.append(_fetch(*previous))
            outputs.append(_fetch(*pending))
        return jax.tree.map(join, *outputs)

    def _start(self, part: np.ndarray) -> tuple[Any, int]:
        """Starts a batch without waiting for it; its outputs, and how many rows count."""
        rows = part
        if len(part) < self.size:
            rows = np.zeros((self.size, *part.shape[1:]), part.dtype)
            rows[: len(part)] = part
        return self._apply(self._variables, mesh.put_batch(self._devices, rows)), len(part)


def _fetch(outputs: Any, count: int) -> Any:
    """Waits for the outputs of a batch; their first `count` rows as NumPy arrays float32."""
    return jax.tree.map(lambda a: np.asarray(a, np.float32)[:count], outputs)


def join(*parts: np.ndarray) -> np.ndarray:
    """Arrays one after the other; a single one is not copied."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
