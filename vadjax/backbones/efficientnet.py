"""EfficientNet-Lite0 (Tan and Le, ICML 2019; the Lite form without squeeze, with ReLU6)."""

import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vadjax.backbones.layers import ConvNorm
from vadjax.convert import torch

CLASSES = tuple(f"imagenet {i}" for i in range(1000))  # the package of weights names none
FEATURES = 1280
EPSILON = 1e-3
STAGES = (  # expansion, kernel, stride of the first block, channels, blocks
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


def normalise(images: jax.Array) -> jax.Array:
    """RGB images in 0 … 255 → float32 as the published weights want them."""
    return (images.astype(jnp.float32) - 127) / 128


class Block(nn.Module):
    """1×1 expansion, depthwise k×k, 1×1 projection; a shortcut where the shape stays the same.

    Attributes:
      features: channels out.
      size: k, of the depthwise kernel.
      stride: of the depthwise convolution.
      expansion: channels inside, as a multiple of those that come in; 1 has no expansion layer.
    """

    features: int
    size: int
    stride: int
    expansion: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """[B, H / stride, W / stride, features] of x [B, H, W, C]."""

        def conv(name, features, size=1, stride=1, groups=1):
            return ConvNorm(features, (size, size), stride, groups, epsilon=EPSILON, name=name)

        inner, y = x.shape[-1] * self.expansion, x
        if self.expansion > 1:
            y = nn.relu6(conv("expand", inner)(y, train))
        y = nn.relu6(conv("depthwise", inner, self.size, self.stride, inner)(y, train))
        y = conv("project", self.features)(y, train)
        return x + y if x.shape == y.shape else y


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 with the 1000 classes of ImageNet."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, jax.Array]:
        """Feature [B, 1280] (mean over the picture) and logits [B, 1000] of x [B, H, W, 3]."""
        x = nn.relu6(ConvNorm(32, stride=2, epsilon=EPSILON, name="stem")(x, train))
        # The blocks are numbered through all stages; only the first of a stage has its stride.
        number = 0
        for expansion, size, first, features, blocks in STAGES:
            for block in range(blocks):
                stride = 1 if block else first
                x = Block(features, size, stride, expansion, name=f"block{number}")(x, train)
                number += 1
        x = nn.relu6(ConvNorm(FEATURES, (1, 1), epsilon=EPSILON, name="head")(x, train))
        feature = x.mean((1, 2))
        return feature, nn.Dense(len(CLASSES), name="out")(feature)


def variable_shapes() -> dict:
    """Shapes of the variables; nothing is computed."""
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32)
    return jax.eval_shape(EfficientNetLite0().init, jax.random.key(0), image)


def read_lite0(path: str | pathlib.Path) -> dict:
    """Variables of `EfficientNetLite0` from the published torch file; every weight is used.

    Raises:
      FileNotFoundError, ImportError, ValueError: as `vadjax.convert.torch`.
    """
    weights = torch.Weights(torch.load_state(path), str(path))
    variables = torch.to_variables(weights, variable_shapes(), _published_name)
    weights.finish()
    return variables


def _published_name(path: tuple[str, ...]) -> str:
    """("block3", "expand", "norm") → "_blocks.3._bn0"."""
    block, *inner = path
    if block == "out":
        return "_fc"
    if block in ("stem", "head"):
        return {"conv": f"_conv_{block}", "norm": "_bn0" if block == "stem" else "_bn1"}[inner[0]]
    which, kind = inner
    norm = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}[which]
    return f"_blocks.{block.removeprefix('block')}.{norm if kind == 'norm' else f'_{which}_conv'}"
