"""The ranker: a small network that scores each segment of a bag by itself."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

WIDTHS = (512, 32, 1)
SUMMED = 512  # products that one sum adds up in turn


class Ranker(nn.Module):
    """Dense 512 → ReLU → dropout → Dense 32 → dropout → Dense 1 → sigmoid (spec mil §5).

    There is no ReLU after the 32-unit layer: the originals declare one and never call it.

    Attributes:
      dtype: type of the arithmetic; parameters are float32.
    """

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, keep: tuple[jax.Array, ...] | None = None) -> jax.Array:
        """Scores [...] in [0, 1] of segments x [..., D]; `keep` as `keep_masks`, in training."""
        h = nn.relu(self._dense("hidden", WIDTHS[0], x))
        h = h if keep is None else h * keep[0]
        h = self._dense("squeeze", WIDTHS[1], h)
        h = h if keep is None else h * keep[1]
        score = self._dense("score", WIDTHS[2], h)[..., 0]
        return sigmoid(score.astype(jnp.promote_types(score.dtype, jnp.float32)))

    def _dense(self, name: str, width: int, x: jax.Array) -> jax.Array:
        bound = 1 / np.sqrt(x.shape[-1])
        return nn.Dense(
            width,
            name=name,
            dtype=self.dtype,
            kernel_init=nn.initializers.variance_scaling(1.0, "fan_avg", "normal"),
            bias_init=lambda key, shape, dtype: jax.random.uniform(
                key, shape, dtype, -bound, bound
            ),
            dot_general=_dot_general,
        )(x)


@jax.custom_jvp
def sigmoid(x: jax.Array) -> jax.Array:
    """`1 / (1 + exp(-x))`, with a derivative that is as precise where the result is nearly 1.

    The usual derivative `y (1 - y)` takes the rounding of y, 6e-8 in float32, as part of 1 - y:
    at a score of 0.9999 that is an error of 6e-4. The bags' highest scores get there soon.
    """
    return nn.sigmoid(x)


@sigmoid.defjvp
def _sigmoid_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    y = sigmoid(x)
    return y, dx * y * nn.sigmoid(-x)


@jax.custom_vjp
def dot(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Product [..., F] of x [..., D] and kernel [D, F], in float32 as sums of `SUMMED` products.

    XLA:CPU adds the D products in turn, and every sum is rounded at the size that it has by then.
    With sums of blocks the largest error of a layer like the ranker's first, D = 2,048, is below
    1.2e-6 (tests/systems/mil/test_precision.py).
    """
    if jnp.result_type(x, kernel) != jnp.float32:
        return jnp.dot(x, kernel)
    starts = range(0, len(kernel), SUMMED)
    return sum(jnp.dot(x[..., i : i + SUMMED], kernel[i : i + SUMMED]) for i in starts)


def _dot_forward(x, kernel):
    return dot(x, kernel), (x, kernel)


def _dot_backward(residuals, gradient):
    """That of one product: the gradients of the blocks would be put together again."""
    return jax.vjp(jnp.dot, *residuals)[1](gradient)


dot.defvjp(_dot_forward, _dot_backward)


def _dot_general(x: jax.Array, kernel: jax.Array, dimensions, precision=None) -> jax.Array:
    """`dot` as `flax.linen.Dense` asks for it: the last axis of x with the first of the kernel."""
    del dimensions, precision
    return dot(x, kernel)


def keep_masks(rng: jax.Array, rows: tuple[int, ...], rate: float) -> tuple[jax.Array, ...]:
    """Dropout masks of the two hidden layers: 0 with probability `rate`, else 1 / (1 - rate).

    The probability is rounded to 1 / 65,536, so that one random word serves two units:
    drawing the words takes a visible part of a training step on CPU.

    Args:
      rng: key.
      rows: leading shape of the activations.
      rate: probability to drop, in [0, 1).

    Returns:
      float32 [*rows, 512] and [*rows, 32].
    """
    kept = round((1 - rate) * 2**16)  # of so many values of a 16-bit word
    masks = []
    for key, width in zip(jax.random.split(rng), WIDTHS[:2], strict=True):
        words = jax.random.bits(key, (*rows, width // 2), jnp.uint32)
        halves = jax.lax.bitcast_convert_type(words, jnp.uint16).reshape(*rows, width)
        masks.append(jnp.where(halves < kept, jnp.float32(2**16 / kept), 0))
    return tuple(masks)
