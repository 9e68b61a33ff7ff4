import jax
import numpy as np
import pytest

from tests.ops.test_conv import CASES, close, draw
from vadjax.ops import plain
from vadjax.ops.cpu import patches


@pytest.mark.parametrize("case", ["3x3 stride 2", "many small pictures", "3-D, stride in time"])
def test_patches_times_a_matrix_are_a_convolution(case):
    shape, kernel, *size = CASES[case]
    with jax.enable_x64(True):
        x, w = draw(shape, kernel)
        y, back = jax.vjp(lambda w: plain.conv(x, w, *size), w)
        (gy,) = draw(y.shape)
        close([patches.conv(x, w, *size)], [y], "float64")
        found = patches.kernel_gradient(x, gy, kernel[:-2], *size)
        close([found], back(gy), "float64")


@pytest.mark.parametrize(
    ("out", "block"),
    [
        ((8, 64, 64), (1, 8, 64)),  # 512 positions: eight rows of a picture
        ((8, 6, 100), (1, 3, 100)),  # of those that divide the height
        ((8, 16, 16), (2, 16, 16)),  # whole pictures
        ((3, 16, 16), (1, 16, 16)),
        ((6, 4, 8, 8), (2, 4, 8, 8)),  # whole samples
        ((2, 1, 600), (1, 1, 600)),  # never less than a row
    ],
)
def test_blocks_of_a_kernel_gradient(out, block):
    assert patches._block_shape(out, 512) == block


def test_corners_of_blocks_in_order():
    block, blocks = (1, 4, 8), (2, 3, 1)
    found = [tuple(int(c) for c in patches._corner(np.int32(i), block, blocks)) for i in range(6)]
    assert found == [(b, 4 * row, 0) for b in range(2) for row in range(3)]
