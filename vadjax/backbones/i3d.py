"""Inception-v1 I3D for clips of RGB or optical flow (Carreira and Zisserman, 2017; spec i3d §A).

All padding is TensorFlow's "SAME": with even sizes more is added at the end, so that a symmetric
padding gives other numbers (§A2).
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vadjax.backbones.layers import ConvNorm
from vadjax.ops.pool import max_pool3d

WIDTH = 1024  # of a feature
CHANNELS = {"rgb": 3, "flow": 2}
CLASSES = 400  # of Kinetics
SIZE = 224  # pixels of the published inputs
POOL = (2, 7, 7)  # window of the feature head; a larger clip has several windows (§A3)
EPSILON = 1e-3
MOMENTUM = 0.99

# §A3. A convolution has features, kernel and stride; a pooling has window and strides; a Mixed
# block has the channels of its units (`Mixed.widths`).
LAYERS = {
    "Conv3d_1a_7x7": (64, 7, 2),
    "MaxPool3d_2a_3x3": ((1, 3, 3), (1, 2, 2)),
    "Conv3d_2b_1x1": (64, 1, 1),
    "Conv3d_2c_3x3": (192, 3, 1),
    "MaxPool3d_3a_3x3": ((1, 3, 3), (1, 2, 2)),
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "MaxPool3d_4a_3x3": ((3, 3, 3), (2, 2, 2)),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "MaxPool3d_5a_2x2": ((2, 2, 2), (2, 2, 2)),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
ENDPOINTS = (*LAYERS, "features", "logits")


class Unit(nn.Module):
    """Convolution without bias, batch norm, ReLU (§A1).

    Attributes:
      features: channels out.
      size: of the kernel in all three dimensions.
      stride: in all three dimensions.
      unbiased: whether the running variance is the unbiased one, as in torch.
    """

    features: int
    size: int = 1
    stride: int = 1
    unbiased: bool = True

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """[B, T / stride, H / stride, W / stride, features] of x [B, T, H, W, C]."""
        layer = ConvNorm(
            self.features,
            (self.size,) * 3,
            self.stride,
            epsilon=EPSILON,
            momentum=MOMENTUM,
            unbiased=self.unbiased,
            filtered=True,
            name="unit",
        )
        nn.share_scope(self, layer)  # the parameters lie in this module, not in "unit"
        return nn.relu(layer(x, train))


class Mixed(nn.Module):
    """Four branches, joined on channels: kernels 1, 1 → 3, 1 → 3, and pooling → 1 (§A3).

    Attributes:
      widths: channels of b0, b1a, b1b, b2a, b2b, b3b.
      unbiased: as of `Unit`.
    """

    widths: tuple[int, ...]
    unbiased: bool = True

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """[B, T, H, W, b0 + b1b + b2b + b3b] of x [B, T, H, W, C]."""
        names = ("b0", "b1a", "b1b", "b2a", "b2b", "b3b")
        units = {
            name: Unit(width, 3 if name in ("b1b", "b2b") else 1, 1, self.unbiased, name=name)
            for name, width in zip(names, self.widths, strict=True)
        }
        # b0; b1a → b1b; b2a → b2b; pooling → b3b, joined in this order.
        pooled = max_pool3d(x, (3, 3, 3), (1, 1, 1), "SAME")
        branches = (
            units["b0"](x, train),
            units["b1b"](units["b1a"](x, train), train),
            units["b2b"](units["b2a"](x, train), train),
            units["b3b"](pooled, train),
        )
        return jnp.concatenate(branches, -1)


class InceptionI3D(nn.Module):
    """The network of one stream.

    Attributes:
      classes: of the logits.
      dropout: share of the features that training drops before the logits.
      unbiased: whether the running variances follow the unbiased variance of the batches (the
        torch port) or the biased one (TensorFlow).
    """

    classes: int = CLASSES
    dropout: float = 0.5
    unbiased: bool = True

    @nn.compact
    def __call__(
        self, x: jax.Array, train: bool = False, endpoints: tuple[str, ...] = ("features",)
    ) -> dict[str, jax.Array]:
        """The requested maps, by their names in `ENDPOINTS`; the layers after the last are not run.

        Args:
          x: [B, T, H, W, C], normalised; C = 3 for RGB, 2 for flow.
          train: normalise by the batch, and drop features (key "dropout").
          endpoints: "features" are [B, T', H', W', 1024], one vector for each place of the 2×7×7
            pool (16 frames of 224² → 1 × 1 × 1); "logits" [B, T', H', W', classes], whose mean
            over T' TensorFlow's softmax takes.

        Raises:
          ValueError: no such endpoint, or a clip too small for the pool.
        """
        _check_names(endpoints)
        # The trunk, up to the last requested map; initialisation runs all of it.
        maps, wanted = {}, set(ENDPOINTS if self.is_initializing() else endpoints)
        for name, sizes in LAYERS.items():
            if wanted <= maps.keys():
                return {name: maps[name] for name in endpoints}
            x = maps[name] = self._layer(name, sizes, x, train)
        # The head: the pooled features, and the logits on them.
        if wanted & {"features", "logits"}:
            maps["features"] = x = pool_features(x)
        if "logits" in wanted:
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
            maps["logits"] = nn.Conv(self.classes, (1, 1, 1), name="logits")(x)
        return {name: maps[name] for name in endpoints}

    def _layer(self, name: str, sizes: tuple, x: jax.Array, train: bool) -> jax.Array:
        """Output of one of `LAYERS`."""
        if name.startswith("MaxPool3d"):
            return max_pool3d(x, *sizes, "SAME")
        if name.startswith("Mixed"):
            return Mixed(sizes, self.unbiased, name=name)(x, train)
        return Unit(*sizes, self.unbiased, name=name)(x, train)


def _check_names(endpoints: tuple[str, ...]) -> None:
    """Raises ValueError if one of the endpoints does not exist."""
    if unknown := [name for name in endpoints if name not in ENDPOINTS]:
        raise ValueError(f"endpoints {unknown}; expected some of {', '.join(ENDPOINTS)}")


def pool_features(x: jax.Array) -> jax.Array:
    """Mean over every 2×7×7 window, stride 1: [B, T, H, W, C] → [B, T - 1, H - 6, W - 6, C].

    Raises:
      ValueError: the map is smaller than the window.
    """
    if any(size < least for size, least in zip(x.shape[1:4], POOL, strict=True)):
        raise ValueError(
            f"the last map is {x.shape[1:4]} (T, H, W), smaller than the pool {POOL}; the clips "
            "need at least 9 frames of 193 × 193 pixels"
        )
    return nn.avg_pool(x, POOL)


@functools.cache
def variable_shapes(stream: str = "rgb", classes: int = CLASSES) -> dict:
    """Shapes of the variables of a stream's network, without computing them."""
    clip = jax.ShapeDtypeStruct((1, 16, SIZE, SIZE, CHANNELS[stream]), np.float32)
    return jax.eval_shape(InceptionI3D(classes).init, jax.random.key(0), clip)
