"""Layers of the image and video networks: convolution, batch norm, pooling."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from vadjax.ops.batch_norm import batch_norm_relu_pool
from vadjax.ops.conv import conv_general_dilated, conv_general_inference
from vadjax.ops.depthwise import depthwise
from vadjax.ops.pool import max_pool

MOMENTUM = 0.9  # of the running statistics


class BatchNorm(nn.BatchNorm):
    """`flax.linen.BatchNorm` over the last axis, with a safer gradient of the fast variance.

    Flax takes the larger of 0 and `mean(x²) - mean(x)²`. The gradient of that maximum compares the
    two numbers with it for equality, which can be wrong in a large step (`vadjax.ops.pool`). Here
    the variance is compared with 0 instead.
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """As `flax.linen.BatchNorm`; x [..., C]."""
        running = self._running(x)
        if self.use_running_average:
            mean, var = (statistic.value for statistic in running)
        else:
            mean, var = self._statistics(x.astype(jnp.promote_types(x.dtype, jnp.float32)))
            self._follow(running, mean, var)
        # y = (x - mean) / sqrt(var + epsilon) * scale + bias
        scale, bias = self._scale_and_bias(x)
        y = (x - mean) * (jax.lax.rsqrt(var + self.epsilon) * scale) + bias
        return y.astype(self.dtype or jnp.result_type(x, scale, bias))

    def _running(self, x: jax.Array) -> list:
        """The variables of the running mean and variance [C]."""
        size = x.shape[-1:]
        return [
            self.variable("batch_stats", "mean", jnp.zeros, size, jnp.float32),
            self.variable("batch_stats", "var", jnp.ones, size, jnp.float32),
        ]

    def _scale_and_bias(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The two parameters [C]."""
        size = x.shape[-1:]
        scale = self.param("scale", self.scale_init, size, self.param_dtype)
        return scale, self.param("bias", self.bias_init, size, self.param_dtype)

    def _follow(self, running: list, *statistics: jax.Array) -> None:
        """Moves the running statistics towards those of a batch."""
        if not self.is_initializing():
            for kept, new in zip(running, statistics, strict=True):
                kept.value = self.momentum * kept.value + (1 - self.momentum) * new

    def _statistics(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mean and variance [C] of a batch."""
        axes = tuple(range(x.ndim - 1))
        mean = x.mean(axes)
        if not self.use_fast_variance:
            return mean, jnp.square(x - mean).mean(axes)
        var = jnp.square(x).mean(axes) - jnp.square(mean)
        return mean, jnp.where(var > 0, var, 0)


class PooledBatchNorm(BatchNorm):
    """Batch norm, then ReLU and the maximum over 2 × 2 pixels of each frame."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, T, H / 2, W / 2, C] of x [B, T, H, W, C] with even H and W."""
        if self.use_running_average:
            return pool_volume(nn.relu(super().__call__(x)), in_time=False)
        # In training one operation, with a gradient that needs little memory
        running = self._running(x)
        y, *statistics = batch_norm_relu_pool(x, *self._scale_and_bias(x), self.epsilon)
        self._follow(running, *statistics)
        return y.astype(self.dtype or y.dtype)


class UnbiasedBatchNorm(BatchNorm):
    """Batch norm with torch's running variance, which follows the unbiased variance of the batches.

    The unbiased variance of n values is n / (n - 1) times the biased one that Flax follows.
    """

    def __call__(self, x: jax.Array) -> jax.Array:
        """As `flax.linen.BatchNorm`; x [..., C]."""
        if self.use_running_average or self.is_initializing():
            return super().__call__(x)
        before = self.get_variable("batch_stats", "var")
        y = super().__call__(x)
        after = self.get_variable("batch_stats", "var")
        # The batch's share of the new value grows by 1 / (n - 1) of itself: n / (n - 1) in all.
        share = after - self.momentum * before
        count = x.size // x.shape[-1]
        self.put_variable("batch_stats", "var", after + share / (count - 1))
        return y


class ConvNorm(nn.Module):
    """Convolution without bias, then batch norm; ReLU and pooling too if `pooled`.

    Attributes:
      features: channels out.
      size: of the kernel, one number for each of the two or three dimensions.
      stride: the same in all of them, or one number for each.
      groups: number of groups of channels; one channel per group is depthwise.
      padding: as `flax.linen.Conv`: "SAME" (TensorFlow: more at the end), or a number for
        both sides (torch), the same in all dimensions or one for each.
      epsilon: of the batch norm.
      momentum: share of the running statistics that a step of training keeps.
      unbiased: whether the running variance is torch's.
      pooled: whether ReLU and 2 × 2 pooling of each frame follow, for volumes (`PooledBatchNorm`).
      kernel_init: of the convolution.
      filtered: whether kernels with many channels use `conv_inference` when not training.
      form: convolution to use instead of the one chosen here, as for
        `flax.linen.Conv(conv_general_dilated=...)`.
      dtype: type of the arithmetic.
    """

    features: int
    size: tuple[int, ...] = (3, 3)
    stride: int | tuple[int, ...] = 1
    groups: int = 1
    padding: str | int | tuple[int, ...] = "SAME"
    epsilon: float = 1e-5
    momentum: float = MOMENTUM
    unbiased: bool = False
    pooled: bool = False
    kernel_init: Callable = nn.initializers.he_normal()
    filtered: bool = False
    form: Callable | None = None
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """[B, (T,) H / stride, W / stride, features] of x [B, (T,) H, W, C]."""
        # Which form of the convolution: depthwise pictures have one of their own.
        form = conv_general_inference if self.filtered and not train else conv_general_dilated
        if x.ndim == 4 and self.groups == x.shape[-1] > 1:
            form = depthwise
        y = nn.Conv(
            self.features,
            self.size,
            self.stride,
            self.padding,
            feature_group_count=self.groups,
            use_bias=False,
            dtype=self.dtype,
            kernel_init=self.kernel_init,
            conv_general_dilated=self.form or form,
            name="conv",
        )(x)
        # Statistics of the batch in training, the running ones otherwise.
        norm = UnbiasedBatchNorm if self.unbiased else BatchNorm
        norm = PooledBatchNorm if self.pooled else norm
        return norm(
            use_running_average=not train,
            momentum=self.momentum,
            epsilon=self.epsilon,
            dtype=self.dtype,
            name="norm",
        )(y)


class FeatureHead(nn.Module):
    """Dense layer with ReLU, which gives the feature, and an output layer on top of it.

    Attributes:
      width: of the feature.
      outputs: of the output layer.
    """

    width: int
    outputs: int

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Feature [B, width] and outputs [B, outputs] of x [B, C], at least float32."""
        x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        feature = nn.relu(nn.Dense(self.width, name="feature")(x))
        return feature, nn.Dense(self.outputs, name="out")(feature)


def pool_volume(x: jax.Array, in_time: bool) -> jax.Array:
    """Maximum over 2 × 2 pixels, and over 2 frames if `in_time`; an odd last frame is dropped.

    Args:
      x: [B, T, H, W, C] with even H and W.
      in_time: whether T is halved too; a single frame is kept.

    Returns:
      [B, T or T // 2, H / 2, W / 2, C].
    """
    frames = 2 if in_time and x.shape[1] > 1 else 1
    return max_pool(x[:, : x.shape[1] // frames * frames], (frames, 2, 2))
