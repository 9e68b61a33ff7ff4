"""The memory of normal patterns: M unit vectors outside the parameters (spec lgn_net §2.3).

Queries and items are unit vectors, so a score is a cosine. Items carry no gradient.
"""

import jax
import jax.numpy as jnp
from jax import lax

TINY = 1e-24  # square of the smallest norm that is divided by


def normalize(x: jax.Array) -> jax.Array:
    """Unit vectors along the last axis; norms below 1e-12 count as 1e-12."""
    square = jnp.square(x).sum(-1, keepdims=True)
    return x / jnp.sqrt(jnp.where(square > TINY, square, TINY))


def first_items(rng: jax.Array, count: int = 10, width: int = 512) -> jax.Array:
    """Items [M, C] to start from: entries uniform in [0, 1), then normalised."""
    return normalize(jax.random.uniform(rng, (count, width)))


def cosines(queries: jax.Array, items: jax.Array) -> jax.Array:
    """Scores [N, M] of queries [N, C] and items [M, C]."""
    return jnp.dot(queries, items.T, precision="highest")


def read(
    queries: jax.Array,
    items: jax.Array,
    *,
    temperature: float = 1.0,
    gradient: bool = False,
) -> jax.Array:
    """The memory's answer to each query: the items, weighted by a softmax of the scores.

    Args:
      queries: [N, C], normalised.
      items: [M, C].
      temperature: divides the scores. 1 as in the originals, whose softmax of cosines is nearly
        flat (at most 0.45 for one of ten items); below 1 the read is more selective.
      gradient: whether the weights carry gradient. False as in the originals: then no gradient of
        the prediction reaches the encoder through the read (spec §7 row 4); True is the sane
        value.

    Returns:
      [N, C].
    """
    # r_k = Σ_j w_kj p_j
    weights = shares(queries, items, temperature)
    weights = weights if gradient else lax.stop_gradient(weights)
    return jnp.dot(weights, items, precision="highest")


def shares(queries: jax.Array, items: jax.Array, temperature: float = 1.0) -> jax.Array:
    """Weights [N, M] of the items in each answer: `w_k = softmax_j(s_kj / temperature)`."""
    return jax.nn.softmax(cosines(queries, items) / temperature, axis=1)


def update(
    queries: jax.Array, items: jax.Array, *, temperature: float = 1.0, decay: float = 0.0
) -> jax.Array:
    """The items after an update with the queries that are nearest to them.

    `p_j ← normalise(p_j + Σ_k v_kj q_k)` over the queries k whose best item is j, with
    `v_kj = exp((s_kj - max_k' s_k'j) / temperature)`, the maximum over all queries.

    Args:
      queries: [N, C], normalised, of the whole batch.
      items: [M, C].
      temperature: as in `read`.
      decay: 0 as in the originals: hundreds of queries are added to one unit vector, which thus
        becomes the mean of the newest batch (spec §7 row 7). With 0 < decay < 1, for example 0.99,
        the item moves slowly: `normalise(decay p_j + (1 - decay) normalise(Σ_k v_kj q_k))`.

    Returns:
      [M, C]; an item that no query is nearest to keeps its value.
    """
    queries, items = lax.stop_gradient((queries, items))
    scores = cosines(queries, items)
    # v_kj, 0 unless item j is the best of query k.
    nearest = jax.nn.one_hot(scores.argmax(1), len(items), dtype=scores.dtype)
    weights = nearest * jnp.exp((scores - scores.max(0)) / temperature)
    total = jnp.dot(weights.T, queries, precision="highest")
    if decay:
        moved = decay * items + (1 - decay) * normalize(total)
    else:
        moved = items + total
    return jnp.where(nearest.any(0)[:, None], normalize(moved), items)


def usage(queries: jax.Array, items: jax.Array) -> dict[str, jax.Array]:
    """Measures how much the memory depends on the content of the frames (spec §7 row 5).

    Args:
      queries: [B, h, w, C], normalised.
      items: [M, C].

    Returns:
      `items_used`: effective number of items, exp of the entropy of the nearest item, 1 to M.
      `content_share`: share of the variance of the queries that is not explained by their place
      in the picture, 0 to 1 (needs B > 1). Near 0, the memory is a constant positional code.
    """
    flat = queries.reshape(-1, queries.shape[-1])
    nearest = cosines(flat, items).argmax(1)
    share = jax.nn.one_hot(nearest, len(items)).mean(0)
    entropy = -jnp.sum(share * jnp.log(jnp.maximum(share, 1e-12)))
    # Variance around the mean of all queries, and around the mean of each place in the picture.
    total = jnp.square(flat - flat.mean(0)).sum()
    content = jnp.square(queries - queries.mean(0)).sum()
    return {
        "items_used": jnp.exp(entropy),
        "content_share": content / jnp.maximum(total, TINY),
    }
