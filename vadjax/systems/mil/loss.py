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

    `hinge_ij = max(0, 1 - max_s a_is + max_s n_js)`; its mean over `j = i` (`"diagonal"`, the
    torch programs) or over all i, j (`"all"`, the first Keras program divided by its batch size).

    Args:
      anomalous: scores of the anomalous bags [B, S].
      normal: scores of the normal bags [B, S].
      pairing: `"diagonal"` or `"all"`.
      segments_used: the first segments that enter hinge and sparsity: 30 as the torch programs
        (a defect, their index has the batch size), S as the paper. Smoothness takes all.
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
    top, other = highest(used), highest(normal[:, :segments_used])
    if pairing == "diagonal":
        hinge = jax.nn.relu(1 - top + other)
    else:
        hinge = jax.nn.relu(1 - top[:, None] + other[None, :]).mean(1)
    terms = {
        "hinge": hinge,
        "sparsity": sparsity * used.sum(1),
        "smoothness": smoothness * jnp.square(jnp.diff(anomalous)).sum(1),
    }
    return sum(terms.values()).mean(), terms


def highest(scores: jax.Array) -> jax.Array:
    """The highest score of each bag, [B] of scores [B, S]; the first of equals has its gradient.

    Not `scores.max(1)`: that gives the gradient to the scores that equal the maximum, and a large
    compiled step may compute them again, rounded differently (`vadjax.ops.pool`).
    """
    return max_pool(scores[..., None], scores.shape[1:])[:, 0, 0]
