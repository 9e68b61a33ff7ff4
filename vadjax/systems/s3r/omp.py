"""Orthogonal matching pursuit for many samples at once, on the device (spec s3r §3.3)."""

import functools

import jax
import jax.numpy as jnp


@functools.partial(jax.jit, static_argnames="nonzeros")
def omp(samples: jax.Array, atoms: jax.Array, nonzeros: int) -> jax.Array:
    """Codes of at most `nonzeros` atoms, picked one by one and refitted together.

    Each round picks the atom whose correlation with the residual is largest in absolute value, and
    fits all picked atoms by least squares. A sample stops early if the pick repeats or its squared
    correlation is below the precision of the type. The choices are close: compute in float64
    (inside `jax.enable_x64(True)`).

    Args:
      samples: [N, F].
      atoms: [K, F].
      nonzeros: largest number of atoms of a sample.

    Returns:
      [N, K], of the type of `samples`.
    """
    dot = functools.partial(jnp.matmul, precision="highest")
    gram, correlations = dot(atoms, atoms.T), dot(samples, atoms.T)
    everyone = jnp.arange(len(samples))[:, None]
    picked = jnp.zeros((len(samples), 0), int)
    codes, stopped = jnp.zeros_like(correlations), jnp.zeros(len(samples), bool)
    for _ in range(min(nonzeros, len(atoms))):
        # Correlations of all atoms with the residual x - c D: x D^T - c G.
        residual = correlations - dot(codes, gram)
        pick = jnp.abs(residual).argmax(1)[:, None]
        height = residual[everyone, pick][:, 0]
        stopped |= (picked == pick).any(1) | (height**2 < jnp.finfo(codes.dtype).eps)
        picked = jnp.concatenate([picked, pick], 1)
        # Least squares of the picked atoms S: c_S = G_SS⁻¹ (x D^T)_S.
        system = gram[picked[:, :, None], picked[:, None, :]]
        fitted = jnp.linalg.solve(system, correlations[everyone, picked][..., None])[..., 0]
        refit = jnp.zeros_like(codes).at[everyone, picked].set(fitted)
        codes = jnp.where(stopped[:, None], codes, refit)
    return codes
