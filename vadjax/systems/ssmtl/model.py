"""The network of SSMTL: one 3-D trunk, four heads (Georgescu et al., CVPR 2021; spec ssmtl §4).

    crops of a box ─ 3-D trunk ─ map [B, H/8, W/8, C] ─┬─ arrow          forward or backward
                                                       ├─ irregularity   every frame or with gaps
                                                       ├─ middle         the crop left out
                                                       └─ distillation   what the teachers say

The trunk keeps time and pools it at the end, so it takes any number of crops: 7, 7, 6 and 1.
"""

import functools
from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vadjax.backbones.layers import ConvNorm
from vadjax.config import expect_one_of
from vadjax.ops.conv import conv_frames, conv_general_dilated, conv_passes
from vadjax.ops.pool import max_pool

TRUNKS = {  # channels of the convolutions of each block (spec ssmtl §4)
    "shallow_narrow": ((16,), (32,), (32,)),
    "shallow_wide": ((32,), (64,), (64,)),
    "deep_narrow": ((16, 16), (32, 32), (32, 32)),
    "deep_wide": ((32, 32), (64, 64), (64, 64)),
}
TASKS = ("arrow", "irregularity", "middle", "distillation")
TIME_POOLINGS = {  # maps of all frames [B, T, H, W, C] → one map [B, H, W, C]
    "max": lambda x: max_pool(x, (x.shape[1], 1, 1))[:, 0],
    "mean": lambda x: x.mean(1),
}
MIDDLE_OUTPUTS = {"linear": lambda x: x, "sigmoid": nn.sigmoid}
STATISTICS = ("joint", "pass")
SMALLEST = 16  # pixels of a crop: three poolings in the trunk, one in the heads
HEAD_WIDTH = 32
NOT_FIELDS = ("size", "tasks")  # of a config: not fields of the network, or not as they are


class Trunk(nn.Module):
    """3×3×3 convolutions with batch norm and ReLU, 2×2 pooling in space after each block.

    Attributes:
      widths: channels of the convolutions of each block.
      time_pooling: `"max"` or `"mean"` over the crops.
      momentum: share of the running statistics that an update keeps.
      dtype: type of the arithmetic.
    """

    widths: tuple[tuple[int, ...], ...]
    time_pooling: str = "max"
    momentum: float = 0.99
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        train: bool,
        lengths: Sequence[int] = (),
        passes: Sequence[Sequence[int]] = (),
    ) -> list[jax.Array]:
        """Maps [B, H/8, W/8, C] of crops x [B, T, H, W, 3] in [0, 1], one of each pass.

        Args:
          x: the crops.
          train: whether the batch norms use the statistics of the batch, of all passes together,
            and update the running ones.
          lengths: number of crops of each pass, which follow one another in x; all crops are one
            pass if empty.
          passes: instead of lengths, and without training: which crops each pass sees. What the
            passes have in common is computed once.
        """
        layers = [
            (block, number, width)
            for block, widths in enumerate(self.widths)
            for number, width in enumerate(widths)
        ]
        # How each layer convolves, and which frames of the last layer are those of each pass.
        if passes:
            triples, frames_of_passes = common_triples(passes, len(layers))
            forms = [functools.partial(_frames, triples=of_layer) for of_layer in triples]
        else:
            lengths = lengths or (x.shape[1],)
            ends = zip(lengths, np.cumsum(lengths), strict=True)
            frames_of_passes = [range(end - length, end) for length, end in ends]
            forms = [functools.partial(conv_passes, lengths=lengths)] * len(layers)
        # The convolutions, with a pooling in space after the last one of each block.
        for (block, number, width), form in zip(layers, forms, strict=True):
            name, pooled = f"block{block}_conv{number}", number == len(self.widths[block]) - 1
            x = _conv(width, 3, self, name, form, pooled)(x, train)
            x = x if pooled else nn.relu(x)
        # One map of each pass, whatever its number of frames.
        pool = TIME_POOLINGS[self.time_pooling]
        return [pool(x[:, np.array(frames)]) for frames in frames_of_passes]


class OutputsHead(nn.Module):
    """3×3 convolution with ReLU, 2×2 pooling, dense layer.

    Attributes:
      outputs: number of outputs of the dense layer.
      dtype: type of the arithmetic.
    """

    outputs: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Raw outputs [B, outputs] of maps x [B, h, w, C], at least float32."""
        conv = nn.Conv(
            HEAD_WIDTH,
            (3, 3),
            padding=1,
            dtype=self.dtype,
            conv_general_dilated=conv_general_dilated,
            name="conv",
        )
        x = max_pool(nn.relu(conv(x)))
        x = x.reshape(len(x), -1).astype(jnp.promote_types(self.dtype, jnp.float32))
        return nn.Dense(self.outputs, name="out")(x)


class PictureDecoder(nn.Module):
    """A picture from a map: three times nearest upsampling, 3×3 convolution, batch norm, ReLU.

    Attributes:
      widths: channels after each upsampling.
      output: `"linear"` or `"sigmoid"`.
      momentum: share of the running statistics that an update keeps.
      dtype: type of the arithmetic.
    """

    widths: tuple[int, ...]
    output: str = "linear"
    momentum: float = 0.99
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Pictures [B, 8 h, 8 w, 3] of maps x [B, h, w, C], at least float32."""
        for number, width in enumerate(self.widths):
            x = x.repeat(2, 1).repeat(2, 2)  # nearest neighbour, in height and width
            x = nn.relu(_conv(width, 2, self, f"up{number}")(x, train))
        conv = nn.Conv(
            3,
            (3, 3),
            padding=1,
            dtype=self.dtype,
            conv_general_dilated=conv_general_dilated,
            name="out",
        )
        y = conv(x).astype(jnp.promote_types(self.dtype, jnp.float32))
        return MIDDLE_OUTPUTS[self.output](y)


class MultiTaskNet(nn.Module):
    """The shared trunk and the heads of the tasks in use.

    Attributes:
      trunk: one of `TRUNKS`.
      tasks: those of `TASKS` that are in use; no other head has parameters.
      distilled: number of outputs that the head of the distillation imitates.
      time_pooling: `"max"` or `"mean"`.
      middle_output: `"linear"` or `"sigmoid"`.
      statistics: of the trunk's batch norms in training: `"joint"`, of the passes of all tasks
        together, or `"pass"`, of each pass by itself. The running statistics are the same for all
        passes, so that a trunk trained with `"pass"` sees other numbers when it scores
        (docs/systems/ssmtl.md).
      momentum: share of the running statistics that an update keeps. With 0.99 they are a hundred
        updates late, which a short training must not end with (the same page).
      dtype: type of the arithmetic; parameters are float32.
    """

    trunk: str = "deep_wide"
    tasks: tuple[str, ...] = TASKS
    distilled: int = 1080
    time_pooling: str = "max"
    middle_output: str = "linear"
    statistics: str = "joint"
    momentum: float = 0.99
    dtype: jnp.dtype = jnp.float32

    def setup(self):
        """The trunk, and a head for each task in use."""
        expect_one_of("model.trunk", self.trunk, TRUNKS)
        expect_one_of("model.time_pooling", self.time_pooling, TIME_POOLINGS)
        expect_one_of("model.middle_output", self.middle_output, MIDDLE_OUTPUTS)
        expect_one_of("model.statistics", self.statistics, STATISTICS)
        for task in self.tasks or ("",):
            expect_one_of("model.tasks", task, TASKS)
        widths = TRUNKS[self.trunk]
        self.shared = Trunk(widths, self.time_pooling, self.momentum, self.dtype)
        if "arrow" in self.tasks:
            self.arrow = OutputsHead(2, self.dtype)
        if "irregularity" in self.tasks:
            self.irregularity = OutputsHead(2, self.dtype)
        if "middle" in self.tasks:
            mirrored = tuple(block[-1] for block in reversed(widths))  # the trunk's, backward
            self.middle = PictureDecoder(mirrored, self.middle_output, self.momentum, self.dtype)
        if "distillation" in self.tasks:
            self.distillation = OutputsHead(self.distilled, self.dtype)

    def __call__(self, inputs: Mapping[str, jax.Array], train: bool = False) -> dict:
        """Outputs of every task for its own input; each runs through the trunk by itself.

        Args:
          inputs: task → crops float [B, T, H, W, 3] in [0, 1], as `tasks.training_inputs`; H and
            W are multiples of 16, the same in training and scoring.
          train: whether the batch norms use the statistics of the batch and update the running
            ones.

        Returns:
          task → logits float32 [B, 2] (`arrow`, `irregularity`; 1 = backward, with gaps), pictures
          float32 [B, H, W, 3] (`middle`), or outputs float32 [B, distilled] (`distillation`).
        """
        used = [task for task in TASKS if task in self.tasks]
        # One run of the trunk has the statistics of all passes together, a run each has its own.
        if self.statistics == "joint":
            lengths = tuple(inputs[task].shape[1] for task in used)
            maps = self._maps(jnp.concatenate([inputs[task] for task in used], 1), train, lengths)
        else:
            maps = [self._maps(inputs[task], train)[0] for task in used]
        pairs = zip(used, maps, strict=True)
        return {task: self._head(task, task_map, train) for task, task_map in pairs}

    def score_outputs(self, crops: jax.Array) -> dict[str, jax.Array]:
        """Outputs as of `__call__` for plain sequences [B, T, H, W, 3], T odd: nothing is drawn.

        Arrow and irregularity see the same crops and share one pass of the trunk.
        """
        every = tuple(range(crops.shape[1]))
        middle = len(every) // 2
        # Which crops each task sees; passes that are equal are run once.
        sees = {
            "arrow": every,
            "irregularity": every,
            "middle": every[:middle] + every[middle + 1 :],
            "distillation": (middle,),
        }
        used = [task for task in TASKS if task in self.tasks]
        passes = tuple(dict.fromkeys(sees[task] for task in used))
        maps = dict(zip(passes, self._maps(crops, False, passes=passes), strict=True))
        return {task: self._head(task, maps[sees[task]], False) for task in used}

    def _maps(self, crops: jax.Array, train: bool, lengths=(), passes=()) -> list[jax.Array]:
        """The trunk's maps (`Trunk`) of crops whose size is checked."""
        if any(side % SMALLEST for side in crops.shape[2:4]):
            raise ValueError(
                f"crops of {crops.shape[2]} × {crops.shape[3]} pixels; sides must be multiples "
                f"of {SMALLEST} (config.model.size)"
            )
        return self.shared(crops.astype(self.dtype), train, lengths, passes)

    def _head(self, task: str, x: jax.Array, train: bool) -> jax.Array:
        """Output of a task's head for maps x; that of the middle crop alone has batch norms."""
        return self.middle(x, train) if task == "middle" else getattr(self, task)(x)


def build(
    options: Mapping, tasks: tuple[str, ...], distilled: int, dtype: jnp.dtype = jnp.float32
) -> MultiTaskNet:
    """The network of a config.

    Args:
      options: section `model` of the config.
      tasks: those of its tasks that are in use.
      distilled: number of outputs of the teachers; 0 if there are none.
      dtype: type of the arithmetic.
    """
    fields = {name: value for name, value in options.items() if name not in NOT_FIELDS}
    return MultiTaskNet(**fields, tasks=tasks, distilled=distilled, dtype=dtype)


def common_triples(
    passes: Sequence[Sequence[int]], layers: int
) -> tuple[list[tuple], list[list[int]]]:
    """What several passes through 3×3×3 convolutions have in common.

    A frame of a layer is identified by the three frames of the layer below that it sees. A frame
    that several passes share is computed once.

    Args:
      passes: frames of each pass, in order of time.
      layers: how many convolutions follow one another.

    Returns:
      For each layer [M, 3], the frames below that each of its frames sees, -1 = beyond an end; and
      for each pass its frames of the last layer.
    """
    triples_of_layers = []
    for _ in range(layers):
        # Number the different triples of all passes in the order in which they first occur.
        numbers, numbered_passes = {}, []
        for frames in passes:
            triples = zip((-1, *frames[:-1]), frames, (*frames[1:], -1), strict=True)
            numbered_passes.append([numbers.setdefault(triple, len(numbers)) for triple in triples])
        triples_of_layers.append(tuple(numbers))
        passes = numbered_passes  # which the next layer sees
    return triples_of_layers, passes


def _frames(x, w, *_, triples, **__):
    """`conv_frames` in the place of a plain convolution, whose other arguments it ignores."""
    return conv_frames(x, w, triples)


def _conv(
    width: int,
    dimensions: int,
    of: Trunk | PictureDecoder,
    name: str,
    form=None,
    pooled: bool = False,
) -> ConvNorm:
    """A convolution of side 3 with batch norm, with momentum and type of the module `of`."""
    return ConvNorm(
        width,
        (3,) * dimensions,
        padding=1,
        momentum=of.momentum,
        pooled=pooled,
        form=form,
        dtype=of.dtype,
        name=name,
    )
