"""The losses of the four tasks (Georgescu et al., CVPR 2021; spec ssmtl §5)."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax


def task_losses(
    outputs: Mapping[str, jax.Array], targets: Mapping[str, jax.Array]
) -> dict[str, jax.Array]:
    """Loss of every task in `outputs`, each a mean over the batch.

    Args:
      outputs: as of `MultiTaskNet`.
      targets: classes int [B] (`arrow`, `irregularity`), crops float [B, H, W, 3] in [0, 1]
        (`middle`), outputs of the teachers float [B, K] (`distillation`).

    Returns:
      task → scalar: cross-entropy of the classes, mean absolute difference of the others.
    """
    losses = {}
    for task, output in outputs.items():
        if task in ("arrow", "irregularity"):
            errors = optax.softmax_cross_entropy_with_integer_labels(output, targets[task])
        else:
            errors = jnp.abs(output - targets[task])
        losses[task] = errors.mean()
    return losses


def training_loss(
    outputs: Mapping[str, jax.Array],
    targets: Mapping[str, jax.Array],
    distillation_weight: float = 0.2,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Sum of the losses, `arrow + irregularity + middle + distillation_weight · distillation`.

    Args:
      outputs: those of the tasks in use; the other tasks add nothing.
      targets: as of `task_losses`.
      distillation_weight: λ.

    Returns:
      The sum, and the losses before weighting.
    """
    terms = task_losses(outputs, targets)
    weights = {"distillation": distillation_weight}
    return sum(weights.get(task, 1.0) * term for task, term in terms.items()), terms
