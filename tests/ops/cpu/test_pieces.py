import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.ops.test_conv import close, draw, plain, with_gradients
from vadjax.ops.conv import conv
from vadjax.ops.cpu import narrow, pieces


@pytest.mark.parametrize(("most", "sizes"), [(6, [6]), (4, [3]), (3, [3]), (1, [1]), (0, [1])])
def test_as_many_samples_at_once_as_fit_and_divide_the_batch(most, sizes, monkeypatch):
    monkeypatch.setattr(pieces, "CACHE", 100 * most)
    seen = []

    def function(x):
        seen.append(len(x))
        return {"twice": 2 * x, "sum": x.sum(1)}

    x = jnp.arange(12.0).reshape(6, 2)
    found = pieces.in_pieces(function, x, 100)
    assert list(dict.fromkeys(seen)) == sizes
    np.testing.assert_array_equal(found["twice"], 2 * x)
    np.testing.assert_array_equal(found["sum"], x.sum(1))


@pytest.mark.parametrize("channels", [5, 24])
@pytest.mark.parametrize("samples", [1, 3, 6])
def test_volumes_in_pieces(samples, channels, monkeypatch):
    """The same whether all of a batch is treated at once or some samples at a time."""
    features = narrow.MOST_CHANNELS + 1  # narrow convolutions have a form of their own
    x, w = draw((6, 4, 8, 7, channels), (3, 3, 3, channels, features), dtype="float32")
    one = 4 * 8 * 7 * max(3 * channels, features) * 4  # bytes: three temporal taps, or the output
    monkeypatch.setattr(pieces, "CACHE", samples * one)
    jax.clear_caches()  # nothing that was traced with another number is taken
    ours = lambda x, w: conv(x, w, (1, 1, 1), ((1, 1),) * 3)  # noqa: E731
    loops = str(jax.make_jaxpr(ours)(x, w)).count("scan[")
    assert loops == (samples < 6)
    theirs = with_gradients(lambda x, w: plain(x, w, (1, 1, 1), ((1, 1),) * 3), x, w)
    close(with_gradients(ours, x, w), theirs, "float32")
