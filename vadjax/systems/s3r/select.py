"""Selection of the snippets that stand for a bag: the largest features (spec s3r §4.6)."""

import jax
import jax.numpy as jnp


def top_snippets(magnitudes: jax.Array, k: int, kept: jax.Array | None = None) -> jax.Array:
    """Positions of the k snippets with the largest magnitudes, best first, int32 [B, k].

    The same snippets stand for all crops. Where fewer than k are kept, zeros tie, and the first of
    them are chosen (the original leaves the choice open).

    Args:
      magnitudes: [B, T], at least 0.
      k: number of snippets per bag.
      kept: bool [B, T], the snippets that may be chosen (the published dropout of magnitudes);
        None if all may.

    Raises:
      ValueError: a bag has fewer than k snippets.
    """
    if magnitudes.shape[1] < k:
        raise ValueError(
            f"bags have {magnitudes.shape[1]} snippets; model.top_k = {k} of them are to be chosen"
        )
    # The choice is not differentiated; dropped snippets have magnitude 0.
    magnitudes = jax.lax.stop_gradient(magnitudes)
    if kept is not None:
        magnitudes = jnp.where(kept, magnitudes, 0)
    return jax.lax.top_k(magnitudes, k)[1]


def chosen_mean(values: jax.Array, chosen: jax.Array) -> jax.Array:
    """Mean over the chosen snippets.

    Args:
      values: [B, ..., T, C], or [B, T].
      chosen: int [B, k].

    Returns:
      [B, ..., C], or [B].
    """
    if values.ndim == 2:
        return jnp.take_along_axis(values, chosen, 1).mean(1)
    between = tuple(range(1, values.ndim - 2))
    where = jnp.expand_dims(chosen, (*between, values.ndim - 1))
    return jnp.take_along_axis(values, where, -2).mean(-2)
