import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export, lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from vadjax.ops.conv import (
    LAYOUTS,
    conv,
    conv_frames,
    conv_general_dilated,
    conv_passes,
    conv_transpose,
)
from vadjax.ops.pool import max_pool

PADS = ((1, 1), (1, 1), (0, 0))
CASES = {  # input, kernel, strides, padding
    "3x3": ((2, 12, 10, 5), (3, 3, 5, 7), (1, 1), ((1, 1), (1, 1))),
    "3x3 stride 2": ((2, 12, 16, 3), (3, 3, 3, 8), (2, 2), ((1, 1), (1, 1))),
    "odd size, stride 2": ((1, 13, 11, 4), (3, 3, 4, 6), (2, 2), ((1, 1), (1, 1))),
    "1x1": ((3, 6, 5, 8), (1, 1, 8, 4), (1, 1), ((0, 0), (0, 0))),
    "many rows": ((2, 64, 48, 3), (3, 3, 3, 4), (1, 1), ((1, 1), (1, 1))),
    "many small pictures": ((60, 4, 6, 3), (3, 3, 3, 4), (1, 1), ((1, 1), (1, 1))),
    "wide": ((2, 12, 9, 128), (3, 3, 128, 136), (1, 1), ((1, 1), (1, 1))),
    "wide on one side": ((1, 8, 10, 72), (3, 3, 72, 128), (1, 1), ((1, 1), (1, 1))),
    "narrower out": ((2, 9, 8, 160), (3, 3, 160, 64), (1, 1), ((1, 1), (1, 1))),
    "3-D, narrow": ((2, 5, 7, 8, 24), (3, 3, 3, 24, 6), (1, 1, 1), ((1, 1),) * 3),
    "3-D, blocks of frames": ((2, 12, 12, 14, 24), (3, 3, 1, 24, 4), (1, 1, 1), PADS),
    "3-D, taps summed": ((2, 5, 7, 8, 24), (3, 3, 3, 24, 6), (1, 1, 1), PADS),
    "3-D, taps stacked": ((2, 6, 7, 8, 3), (3, 3, 3, 3, 6), (1, 2, 2), ((1, 1),) * 3),
    "3-D, stride in time": ((1, 7, 9, 8, 12), (3, 3, 3, 12, 5), (2, 2, 2), ((0, 1),) * 3),
    "3-D, 1x1x1": ((1, 3, 4, 5, 16), (1, 1, 1, 16, 8), (1, 1, 1), ((0, 0),) * 3),
    "3-D, large kernel": ((1, 9, 16, 16, 3), (7, 7, 7, 3, 4), (2, 2, 2), ((2, 3),) * 3),
}
TOLERANCE = {"float32": 2e-5, "float64": 1e-12, "bfloat16": 0.05}


def plain(x, w, strides, padding):
    return lax.conv_general_dilated(x, w, strides, padding, dimension_numbers=LAYOUTS[w.ndim - 2])


def plain_transpose(x, w):
    """Every tap added to where it belongs, in NumPy."""
    batch, height, width, _ = x.shape
    y = np.zeros((batch, 2 * height + 2, 2 * width + 2, w.shape[-1]), x.dtype)
    for i, j in np.ndindex(3, 3):
        y[:, i : i + 2 * height : 2, j : j + 2 * width : 2] += x @ w[i, j]
    return y[:, 1:-1, 1:-1]


def draw(*shapes, dtype="float64"):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.standard_normal(shape), dtype) for shape in shapes]


def with_gradients(function, x, w):
    """Output and gradients of x and w for a fixed cotangent."""
    (cotangent,) = draw(jax.eval_shape(function, x, w).shape, dtype=x.dtype)

    @jax.jit
    def run(x, w, cotangent):
        y, back = jax.vjp(function, x, w)
        return y, *back(cotangent)

    return run(x, w, cotangent)


def close(ours, theirs, dtype):
    for a, b in zip(ours, theirs, strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        assert np.linalg.norm(a - b) <= TOLERANCE[dtype] * np.linalg.norm(b)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_forward_and_gradients_equal_the_plain_form(case, dtype):
    shape, kernel, strides, padding = CASES[case]
    with jax.enable_x64(dtype == "float64"):
        x, w = draw(shape, kernel, dtype=dtype)
        ours = with_gradients(lambda x, w: conv(x, w, strides, padding), x, w)
        assert ours[0].dtype == dtype
        close(ours, with_gradients(lambda x, w: plain(x, w, strides, padding), x, w), dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_frames_with_named_neighbours(dtype):
    with jax.enable_x64(dtype == "float64"):
        x, w = draw((2, 4, 8, 7, 5), (3, 3, 3, 5, 6), dtype=dtype)
        ours = jax.jit(lambda x, w: conv_frames(x, w, ((-1, 0, 2), (0, 2, 3), (2, 3, -1))))
        exact = plain(x[:, np.array([0, 2, 3])], w, (1, 1, 1), ((1, 1),) * 3)
        close([ours(x, w)], [exact], dtype)
        text = export.export(ours, platforms=["cuda"])(x, w).mlir_module()
    assert text.count("stablehlo.convolution") == 1 and "x3x8x7x5x" in text  # three frames each


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_passes_are_convolved_each_by_itself(dtype):
    lengths, same = (3, 1, 2), ((1, 1, 1), ((1, 1),) * 3)
    with jax.enable_x64(dtype == "float64"):
        x, w = draw((2, 6, 8, 6, 5), (3, 3, 3, 5, 6), dtype=dtype)
        each = lambda x, w: jnp.concatenate(  # noqa: E731
            [plain(volume, w, *same) for volume in jnp.split(x, (3, 4), 1)], 1
        )
        ours = lambda x, w: conv_passes(x, w, *same, lengths=lengths)  # noqa: E731
        close(with_gradients(ours, x, w), with_gradients(each, x, w), dtype)
        text = export.export(jax.jit(ours), platforms=["cuda"])(x, w).mlir_module()
        assert text.count("stablehlo.convolution") == len(lengths)
        dilated = lambda x: conv_passes(  # noqa: E731
            x, w, same[0], ((1, 1), (2, 2), (2, 2)), None, (1, 2, 2), LAYOUTS[3], lengths=lengths
        )
        assert dilated(x).shape == (2, 6, 8, 6, 6)


def test_bfloat16():
    shape, kernel, strides, padding = CASES["3x3"]
    x, w = draw(shape, kernel, dtype="bfloat16")
    ours = with_gradients(lambda x, w: conv(x, w, strides, padding), x, w)
    assert ours[0].dtype == jnp.bfloat16
    close(ours, with_gradients(lambda x, w: plain(x, w, strides, padding), x, w), "bfloat16")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(2, 4, 6, 5), (1, 7, 3, 2), (2, 32, 32, 4)])
def test_transposed_convolution(shape, dtype):
    with jax.enable_x64(dtype == "float64"):
        x, w = draw(shape, (3, 3, shape[-1], 3), dtype=dtype)
        y, gx, gw = with_gradients(conv_transpose, x, w)
        (cotangent,) = draw(y.shape, dtype=dtype)
        x, w = np.asarray(x), np.asarray(w)
        close([y], [plain_transpose(x, w)], dtype)
        for gradient, form in (  # of maps that are linear, so checked in any direction
            (gx, lambda direction: plain_transpose(direction, w)),
            (gw, lambda direction: plain_transpose(x, direction)),
        ):
            for direction in np.random.default_rng(1).standard_normal((5, *gradient.shape)):
                expected = np.vdot(form(direction), cotangent)
                scale = np.linalg.norm(gradient) * np.linalg.norm(direction)
                assert abs(np.vdot(gradient, direction) - expected) < TOLERANCE[dtype] * scale


def test_transposed_convolution_takes_only_3x3():
    with pytest.raises(ValueError, match="3×3 kernels"):
        conv_transpose(jnp.zeros((1, 2, 2, 1)), jnp.zeros((2, 2, 1, 1)))


@pytest.mark.parametrize(
    ("size", "options"),
    [
        ((3, 3), {"padding": "SAME"}),
        ((3, 3, 3), {"strides": (1, 2, 2), "padding": "VALID"}),
        ((3, 3), {"kernel_dilation": (2, 2)}),
        ((3, 3), {"feature_group_count": 2}),
        ((3,), {}),
    ],
)
def test_drop_in_for_flax(size, options):
    (x,) = draw((2, *(8,) * len(size), 4), dtype="float32")
    layer = nn.Conv(6, size, **options)
    shapes = jax.eval_shape(layer.init, jax.random.key(0), x)
    variables = jax.tree.map(lambda leaf: draw(leaf.shape, dtype="float32")[0], shapes)
    ours = nn.Conv(6, size, conv_general_dilated=conv_general_dilated, **options)
    both = jax.jit(lambda variables, x: [net.apply(variables, x) for net in (ours, layer)])
    close(*([y] for y in both(variables, x)), "float32")


@pytest.mark.parametrize("padding", ["SAME", [(2, 0), (1, 1), (1, 1)], [(1, 0), (1, 1), (1, 1)]])
def test_a_single_frame(padding):
    """Taps that see padding alone are left out; too little padding leaves no output at all."""
    x, w = draw((2, 1, 8, 6, 4), (3, 3, 3, 4, 5), dtype="float32")
    options = {"dimension_numbers": LAYOUTS[3]}
    ours = lambda x, w: conv_general_dilated(x, w, (1, 1, 1), padding, **options)  # noqa: E731
    theirs = lambda x, w: lax.conv_general_dilated(x, w, (1, 1, 1), padding, **options)  # noqa: E731
    shape = jax.eval_shape(theirs, x, w).shape
    assert jax.eval_shape(ours, x, w).shape == shape
    if np.prod(shape):
        close(with_gradients(ours, x, w), with_gradients(theirs, x, w), "float32")


def step(w, v, x):
    def loss(w, v):
        h = jnp.maximum(conv(x, w, (1, 1), ((1, 1), (1, 1))), 0)
        return jnp.square(conv_transpose(max_pool(h), v)).mean()

    return jax.value_and_grad(loss, (0, 1))(w, v)


def test_sharded_over_eight_devices():
    w, v, x = draw((3, 3, 2, 4), (3, 3, 4, 3), (8, 8, 12, 2), dtype="float32")
    mesh = Mesh(np.array(jax.devices()[:8]), ("data",))
    whole, rows = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ("data",)))
    sharded = jax.jit(step, in_shardings=(whole, whole, rows), out_shardings=whole)
    close(jax.tree.leaves(sharded(w, v, x)), jax.tree.leaves(jax.jit(step)(w, v, x)), "float32")


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_lowers_for_accelerators_to_plain_convolutions(platform):
    arguments = draw((3, 3, 2, 4), (3, 3, 4, 3), (8, 8, 12, 2), dtype="float32")
    text = jax.export.export(jax.jit(step), platforms=[platform])(*arguments).mlir_module()
    assert text.count("stablehlo.convolution") >= 5
    assert "stablehlo.while" not in text


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_passes_with_padding_by_name(padding):
    """Each volume is padded as the name says, also where few channels have a form of their own."""
    x, w = draw((2, 7, 6, 6, 3), (3, 3, 3, 3, 4), dtype="float32")
    found = conv_passes(x, w, (1, 1, 1), padding, lengths=(4, 3))
    each = [plain(part, w, (1, 1, 1), padding) for part in jnp.split(x, [4], 1)]
    close(found, jnp.concatenate(each, 1), "float32")
