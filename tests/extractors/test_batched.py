import threading

import jax.numpy as jnp
import numpy as np
import pytest

from vadjax.extractors.batched import Batches


@pytest.mark.parametrize("rows", [0, 1, 2, 7])
def test_batches_at_once_are_those_one_by_one(rows):
    rng = np.random.default_rng(0)
    weights, x = rng.standard_normal((5, 3)), rng.standard_normal((rows, 5))
    weights, x = weights.astype(np.float32), x.astype(np.float32)

    def apply(variables, rows):
        return {"product": rows @ variables["w"], "sum": jnp.sum(rows, 1)}

    one, three = (Batches(apply, {"w": weights}, 2, threads)(x) for threads in (1, 3))
    assert one["product"].shape == (rows, 3)
    for name, values in one.items():
        np.testing.assert_array_equal(three[name], values)
    np.testing.assert_allclose(one["product"], x @ weights, rtol=1e-5, atol=1e-6)


def test_batches_run_side_by_side(monkeypatch):
    run = Batches(lambda variables, rows: rows, {"w": np.zeros(1)}, 1, 2)
    both, start = threading.Barrier(2), run._start

    def together(part):
        both.wait(60)  # nobody would come if one waited for the other
        return start(part)

    monkeypatch.setattr(run, "_start", together)
    x = np.arange(4, dtype=np.float32)[:, None]
    np.testing.assert_array_equal(run(x), x)
