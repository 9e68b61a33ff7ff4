"""Layers over time: convolution, norms, the non-local layer, dropout (spec s3r §4.3, §8).

Shapes: R rows (bags × crops), T snippets, C channels. `valid`, bool [R, T, 1] or None, is False for
the padding behind the snippets of a video; there is none in training.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from vadjax.backbones.layers import UnbiasedBatchNorm
from vadjax.ops import dropout, temporal

EPSILON = 1e-5
GROUPS = 8
NORMS = ("group", "batch")
KEEP = "keep"  # collection of dropout masks that a test passes in, to be used instead of drawn ones
xavier = nn.initializers.xavier_uniform()


class Mixture(NamedTuple):
    """Rows [R, T, C] that mix S atoms, kept as the two factors of their product.

    A matrix is then multiplied with the S atoms and not with the R · T rows, which are many more.

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


def mask_invalid(x: Rows, valid: jax.Array | None) -> Rows:
    """Sets x [R, T, C] to 0 where not `valid`, so that padding counts like the zeros around."""
    if valid is None:
        return x
    if isinstance(x, Mixture):
        return Mixture(mask_invalid(x.weights, valid), x.atoms)
    return jnp.where(valid, x, 0)


def mean_over_time(x: jax.Array, valid: jax.Array | None) -> jax.Array:
    """Mean [R, C] over the valid snippets of x [R, T, C]."""
    return x.mean(1) if valid is None else mask_invalid(x, valid).sum(1) / valid.sum(1)


def at_least_float32(x: jax.Array) -> jax.Array:
    """Makes x at least float32: for norms, sums and probabilities."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


class TemporalConv(nn.Module):
    """Convolution over time with zeros around ("same").

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
        """[R, T, features] of x [R, T, C], in the type `dtype`."""
        kernel = self.param("kernel", xavier, (self.size, x.shape[-1], self.features))
        kernel = kernel.astype(self.dtype)
        # One tap is a matrix product; a `Mixture` multiplies each tap with its atoms.
        if self.size == 1:
            y = x @ kernel[0]
        elif isinstance(x, Mixture):
            y = temporal.by_taps(mask_invalid(x, valid), kernel, self.dilation)
        else:
            convolve = temporal.conv if train else temporal.conv_inference
            y = convolve(mask_invalid(x, valid), kernel, self.dilation)
        if self.use_bias:
            y += self.param("bias", nn.initializers.zeros, (self.features,)).astype(y.dtype)
        return y


class TemporalConvNorm(nn.Module):
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
        conv = TemporalConv(self.features, 3, self.dilation, self.use_bias, self.dtype, name="conv")
        y = conv(x, valid, train)
        if not self.norm_first:
            y = nn.relu(y)
        if self.norm == "batch":
            y = batch_norm(train, self.dtype)(y)
        else:
            # `remat` computes the norm again in the backward pass, so that only y is kept for it.
            norm = nn.remat(nn.GroupNorm)(
                GROUPS, epsilon=EPSILON, use_fast_variance=False, dtype=self.dtype, name="norm"
            )
            y = norm(y, mask=None if valid is None else jnp.broadcast_to(valid, y.shape))
        return nn.relu(y) if self.norm_first else y


def batch_norm(train: bool, dtype: jnp.dtype, scale_init=nn.initializers.ones) -> nn.Module:
    """Batch norm with torch's running statistics (spec §4.3), named `norm`."""
    return UnbiasedBatchNorm(
        use_running_average=not train,
        momentum=0.9,
        epsilon=EPSILON,
        use_fast_variance=False,
        scale_init=scale_init,
        dtype=dtype,
        name="norm",
    )


class TemporalNonLocal(nn.Module):
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
            TemporalConv(inner, dtype=self.dtype, name=name)(h)
            for name in ("query", "key", "value")
        )
        value = mask_invalid(value, valid)
        count = length if valid is None else valid.sum(1, keepdims=True).astype(value.dtype)
        # sum_s <query_t, key_s> / T · value_s, associated either way: of a long video the T × T
        # products of queries and keys would need too much memory.
        if length > inner:
            read = query @ (key.mT @ value / count)
        else:
            read = (query @ key.mT / count) @ value
        y = TemporalConv(2 * inner, dtype=self.dtype, name="out")(read)
        return batch_norm(train, self.dtype, nn.initializers.zeros)(y) + h


class Dropout(nn.Module):
    """Sets values to 0 with probability `rate` and divides the others by `1 - rate`.

    The mask of the kept values is drawn from the stream `dropout`, or, in tests, read from the
    variable `kept` (bool, of x's shape) of the collection `keep`.

    Attributes:
      rate: in [0, 1).
    """

    rate: float

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Of x [R, C] or [R, T, C]; x itself when not training."""
        if not train or not self.rate:
            return x
        if self.has_variable(KEEP, "kept"):
            kept = self.get_variable(KEEP, "kept")
        else:
            draw = dropout.kept if x.ndim == 2 else dropout.kept_in_time
            kept = draw(self.make_rng("dropout"), x.shape, self.rate)
        return jnp.where(kept, x / (1 - self.rate), 0)
