"""Loss of one training step, with the running statistics that change beside the parameters."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from vadjax.ops import dropout
from vadjax.systems.s3r.layers import KEEP, wide
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
      keep: masks to take instead of drawing them: collection `keep` of the network, and
        `selection`, which is by label, bool [B, T].
      weights: of `loss.training_loss`.

    Returns:
      The loss; its terms with `margin`, the mean difference of the bags' scores; the new
      `batch_stats`; outputs of the network and chosen snippets [2 B, k], normal and anomalous
      bags in turn (`by_label`).
    """
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
    """What the loss needs of B normal and B anomalous bags, and the rest; see `pair_loss`.

    Normal bag i and anomalous bag i are neighbours in the network's batch, so that no row leaves
    the device that holds it.
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
    bags = BagTerms(
        score=chosen_mean(outputs.scores, chosen),
        feature=wide(chosen_mean(outputs.features, chosen)),
        snippets=outputs.scores,
        macro=outputs.macro,
    )
    return bags, changed["batch_stats"], outputs, chosen


def _loss(bags: BagTerms, weights: Mapping) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Loss and terms of bags that take turns, normal and anomalous."""
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
    """Value and gradient of the loss, with the activations of one part in memory at a time.

    The loss is that of all bags together, terms across their borders included: every part goes
    through the network twice, once for what the loss needs of it, and once for its gradient. Only
    the batch norms see a part alone.

    Args:
      params: of the network.
      batch_stats: running statistics; every part moves them.
      batch: `normal` and `anomalous`, features [B, N, T, C].
      rng: for the dropouts.
      parts: B is divided into so many.
      weights: of `loss.training_loss`.
      options: of `forward`.

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

    # The parts, and three functions: a part's share of the loss, the loss, and a part's gradient.
    pieces = {label: split(rows) for label, rows in batch.items()}, jnp.arange(parts)

    def bags_of(params, batch_stats, piece):
        rows, number = piece
        bags, stats, *_ = forward(
            params, batch_stats, rows, jax.random.fold_in(rng, number), **options
        )
        return bags, stats

    def first(batch_stats, piece):
        bags, stats = bags_of(params, batch_stats, piece)
        return stats, bags

    def whole(bags: BagTerms):
        joined = jax.tree.map(lambda a: _join(a, parts), bags)
        return _loss(joined, weights)

    def second(total, piece):
        rows, towards = piece
        _, pull = jax.vjp(lambda p: bags_of(p, batch_stats, rows)[0], params)
        return jax.tree.map(jnp.add, total, pull(towards)[0]), None

    # Once through all parts for the loss, and once more for its gradient.
    stats, bags = jax.lax.scan(first, batch_stats, pieces)
    (loss, terms), towards = jax.value_and_grad(whole, has_aux=True)(bags)
    zeros = jax.tree.map(jnp.zeros_like, params)
    gradient, _ = jax.lax.scan(second, zeros, (pieces, towards))
    return (loss, (terms, stats)), gradient


def _join(rows: jax.Array, parts: int) -> jax.Array:
    """Rows [parts, 2 B / parts, ...] of `accumulated` → [2 B, ...] in the order of the batch."""
    pairs = rows.reshape(parts, -1, 2, *rows.shape[2:]).swapaxes(0, 1)
    return pairs.reshape(-1, *rows.shape[2:])


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
        label: dropout.kept(jax.random.fold_in(rng, number), (bags, snippets), rate)
        for number, label in enumerate(LABELS)
    }
