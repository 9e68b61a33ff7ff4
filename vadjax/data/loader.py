"""From random access to batches: seeded order, shares of processes, prefetch, saved position."""

import collections
import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import grain
import jax


@dataclasses.dataclass(frozen=True)
class Shard:
    """One process's share of the data: number `index` of `count`."""

    index: int = 0
    count: int = 1

    def share(self, batch: int) -> int:
        """This process's part of a global batch.

        Raises:
          ValueError: the processes cannot share it evenly.
        """
        if batch % self.count:
            low = batch // self.count * self.count
            raise ValueError(
                f"train.batch is {batch}; {self.count} processes need a multiple of {self.count}, "
                f"for example {low or self.count} or {low + self.count}"
            )
        return batch // self.count


def this_process() -> Shard:
    """The share of the running JAX process."""
    return Shard(jax.process_index(), jax.process_count())


def shuffled(source: Sequence, seed: int, shard: Shard) -> grain.MapDataset:
    """Endless seeded stream over `source`: a new order each pass, split among processes.

    Raises:
      ValueError: there are fewer elements than processes.
    """
    if len(source) < shard.count:
        raise ValueError(f"{source!r}: {len(source)} elements for {shard.count} processes")
    order = grain.MapDataset.source(source).seed(seed).shuffle()
    return order[shard.index :: shard.count].repeat()


def iterate(
    dataset: grain.MapDataset, threads: int = 2, prefetch: int = 2
) -> grain.DatasetIterator:
    """Iterator that reads ahead; its position can be saved (`vadjax.checkpoint`).

    The batches do not depend on `threads` or `prefetch` (0 threads: read in the caller).
    """
    prefetch = max(prefetch, threads) if threads else 0
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=prefetch)
    return iter(dataset.to_iter_dataset(options))


def ahead(items: Iterator, depth: int) -> Iterator:
    """The same items, made by a thread up to `depth` of them early."""
    end = object()
    with ThreadPoolExecutor(1) as pool:
        waiting = collections.deque(pool.submit(next, items, end) for _ in range(depth))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(pool.submit(next, items, end))
            yield item
