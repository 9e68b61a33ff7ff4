"""The loss of S3R and RTFM: a sum of weighted terms (spec s3r §5)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from vadjax.config import expect_one_of

LOWEST_LOG = -100.0  # where torch clamps the logarithms of its cross-entropy
SCOPES = ("batch", "bag")
FORMS = ("absolute", "hinge")


class BagTerms(NamedTuple):
    """Outputs for B bags of one label that enter the loss.

    Attributes:
      score: mean score of the chosen snippets, [B].
      feature: mean feature of the chosen snippets, [B, N, C].
      snippets: scores of all snippets, [B, T].
      macro: score of the macro branch, [B]; None without that branch.
    """

    score: jax.Array
    feature: jax.Array
    snippets: jax.Array
    macro: jax.Array | None


def training_loss(
    normal: BagTerms,
    anomalous: BagTerms,
    *,
    margin: float = 100.0,
    magnitude: float = 1e-4,
    magnitude_form: str = "absolute",
    sparsity: float = 8e-3,
    smoothness: float = 8e-4,
    scope: str = "batch",
    macro: float = 1.0,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Cross-entropy of the bags, difference of magnitudes, sparsity, smoothness, macro scores.

    Args:
      normal: normal bags.
      anomalous: as many anomalous bags; bag i is paired with normal bag i, crop by crop.
      margin: m, between the magnitudes of the two.
      magnitude: weight of the magnitude term.
      magnitude_form: `"absolute"`: `(|m - a| + b)²` as in the code; `"hinge"`: `max(0, m - a + b)`
        as in the RTFM paper (which needs another weight). a and b are the magnitudes of the
        anomalous and the normal bag.
      sparsity: weight of the L2 norm of the anomalous bags' snippet scores.
      smoothness: weight of the sum of squared differences of neighbouring snippet scores.
      scope: of these two terms. `"batch"`: all bags in a row are one vector, differences across
        their borders included, as in the code; `"bag"`: the mean over the bags.
      macro: weight of the cross-entropy of all bags' macro scores against 0.

    Returns:
      The loss, and its terms before weighting: `bag`, `magnitude`, `sparsity`, `smoothness`, and
      `macro` if there is a macro branch.

    Raises:
      ValueError: unknown form or scope.
    """
    # The bag scores against 1 and 0, the magnitudes of pairs, the scores of anomalous bags.
    terms = {
        "bag": (cross_entropy(anomalous.score, 1) + cross_entropy(normal.score, 0)) / 2,
        "magnitude": magnitude_loss(normal.feature, anomalous.feature, margin, magnitude_form),
        **score_terms(anomalous.snippets, scope),
    }
    weights = {"magnitude": magnitude, "sparsity": sparsity, "smoothness": smoothness}
    # The macro branch reconstructs from normal patterns: all its scores are pushed to 0.
    if normal.macro is not None:
        terms["macro"] = (cross_entropy(anomalous.macro, 0) + cross_entropy(normal.macro, 0)) / 2
        weights["macro"] = macro
    return sum(weights.get(name, 1.0) * term for name, term in terms.items()), terms


def cross_entropy(probability: jax.Array, label: int) -> jax.Array:
    """Mean binary cross-entropy of probabilities [B], all of one label (0 or 1)."""
    # The log of 0 is replaced before it is taken: its gradient would be NaN.
    p = probability if label else 1 - probability
    positive = p > 0
    log = jnp.log(jnp.where(positive, p, 1))
    return -jnp.where(positive & (log > LOWEST_LOG), log, LOWEST_LOG).mean()


def magnitude_loss(
    normal: jax.Array, anomalous: jax.Array, margin: float, form: str = "absolute"
) -> jax.Array:
    """Mean over pairs of features [B, N, C]; see `training_loss`.

    Raises:
      ValueError: unknown form.
    """
    expect_one_of("loss.magnitude_form", form, FORMS)
    low, high = norm(normal), norm(anomalous)
    if form == "hinge":
        return jax.nn.relu(margin - high + low).mean()
    return jnp.square(jnp.abs(margin - high) + low).mean()


def score_terms(snippets: jax.Array, scope: str = "batch") -> dict[str, jax.Array]:
    """`sparsity` and `smoothness` of scores [B, T]; see `training_loss`.

    Raises:
      ValueError: unknown scope.
    """
    expect_one_of("loss.scope", scope, SCOPES)
    rows = snippets.reshape(1, -1) if scope == "batch" else snippets
    differences = jnp.square(jnp.diff(rows)).sum(1)
    return {"sparsity": norm(rows).mean(), "smoothness": differences.mean()}


def norm(x: jax.Array) -> jax.Array:
    """L2 norm [...] of x [..., C]; its gradient at 0 is 0, as torch's."""
    square = jnp.square(x).sum(-1)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
