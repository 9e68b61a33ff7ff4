"""Optimisers and schedules with the semantics of torch, as optax transformations.

They differ from optax's own in ways that change results: L2 is added to the gradient, the first
accumulator is 0, and epsilon is added outside the root.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax


class AdagradState(NamedTuple):
    """State of `adagrad`: number of updates, and the sum of squared gradients of each leaf."""

    count: jax.Array
    sum_of_squares: optax.Updates


def adagrad(
    learning_rate: optax.ScalarOrSchedule, weight_decay: float = 0.0, eps: float = 1e-10
) -> optax.GradientTransformation:
    """Adagrad as `torch.optim.Adagrad` computes it (spec mil §6).

    `g ← g + weight_decay * w;  s ← s + g²;  w ← w - lr * g / (sqrt(s) + eps)`, s from 0. A
    coordinate whose gradient was always 0 stays unchanged.

    Args:
      learning_rate: lr, or a schedule of it by the number of updates so far.
      weight_decay: added to the gradient, of weights and biases alike.
      eps: added outside the root.
    """

    def init(params):
        return AdagradState(jnp.zeros((), jnp.int32), jax.tree.map(jnp.zeros_like, params))

    def update(gradients, state, params=None):
        if params is None:
            raise ValueError("adagrad needs the parameters (weight decay)")
        gradients = jax.tree.map(lambda g, w: g + weight_decay * w, gradients, params)
        sums = jax.tree.map(lambda s, g: s + g * g, state.sum_of_squares, gradients)
        rate = learning_rate(state.count) if callable(learning_rate) else learning_rate
        updates = jax.tree.map(lambda g, s: -rate * g / (jnp.sqrt(s) + eps), gradients, sums)
        return updates, AdagradState(state.count + 1, sums)

    return optax.GradientTransformation(init, update)


def cosine_by_epoch(learning_rate: float, epochs: int, steps: int) -> optax.Schedule:
    """Cosine annealing to 0, stepped once per epoch: torch's CosineAnnealingLR, T_max = epochs.

    Args:
      learning_rate: of the first epoch.
      epochs: number of epochs of the run.
      steps: number of steps of the run; `steps // epochs` are one epoch.

    Raises:
      ValueError: fewer steps than epochs.
    """
    if steps < epochs:
        raise ValueError(f"train.steps is {steps}, fewer than the {epochs} of optim.epochs")
    cosine = optax.cosine_decay_schedule(learning_rate, epochs)
    return lambda count: cosine(count // (steps // epochs))


def multistep(learning_rate: float, milestones: Sequence[int], gamma: float) -> optax.Schedule:
    """Multiplies the rate by `gamma` at each milestone (a step), as torch's MultiStepLR."""
    return optax.piecewise_constant_schedule(learning_rate, dict.fromkeys(milestones, gamma))


def adam(
    learning_rate: optax.ScalarOrSchedule,
    weight_decay: float = 0.0,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
) -> optax.GradientTransformation:
    """Adam as `torch.optim.Adam` computes it: `weight_decay * w` is added to the gradient.

    The decay therefore enters the moments (spec s3r §6), unlike that of `optax.adamw`.
    """
    return optax.chain(
        optax.add_decayed_weights(weight_decay), optax.adam(learning_rate, b1, b2, eps)
    )
