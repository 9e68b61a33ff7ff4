"""Losses of the feature networks (spec eval §3.1, §3.2)."""

import jax
import jax.numpy as jnp
import optax

from vadjax.backbones.motion import Raw
from vadjax.ops.flow import Motion

UNIFORM = 0.05  # least weight of a direction's speed, whether anything moves that way or not


def labels_loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Binary cross-entropy of every class, the mean over images and classes.

    Args:
      logits: [B, classes].
      labels: 0 or 1, [B, classes].
    """
    return optax.sigmoid_binary_cross_entropy(logits, labels).mean()


def motion_losses(raw: Raw, target: Motion) -> dict[str, jax.Array]:
    """The losses of the three motion networks, by their names (spec eval §3.2).

    `ang`  cross-entropy with the shares as soft labels, mean over the volumes where anything moves
    `mag`  `Σ_b (ang_b + 0.05) |speed_b - mag_b|`, mean over the volumes
    `bkg`  binary cross-entropy with the share as soft label, mean over the volumes

    Args:
      raw: outputs for B volumes.
      target: ang, mag [B, 12], bkg [B].
    """
    moving = target.ang.sum(-1) > 0
    ang = optax.softmax_cross_entropy(raw.ang, target.ang)  # 0 where the shares are all 0
    mag = ((target.ang + UNIFORM) * jnp.abs(raw.motion.mag - target.mag)).sum(-1)
    bkg = optax.sigmoid_binary_cross_entropy(raw.bkg, target.bkg)
    return {
        "ang": ang.sum() / jnp.maximum(moving.sum(), 1),
        "mag": mag.mean(),
        "bkg": bkg.mean(),
    }
