"""The MIL ranking loss (Sultani et al., CVPR 2018, eq. 6-7; spec mil §6 and §8)."""

import jax
import jax.numpy as jnp

from vadjax.config import expect_one_of
from vadjax.ops.pool import max_pool


def ranking_loss(
    anomalous: jax.Array,
    normal: jax.Array,
    *,
    pairing: str = "diagonal",
    segments_used: int = 30,
    sparsity: float = 8e-5,
    smoothness: float = 8e-5,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Hinge between bag maxima, plus sparsity and smoothness of the anomalous scores.

    `hinge_ij = max(0, 1 - max_s a_is + max_s n_js)`, averaged over the pairs j = i (`"diagonal"`,
    the torch programs) or over all i, j (`"all"`, the first Keras program divided by its batch
    size).

    Args:
      anomalous: scores of the anomalous bags [B, S].
      normal: scores of the normal bags [B, S], or their highest alone [B, 1].
      pairing: `"diagonal"` or `"all"`.
      segments_used: number of first segments that enter hinge and sparsity: 30 as in the torch
        programs (a defect: they index with the batch size), S as in the paper. Smoothness takes
        all.
      sparsity: weight of the sum of anomalous scores.
      smoothness: weight of the sum of squared differences of neighbouring anomalous scores.

    Returns:
      The mean loss over bags, and its per-bag terms `hinge`, `sparsity`, `smoothness`, each [B]
      and already weighted.

    Raises:
      ValueError: unknown pairing, or fewer segments than `segments_used`.
    """
    expect_one_of("loss.pairing", pairing, ("diagonal", "all"))
    if not 0 < segments_used <= anomalous.shape[1]:
        raise ValueError(
            f"loss.segments_used is {segments_used}; a bag has {anomalous.shape[1]} segments"
        )
    used = anomalous[:, :segments_used]
    # The bag scores: the highest segment of every bag.
    top_anomalous, top_normal = highest(used), highest(normal[:, :segments_used])
    if pairing == "diagonal":
        hinge = jax.nn.relu(1 - top_anomalous + top_normal)
    else:
        hinge = jax.nn.relu(1 - top_anomalous[:, None] + top_normal[None, :]).mean(1)
    # L = mean_i (hinge_i + λ1 Σ_s a_is + λ2 Σ_s (a_is - a_i,s+1)²)
    terms = {
        "hinge": hinge,
        "sparsity": sparsity * used.sum(1),
        "smoothness": smoothness * jnp.square(jnp.diff(anomalous)).sum(1),
    }
    return sum(terms.values()).mean(), terms


def highest(scores: jax.Array) -> jax.Array:
    """The highest score of each bag, [B] of scores [B, S]; the first of equals has the gradient.

    Not `scores.max(1)`: its gradient goes to the scores that equal the maximum, and a large
    compiled step may compute them again, rounded differently (`vadjax.ops.pool`).
    """
    return max_pool(scores[..., None], scores.shape[1:])[:, 0, 0]
