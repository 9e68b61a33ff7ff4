"""Loss of one training step, with the running statistics that it updates (spec s3r §4.6, §5)."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from vadjax.ops import dropout
from vadjax.systems.s3r.layers import KEEP, at_least_float32
from vadjax.systems.s3r.loss import BagTerms, training_loss
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

    Args:
      params: of `model`.
      batch_stats: running statistics of its batch norms.
      batch: `normal` and `anomalous`, features [B, N, T, C].
      rng: for the dropouts.
      model: the network.
      dictionary: [S, C], or None for RTFM.
      top_k: snippets that stand for a bag.
      selection_dropout: rate at which snippets cannot be chosen.
      keep: masks to use instead of drawing them: collection `keep` of the network, and
        `selection`, by label, bool [B, T].
      weights: keyword arguments of `loss.training_loss`.

    Returns:
      The loss; its terms with `margin`, the mean difference of the bags' scores; the new
      `batch_stats`; outputs of the network and chosen snippets [2 B, k], normal and anomalous
      bags alternating (`by_label`).
    """
    # One pass for all bags, then the loss of their scores and features.
    bags, batch_stats, outputs, chosen = forward(
        params,
        batch_stats,
        batch,
        rng,
        model=model,
        dictionary=dictionary,
        top_k=top_k,
        selection_dropout=selection_dropout,
        keep=keep,
    )
    loss, terms = _loss(bags, weights)
    return loss, (terms, batch_stats, outputs, chosen)


def forward(
    params: dict,
    batch_stats: dict,
    batch: Mapping[str, jax.Array],
    rng: jax.Array,
    *,
    model: Network,
    dictionary: jax.Array | None,
    top_k: int,
    selection_dropout: float,
    keep: Mapping | None = None,
) -> tuple[BagTerms, dict, Outputs, jax.Array]:
    """One pass through the network for B normal and B anomalous bags (arguments as `pair_loss`).

    Normal bag i and anomalous bag i are neighbours in the network's batch, so that no row leaves
    the device that holds it.

    Returns:
      Terms of the loss for 2 B alternating bags; the new `batch_stats`; outputs of the network;
      chosen snippets [2 B, k].
    """
    # All bags in one batch, with masks for the selection and the dropouts.
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
    # The snippets with the largest features stand for their bag, with their mean (§4.6).
    chosen = top_snippets(outputs.magnitudes, top_k, _in_pairs(kept) if kept else None)
    bags = BagTerms(
        score=chosen_mean(outputs.scores, chosen),
        feature=at_least_float32(chosen_mean(outputs.features, chosen)),
        snippets=outputs.scores,
        macro=outputs.macro,
    )
    return bags, changed["batch_stats"], outputs, chosen


def _loss(bags: BagTerms, weights: Mapping) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Loss and terms of alternating normal and anomalous bags."""
    normal, anomalous = by_label(bags)
    loss, terms = training_loss(normal, anomalous, **weights)
    return loss, {**terms, "margin": (anomalous.score - normal.score).mean()}


def accumulated(
    params: dict,
    batch_stats: dict,
    batch: Mapping[str, jax.Array],
    rng: jax.Array,
    parts: int,
    weights: Mapping,
    **options,
) -> tuple[tuple[jax.Array, tuple[dict, dict]], dict]:
    """Value and gradient of the loss, with the activations of one part of the batch in memory.

    The loss is that of all bags together, including the terms across their borders. Every part
    goes through the network twice: once for its terms of the loss, and once for its gradient. Only
    the batch norms see one part at a time.

    Args:
      params: of the network.
      batch_stats: running statistics; every part moves them.
      batch: `normal` and `anomalous`, features [B, N, T, C].
      rng: for the dropouts.
      parts: number of parts that the batch is divided into.
      weights: keyword arguments of `loss.training_loss`.
      options: keyword arguments of `forward`.

    Returns:
      ((loss, (terms, batch_stats)), gradient).

    Raises:
      ValueError: B is no multiple of `parts`.
    """
    size = len(batch[LABELS[0]])
    if size % parts:
        raise ValueError(f"train.accumulate is {parts}; {size} bags of a label are no multiple")

    def split(a: jax.Array) -> jax.Array:  # row i goes to part i % parts: devices keep their rows
        return a.reshape(size // parts, parts, *a.shape[1:]).swapaxes(0, 1)

    pieces = {label: split(rows) for label, rows in batch.items()}, jnp.arange(parts)

    # A part's terms of the loss; its dropouts have a key of their own.
    def bags_of(params, batch_stats, piece):
        rows, number = piece
        bags, stats, *_ = forward(
            params, batch_stats, rows, jax.random.fold_in(rng, number), **options
        )
        return bags, stats

    # First pass: the terms t_p of every part p.
    def next_terms(batch_stats, piece):
        bags, stats = bags_of(params, batch_stats, piece)
        return stats, bags

    stats, bags = jax.lax.scan(next_terms, batch_stats, pieces)

    # The loss L of all terms, and its gradient ∂L/∂t_p for every part.
    def loss_of_all(bags: BagTerms):
        joined = jax.tree.map(lambda a: _join(a, parts), bags)
        return _loss(joined, weights)

    (loss, terms), cotangents = jax.value_and_grad(loss_of_all, has_aux=True)(bags)

    # Second pass: ∂L/∂params = Σ_p ∂L/∂t_p ∂t_p/∂params.
    def add_gradient(total, piece):
        rows, cotangent = piece
        _, pull = jax.vjp(lambda p: bags_of(p, batch_stats, rows)[0], params)
        return jax.tree.map(jnp.add, total, pull(cotangent)[0]), None

    zeros = jax.tree.map(jnp.zeros_like, params)
    gradient, _ = jax.lax.scan(add_gradient, zeros, (pieces, cotangents))
    return (loss, (terms, stats)), gradient


def _join(rows: jax.Array, parts: int) -> jax.Array:
    """Rows [parts, 2 B / parts, ...] of `accumulated` → [2 B, ...] in the order of the batch."""
    pairs = rows.reshape(parts, -1, 2, *rows.shape[2:]).swapaxes(0, 1)
    return pairs.reshape(-1, *rows.shape[2:])


def _in_pairs(batch: Mapping[str, jax.Array]) -> jax.Array:
    """[2 B, ...] with alternating normal and anomalous rows, of rows [B, ...] of both labels."""
    pairs = jnp.stack([batch[label] for label in LABELS], 1)
    return pairs.reshape(-1, *pairs.shape[2:])


def by_label(tree: Any) -> tuple[Any, Any]:
    """Normal and anomalous rows of arrays [2 B, ...] in which they alternate."""
    pairs = jax.tree.map(lambda a: a.reshape(-1, 2, *a.shape[1:]), tree)
    return tuple(jax.tree.map(lambda a, n=n: a[:, n], pairs) for n in range(2))


def _draw_selection(batch: Mapping, rng: jax.Array, rate: float) -> dict:
    """Masks bool [B, T] of the snippets that may be chosen, by label; {} if all may."""
    if not rate:
        return {}
    bags, _, snippets, _ = batch[LABELS[0]].shape
    return {
        label: dropout.kept(jax.random.fold_in(rng, number), (bags, snippets), rate)
        for number, label in enumerate(LABELS)
    }
