"""S3R (Wu, Hsieh et al., ECCV 2022) and RTFM (Tian et al., ICCV 2021) as one network.

    video ─┬──────────────────────── aggregation ─┬─ gate ─ features ─ snippet scores
           └─ en-Normal ◄ dictionary              │ (de-Normal)
                 └────────────────── aggregation ─┘    └──── macro score

RTFM is the upper line alone, with batch norms behind the ReLUs instead of group norms before them.

Shapes: B bags, N crops, T snippets, C channels, S atoms of the dictionary; R = B · N rows.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from vadjax.config import expect_one_of
from vadjax.systems.s3r.layers import (
    GROUPS,
    NORMS,
    Dropout,
    Mixture,
    Rows,
    TemporalConv,
    TemporalConvNorm,
    TemporalNonLocal,
    at_least_float32,
    mean_over_time,
    xavier,
)

DILATIONS = (1, 2, 4)
DIVISOR = 4 * GROUPS  # of the number of channels

VARIANTS = {  # what differs from the fields' defaults
    "s3r": {},
    "rtfm": {"norm": "batch", "norm_first": False, "en_normal": False, "de_normal": False},
}


class Outputs(NamedTuple):
    """Outputs of the network for B bags.

    Attributes:
      scores: probability of every snippet to be anomalous, mean over crops, [B, T].
      magnitudes: L2 norm of every snippet's features, mean over crops, [B, T].
      features: [B, N, T, C].
      macro: probability of every bag by the macro branch, mean over crops, [B]; None in RTFM.
    """

    scores: jax.Array
    magnitudes: jax.Array
    features: jax.Array
    macro: jax.Array | None


class Network(nn.Module):
    """S3R; `build` gives it and RTFM.

    Its intermediate results are sown into the collection `intermediates`.

    Attributes:
      en_normal: reconstruct the video from the dictionary, and score that (the macro branch).
      de_normal: weight the channels by what the reconstruction lacks; needs `en_normal`.
      attention_scaling: divide en-Normal's dot products by the root of their width. False as
        published: the softmax can saturate (spec §9 row 6).
      norm: `"group"` (S3R) or `"batch"` (RTFM).
      norm_first: norm before the ReLU (S3R) or behind it (RTFM).
      dropout: rate of every dropout.
      dtype: type of the arithmetic; parameters are float32.
    """

    en_normal: bool = True
    de_normal: bool = True
    attention_scaling: bool = False
    norm: str = "group"
    norm_first: bool = True
    dropout: float = 0.7
    dtype: jnp.dtype = jnp.float32

    def setup(self):
        """Creates the branches and heads."""
        expect_one_of("model.norm", self.norm, NORMS)
        if self.de_normal and not self.en_normal:
            raise ValueError(
                "model.de_normal compares with what model.en_normal reconstructs; set both or none"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"model.dropout is {self.dropout}; expected 0 to below 1")
        # The video branch, the macro branch (en-Normal), and the gate between them (de-Normal).
        kind = {"norm": self.norm, "norm_first": self.norm_first, "dtype": self.dtype}
        self.video, self.video_dropout = Aggregation(**kind), Dropout(self.dropout)
        self.video_head = ScoreHead(self.dropout, self.dtype)
        if self.en_normal:
            self.reconstruct = EnNormal(self.attention_scaling, self.dtype)
            self.macro, self.macro_dropout = Aggregation(**kind), Dropout(self.dropout)
            self.macro_head = ScoreHead(self.dropout, self.dtype)
        if self.de_normal:
            self.gate = Gate(self.dtype)

    def __call__(
        self,
        video: jax.Array,
        dictionary: jax.Array | None = None,
        train: bool = False,
        valid: jax.Array | None = None,
    ) -> Outputs:
        """Scores of bags.

        Args:
          video: features [B, N, T, C], C a multiple of 32.
          dictionary: [S, C], the same for all bags; None for RTFM.
          train: batch statistics instead of the running ones (then `batch_stats` is mutable), and
            dropout, drawn from the stream `dropout`.
          valid: bool [B, T], False for the padding behind shorter bags; None if there is none, as
            in training. The outputs for padding have no meaning.

        Raises:
          ValueError: the number of channels is no multiple of 32.
        """
        bags, crops, length, channels = video.shape
        if channels % DIVISOR:
            raise ValueError(
                f"features have {channels} columns; this network needs a multiple of {DIVISOR}"
            )
        # Crops are rows of their own until the scores are averaged over them.
        x = video.reshape(bags * crops, length, channels).astype(self.dtype)
        if valid is not None:
            valid = jnp.repeat(valid, crops, 0)[..., None]
        # Video branch: x_video, the aggregation of the features v (§4.3).
        features = self._sow("video_aggregate", self.video(x, train, valid))
        features, macro = self.video_dropout(features, train), None
        # en-Normal: x_macro, the aggregation of the reconstruction m from the dictionary (§4.2).
        if self.en_normal:
            mixture = self.reconstruct(x, dictionary)
            macro = self._sow("macro_aggregate", self.macro(mixture, train, valid))
            macro = self.macro_dropout(macro, train)
        # de-Normal: x_video <- x_video * s, x_macro <- x_macro * (1 - s) (§4.4).
        if self.de_normal:
            gate = self._sow("channel_weights", self.gate(features, macro, valid))[:, None]
            features = self._sow("gated_video", features * gate)
            self._sow("gated_macro", macro * (1 - gate))
        # Heads (§4.5): score and magnitude of every snippet, macro score of every bag.
        scores = self.video_head(features, train).reshape(bags, crops, length)
        norms = jnp.sqrt(jnp.square(at_least_float32(jax.lax.stop_gradient(features))).sum(-1))
        if macro is not None:
            summary = mean_over_time(macro, valid)
            if self.de_normal:  # gating the mean equals the mean of the gated rows, in less memory
                summary *= 1 - gate[:, 0]
            macro = self.macro_head(summary, train).reshape(bags, crops)
        return Outputs(
            scores=scores.mean(1),
            magnitudes=norms.reshape(bags, crops, length).mean(1),
            features=features.reshape(video.shape),
            macro=None if macro is None else macro.mean(1),
        )

    def _sow(self, name: str, value: jax.Array) -> jax.Array:
        """Sows a value into `intermediates` and returns it."""
        self.sow("intermediates", name, value)
        return value


class Aggregation(nn.Module):
    """Multi-scale temporal aggregation (spec §4.3): dilated convolutions and a non-local layer.

    Attributes:
      norm: of `TemporalConvNorm`.
      norm_first: of `TemporalConvNorm`.
      dtype: type of the arithmetic.
    """

    norm: str = "group"
    norm_first: bool = True
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Rows, train: bool, valid: jax.Array | None = None) -> jax.Array:
        """[R, T, C] of x [R, T, C]; sows `input` and the non-local layer's output, `related`."""
        channels = x.shape[-1]
        kind = {"norm": self.norm, "norm_first": self.norm_first, "dtype": self.dtype}
        # y1, y2, y3: dilations 1, 2 and 4, C → C/4 each.
        scales = [
            TemporalConvNorm(channels // 4, dilation, name=f"scale{number}", **kind)(
                x, train, valid
            )
            for number, dilation in enumerate(DILATIONS, 1)
        ]
        # h: the same width without dilation, then the non-local layer.
        h = TemporalConv(channels // 4, use_bias=False, dtype=self.dtype, name="squeeze")(x)
        h = TemporalNonLocal(self.dtype, name="non_local")(nn.relu(h), train, valid)
        self.sow("intermediates", "related", h)
        # out = relu(norm(conv [y1, y2, y3, h'])) + x; in RTFM the norm comes after the ReLU.
        joined = jnp.concatenate([*scales, h], -1)
        y = TemporalConvNorm(channels, use_bias=False, name="fuse", **kind)(joined, train, valid)
        x = x.rows() if isinstance(x, Mixture) else x
        self.sow("intermediates", "input", x)
        return y + x


class EnNormal(nn.Module):
    """Reconstruction of snippets as mixtures of dictionary atoms (spec §4.2).

    Attributes:
      scaling: divide the dot products by the root of their width.
      dtype: type of the arithmetic.
    """

    scaling: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, dictionary: jax.Array) -> Mixture:
        """Mixture [R, T, C] of the atoms [S, C] for x [R, T, C]; sows `attention` [R, T, S]."""
        # q = W_q v + b_q;  k = W_k d + b_k;  val = W_v d + b_v;  m = softmax_S(q k^T) val
        channels = x.shape[-1]
        query = _dense(channels // 4, "query", self.dtype)(x)
        key = _dense(channels // 4, "key", self.dtype)(dictionary)
        value = _dense(channels, "value", self.dtype)(dictionary)
        logits = at_least_float32(query @ key.T)
        if self.scaling:
            logits /= jnp.sqrt(channels // 4)
        attention = nn.softmax(logits)
        self.sow("intermediates", "attention", attention)
        return Mixture(attention.astype(self.dtype), value)


class Gate(nn.Module):
    """Weight of every channel from the difference of the means of the two branches (spec §4.4).

    Attributes:
      dtype: type of the arithmetic.
    """

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, video: jax.Array, macro: jax.Array, valid: jax.Array | None = None
    ) -> jax.Array:
        """[R, C] in [0, 1] of the two branches [R, T, C]."""
        # g = mean_T(x_video) - mean_T(x_macro);  s = sigmoid(W2 relu(W1 g + b1) + b2)
        channels = video.shape[-1]
        difference = mean_over_time(video, valid) - mean_over_time(macro, valid)
        hidden = nn.relu(_dense(channels // 16, "squeeze", self.dtype)(difference))
        return nn.sigmoid(_dense(channels, "excite", self.dtype)(hidden))


class ScoreHead(nn.Module):
    """Score of every row: C/4 – ReLU – dropout – C/16 – ReLU – dropout – 1 – sigmoid (spec §4.5).

    Attributes:
      dropout: rate.
      dtype: type of the arithmetic.
    """

    dropout: float
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """[...] in [0, 1], at least float32, of x [..., C]."""
        for name, width in (("hidden", x.shape[-1] // 4), ("squeeze", x.shape[-1] // 16)):
            x = nn.relu(_dense(width, name, self.dtype)(x))
            x = Dropout(self.dropout, name=f"{name}_dropout")(x, train)
        return nn.sigmoid(at_least_float32(_dense(1, "score", self.dtype)(x)[..., 0]))


def _dense(features: int, name: str, dtype: jnp.dtype) -> nn.Dense:
    return nn.Dense(features, name=name, kernel_init=xavier, dtype=dtype)


def build(variant: str = "s3r", **options) -> Network:
    """The published network of that name (`VARIANTS`); `options` replace single fields.

    Raises:
      ValueError: no variant of that name.
    """
    expect_one_of("model.variant", variant, VARIANTS)
    return Network(**VARIANTS[variant] | options)
