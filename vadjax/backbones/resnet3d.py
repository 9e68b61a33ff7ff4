"""ResNet-50 I3D, the network behind the 2048-d features of RTFM and S3R (spec i3d §B).

Without and with non-local blocks (Wang et al., CVPR 2018). All padding is symmetric, not "SAME".
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vadjax.backbones.i3d import CLASSES, SIZE
from vadjax.backbones.layers import MOMENTUM, ConvNorm, UnbiasedBatchNorm
from vadjax.ops.conv import conv_general_dilated
from vadjax.ops.pool import max_pool3d

WIDTH = 2048  # of a feature
LEAST_FRAMES = 7
LAYERS = {  # width, stride of the first block, and for each block whether conv1 spans 3 frames
    "layer1": (64, 1, (1, 1, 1)),
    "layer2": (128, 2, (1, 0, 1, 0)),
    "layer3": (256, 2, (1, 0, 1, 0, 1, 0)),
    "layer4": (512, 2, (0, 1, 0)),
}
NON_LOCAL = ("layer2.1", "layer2.3", "layer3.1", "layer3.3", "layer3.5")  # behind these blocks
EPSILON = 1e-5
FAN_OUT = nn.initializers.variance_scaling(2, "fan_out", "normal")


def norm(name: str, train: bool, **settings) -> nn.Module:
    """Batch norm with the momentum, the epsilon and the running variance of torch (§B1)."""
    return UnbiasedBatchNorm(
        use_running_average=not train, momentum=MOMENTUM, epsilon=EPSILON, name=name, **settings
    )


class Bottleneck3d(nn.Module):
    """(1 + 2t)×1×1, 1×3×3 and 1×1×1 convolution beside a shortcut (§B1).

    Attributes:
      width: channels inside; four times as many go out.
      stride: in rows and columns.
      temporal: t, 0 or 1.
      first: whether it is the first block of its layer, whose shortcut is a convolution.
    """

    width: int
    stride: int
    temporal: int
    first: bool

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """[B, T, H / stride, W / stride, 4 · width] of x [B, T, H, W, C]."""

        def conv(name, features, size=(1, 1, 1), stride=1):
            pad = tuple((n // 2, n // 2) for n in size)
            steps = (1, stride, stride)
            return ConvNorm(
                features, size, steps, padding=pad, unbiased=True, kernel_init=FAN_OUT, name=name
            )

        # conv1 spans three frames if t = 1; conv2 has the stride; the shortcut of a layer's first
        # block is a convolution, also where the stride is 1.
        y = nn.relu(conv("conv1", self.width, (1 + 2 * self.temporal, 1, 1))(x, train))
        y = nn.relu(conv("conv2", self.width, (1, 3, 3), self.stride)(y, train))
        y = conv("conv3", 4 * self.width)(y, train)
        if self.first:
            x = conv("downsample", 4 * self.width, stride=self.stride)(x, train)
        return nn.relu(x + y)


class NonLocal(nn.Module):
    """Every place attends to all places of the map halved in rows and columns (§B2)."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> tuple[jax.Array, jax.Array]:
        """The map [B, T, H, W, C] of x, the same shape, and the attention [B, T H W, T H' W']."""
        inner = x.shape[-1] // 2

        def conv(name, features, x):
            return nn.Conv(features, (1, 1, 1), kernel_init=FAN_OUT, name=name)(x)

        # attention = softmax over keys of theta^T phi * inner^(-1/2); the keys and values come from
        # the halved map.
        halved = max_pool3d(x, (1, 2, 2), (1, 2, 2))
        theta, phi, g = (
            conv(name, inner, source).reshape(len(x), -1, inner)
            for name, source in (("theta", x), ("phi", halved), ("g", halved))
        )
        attention = nn.softmax(jnp.einsum("bqc,bkc->bqk", theta, phi) * inner**-0.5)
        y = jnp.einsum("bqk,bkc->bqc", attention, g).reshape(*x.shape[:-1], inner)
        y = conv("out", x.shape[-1], y)
        # The scale of the norm starts as 0, so that the block starts as the identity.
        return x + norm("bn", train, scale_init=nn.initializers.zeros)(y), attention


class ResNet50I3D(nn.Module):
    """The network.

    Attributes:
      non_local: whether the blocks `NON_LOCAL` are followed by a non-local one.
      classes: of the logits.
      dropout: share of the features that training drops before the logits.
    """

    non_local: bool = False
    classes: int = CLASSES
    dropout: float = 0.5

    @nn.compact
    def __call__(
        self, x: jax.Array, train: bool = False, endpoints: tuple[str, ...] = ("features",)
    ) -> dict[str, jax.Array]:
        """The requested maps, by their names.

        Args:
          x: [B, T, H, W, 3] with T ≥ 7, normalised.
          train: normalise by the batch, and drop features (key "dropout").
          endpoints: "features" are [B, 2048], "logits" [B, classes]; the rest are maps
            [B, T', H', W', C]: "conv1", "bn1", "relu", "maxpool1", "layer1", "maxpool2",
            "layer2" … "layer4", "avgpool", the blocks, such as "layer2.0", and behind a non-local
            one "layer2.1.nl_in", "layer2.1.nl_out" and "layer2.1.attention" (as `NonLocal`).

        Raises:
          ValueError: no such endpoint, or fewer frames.
        """
        if x.shape[1] < LEAST_FRAMES:
            raise ValueError(f"clips of {x.shape[1]} frames; this network needs {LEAST_FRAMES}")
        # Stem and the four layers; each adds its maps.
        maps = self._stem(x, train)
        for name in LAYERS:
            self._layer(name, train, maps)
        # Head: the mean over the whole map is the feature.
        maps["avgpool"] = maps["layer4"].mean((1, 2, 3), keepdims=True)
        maps["features"] = maps["avgpool"].reshape(len(x), WIDTH)
        x = nn.Dropout(self.dropout, deterministic=not train)(maps["features"])
        maps["logits"] = nn.Dense(self.classes, name="fc")(x)
        if unknown := [name for name in endpoints if name not in maps]:
            raise ValueError(f"endpoints {unknown}; expected some of {', '.join(maps)}")
        return {name: maps[name] for name in endpoints}

    def _stem(self, x: jax.Array, train: bool) -> dict[str, jax.Array]:
        """The maps up to the first pooling."""
        # conv1 5×7×7 with stride 2, batch norm, ReLU, maximum 2×3×3 with stride 2.
        maps = {}
        maps["conv1"] = nn.Conv(
            64,
            (5, 7, 7),
            2,
            (2, 3, 3),
            use_bias=False,
            kernel_init=FAN_OUT,
            conv_general_dilated=conv_general_dilated,
            name="conv1",
        )(x)
        maps["bn1"] = norm("bn1", train)(maps["conv1"])
        maps["relu"] = nn.relu(maps["bn1"])
        maps["maxpool1"] = max_pool3d(maps["relu"], (2, 3, 3), (2, 2, 2))
        return maps

    def _layer(self, name: str, train: bool, maps: dict[str, jax.Array]) -> None:
        """Adds the maps of a layer to `maps`; its input is the last map so far."""
        x = list(maps.values())[-1]
        width, stride, temporal = LAYERS[name]
        # The blocks, some of them followed by a non-local one (§B2).
        for i, t in enumerate(temporal):
            block = f"{name}.{i}"
            layer = Bottleneck3d(width, 1 if i else stride, t, not i, name=f"{name}_{i}")
            x = maps[block] = layer(x, train)
            if self.non_local and block in NON_LOCAL:
                maps[f"{block}.nl_in"] = x
                x, attention = NonLocal(name=f"{name}_{i}_nl")(x, train)
                maps[f"{block}.nl_out"], maps[f"{block}.attention"] = x, attention
        maps[name] = x
        if name == "layer1":  # layer2 reads the pooled map
            maps["maxpool2"] = max_pool3d(x, (2, 1, 1), (2, 1, 1))


@functools.cache
def variable_shapes(non_local: bool = False, classes: int = CLASSES) -> dict:
    """Shapes of the variables, without computing them."""
    clip = jax.ShapeDtypeStruct((1, 16, SIZE, SIZE, 3), np.float32)
    return jax.eval_shape(ResNet50I3D(non_local, classes).init, jax.random.key(0), clip)
