"""Networks for the motion in a volume of video: directions, speeds, still share (spec eval §3.2).

Three 3-D CNNs of one shape with separate weights, on RGB and not on optical flow. Their outputs are
`vadjax.ops.flow.Motion`; speeds are in pixels a frame of the original video, whatever size the
volume was resized to.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from vadjax.backbones.appearance import resize
from vadjax.backbones.layers import ConvNorm, FeatureHead, pool_volume
from vadjax.ops.flow import BINS, Motion

CHANNELS = (32, 64, 128, 128)
FEATURES = 128
OUTPUTS = {"ang": BINS, "mag": BINS, "bkg": 1}  # the three networks


class Raw(NamedTuple):
    """Outputs of the three networks before the last activation.

    Attributes:
      ang: logits of the directions [B, 12].
      mag: speeds before softplus [B, 12].
      bkg: logit of the still share [B].
    """

    ang: jax.Array
    mag: jax.Array
    bkg: jax.Array

    @property
    def motion(self) -> Motion:
        """Shares that sum to 1, speeds above 0, a share in [0, 1]."""
        return Motion(nn.softmax(self.ang), nn.softplus(self.mag), nn.sigmoid(self.bkg))


class Tower(nn.Module):
    """One network without its first block: three blocks, mean, a layer of 128, the output layer.

    Attributes:
      outputs: number of outputs.
      width: multiplies the channels 64, 128, 128.
      dtype: type of the convolutions.
    """

    outputs: int
    width: float
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> tuple[jax.Array, jax.Array]:
        """Feature [B, 128] and outputs of the first block's result [B, T, S / 2, S / 2, C]."""
        for block, channels in enumerate(CHANNELS[1:], 1):
            layer = ConvNorm(
                scaled(channels, self.width), (3, 3, 3), dtype=self.dtype, name=f"block{block}"
            )
            x = pool_volume(nn.relu(layer(x, train)), in_time=True)
        return FeatureHead(FEATURES, self.outputs, name="head")(x.mean((1, 2, 3)))


class MotionNets(nn.Module):
    """The three networks.

    Each has four blocks: convolution 3×3×3, batch norm, ReLU, maximum of 2 × 2 pixels and, from
    the second on, of 2 frames. The first blocks of all three see the same input and are computed as
    one convolution; each network reads its own third of the channels.

    Attributes:
      width: multiplies the channels 32, 64, 128, 128.
      dtype: type of the convolutions.
    """

    width: float = 1.0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> tuple[Raw, jax.Array]:
        """Raw outputs and the features [B, 3 · 128] (ang, mag, bkg) of x [B, T, S, S, 3]."""
        # The first blocks of all three networks as one convolution, then each on its own channels.
        channels = len(OUTPUTS) * scaled(CHANNELS[0], self.width)
        first = ConvNorm(channels, (3, 3, 3), dtype=self.dtype, name="block0")
        x = pool_volume(nn.relu(first(x, train)), in_time=False)
        towers = [
            Tower(outputs, self.width, self.dtype, name=name)(part, train)
            for (name, outputs), part in zip(
                OUTPUTS.items(), jnp.split(x, len(OUTPUTS), -1), strict=True
            )
        ]
        features, outputs = zip(*towers, strict=True)
        return Raw(outputs[0], outputs[1], outputs[2][:, 0]), jnp.concatenate(features, -1)


def scaled(channels: int, width: float) -> int:
    """Channels times the width, at least 1."""
    return max(1, round(channels * width))


def prepare(volumes: jax.Array, size: int, dtype: jnp.dtype = jnp.float32) -> jax.Array:
    """Volumes uint8 [B, T, h, w, 3] → float [B, T, size, size, 3] in [-1, 1]."""
    return resize(volumes, size, dtype) / 127.5 - 1
