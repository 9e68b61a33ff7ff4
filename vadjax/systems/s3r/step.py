"""Loss of one training step, with the running statistics that change beside the parameters."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from vadjax.systems.s3r.layers import KEEP, draw_kept, wide
from vadjax.systems.s3r.loss import Bags, training_loss
from vadjax.systems.s3r.model import Network, Outputs
from vadjax.systems.s3r.select import chosen_mean, top_snippets

LABELS = ("normal", "anomalous")


def pair_loss(
    params: dict,
    batch_stats: dict,
    batch: Mapping[str, jax.Array],
    rng: jax.Array,
    *,
    model: Network,
    dictionary: jax.Array | None,
    top_k: int = 3,
    selection_dropout: float = 0.7,
    keep: Mapping | None = None,
    **weights,
) -> tuple[jax.Array, tuple[dict[str, jax.Array], dict, Outputs, jax.Array]]:
    """Loss of B normal and B anomalous bags (spec s3r §4.6, §5).

    Normal bag i and anomalous bag i are neighbours in the network's batch, so that no row leaves
    the device that holds it.

    Args:
      params: of `model`.
      batch_stats: running statistics of its batch norms.
      batch: `normal` and `anomalous`, features [B, N, T, C].
      rng: for the dropouts.
      model: the network.
      dictionary: [S, C], or None for RTFM.
      top_k: snippets that stand for a bag.
      selection_dropout: rate at which snippets cannot be chosen.
      keep: masks to take instead of drawing them: collection `keep` of the network, and
        `selection`, which is by label, bool [B, T].
      weights: of `loss.training_loss`.

    Returns:
      The loss; its terms with `margin`, the mean difference of the bags' scores; the new
      `batch_stats`; outputs of the network and chosen snippets [2 B, k], normal and anomalous
      bags in turn (`by_label`).
    """
    keep = dict(keep or {})
    kept = keep.pop("selection", None) or _draw_selection(batch, rng, selection_dropout)
    outputs, changed = model.apply(
        {"params": params, "batch_stats": batch_stats, KEEP: keep},
        _in_pairs(batch),
        dictionary,
        train=True,
        rngs={"dropout": jax.random.fold_in(rng, len(LABELS))},
        mutable=["batch_stats"],
    )
    chosen = top_snippets(outputs.magnitudes, top_k, _in_pairs(kept) if kept else None)
    bags = Bags(
        score=chosen_mean(outputs.scores, chosen),
        feature=wide(chosen_mean(outputs.features, chosen)),
        snippets=outputs.scores,
        macro=outputs.macro,
    )
    normal, anomalous = by_label(bags)
    loss, terms = training_loss(normal, anomalous, **weights)
    terms["margin"] = (anomalous.score - normal.score).mean()
    return loss, (terms, changed["batch_stats"], outputs, chosen)


def _in_pairs(batch: Mapping[str, jax.Array]) -> jax.Array:
    """[2 B, ...], normal and anomalous rows in turn, of rows [B, ...] of both labels."""
    pairs = jnp.stack([batch[label] for label in LABELS], 1)
    return pairs.reshape(-1, *pairs.shape[2:])


def by_label(tree: Any) -> tuple[Any, Any]:
    """Normal and anomalous rows of arrays [2 B, ...] in which they take turns."""
    pairs = jax.tree.map(lambda a: a.reshape(-1, 2, *a.shape[1:]), tree)
    return tuple(jax.tree.map(lambda a, n=n: a[:, n], pairs) for n in range(2))


def _draw_selection(batch: Mapping, rng: jax.Array, rate: float) -> dict:
    """Which snippets may be chosen, by label; empty: all."""
    if not rate:
        return {}
    bags, _, snippets, _ = batch[LABELS[0]].shape
    return {
        label: draw_kept(jax.random.fold_in(rng, number), (bags, snippets), rate)
        for number, label in enumerate(LABELS)
    }
