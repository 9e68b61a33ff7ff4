"""The nearest of a bank, in one block or in many, beside plain differences."""

import tracemalloc

import numpy as np
import pytest

from vadjax.systems.attributes import bank


@pytest.mark.parametrize("products", [4, 37, 1 << 19])
@pytest.mark.parametrize("block", [2, 1024])
def test_nearest_in_blocks(monkeypatch, products, block):
    monkeypatch.setattr(bank, "PRODUCTS", products)
    monkeypatch.setattr(bank, "ROWS", block)
    rng = np.random.default_rng(0)
    rows, exemplars = rng.standard_normal((4, 6)), rng.standard_normal((50, 6))
    distance, index = bank.nearest(rows, exemplars)
    plain = np.linalg.norm(rows[:, None] - exemplars, axis=2)
    np.testing.assert_array_equal(index, plain.argmin(1))
    np.testing.assert_allclose(distance, plain.min(1), rtol=1e-13)


@pytest.mark.parametrize("products", [1, 3, 1 << 19])
def test_of_equals_the_first_is_the_nearest(monkeypatch, products):
    monkeypatch.setattr(bank, "PRODUCTS", products)
    exemplars = np.array([[3.0, 1], [1, 2], [1, 2], [0, 5], [1, 2]])
    distance, index = bank.nearest(np.array([[1.0, 2]]), exemplars)
    assert index.tolist() == [1] and distance.tolist() == [0]


def test_few_products_still_take_one_exemplar_at_a_time(monkeypatch):
    monkeypatch.setattr(bank, "PRODUCTS", 2)
    rows = np.arange(8.0)[:, None]  # more rows than products of a block
    assert bank.nearest(rows, rows)[1].tolist() == list(range(8))


@pytest.mark.parametrize("middle", [0.0, 1e3, 1e6])
def test_float32_never_decides(middle):
    """Exemplars closer together than float32 can tell, far from 0: the nearest is still found."""
    rng = np.random.default_rng(1)
    exemplars = middle + rng.standard_normal((200, 8))
    exemplars[100:] = exemplars[:100] + 1e-9 * rng.standard_normal((100, 8))  # almost the same
    rows = middle + rng.standard_normal((40, 8))
    distance, index = bank.NearestInBank(exemplars)(rows)
    plain = np.linalg.norm(rows[:, None] - exemplars, axis=2)
    np.testing.assert_array_equal(index, plain.argmin(1))
    np.testing.assert_array_equal(distance, plain.min(1))


def test_many_equal_exemplars_take_little_memory(monkeypatch):
    monkeypatch.setattr(bank, "PRODUCTS", 64)
    exemplars = np.ones((500, 4))
    distance, index = bank.NearestInBank(exemplars)(np.zeros((3, 4)))
    assert distance.tolist() == [2, 2, 2] and index.tolist() == [0, 0, 0]


def test_what_has_no_nearest():
    for rows in (np.zeros((0, 3)), np.zeros(3)):
        with pytest.raises(ValueError, match="expected .M, D., M at least 1"):
            bank.NearestInBank(rows)
    with pytest.raises(ValueError, match="expected one width"):
        bank.NearestInBank(np.zeros((2, 3)))(np.zeros((1, 4)))
    distance, index = bank.NearestInBank(np.zeros((2, 3)))(np.zeros((0, 3)))
    assert distance.shape == index.shape == (0,)


def test_memory_is_bounded_by_the_bank():
    """All products of 3,000 rows and 20,000 exemplars would take 240 MB."""
    rng = np.random.default_rng(0)
    nearest = bank.NearestInBank(rng.standard_normal((20_000, 32)))
    rows = rng.standard_normal((3_000, 32))
    tracemalloc.start()
    nearest(rows)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6
