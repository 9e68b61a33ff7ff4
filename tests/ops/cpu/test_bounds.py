"""Machine code reads nothing beyond its arrays: here memory that none may read follows them."""

import ctypes
import mmap

import jax
import numpy as np
import pytest

from vadjax.ops.cpu import direct, filtered, kernel_gradients, largest, resized, tiled, transposed

SAME = ((1, 1), (1, 1))
PROT_NONE = 0
pytestmark = pytest.mark.skipif(
    jax.default_backend() != "cpu" or not hasattr(mmap, "PROT_READ"), reason="CPUs with mprotect"
)


@pytest.fixture
def at_the_end():
    """Makes arrays of ones [shape], float32, whose last value is the last of its page."""
    kept = []

    def make(*shape):
        size, page = 4 * int(np.prod(shape)), mmap.PAGESIZE
        pages = -(-size // page)
        memory = mmap.mmap(-1, (pages + 1) * page)
        last = ctypes.addressof(ctypes.c_char.from_buffer(memory)) + pages * page
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        assert protect(ctypes.c_void_p(last), ctypes.c_size_t(page), PROT_NONE) == 0
        kept.append(memory)
        array = np.frombuffer(memory, np.float32, size // 4, pages * page - size).reshape(shape)
        array[:] = 1
        assert array.ctypes.data + size == last and array.ctypes.data % 64 == 0
        taken = jax.numpy.from_dlpack(array)  # as it is
        assert taken.unsafe_buffer_pointer() == array.ctypes.data
        return taken

    return make


@pytest.mark.parametrize(
    ("shape", "features"),
    [((1, 5, 17, 32), 48), ((1, 4, 16, 16), 16), ((2, 7, 9, 48), 16), ((1, 9, 2, 16), 80)],
)
def test_no_form_reads_beyond_its_arrays(at_the_end, shape, features):
    *outer, channels = shape
    x, gy = at_the_end(*shape), at_the_end(*outer, features)
    w, bias = at_the_end(3, 3, channels, features), at_the_end(features)
    whole = 9 * channels
    for form in (filtered, tiled):
        assert float(form.conv(x, w).max()) == pytest.approx(_most(shape, whole), rel=1e-4)
        y = form.activated([x], form.packed(w), bias, 0.1)
        assert float(y.max()) == pytest.approx(_most(shape, whole) + 1, rel=1e-4)
        back = form.conv(gy, w, turned=True)
        assert float(back.max()) == pytest.approx(_most(shape, 9 * features), rel=1e-4)
    assert float(transposed.conv(x, w).max()) == pytest.approx(4 * channels, rel=1e-5)
    places = outer[0] * outer[1] * outer[2]
    gradient = kernel_gradients.kernel_gradient(x, gy, (3, 3), (1, 1), SAME)
    assert float(gradient[1, 1].max()) == pytest.approx(places, rel=1e-4)
    for strides in ((1, 1), (2, 2)):
        y = direct.conv_activated([x], w, bias, None, strides, SAME, 0.1)
        assert float(y.max()) == pytest.approx(_most(shape, whole, strides[0]) + 1, rel=1e-4)
    point, zero = at_the_end(1, 1, channels, 80), ((0, 0), (0, 0))
    point = direct.conv_activated([x], point, at_the_end(80), None, (1, 1), zero, 0.1)
    assert float(point.max()) == pytest.approx(channels + 1, rel=1e-5)
    more = at_the_end(1, 1, 2 * channels, 80)
    joined = direct.conv_activated([x, x], more, at_the_end(80), None, (1, 1), zero, 0.1)
    assert float(joined.max()) == pytest.approx(2 * channels + 1, rel=1e-5)
    large = at_the_end(outer[0], 2 * outer[1], 2 * outer[2], channels)
    for map_of, other in ((resized.add_twice(large, x), large), (resized.add_half(x, large), x)):
        assert map_of.shape == other.shape and float(abs(map_of - 2).max()) < 1e-6
    even = at_the_end(1, 4, 6, channels)
    assert float(largest.max_pool(even).min()) == 1


def _most(shape, whole, stride=1):
    """The largest sum of ones that a 3×3 window can see."""
    seen = [max(min(i + 2, n) - max(i - 1, 0) for i in range(0, n, stride)) for n in shape[1:3]]
    return whole * seen[0] * seen[1] / 9
