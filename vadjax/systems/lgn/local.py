"""The local branch: a frame encoder and four stacked recurrent cells (spec lgn_net §2.1, §6).

The spatiotemporal LSTM cell is that of PredRNN (Wang et al., NeurIPS 2017), without layer norm.
In evaluation work without effect is left out: the zero states of the first time are not convolved,
and the input convolution of the first layer, which depends on single frames only, is computed once
per frame for all windows (`LocalBranch.frame_gates`). Training has a form of its own
(`vadjax.systems.lgn.recurrence`).
"""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from vadjax.ops import channels
from vadjax.systems.lgn import recurrence
from vadjax.systems.lgn.layers import PaddedConv, TorchBatchNorm, Upsample, convolve, torch_uniform

LAYERS = 4
FORGET_BIAS = recurrence.FORGET_BIAS
ENCODER = ((1, 2), (1, 1), (2, 2), (2, 1))  # (channels / width, stride) of the four convolutions

State = tuple[jax.Array | None, jax.Array | None, jax.Array | None]  # h, c, m; None is zero


class LocalBranch(nn.Module):
    """Motion features of a window of frames.

    Attributes:
      cell: `"stlstm"` (LGN-Net) or `"convlstm"` (the alternative of spec §6, without the memory
        state that is handed from layer to layer).
      width: channels of the output; the layers have twice as many.
    """

    cell: str = "stlstm"
    width: int = 64

    def setup(self):
        """Creates encoder, kernels of four layers, and up-sampler."""
        kernels, self.step = CELLS[self.cell]
        self.encoder = FrameEncoder(self.width)
        self.cells = [kernels(2 * self.width, name=f"layer{i + 1}") for i in range(LAYERS)]
        self.up2 = Upsample(2 * self.width)
        self.up1 = Upsample(self.width)

    def __call__(self, frames: jax.Array, train: bool) -> jax.Array:
        """[B, H, W, width] of frames [B, T, H, W, 3]."""
        if not train or self.cell != "stlstm":
            return self.from_gates(self.frame_gates(frames, train), train)
        x = self.encode(frames, train).swapaxes(0, 1)
        return self._output(st_lstm_layers([cell() for cell in self.cells], x), train)

    def encode(self, frames: jax.Array, train: bool) -> jax.Array:
        """What the first layer is given: [B, T, H/4, W/4, C] of frames [B, T, H, W, 3]."""
        encoded = self.encoder(frames, train)
        self.sow("intermediates", "encoded", encoded)
        return encoded.reshape(*frames.shape[:2], *encoded.shape[1:])

    def frame_gates(self, frames: jax.Array, train: bool) -> jax.Array:
        """Input part W_x * X of the gates of layer 1 for each frame: [B, T, H/4, W/4, G]."""
        encoded = self.encode(frames, train)
        gates = convolve(encoded.reshape(-1, *encoded.shape[2:]), self.cells[0]()["x"])
        return gates.reshape(*encoded.shape[:2], *gates.shape[1:])

    def from_gates(self, gates: jax.Array, train: bool) -> jax.Array:
        """Branch output [B, H, W, width] from the `frame_gates` of a window."""
        return self._output(last_states(self.step, [cell() for cell in self.cells], gates), train)

    def from_times(self, gates: Sequence[jax.Array]) -> jax.Array:
        """As `from_gates` in evaluation; the gates [B, H/4, W/4, G] of each time are given."""
        kernels = [cell() for cell in self.cells]
        return self._output(run_times(self.step, kernels, gates), False)

    def _output(self, last: State, train: bool) -> jax.Array:
        """Up-sampled concat(h, m) of the last layer; concat(h, c) for the cell without m (§6)."""
        h, c, m = last
        self.sow("intermediates", "states", last)
        x = jnp.concatenate([h, c if m is None else m], -1)
        return self.up1(self.up2(x, train), train)


class FrameEncoder(nn.Module):
    """Four convolutions with batch norm and ReLU, applied to each frame separately.

    In training the frames of one time (of all windows of the batch) share their batch statistics.

    Attributes:
      width: half the channels of the output.
    """

    width: int

    @nn.compact
    def __call__(self, frames: jax.Array, train: bool) -> jax.Array:
        """[B·T, H/4, W/4, 2 width] of frames [B, T, H, W, 3]."""
        times = frames.shape[1]
        x = frames.reshape(-1, *frames.shape[2:])
        for i, (times_width, stride) in enumerate(ENCODER, 1):
            features = times_width * self.width
            x, bias = PaddedConv(features, stride=stride, name=f"conv{i}").without_bias(x)
            x = TorchBatchNorm(features, times, name=f"norm{i}")(x, train, bias)
        return x


def run_layers(
    step: Callable, kernels: list[dict], gates: jax.Array
) -> tuple[list, list, jax.Array | None]:
    """Runs stacked cells over time; the state m goes zig-zag through layers and times.

    Args:
      step: `st_lstm` or `conv_lstm`.
      kernels: those of each layer.
      gates: input part of the gates of layer 1, [B, T, h, w, G].

    Returns:
      The last h and c of every layer, and the last m.
    """

    # For layer l: X = h of layer l - 1; h and c stay with the layer, m goes on to the next one.
    def time_step(state, gates):
        hs, cs, m = state
        new = []
        for i, (weights, h, c) in enumerate(zip(kernels, hs, cs, strict=True)):
            gates = convolve(new[-1][0], weights["x"]) if i else gates
            h, c, m = step(weights, gates, (h, c, m))
            new.append((h, c))
        return ([h for h, _ in new], [c for _, c in new], m), None

    # The first time has zero states; `None` lets it skip their convolutions.
    zero = [None] * len(kernels)
    state, _ = time_step((zero, zero, None), gates[:, 0])
    return lax.scan(time_step, state, gates[:, 1:].swapaxes(0, 1))[0]


def run_times(step: Callable, kernels: list[dict], gates: Sequence[jax.Array]) -> State:
    """As `run_layers`, in evaluation: no loop, and fewer outputs of convolutions.

    Args:
      step: as there.
      kernels: as there.
      gates: input part of the gates of layer 1 at each time, [B, h, w, G].

    Returns:
      The last (h, c, m) of the last layer.
    """
    later = st_lstm_of_input if step is st_lstm else None
    states: list = [(None, None)] * len(kernels)
    m = None
    for x in gates:
        for i, (weights, (h, c)) in enumerate(zip(kernels, states, strict=True)):
            if i and later:
                h, c, m = later(weights, x, (h, c, m))
            else:
                h, c, m = step(weights, convolve(x, weights["x"]) if i else x, (h, c, m))
            states[i], x = (h, c), h
    return *states[-1], m


class StLstmKernels(nn.Module):
    """Kernels of `st_lstm`: x [C → 7 C], h [C → 4 C], m [C → 3 C], o and last [2 C → C]."""

    features: int

    @nn.compact
    def __call__(self) -> dict[str, jax.Array]:
        """Each kernel [k, k, inputs, outputs] by its name."""
        # (kernel size, channels in, channels out); o and last see [c, m], hence 2 C.
        c = self.features
        sizes = {
            "x": (3, c, 7 * c),
            "h": (3, c, 4 * c),
            "m": (3, c, 3 * c),
            "o": (3, 2 * c, c),
            "last": (1, 2 * c, c),
        }
        return {
            name: self.param(name, torch_uniform(k * k * inputs), (k, k, inputs, outputs))
            for name, (k, inputs, outputs) in sizes.items()
        }


def st_lstm(kernels: dict, gates: jax.Array, state: State) -> State:
    """One step of the spatiotemporal LSTM cell (spec §2.1).

        c ← σ(xf + hf + 1) c + σ(xi + hi) tanh(xg + hg)
        m ← σ(xf' + mf + 1) m + σ(xi' + mi) tanh(xg' + mg)
        h ← σ(xo + ho + W_o * [c, m]) tanh(W_last * [c, m])

    Args:
      kernels: of `StLstmKernels`.
      gates: W_x * X, channels (i, f, g, i', f', g', o), [B, h, w, 7 C].
      state: (h, c, m), each [B, h, w, C]; None stands for zeros.

    Returns:
      The new (h, c, m).
    """
    # The parts of the gates from input, h and m, in the published order of channels.
    h, c, m = state
    xi, xf, xg, xi_m, xf_m, xg_m, xo = jnp.split(gates, 7, -1)
    hi = hf = hg = ho = mi = mf = mg = 0.0
    if h is not None:
        hi, hf, hg, ho = jnp.split(convolve(h, kernels["h"]), 4, -1)
    if m is not None:
        mi, mf, mg = jnp.split(convolve(m, kernels["m"]), 3, -1)
    # New c, m and h by the formulas above.
    c = _carry(xf + hf, c) + nn.sigmoid(xi + hi) * jnp.tanh(xg + hg)
    m = _carry(xf_m + mf, m) + nn.sigmoid(xi_m + mi) * jnp.tanh(xg_m + mg)
    both = jnp.concatenate([c, m], -1)
    o = nn.sigmoid(xo + ho + convolve(both, kernels["o"]))
    return o * jnp.tanh(convolve(both, kernels["last"])), c, m


def st_lstm_of_input(kernels: dict, x: jax.Array, state: State) -> State:
    """As `st_lstm` with the gates `W_x * x`, in evaluation, where another layer is before.

    The parts of a gate from x and from h (from x and from m) are one convolution of the joined
    arrays, which has half as many outputs as two.

    Args:
      kernels: of `StLstmKernels`.
      x: h of the layer before, [B, h, w, C].
      state: (h, c, m), as for `st_lstm`; m is never None.
    """
    h, c, m = state
    i, f, g, i_m, f_m, g_m, o = jnp.split(kernels["x"], 7, -1)
    of_h = jnp.concatenate([i, f, g, o], -1)
    of_m = jnp.concatenate([jnp.concatenate([i_m, f_m, g_m], -1), kernels["m"]], 2)
    if h is None:
        gates = convolve(x, of_h)
    else:
        gates = convolve(channels.join((x, h)), jnp.concatenate([of_h, kernels["h"]], 2))
    i, f, g, o = jnp.split(gates, 4, -1)
    i_m, f_m, g_m = jnp.split(convolve(channels.join((x, m)), of_m), 3, -1)
    c = _carry(f, c) + nn.sigmoid(i) * jnp.tanh(g)
    m = _carry(f_m, m) + nn.sigmoid(i_m) * jnp.tanh(g_m)
    both = channels.join((c, m))
    o = nn.sigmoid(o + convolve(both, kernels["o"]))
    return o * jnp.tanh(convolve(both, kernels["last"])), c, m


def _carry(gate: jax.Array, state: jax.Array | None) -> jax.Array | float:
    """`σ(gate + 1) state`, the part of a state that the forget gate keeps."""
    return 0.0 if state is None else nn.sigmoid(gate + FORGET_BIAS) * state


class ConvLstmKernels(nn.Module):
    """Kernels of `conv_lstm`: x and h [C → 4 C], halves of one convolution of [X, h]; bias."""

    features: int

    @nn.compact
    def __call__(self) -> dict[str, jax.Array]:
        """Each kernel [3, 3, C, 4 C], and the bias [4 C], by its name."""
        c = self.features
        init = torch_uniform(9 * 2 * c)
        kernels = {name: self.param(name, init, (3, 3, c, 4 * c)) for name in ("x", "h")}
        return kernels | {"bias": self.param("bias", init, (4 * c,))}


def conv_lstm(kernels: dict, gates: jax.Array, state: State) -> State:
    """One step of the plain convolutional LSTM without peepholes (spec §6).

        c ← σ(f + 1) c + σ(i) tanh(g)
        h ← σ(o) tanh(c)

    Args:
      kernels: of `ConvLstmKernels`.
      gates: W_x * X, channels (i, f, g, o), [B, h, w, 4 C].
      state: (h, c, None); None stands for zeros.

    Returns:
      The new (h, c, None).
    """
    h, c, _ = state
    gates = gates + kernels["bias"].astype(gates.dtype)
    if h is not None:
        gates = gates + convolve(h, kernels["h"])
    i, f, g, o = jnp.split(gates, 4, -1)
    c = _carry(f, c) + nn.sigmoid(i) * jnp.tanh(g)
    return nn.sigmoid(o) * jnp.tanh(c), c, None


def last_states(step: Callable, kernels: list[dict], gates: jax.Array) -> State:
    """The last (h, c, m) of the last layer, as `run_layers` gives them."""
    h, c, m = run_layers(step, kernels, gates)
    return h[-1], c[-1], m


@jax.custom_vjp
def st_lstm_layers(kernels: list[dict], x: jax.Array) -> State:
    """`last_states` of `st_lstm`, with the gradient of `recurrence`.

    Args:
      kernels: those of each layer.
      x: input of the first layer, [T, B, h, w, C].
    """
    return recurrence.forward(kernels, x)[0]


st_lstm_layers.defvjp(recurrence.forward, recurrence.backward)

CELLS = {"stlstm": (StLstmKernels, st_lstm), "convlstm": (ConvLstmKernels, conv_lstm)}
