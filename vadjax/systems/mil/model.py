"""The ranker: a small network that scores each segment of a bag by itself (spec mil §5)."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vadjax.ops import dropout, precise

WIDTHS = (512, 32, 1)


class Ranker(nn.Module):
    """Dense 512 → ReLU → dropout → Dense 32 → dropout → Dense 1 → sigmoid (spec mil §5).

    There is no ReLU after the 32-unit layer: the originals declare one and never call it.

    Attributes:
      dtype: type of the arithmetic; parameters are float32.
    """

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, keep: tuple[jax.Array, ...] | None = None) -> jax.Array:
        """Scores of segments.

        Args:
          x: features [..., D].
          keep: dropout factors of the two hidden layers, as of `keep_masks`; None outside training.

        Returns:
          [...] in [0, 1], at least float32.
        """
        # Scores are summed in blocks; a step with dropout takes plain products, which are faster.
        product = precise.dot_general if keep is None else precise.plain_dot_general
        h = nn.relu(self._dense("hidden", WIDTHS[0], x, product))
        h = h if keep is None else h * keep[0]
        h = self._dense("squeeze", WIDTHS[1], h, product)
        h = h if keep is None else h * keep[1]
        score = self._dense("score", WIDTHS[2], h, product)[..., 0]
        return precise.sigmoid(score.astype(jnp.promote_types(score.dtype, jnp.float32)))

    def _dense(self, name: str, width: int, x: jax.Array, product: Callable) -> jax.Array:
        """Dense layer [..., width] with the originals' initial values."""
        # Weights N(0, 2 / (fan_in + fan_out)), Xavier; biases U(±1 / sqrt(fan_in)) as in torch.
        bound = 1 / np.sqrt(x.shape[-1])
        return nn.Dense(
            width,
            name=name,
            dtype=self.dtype,
            kernel_init=nn.initializers.variance_scaling(1.0, "fan_avg", "normal"),
            bias_init=lambda key, shape, dtype: jax.random.uniform(
                key, shape, dtype, -bound, bound
            ),
            dot_general=product,
        )(x)


def keep_masks(rng: jax.Array, rows: tuple[int, ...], rate: float) -> tuple[jax.Array, ...]:
    """Dropout masks of the two hidden layers: 0 with probability `rate`, else 1 / (1 - rate).

    Args:
      rng: key.
      rows: leading shape of the activations.
      rate: probability to drop, in [0, 1).

    Returns:
      float32 [*rows, 512] and [*rows, 32].
    """
    keys = jax.random.split(rng)
    return tuple(
        dropout.scaled(key, (*rows, width), rate)
        for key, width in zip(keys, WIDTHS[:2], strict=True)
    )
