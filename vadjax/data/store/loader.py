"""From random access to batches: seeded order, shares of processes, prefetch.

Batch number s of a run holds the same elements for any number of processes, and each process makes
its rows of it. The number of steps done therefore is the whole position of the input: a run
continues where it stopped with any number of processes, and no element of a pass is lost or
repeated.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grain
import jax
import numpy as np


@dataclasses.dataclass(frozen=True)
class Shard:
    """One process's share of the data: number `index` of `count`."""

    index: int = 0
    count: int = 1

    def rows(self, batch: int) -> slice:
        """This process's rows of a global batch of `batch` rows.

        Raises:
          ValueError: the processes cannot share it evenly.
        """
        if batch % self.count:
            low = max(batch // self.count, 1) * self.count
            raise ValueError(
                f"train.batch is {batch}; {self.count} processes need a multiple of {self.count}, "
                f"for example {low} or {low + self.count}"
            )
        share = batch // self.count
        return slice(self.index * share, (self.index + 1) * share)


def this_process() -> Shard:
    """The share of the running JAX process."""
    return Shard(jax.process_index(), jax.process_count())


def numbers(count: int, seed: int) -> grain.MapDataset:
    """Endless seeded stream of the numbers 0 … count - 1, in a new order each pass."""
    return grain.MapDataset.range(count).seed(seed).shuffle().repeat()


def batches(
    elements: grain.MapDataset, batch: int, shard: Shard, make: Callable[[np.ndarray], Any]
) -> grain.MapDataset:
    """Batches of an endless stream; this process makes only its rows.

    Args:
      elements: numbers, or arrays of the same shape, that say what to read.
      batch: elements of the global batch.
      shard: this process's share.
      make: elements [B, …] → what the batch holds, where B is this process's share of `batch`.

    Raises:
      ValueError: the processes cannot share a batch evenly.
    """
    # The global batch is formed first and then cut, so that it does not depend on the processes.
    rows = shard.rows(batch)
    global_batches = elements.batch(batch, drop_remainder=True)  # or its length overflows
    return global_batches.map(lambda chosen: make(chosen[rows]))


def iterate(
    dataset: grain.MapDataset, threads: int = 2, prefetch: int = 2, first: int = 0
) -> Iterator:
    """The batches from number `first` on, read ahead.

    Args:
      dataset: the batches.
      threads: threads that read; 0 reads in the calling thread. The batches do not depend on it.
      prefetch: batches that are read ahead, at least one for each thread; none with 0 threads.
      first: number of the first batch.
    """
    prefetch = max(prefetch, threads) if threads else 0
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=prefetch)
    return iter(dataset[first:].to_iter_dataset(options))


def prefetch(items: Iterator, depth: int) -> Iterator:
    """The same items, made by a thread, up to `depth` of them before they are asked for."""
    # One thread takes all items, so their order stays; an exception of `items` is raised here.
    end = object()
    with ThreadPoolExecutor(1) as pool:
        waiting = collections.deque(pool.submit(next, items, end) for _ in range(depth))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(pool.submit(next, items, end))
            yield item
