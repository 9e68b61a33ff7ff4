"""Layers of ST-LSTM cells over time, for training: with a gradient of their own.

JAX's gradient of a scan would keep every value of every formula. Here each cell keeps its gates and
states, and the rest is computed again. Convolutions of a cell that give the same gates are joined:
that of [x, h] gives (i, f, g, o), that of [x, m] gives (i', f', g').

Shapes: T times, B windows, C channels of a state.
"""

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from vadjax.systems.lgn.layers import convolve

FORGET_BIAS = 1.0


class Cell(NamedTuple):
    """Values of a cell, as `st_lstm` names them, each [B, h, w, C] but for `both`.

    Attributes:
      of_c: gates i, f, g.
      of_m: gates i', f', g'.
      o: output gate.
      last: tanh(W_last * [c, m]).
      both: the new [c, m], [B, h, w, 2 C].
    """

    of_c: tuple[jax.Array, jax.Array, jax.Array]
    of_m: tuple[jax.Array, jax.Array, jax.Array]
    o: jax.Array
    last: jax.Array
    both: jax.Array

    @property
    def h(self) -> jax.Array:
        """The new h, which costs less to compute again than to keep."""
        return self.o * self.last


def forward(kernels: Sequence[dict], x: jax.Array):
    """The last (h, c, m) of the last layer, and what `backward` needs.

    Args:
      kernels: of `StLstmKernels`, for each layer.
      x: input of the first layer, [T, B, h, w, C].
    """
    joined = [_joined(weights) for weights in kernels]

    def time_step(state, x):
        states, m = state
        cells = []
        for weights, (h, c) in zip(joined, states, strict=True):
            cells.append(_cell(weights, x, h, c, m))
            x, m = cells[-1].h, _halves(cells[-1].both)[1]
        return ([(cell.h, _halves(cell.both)[0]) for cell in cells], m), cells

    zero = jnp.zeros((*x.shape[1:-1], kernels[0]["h"].shape[2]), x.dtype)
    start = [(zero, zero)] * len(kernels), zero
    (states, m), cells = lax.scan(time_step, start, x)
    return (*states[-1], m), (list(kernels), x, cells)


def backward(residuals, cotangents):
    """Gradients of kernels and x, for the cotangents of the last layer's (h, c, m)."""
    kernels, x, cells = residuals
    joined, split = jax.vjp(lambda kernels: [_joined(weights) for weights in kernels], kernels)
    layers = range(len(kernels))

    def at(t):
        """Cells of all layers at a time."""
        return jax.tree.map(lambda value: lax.dynamic_index_in_dim(value, t, 0, False), cells)

    def time_step(carry, now):
        # Values of this time and of the one before, which are zeros at the first
        (t, x), (carried, dm, gradients) = now, carry
        cells, olds = at(t), at(jnp.maximum(t - 1, 0))
        olds = [jax.tree.map(lambda value: jnp.where(t > 0, value, 0), old) for old in olds]
        # From the last layer to the first: m came from the layer below, h goes to the one above
        dx, states, grown = 0.0, [], []
        for i in reversed(layers):
            old, cell = olds[i], cells[i]
            before = cells[i - 1] if i else olds[-1]  # whose m this cell takes
            c, m = _halves(old.both)[0], _halves(before.both)[1]
            taken = (x if i == 0 else before.h), old.h, c, m
            dh, dc = carried[i]
            slopes, dx, dh, dc, dm = _cell_back(joined[i], cell, taken, dh + dx, dc, dm)
            states.insert(0, (dh, dc))
            grown.insert(0, jax.tree.map(jnp.add, gradients[i], slopes))
        return (states, dm, grown), dx

    # From the last time to the first; only the last layer's states have cotangents at its start
    dh, dc, dm = cotangents
    zero = jnp.zeros_like(dh)
    start = [(zero, zero)] * (len(kernels) - 1) + [(dh, dc)], dm
    times = jnp.arange(len(x)), x
    start = *start, jax.tree.map(jnp.zeros_like, joined)
    (_, _, gradients), dx = lax.scan(time_step, start, times, reverse=True)
    return split(gradients)[0], dx


def _joined(kernels: dict) -> dict:
    """Kernels of a cell: a of [x, h], b of [x, m]; o and last as they are."""
    *of_c, i, f, g, o = jnp.split(kernels["x"], 7, -1)
    a = jnp.concatenate([jnp.concatenate([*of_c, o], -1), kernels["h"]], 2)
    b = jnp.concatenate([jnp.concatenate([i, f, g], -1), kernels["m"]], 2)
    return {"a": a, "b": b, "o": kernels["o"], "last": kernels["last"]}


def _cell(kernels, x, h, c, m) -> Cell:
    """As `st_lstm`, with the input x in place of its gates."""
    i, f, g, o = jnp.split(convolve(_side_by_side(x, h), kernels["a"]), 4, -1)
    of_c = nn.sigmoid(i), nn.sigmoid(f + FORGET_BIAS), jnp.tanh(g)
    i, f, g = jnp.split(convolve(_side_by_side(x, m), kernels["b"]), 3, -1)
    of_m = nn.sigmoid(i), nn.sigmoid(f + FORGET_BIAS), jnp.tanh(g)
    both = _side_by_side(_carry(of_c, c), _carry(of_m, m))
    o = nn.sigmoid(o + convolve(both, kernels["o"]))
    last = jnp.tanh(convolve(both, kernels["last"]))
    return Cell(of_c, of_m, o, last, both)


def _carry(gates, state):
    i, f, g = gates
    return f * state + i * g


def _cell_back(kernels, cell: Cell, taken, dh, dc, dm):
    """Gradients of the kernels, then cotangents of x, h, c, m, for those of the new h, c, m.

    `taken` are the x, h, c and m that the cell was given.
    """
    x, h, c, m = taken
    # XLA would compute sums of cotangents again, through all layers, in each of their uses
    dh = lax.optimization_barrier(dh)
    do = dh * cell.last * cell.o * (1 - cell.o)
    dlast = dh * cell.o * (1 - jnp.square(cell.last))
    of_both, of_o = _gradients(cell.both, kernels["o"], do)
    of_both_too, of_last = _gradients(cell.both, kernels["last"], dlast)
    of_c, of_m = _halves(of_both + of_both_too)
    dc, dm = lax.optimization_barrier((dc + of_c, dm + of_m))
    of_xh, of_a = _gradients(
        _side_by_side(x, h), kernels["a"], _side_by_side(*_carry_back(cell.of_c, c, dc), do)
    )
    of_xm, of_b = _gradients(
        _side_by_side(x, m), kernels["b"], _side_by_side(*_carry_back(cell.of_m, m, dm))
    )
    (dx, dh), (dx_too, of_m) = _halves(of_xh), _halves(of_xm)
    slopes = {"a": of_a, "b": of_b, "o": of_o, "last": of_last}
    return slopes, dx + dx_too, dh, dc * cell.of_c[1], dm * cell.of_m[1] + of_m


def _carry_back(gates, state, gradient):
    """Cotangents of the sums behind i, f, g of `_carry`."""
    i, f, g = gates
    of_i, of_f, of_g = g * i * (1 - i), state * f * (1 - f), i * (1 - jnp.square(g))
    return gradient * of_i, gradient * of_f, gradient * of_g


def _side_by_side(*parts: jax.Array) -> jax.Array:
    """Arrays [..., C] as one [..., n C]; by a new axis, which XLA:CPU joins on all cores."""
    joined = jnp.stack(parts, -2)
    return joined.reshape(*joined.shape[:-2], -1)


def _halves(x: jax.Array) -> list[jax.Array]:
    return jnp.split(x, 2, -1)


def _gradients(x: jax.Array, kernel: jax.Array, gy: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Of the input and the kernel of `convolve`."""
    return jax.vjp(convolve, x, kernel)[1](gy)
