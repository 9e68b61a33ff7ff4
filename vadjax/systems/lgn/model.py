"""LGN-Net and MNAD: networks that predict a frame from those before it (spec lgn_net §2, §5).

    frames ─┬─ global encoder ─ queries ─ memory ─ read ─ decoder ─┬─ fusion ─ next frame
            └─ local branch (motion) ──────────────────────────────┘

MNAD has no local branch; its decoder also gets the queries and the encoder's skips.
"""

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from vadjax.config import expect_one_of
from vadjax.ops import channels
from vadjax.ops.pool import max_pool
from vadjax.systems.lgn import memory
from vadjax.systems.lgn.layers import Answers, ConvPair, PaddedConv, Upsample
from vadjax.systems.lgn.local import CELLS, LocalBranch

LEVELS = (1, 2, 4, 8)  # channels at full, half, quarter and eighth size, times `width`

VARIANTS = {  # fields of the published networks that differ from the defaults
    "lgn": {},
    "mnad_prediction": {
        "local_branch": "none",
        "decoder_input": "query_and_read",
        "skips": True,
    },
    "mnad_reconstruction": {
        "frames": 1,
        "local_branch": "none",
        "decoder_input": "query_and_read",
        "up_widths": (8, 4, 2),
    },
}


class Encoded(NamedTuple):
    """The results for a window that do not depend on the memory.

    Attributes:
      features: output of the global encoder, [B, H/8, W/8, C].
      skips: its activations at full, half and quarter size if the decoder uses them, else ().
      local: output of the local branch, [B, H, W, width], or None.
      last: the newest frame [B, H, W, 3] if the prediction is a correction of it, or None.
    """

    features: jax.Array
    skips: tuple[jax.Array, ...]
    local: jax.Array | None
    last: jax.Array | None

    @property
    def queries(self) -> jax.Array:
        """The features as unit vectors, [B, H/8, W/8, C], at least float32."""
        features = self.features.astype(jnp.promote_types(self.features.dtype, jnp.float32))
        return memory.normalize(features)


class FramePredictor(nn.Module):
    """LGN-Net; `build` gives it and both forms of MNAD.

    Attributes:
      frames: input frames, 4; with 1 the target is the input itself (reconstruction).
      local_branch: `"stlstm"` (LGN-Net), `"convlstm"` (spec §6) or `"none"` (MNAD).
      decoder_input: `"read"` (LGN-Net: the query is discarded, and with the published
        `read_gradient` the pixel loss then gives the encoder no gradient at all, spec §7 row 4)
        or `"query_and_read"` (MNAD, and the sane value).
      read_gradient: whether the weights of the read carry gradient. False as published.
      temperature: of the softmaxes of the memory. 1 as published: a nearly flat average.
      skips: whether the encoder's activations before each pooling join the decoder's (MNAD
        prediction).
      output: `"frame"` as published; `"residual"`: the newest frame plus a correction within ±1.
        The correction is 0 before training, so that the network starts as the rule "copy the last
        frame" and learns what moves (spec §9).
      width: channels at full size, 64 as published; all others are multiples of it, and the
        features and the memory items have 8 × as many.
      up_widths: channels after the decoder's three transposed convolutions, times `width`.
      dtype: type of the arithmetic; parameters are float32.
    """

    frames: int = 4
    local_branch: str = "stlstm"
    decoder_input: str = "read"
    read_gradient: bool = False
    temperature: float = 1.0
    skips: bool = False
    output: str = "frame"
    width: int = 64
    up_widths: tuple[int, int, int] = (4, 2, 1)
    dtype: jnp.dtype = jnp.float32

    def setup(self):
        """Creates encoder, decoder, and the local branch if there is one."""
        expect_one_of("model.local_branch", self.local_branch, ("none", *CELLS))
        expect_one_of("model.decoder_input", self.decoder_input, ("read", "query_and_read"))
        expect_one_of("model.output", self.output, ("frame", "residual"))
        if self.output == "residual" and self.frames == 1:
            raise ValueError(
                "model.output is 'residual', but this variant reconstructs its only input frame, "
                "of which a correction would be 0"
            )
        # Global branch, and the local branch, which MNAD does not have.
        self.encoder = GlobalEncoder(self.width)
        self.decoder = FrameDecoder(
            self.width, self.up_widths, self.skips, self.output == "residual"
        )
        has_local = self.local_branch != "none"
        self.local = LocalBranch(self.local_branch, self.width) if has_local else None

    @property
    def features(self) -> int:
        """Channels C of the features and of the memory items."""
        return LEVELS[-1] * self.width

    def __call__(
        self, frames: jax.Array, items: jax.Array, train: bool = False
    ) -> tuple[jax.Array, Encoded]:
        """Predicts the frame after each window.

        Args:
          frames: [B, T, H, W, 3] in [-1, 1], H and W multiples of 8.
          items: [M, C].
          train: batch statistics instead of the running ones (then `batch_stats` is mutable).

        Returns:
          Predictions [B, H, W, 3] in [-1, 1], and the `Encoded` windows.
        """
        check_frames(frames)
        encoded = self.encode(frames, None if train else self.frame_gates(frames), train)
        return self.decode(encoded, items, train), encoded

    def frame_gates(self, frames: jax.Array, train: bool = False) -> jax.Array:
        """The local branch's part that depends on single frames; overlapping windows can share it.

        Args:
          frames: [B, T, H, W, 3], any T.
          train: batch statistics instead of the running ones.

        Returns:
          [B, T, H/4, W/4, G], G = 0 without a local branch.
        """
        check_frames(frames)
        if self.local is not None:
            return self.local.frame_gates(frames.astype(self.dtype), train)
        batch, times, height, width, _ = frames.shape
        return jnp.zeros((batch, times, height // 4, width // 4, 0), self.dtype)

    def encode(self, frames: jax.Array, gates: jax.Array | None, train: bool = False) -> Encoded:
        """Computes the results for a window that do not depend on the memory.

        Args:
          frames: [B, T, H, W, 3].
          gates: their `frame_gates` if these are there already.
          train: batch statistics instead of the running ones.
        """
        batch, times, height, width, colours = frames.shape
        if times != self.frames:
            raise ValueError(f"this model takes {self.frames} frames at a time; got {times}")
        # The global encoder sees the frames as one picture of 3 T channels, in time order.
        stacked = jnp.moveaxis(frames, 1, 3).reshape(batch, height, width, times * colours)
        local = None
        if self.local is not None and gates is None:
            local = self.local(frames.astype(self.dtype), train)
        elif self.local is not None:
            local = self.local.from_gates(gates, train)
        return self._encoded(stacked, frames[:, -1], local, train)

    def encode_times(self, frames: Sequence[jax.Array], gates: Sequence[jax.Array]) -> Encoded:
        """As `encode` in evaluation, of windows whose frames are given time by time.

        Args:
          frames: [B, H, W, 3] of each time.
          gates: their `frame_gates` [B, H/4, W/4, G].
        """
        local = None if self.local is None else self.local.from_times(gates)
        return self._encoded(jnp.concatenate(frames, -1), frames[-1], local, False)

    def _encoded(
        self, stacked: jax.Array, last: jax.Array, local: jax.Array | None, train: bool
    ) -> Encoded:
        features, skips = self.encoder(stacked.astype(self.dtype), train)
        last = last if self.output == "residual" else None
        return Encoded(features, skips if self.skips else (), local, last)

    def decode(self, encoded: Encoded, items: jax.Array, train: bool = False) -> jax.Array:
        """The predicted frames [B, H, W, 3]: in [-1, 1], or within 1 of the last frame."""
        # r_k = Σ_j stop_gradient(w_kj) p_j for every query (spec §2.3).
        queries = encoded.queries
        flat = queries.reshape(-1, self.features)
        x = memory.read(
            flat, items, temperature=self.temperature, gradient=self.read_gradient
        ).reshape(queries.shape)
        self.sow("intermediates", "read", x)
        joins = self.decoder_input == "query_and_read"  # MNAD (spec §5)
        if train:
            x = jnp.concatenate([queries, x], -1) if joins else x
        else:
            weights = memory.shares(flat, items, self.temperature)
            weights = weights if self.read_gradient else jax.lax.stop_gradient(weights)
            weights = weights.reshape(*queries.shape[:-1], len(items))
            x = Answers(queries if joins else None, weights, items)
        x = jax.tree.map(lambda part: part.astype(self.dtype), x)
        y = self.decoder(x, encoded.skips, encoded.local, train)
        return y if encoded.last is None else encoded.last + y.astype(encoded.last.dtype)


class GlobalEncoder(nn.Module):
    """Global encoder (spec §2.2): three levels with pooling, and the features without ReLU.

    Attributes:
      width: of `FramePredictor`.
    """

    width: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        """Features [B, H/8, W/8, 8 width] of x [B, H, W, C], and the maps before each pooling."""
        skips = []
        *levels, features = (times * self.width for times in LEVELS)
        for level, width in enumerate(levels, 1):
            x = ConvPair(width, name=f"level{level}")(x, train)
            skips.append(x)
            x = max_pool(x)
        return ConvPair(features, open_end=True, name="level4")(x, train), tuple(skips)


class FrameDecoder(nn.Module):
    """Decoder and fusion (spec §2.5, §5): doubles the size three times, and joins the branches.

    Attributes:
      width: of `FramePredictor`.
      up_widths: channels after each transposed convolution, smallest size first, times `width`.
      skips: whether the encoder's activations are joined, in front of the decoder's own.
      zero_start: whether the output is 0 before training.
    """

    width: int
    up_widths: tuple[int, int, int]
    skips: bool
    zero_start: bool

    @nn.compact
    def __call__(
        self,
        x: jax.Array | Answers,
        skips: tuple[jax.Array, ...],
        local: jax.Array | None,
        train: bool,
    ) -> jax.Array:
        """[B, H, W, 3] in [-1, 1] of x [B, H/8, W/8, C]; the local branch joins at full size."""
        x = ConvPair(LEVELS[3] * self.width, name="level4")(x, train)
        # Each level doubles the size and joins [skip, x, local], the last only at full size.
        for level, up in zip((3, 2, 1), self.up_widths, strict=True):
            x = Upsample(up * self.width, name=f"up{level}")(x, train)
            joined = ([skips[level - 1]] if self.skips else []) + [x]
            joined += [local] if local is not None and level == 1 else []
            x = channels.join(tuple(joined)) if len(joined) > 1 else x
            x = ConvPair(LEVELS[level - 1] * self.width, name=f"level{level}")(x, train)
        return jnp.tanh(PaddedConv(3, zero_start=self.zero_start, name="out")(x))


def build(variant: str = "lgn", **options) -> FramePredictor:
    """The published network of that name (`VARIANTS`); `options` replace single fields.

    Raises:
      ValueError: no variant of that name.
    """
    expect_one_of("model.variant", variant, VARIANTS)
    return FramePredictor(**VARIANTS[variant] | options)


def check_frames(frames: jax.Array) -> None:
    """Raises ValueError unless frames are [B, T, H, W, 3] with H and W multiples of 8."""
    if frames.ndim != 5 or frames.shape[-1] != 3:
        raise ValueError(f"frames must be [B, T, H, W, 3]; got {frames.shape}")
    if frames.shape[2] % 8 or frames.shape[3] % 8:
        raise ValueError(
            f"frames are {frames.shape[2]} × {frames.shape[3]}; height and width must be "
            "multiples of 8. Set data.height and data.width accordingly"
        )
