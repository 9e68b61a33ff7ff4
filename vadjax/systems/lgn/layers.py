"""Layers with the initialisation and the batch statistics of torch (spec lgn_net §2, §2.6)."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vadjax.ops.batch_norm import batch_norm_relu
from vadjax.ops.conv import conv, conv_transpose

EPSILON = 1e-5
MOMENTUM = 0.1


def torch_uniform(fan_in: int) -> nn.initializers.Initializer:
    """Uniform in ±1/sqrt(fan_in), torch's default for weights and biases alike."""
    bound = 1 / np.sqrt(fan_in)

    def init(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


class Answers(NamedTuple):
    """An input of a convolution whose last channels are answers of the memory, `weights @ items`.

    In evaluation the convolution is not one of the answers [.., C] but of the weights [.., M], with
    kernels for the items: M is about 10, C 512.

    Attributes:
      before: the channels before the answers, [B, H, W, D], or None.
      weights: [B, H, W, M].
      items: [M, C].
    """

    before: jax.Array | None
    weights: jax.Array
    items: jax.Array

    @property
    def channels(self) -> int:
        """D + C."""
        return self.items.shape[1] + (0 if self.before is None else self.before.shape[-1])

    def convolve(self, kernel: jax.Array) -> jax.Array:
        """Convolution of the whole with a square kernel [k, k, D + C, F], padded by k // 2."""
        of_before, of_answers = jnp.split(kernel, [kernel.shape[2] - self.items.shape[1]], 2)
        # One product for each tap: XLA would turn the kernel in memory for all of them at once
        taps = of_answers.reshape(-1, *of_answers.shape[2:])
        of_items = jnp.stack([jnp.dot(self.items, tap, precision="highest") for tap in taps])
        y = convolve(self.weights, of_items.reshape(*kernel.shape[:2], *of_items.shape[1:]))
        return y if self.before is None else y + convolve(self.before, of_before)


class PaddedConv(nn.Module):
    """Convolution with padding `size // 2`.

    Attributes:
      features: channels out.
      size: height and width of the kernel.
      stride: step in both directions.
      zero_start: whether kernel and bias start as 0.
    """

    features: int
    size: int = 3
    stride: int = 1
    zero_start: bool = False

    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, H / stride, W / stride, features] of x [B, H, W, C], in its type."""
        y, bias = self.without_bias(x)
        return y + bias.astype(y.dtype)

    @nn.compact
    def without_bias(self, x: jax.Array | Answers) -> tuple[jax.Array, jax.Array]:
        """As `__call__` before the bias is added, and the bias [features]."""
        channels = x.channels if isinstance(x, Answers) else x.shape[-1]
        shape = (self.size, self.size, channels, self.features)
        fan_in = self.size**2 * channels
        init = nn.initializers.zeros if self.zero_start else torch_uniform(fan_in)
        kernel = self.param("kernel", init, shape)
        y = x.convolve(kernel) if isinstance(x, Answers) else convolve(x, kernel, self.stride)
        return y, self.param("bias", init, shape[3:])


def convolve(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """Convolution of x [B, H, W, C] with a square kernel [k, k, C, F], padded by k // 2."""
    pad = kernel.shape[0] // 2
    return conv(x, kernel.astype(x.dtype), (stride, stride), ((pad, pad), (pad, pad)))


class Upsample(nn.Module):
    """Transposed 3×3 convolution to twice the size, batch norm, ReLU.

    Attributes:
      features: channels out.
    """

    features: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """[B, 2 H, 2 W, features] of x [B, H, W, C]."""
        init = torch_uniform(9 * self.features)  # here torch counts the output channels (§2.6)
        kernel = self.param("kernel", init, (3, 3, x.shape[-1], self.features))
        bias = self.param("bias", init, (self.features,))
        y = conv_transpose(x, kernel.astype(x.dtype))
        return TorchBatchNorm(self.features, name="norm")(y, train, bias)


class TorchBatchNorm(nn.Module):
    """Batch norm of torch, and ReLU.

    The running variance follows the unbiased variance of the batches. The running statistics are
    in the collection `batch_stats`.

    Attributes:
      features: channels.
      groups: consecutive inputs [B, G, ...] merged into the batch axis of size B·G. Each of the
        G has its own statistics, and they enter the running ones in order: what torch does when
        a layer is called G times in one step (spec lgn_net §2.1).
    """

    features: int
    groups: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, before: jax.Array | float = 0.0) -> jax.Array:
        """Normalised, scaled and shifted x [B·G, H, W, features], at least 0.

        Args:
          x: the input, without the bias of the convolution before.
          train: whether the statistics are those of the batch.
          before: that bias [features]. In training the mean takes it away again, so it shows in
            the running mean alone, and its gradient is 0 (in torch rounding errors around 0).
        """
        size = (self.features,)
        scale = self.param("scale", nn.initializers.ones, size)
        bias = self.param("bias", nn.initializers.zeros, size)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, size)
        running_var = self.variable("batch_stats", "var", jnp.ones, size)
        # Statistics in at least float32, in training separately for each of the G groups.
        grouped = x.reshape(-1, self.groups if train else 1, *x.shape[1:])
        values = grouped.astype(jnp.promote_types(x.dtype, jnp.float32))
        if not train:
            factor = scale / jnp.sqrt(running_var.value + EPSILON)
            shift = (before - running_mean.value) * factor + bias
            # A zero for each channel: XLA:CPU would write one for each value of y to memory
            y = jnp.maximum(values * factor + shift, jax.lax.optimization_barrier(0 * shift))
        else:
            y, mean, var = batch_norm_relu(values, scale, bias, EPSILON)
            if not self.is_initializing():
                count = values.size // (self.groups * self.features)
                running_mean.value = _follow(running_mean.value, mean + before)
                running_var.value = _follow(running_var.value, var * (count / (count - 1)))
        return y.reshape(x.shape).astype(x.dtype)


def _follow(running: jax.Array, batch: jax.Array) -> jax.Array:
    """Running statistics [C], updated with those of the groups [1, G, 1, 1, C] one by one.

    `running <- 0.9 running + 0.1 batch`
    """
    for value in jax.lax.stop_gradient(batch).reshape(-1, running.shape[0]):
        running = (1 - MOMENTUM) * running + MOMENTUM * value
    return running


class ConvPair(nn.Module):
    """Convolution, batch norm, ReLU, twice.

    Attributes:
      features: channels of both convolutions.
      open_end: whether the last norm and ReLU are left out.
    """

    features: int
    open_end: bool = False

    @nn.compact
    def __call__(self, x: jax.Array | Answers, train: bool) -> jax.Array:
        """[B, H, W, features] of x [B, H, W, C]."""
        x, bias = PaddedConv(self.features, name="conv1").without_bias(x)
        x = TorchBatchNorm(self.features, name="norm1")(x, train, bias)
        last = PaddedConv(self.features, name="conv2")
        if self.open_end:
            return last(x)
        x, bias = last.without_bias(x)
        return TorchBatchNorm(self.features, name="norm2")(x, train, bias)
