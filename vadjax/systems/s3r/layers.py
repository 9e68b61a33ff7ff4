"""Layers over time: convolution, norms, the non-local layer, dropout (spec s3r §4.3, §8).

Shapes: R rows (bags × crops), T snippets, C channels. `valid`, bool [R, T, 1] or None, tells the
snippets of a video from those that it is filled up with; only when not training.
"""

import functools
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from vadjax.backbones.layers import UnbiasedBatchNorm

EPSILON = 1e-5
GROUPS = 8
NORMS = ("group", "batch")
KEEP = "keep"  # collection of masks that are given, not drawn
xavier = nn.initializers.xavier_uniform()


class Mixture(NamedTuple):
    """Rows [R, T, C] that mix S atoms, kept as the two factors.

    A matrix is multiplied with the S atoms, not with R · T rows, of which there are many more.

    Attributes:
      weights: [R, T, S].
      atoms: [S, C].
    """

    weights: jax.Array
    atoms: jax.Array

    @property
    def shape(self) -> tuple[int, int, int]:
        """(R, T, C)."""
        return (*self.weights.shape[:2], self.atoms.shape[1])

    def rows(self) -> jax.Array:
        """The rows themselves, [R, T, C]."""
        return self.weights @ self.atoms

    def __matmul__(self, matrix: jax.Array) -> jax.Array:
        return self.weights @ (self.atoms @ matrix)


Rows = jax.Array | Mixture


def only(x: Rows, valid: jax.Array | None) -> Rows:
    """Puts zeros into x [R, T, C] where not `valid`."""
    if valid is None:
        return x
    if isinstance(x, Mixture):
        return Mixture(only(x.weights, valid), x.atoms)
    return jnp.where(valid, x, 0)


def mean_over_time(x: jax.Array, valid: jax.Array | None) -> jax.Array:
    """Mean [R, C] over the valid snippets of x [R, T, C]."""
    return x.mean(1) if valid is None else only(x, valid).sum(1) / valid.sum(1)


def wide(x: jax.Array) -> jax.Array:
    """Makes x at least float32: for norms, sums and probabilities."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


class Conv(nn.Module):
    """Convolution over time with zeros around ("same"), as a sum of matrix products.

    Attributes:
      features: channels out.
      size: taps, an odd number.
      dilation: snippets from one tap to the next.
      use_bias: whether a bias is added.
      dtype: type of the arithmetic.
    """

    features: int
    size: int = 1
    dilation: int = 1
    use_bias: bool = True
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Rows, valid: jax.Array | None = None, train: bool = False) -> jax.Array:
        """[R, T, features] of x [R, T, C] of the same type."""
        kernel = self.param("kernel", xavier, (self.size, x.shape[-1], self.features))
        kernel = kernel.astype(self.dtype)
        if self.size == 1:
            y = x @ kernel[0]
        elif isinstance(x, Mixture):
            y = by_taps(only(x, valid), kernel, self.dilation)
        else:
            y = convolve(only(x, valid), kernel, self.dilation, train)
        if self.use_bias:
            y += self.param("bias", nn.initializers.zeros, (self.features,)).astype(y.dtype)
        return y


def convolve(x: jax.Array, kernel: jax.Array, dilation: int, train: bool) -> jax.Array:
    """Convolution [R, T, F] of x [R, T, C] with kernel [taps, C, F].

    On CPU `by_pairs` where that fits, but `in_turn` in training: the sums of pairs would all be
    kept for the gradient.
    """
    plain = functools.partial(by_taps, dilation=dilation)
    if train:
        return in_turn(x, kernel, dilation)
    if len(kernel) != 3 or x.shape[1] % (2 * dilation):
        return plain(x, kernel)
    pairs = functools.partial(by_pairs, dilation=dilation)
    return jax.lax.platform_dependent(x, kernel, cpu=pairs, default=plain)


def by_taps(x: Rows, kernel: jax.Array, dilation: int) -> jax.Array:
    """`convolve` as one product for each tap.

    The products are moved in time, not x: the gradient then needs no moved copies of x.
    """
    offsets = [dilation * (tap - len(kernel) // 2) for tap in range(len(kernel))]
    taps = [(o, tap) for o, tap in zip(offsets, kernel, strict=True) if abs(o) < x.shape[1]]
    return sum(earlier(x @ tap, offset) for offset, tap in taps)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def in_turn(x: jax.Array, kernel: jax.Array, dilation: int) -> jax.Array:
    """`by_taps`; on CPU a loop, so that forward and backward hold the product of one tap.

    Without the loop XLA:CPU has all products in memory to add them at once, a moved cotangent for
    each tap, and keeps its copies of the kernel's slices from the forward pass to the backward.
    """
    plain = functools.partial(by_taps, dilation=dilation)
    loop = functools.partial(_add_in_turn, dilation=dilation)
    return jax.lax.platform_dependent(x, kernel, cpu=loop, default=plain)


def _in_turn_forward(x, kernel, dilation):
    return in_turn(x, kernel, dilation), (x, kernel)


def _in_turn_backward(dilation, residuals, gy):
    def on_cpu(x, kernel, gy):
        (taps, channels, features), length = kernel.shape, gy.shape[1]
        margin = dilation * (taps // 2)
        padded = jnp.pad(gy, [(0, 0), (margin, margin), (0, 0)])
        rows = x.reshape(-1, channels)

        def add(tap, totals):
            gx, gradient = totals
            moved = jax.lax.dynamic_slice_in_dim(padded, 2 * margin - tap * dilation, length, 1)
            moved = moved.reshape(-1, features)
            return gx + moved @ kernel[tap].T, gradient.at[tap].set(rows.T @ moved)

        zeros = _zeros(rows.shape, kernel[0, :, 0]), 0 * kernel
        gx, gradient = jax.lax.fori_loop(0, taps, add, zeros)
        return gx.reshape(x.shape), gradient

    def plain(x, kernel, gy):
        return jax.vjp(functools.partial(by_taps, dilation=dilation), x, kernel)[1](gy)

    return jax.lax.platform_dependent(*residuals, gy, cpu=on_cpu, default=plain)


in_turn.defvjp(_in_turn_forward, _in_turn_backward)


def _add_in_turn(x: jax.Array, kernel: jax.Array, dilation: int) -> jax.Array:
    """Adds the products with the taps [C, F] one by one, into a sum with margins in time."""
    (taps, channels, features), (size, length, _) = kernel.shape, x.shape
    margin = dilation * (taps // 2)
    rows = x.reshape(-1, channels)

    def add(tap, total):
        start = 2 * margin - tap * dilation
        part = (rows @ kernel[tap]).reshape(size, length, features)
        part += jax.lax.dynamic_slice_in_dim(total, start, length, 1)
        return jax.lax.dynamic_update_slice_in_dim(total, part, start, 1)

    total = _zeros((size, length + 2 * margin, features), kernel[0, 0])
    return jax.lax.fori_loop(0, taps, add, total)[:, margin : margin + length]


def _zeros(shape: tuple[int, ...], channels: jax.Array) -> jax.Array:
    """Zeros that are no constant: XLA:CPU would share one among all loops, and copy it for each."""
    return jnp.broadcast_to(0 * channels, shape)


def by_pairs(x: jax.Array, kernel: jax.Array, dilation: int) -> jax.Array:
    """`convolve` of 3 taps as four products for two snippets, by Winograd's F(2, 3).

    With a snippet `a` and the one `dilation` later, `b`, of each pair, and taps f, g, h:

        y_a = b' f + a g + b h = b' f - b f + m + n,   m = (a + b) (f + g + h) / 2
        y_b = a f + b g + a" h = a" h - a h + m - n,   n = (b - a) (f - g + h) / 2

    where b' is of the pair before and a" of the pair behind.

    Args:
      x: [R, T, C], T a multiple of `2 * dilation`.
      kernel: [3, C, F].
      dilation: snippets from one tap to the next.
    """
    rows, length, channels = x.shape
    pairs = x.reshape(rows, -1, 2, dilation, channels)
    a, b = (pairs[:, :, n].reshape(rows, length // 2, channels) for n in range(2))
    f, g, h = kernel
    m = (a + b) @ ((f + h + g) / 2)
    n = (b - a) @ ((f + h - g) / 2)
    last, next_ = b @ f, a @ h
    y_a = earlier(last, -dilation) - last + m + n
    y_b = earlier(next_, dilation) - next_ + m - n
    y = jnp.stack([part.reshape(rows, -1, dilation, kernel.shape[-1]) for part in (y_a, y_b)], 2)
    return y.reshape(rows, length, -1)


def earlier(x: jax.Array, snippets: int) -> jax.Array:
    """Moves x [R, T, C] to earlier snippets (negative: later); zeros come in."""
    return jax.lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), (-snippets, snippets, 0), (0, 0, 0)])


class ConvNorm(nn.Module):
    """Convolution over 3 snippets, norm and ReLU.

    Attributes:
      features: channels out.
      dilation: of the convolution.
      use_bias: of the convolution.
      norm: `"group"`: 8 groups of channels, each over T too; `"batch"`: over rows and snippets.
      norm_first: norm then ReLU (S3R), or ReLU then norm (RTFM).
      dtype: type of the arithmetic.
    """

    features: int
    dilation: int = 1
    use_bias: bool = True
    norm: str = "group"
    norm_first: bool = True
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Rows, train: bool, valid: jax.Array | None = None) -> jax.Array:
        """[R, T, features] of x [R, T, C]."""
        conv = Conv(self.features, 3, self.dilation, self.use_bias, self.dtype, name="conv")
        y = conv(x, valid, train)
        if not self.norm_first:
            y = nn.relu(y)
        if self.norm == "batch":
            y = batch_norm(train, self.dtype)(y)
        else:
            norm = nn.remat(nn.GroupNorm)(  # keeps y alone for the gradient, as wide as the input
                GROUPS, epsilon=EPSILON, use_fast_variance=False, dtype=self.dtype, name="norm"
            )
            y = norm(y, mask=None if valid is None else jnp.broadcast_to(valid, y.shape))
        return nn.relu(y) if self.norm_first else y


def batch_norm(train: bool, dtype: jnp.dtype, scale_init=nn.initializers.ones) -> nn.Module:
    """Batch norm as torch's, named `norm`."""
    return UnbiasedBatchNorm(
        use_running_average=not train,
        momentum=0.9,
        epsilon=EPSILON,
        use_fast_variance=False,
        scale_init=scale_init,
        dtype=dtype,
        name="norm",
    )


class NonLocal(nn.Module):
    """`h' = BN(W sum_s <query_t, key_s> / T · value_s) + h`: no softmax (spec s3r §4.3).

    The batch norm starts as 0, so that the layer starts as the identity.

    Attributes:
      dtype: type of the arithmetic.
    """

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, h: jax.Array, train: bool, valid: jax.Array | None = None) -> jax.Array:
        """[R, T, C] of h [R, T, C]; C even."""
        length, inner = h.shape[1], h.shape[2] // 2
        query, key, value = (
            Conv(inner, dtype=self.dtype, name=name)(h) for name in ("query", "key", "value")
        )
        value = only(value, valid)
        count = length if valid is None else valid.sum(1, keepdims=True).astype(value.dtype)
        if length > inner:  # the same sum; long videos would need T × T numbers
            read = query @ (key.mT @ value / count)
        else:
            read = (query @ key.mT / count) @ value
        y = Conv(2 * inner, dtype=self.dtype, name="out")(read)
        return batch_norm(train, self.dtype, nn.initializers.zeros)(y) + h


class Dropout(nn.Module):
    """Sets values to 0 with probability `rate` and divides the others by `1 - rate`.

    What is kept is drawn from the stream `dropout`, or, in tests, given as the variable `kept`
    (bool, of x's shape) of the collection `keep`.

    Attributes:
      rate: in [0, 1).
    """

    rate: float

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Of x of any shape; x itself when not training."""
        if not train or not self.rate:
            return x
        if self.has_variable(KEEP, "kept"):
            kept = self.get_variable(KEEP, "kept")
        else:
            kept = draw_kept(self.make_rng("dropout"), x.shape, self.rate)
        return jnp.where(kept, x / (1 - self.rate), 0)


def draw_kept(rng: jax.Array, shape: tuple[int, ...], rate: float) -> jax.Array:
    """Bool mask [R, C] or [R, T, C], True with probability `1 - rate`, rounded to 1 / 65,536.

    One draw of 32 bits serves two values: drawing takes a visible part of a step on CPU. There
    the snippets' masks are drawn in a loop: else XLA:CPU keeps the draws for the gradient, not
    the mask.
    """
    *rows, channels = shape

    def draw(key: jax.Array) -> jax.Array:
        pairs = jax.random.bits(key, (rows[0], -(-channels // 2)), jnp.uint32)
        bits = jax.lax.bitcast_convert_type(pairs, jnp.uint16).reshape(rows[0], -1)
        return bits[:, :channels] < round((1 - rate) * 2**16)

    if len(rows) == 1:
        return draw(rng)
    loop = functools.partial(jax.lax.map, draw)
    keys = jax.random.split(rng, rows[1])
    return jax.lax.platform_dependent(keys, cpu=loop, default=jax.vmap(draw)).swapaxes(0, 1)
