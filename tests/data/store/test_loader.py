"""Batches do not depend on how many processes, threads or steps made them."""

import itertools
import threading

import grain
import numpy as np
import pytest

from vadjax.data.store import loader
from vadjax.data.store.loader import Shard


def first(dataset, count=6, **options) -> np.ndarray:
    return np.stack(list(itertools.islice(loader.iterate(dataset, **options), count)))


def stream(shard=Shard(), batch=4, seed=0):  # noqa: B008  (frozen)
    return loader.batches(loader.numbers(10, seed), batch, shard, lambda chosen: chosen)


def test_each_pass_has_every_number_once_in_an_order_of_its_own():
    passes = first(loader.numbers(10, 0), 30).reshape(3, 10)
    for own in passes:
        assert sorted(own) == list(range(10))
    assert not (passes[0] == passes[1]).all() and not (passes[1] == passes[2]).all()


def test_the_seed_decides_the_order():
    np.testing.assert_array_equal(first(stream(seed=3)), first(stream(seed=3)))
    assert (first(stream(seed=3)) != first(stream(seed=4))).any()


@pytest.mark.parametrize("count", [1, 2, 4])
def test_processes_share_the_same_batches(count):
    shares = [first(stream(Shard(index, count))) for index in range(count)]
    np.testing.assert_array_equal(np.concatenate(shares, 1), first(stream()))


def test_threads_and_prefetch_change_nothing():
    for threads, prefetch in ((0, 0), (1, 0), (3, 8)):
        found = first(stream(), threads=threads, prefetch=prefetch)
        np.testing.assert_array_equal(found, first(stream()))


def test_a_run_goes_on_where_it_stopped():
    np.testing.assert_array_equal(first(stream(), 4, first=7), first(stream(), 11)[7:])


def test_arrays_may_say_what_to_read():
    pairs = grain.MapDataset.source(np.arange(12).reshape(6, 2)).repeat()
    made = loader.batches(pairs, 3, Shard(1, 3), lambda chosen: chosen * 10)
    np.testing.assert_array_equal(next(loader.iterate(made)), [[20, 30]])


@pytest.mark.parametrize("batch, named", [(5, "4 or 6"), (1, "2 or 4")])
def test_a_batch_that_cannot_be_shared_is_refused(batch, named):
    with pytest.raises(ValueError, match=f"train.batch is {batch}; 2 processes .* {named}"):
        Shard(1, 2).rows(batch)


def test_the_running_process_is_the_only_one_here():
    assert loader.this_process() == Shard(0, 1)


def test_items_are_made_ahead_by_another_thread_in_order():
    made = []

    def items():
        for number in range(5):
            made.append(threading.get_ident())
            yield number

    assert list(loader.prefetch(items(), 2)) == list(range(5))
    assert len(made) == 5 and threading.get_ident() not in made


def test_an_error_while_items_are_made_ahead_comes_where_its_item_would():
    def items():
        yield 1
        raise OSError("no more")

    found = loader.prefetch(items(), 3)
    assert next(found) == 1
    with pytest.raises(OSError, match="no more"):
        next(found)
