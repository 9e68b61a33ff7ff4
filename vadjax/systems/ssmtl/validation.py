"""Figures on held-out objects: their loss selects a step without the test split (spec ssmtl §5)."""

from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np

from vadjax.systems.ssmtl import tasks
from vadjax.systems.ssmtl.loss import training_loss
from vadjax.systems.ssmtl.model import MultiTaskNet
from vadjax.systems.ssmtl.samples import Samples


def batch_figures(
    model: MultiTaskNet, distillation_weight: float, variables: Mapping, batch: Mapping
) -> dict[str, jax.Array]:
    """Figures of a batch of objects, with the running statistics of the batch norms.

    Args:
      model: the network.
      distillation_weight: λ of the loss.
      variables: parameters and running statistics of the network.
      batch: as of `Samples.batch`.

    Returns:
      `loss`, the loss of each task before weighting, and the share of right answers of the two
      tasks that have classes: `arrow_accuracy`, `irregularity_accuracy`.
    """
    inputs, targets = tasks.training_inputs(batch)
    outputs = model.apply(variables, inputs)
    total, terms = training_loss(outputs, targets, distillation_weight)
    accuracies = {
        f"{task}_accuracy": (outputs[task].argmax(1) == targets[task]).mean()
        for task in ("arrow", "irregularity")
        if task in outputs
    }
    return {"loss": total, **terms, **accuracies}


def mean_figures(
    figures: Callable[[Mapping], Mapping], samples: Samples, numbers: Sequence[int], size: int
) -> dict[str, float]:
    """Means of figures over objects, all with the draws of the first epoch.

    Args:
      figures: batch → figures, each a mean over its objects.
      samples: the objects.
      numbers: which of them.
      size: objects of a batch.
    """
    sums: dict[str, float] = {}
    for start in range(0, len(numbers), size):
        chosen = numbers[start : start + size]
        batch = samples.batch(np.zeros(len(chosen), int), chosen)
        # The last batch may be smaller, so that each counts by its objects.
        for name, value in figures(batch).items():
            sums[name] = sums.get(name, 0.0) + float(value) * len(chosen)
    return {name: value / len(numbers) for name, value in sums.items()}
