"""The three losses (spec lgn_net §2.4); MNAD has the same (Park et al., CVPR 2020, eq. 8-10)."""

import jax
import jax.numpy as jnp
from jax import lax

from vadjax.systems.lgn.memory import cosines


def pixel_loss(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Mean squared difference of frames on the [-1, 1] scale."""
    return jnp.square(prediction - target).mean()


def compactness(queries: jax.Array, items: jax.Array) -> jax.Array:
    """Mean squared difference of queries [N, C] and their nearest items [M, C], over channels too.

    As a mean over C = 512 channels it is 1/512 of the mean squared distance. It is also the feature
    distance of an evaluated window (spec §4).
    """
    items = lax.stop_gradient(items)
    nearest = items[cosines(queries, items).argmax(1)]
    return jnp.square(queries - nearest).mean()


def separateness(queries: jax.Array, items: jax.Array, margin: float = 1.0) -> jax.Array:
    """Mean of `max(0, d(q, first) - d(q, second) + margin)`, first and second item by score.

    `d(a, b) = |a - b + 1e-6|`, the constant added to every component, as torch's triplet loss.
    """
    items = lax.stop_gradient(items)
    _, best = lax.top_k(cosines(queries, items), 2)
    first, second = (
        jnp.sqrt(jnp.square(queries - items[best[:, rank]] + 1e-6).sum(1)) for rank in (0, 1)
    )
    return jax.nn.relu(first - second + margin).mean()


def training_loss(
    prediction: jax.Array,
    target: jax.Array,
    queries: jax.Array,
    items: jax.Array,
    *,
    compactness_weight: float = 10.0,
    separateness_weight: float = 5.0,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Pixel loss plus the weighted memory losses.

    Args:
      prediction: [B, H, W, 3] in [-1, 1].
      target: the same.
      queries: [N, C], normalised, of the whole batch.
      items: [M, C] before this step's update.
      compactness_weight: 10 in LGN-Net's code; MNAD 0.1 (prediction), 0.01 (reconstruction).
      separateness_weight: 5 in LGN-Net's code; in MNAD the same as for compactness.

    Returns:
      The loss, and its terms `pixel`, `compactness`, `separateness` before weighting.
    """
    terms = {
        "pixel": pixel_loss(prediction, target),
        "compactness": compactness(queries, items),
        "separateness": separateness(queries, items),
    }
    memory = compactness_weight * terms["compactness"] + separateness_weight * terms["separateness"]
    return terms["pixel"] + memory, terms
