"""Networks that tell which classes an image shows, and give a short feature (spec eval §3.1).

Both map RGB [B, H, W, 3], normalised by `normalise`, to the feature [B, 128] and the logits of the
classes, each with a sigmoid of its own.
"""

import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vadjax.backbones.layers import ConvNorm, FeatureHead
from vadjax.convert import torch

CLASSES = ("person", "car", "cyclist", "dog", "tree", "house", "skyscraper", "bridge")
SIZE = 64  # pixels of the input
FEATURES = 128
MEAN = (0.485, 0.456, 0.406)  # of ImageNet, RGB in [0, 1]
DEVIATION = (0.229, 0.224, 0.225)


def resize(images: jax.Array, size: int, dtype: jnp.dtype = jnp.float32) -> jax.Array:
    """Images uint8 [..., h, w, 3] → float 0 … 255 [..., size, size, 3], bilinear."""
    shape = (*images.shape[:-3], size, size, 3)
    x = images.astype(dtype)
    return x if x.shape == shape else jax.image.resize(x, shape, "bilinear")


def normalise(images: jax.Array) -> jax.Array:
    """RGB images in 0 … 255 → `(x / 255 - mean) / deviation` of ImageNet, at least float32."""
    x = images.astype(jnp.promote_types(images.dtype, jnp.float32))
    return (x / 255 - jnp.array(MEAN, x.dtype)) / jnp.array(DEVIATION, x.dtype)


class Residual(nn.Module):
    """Two 3×3 convolutions beside a shortcut.

    Attributes:
      features: channels out.
      stride: of the first convolution.
      dtype: type of the arithmetic.
    """

    features: int
    stride: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """[B, H / stride, W / stride, features] of x [B, H, W, C]."""
        y = ConvNorm(self.features, stride=self.stride, dtype=self.dtype, name="conv1")(x, train)
        y = ConvNorm(self.features, dtype=self.dtype, name="conv2")(nn.relu(y), train)
        # The shortcut is a convolution where size or channels change.
        if x.shape != y.shape:
            x = ConvNorm(self.features, (1, 1), self.stride, dtype=self.dtype, name="shortcut")(
                x, train
            )
        return nn.relu(x + y)


class SmallAppearance(nn.Module):
    """Residual network of four stages that a CPU can train.

    A 3×3 convolution of stride 2, four stages of which the first three halve the size, the mean
    over the picture, a layer of 128 with ReLU, and one output per class. 64 pixels become 4: on
    2 × 2 pixels XLA:CPU convolves 20 times slower.

    Attributes:
      classes: number of classes.
      widths: channels of the stages.
      blocks: residual blocks of each stage.
      dtype: type of the arithmetic.
    """

    classes: int = len(CLASSES)
    widths: tuple[int, ...] = (32, 64, 128, 256)
    blocks: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, jax.Array]:
        """Feature [B, 128] and logits [B, classes] of x [B, H, W, 3]."""
        # Stem and stages; the last stage keeps the size.
        x = nn.relu(ConvNorm(self.widths[0], stride=2, dtype=self.dtype, name="stem")(x, train))
        for stage, width in enumerate(self.widths, 1):
            for block in range(self.blocks):
                stride = 1 if block or stage == len(self.widths) else 2
                name = f"stage{stage}_{block}"
                x = Residual(width, stride, self.dtype, name=name)(x, train)
        return FeatureHead(FEATURES, self.classes, name="head")(x.mean((1, 2)))


class Bottleneck(nn.Module):
    """1×1, grouped 3×3 and 1×1 convolution beside a shortcut (ResNeXt, 32 groups).

    Attributes:
      features: channels out; half as many inside.
      stride: of the grouped convolution.
      dtype: type of the arithmetic.
    """

    features: int
    stride: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """[B, H / stride, W / stride, features] of x [B, H, W, C]."""
        inner = self.features // 2

        def conv(name, features, size=1, stride=1, groups=1):
            return ConvNorm(
                features, (size, size), stride, groups, size // 2, dtype=self.dtype, name=name
            )

        y = nn.relu(conv("conv1", inner)(x, train))
        y = nn.relu(conv("conv2", inner, 3, self.stride, 32)(y, train))
        y = conv("conv3", self.features)(y, train)
        if x.shape != y.shape:
            x = conv("shortcut", self.features, stride=self.stride)(x, train)
        return nn.relu(x + y)


class ResNeXt50(nn.Module):
    """ResNeXt-50 (32x4d) with a layer of 128 before the outputs, the network that EVAL names.

    Its grouped convolutions are slow on CPU; it is meant for a GPU or TPU.

    Attributes:
      classes: number of classes.
      dtype: type of the arithmetic.
    """

    classes: int = len(CLASSES)
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, jax.Array]:
        """Feature [B, 128] and logits [B, classes] of x [B, H, W, 3]."""
        return FeatureHead(FEATURES, self.classes, name="head")(
            ResNeXtTrunk(self.dtype, name="trunk")(x, train)
        )


class ResNeXtTrunk(nn.Module):
    """ResNeXt-50 (32x4d) up to the mean over the picture.

    Attributes:
      dtype: type of the arithmetic.
    """

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """[B, 2048] of x [B, H, W, 3]."""
        x = nn.relu(ConvNorm(64, (7, 7), 2, padding=3, dtype=self.dtype, name="stem")(x, train))
        x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
        # Four layers of 256, 512, 1024 and 2048 channels; all but the first halve the size.
        for stage, blocks in enumerate((3, 4, 6, 3), 1):
            for block in range(blocks):
                stride = 2 if stage > 1 and not block else 1
                name = f"layer{stage}_{block}"
                x = Bottleneck(256 * 2 ** (stage - 1), stride, self.dtype, name=name)(x, train)
        return x.mean((1, 2))


ARCHITECTURES = ("small", "resnext50")


def build(architecture: str, classes: int, blocks: int = 1, dtype=jnp.float32) -> nn.Module:
    """The network that `model.architecture` names.

    Args:
      architecture: a name of `ARCHITECTURES`.
      classes: number of classes.
      blocks: residual blocks of each stage, for `"small"` only.
      dtype: type of the arithmetic.

    Raises:
      ValueError: there is no such network.
    """
    if architecture == "small":
        return SmallAppearance(classes, blocks=blocks, dtype=dtype)
    if architecture == "resnext50":
        return ResNeXt50(classes, dtype)
    names = ", ".join(ARCHITECTURES)
    raise ValueError(f"model.architecture is {architecture!r}; expected one of {names}")


def read_resnext50(path: str | pathlib.Path) -> tuple[dict, list[str]]:
    """Variables of `ResNeXtTrunk` from a state dict of torchvision's `resnext50_32x4d`.

    Returns:
      `{"params": ..., "batch_stats": ...}`, and the names of the weights that are not used: those
      of its classifier `fc`.

    Raises:
      FileNotFoundError, ImportError, ValueError: as `vadjax.convert.torch`.
    """
    weights = torch.Weights(torch.load_state(path), str(path))
    image = jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), np.float32)
    shapes = jax.eval_shape(ResNeXtTrunk().init, jax.random.key(0), image)
    variables = torch.to_variables(weights, shapes, _torchvision_name)
    unused = weights.drop(lambda name: name.startswith("fc."))
    weights.finish()
    return variables, unused


def _torchvision_name(path: tuple[str, ...]) -> str:
    """("layer2_0", "conv1", "norm") → "layer2.0.bn1"."""
    block, *inner = path
    if block == "stem":
        return {"conv": "conv1", "norm": "bn1"}[inner[0]]
    which, kind = inner
    if which == "shortcut":
        inside = {"conv": "downsample.0", "norm": "downsample.1"}[kind]
    else:
        inside = {"conv": "conv", "norm": "bn"}[kind] + which.removeprefix("conv")
    return f"{block.replace('_', '.')}.{inside}"
