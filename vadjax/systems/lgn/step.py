"""Loss of one training step, with the states that change without gradient (spec lgn_net §3)."""

from typing import NamedTuple

import jax

from vadjax.systems.lgn import memory
from vadjax.systems.lgn.loss import training_loss
from vadjax.systems.lgn.model import FramePredictor


class RunningState(NamedTuple):
    """State that a step changes without gradient.

    Attributes:
      batch_stats: running statistics of the batch norms.
      items: memory items [M, C].
    """

    batch_stats: dict
    items: jax.Array


def window_loss(
    params: dict,
    running: RunningState,
    windows: jax.Array,
    model: FramePredictor,
    *,
    compactness_weight: float = 10.0,
    separateness_weight: float = 5.0,
    decay: float = 0.0,
) -> tuple[jax.Array, tuple[dict[str, jax.Array], RunningState]]:
    """Loss of a batch of windows (spec lgn_net §2.3, §2.4, §3).

    Loss, read and update all use the items from before the step.

    Args:
      params: of `model`.
      running: the states before the step.
      windows: [B, T + 1, H, W, 3] in [-1, 1], the target last; [B, 1, ...] for reconstruction.
      model: the network.
      compactness_weight: as in `loss.training_loss`.
      separateness_weight: as in `loss.training_loss`.
      decay: of `memory.update`.

    Returns:
      The loss; its terms with the use of the memory (`memory.usage`), and the states after the
      step.
    """
    # Prediction of the last frame of every window from those before it.
    variables = {"params": params, "batch_stats": running.batch_stats}
    frames, target = windows[:, : model.frames], windows[:, -1]
    (prediction, encoded), changed = model.apply(
        variables, frames, running.items, train=True, mutable=["batch_stats"]
    )
    # Pixel loss, compactness and separateness with the old items, then the items' update.
    queries = encoded.queries.reshape(-1, model.features)
    loss, terms = training_loss(
        prediction.astype(queries.dtype),
        target,
        queries,
        running.items,
        compactness_weight=compactness_weight,
        separateness_weight=separateness_weight,
    )
    items = memory.update(queries, running.items, temperature=model.temperature, decay=decay)
    terms |= memory.usage(jax.lax.stop_gradient(encoded.queries), running.items)
    return loss, (terms, RunningState(changed["batch_stats"], items))
