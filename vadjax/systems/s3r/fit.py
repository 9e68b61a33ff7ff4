"""Mini-batch dictionary learning, step by step as the published dictionaries (spec s3r §3.2)."""

import dataclasses
import math
from collections.abc import Callable, Iterator

import numpy as np
from sklearn.utils.extmath import randomized_svd

from vadjax.systems.s3r.lasso import lasso

BLOCK = 32  # atoms
VANISHED = 1e-10  # an atom shorter than this is drawn anew


def start(samples: np.ndarray, atoms: int, rng: np.random.RandomState) -> np.ndarray:
    """Right singular vectors of the samples times their singular values.

    Args:
      samples: float [N, F].
      atoms: number of rows K; those past the rank of `samples` are 0.
      rng: stream of the randomised SVD.

    Returns:
      float64 [K, F].
    """
    _, values, vectors = randomized_svd(samples, atoms, random_state=rng)
    rows = np.zeros((atoms, samples.shape[1]))
    rows[: len(values)] = values[:, None] * vectors
    return rows


def batches(count: int, size: int, rng: np.random.RandomState) -> Iterator[np.ndarray]:
    """Endless mini-batches of `count` indices, shuffled once; the last of a pass may be shorter."""
    order = np.arange(count)
    rng.shuffle(order)
    while True:
        for first in range(0, count, size):
            yield order[first : first + size]


def fit(
    samples: np.ndarray,
    atoms: np.ndarray,
    order: Iterator[np.ndarray],
    draw: Callable[[], np.ndarray],
    iterations: int,
    size: int,
    alpha: float,
    watch: Callable[[int], None] = lambda step: None,
) -> "Fit":
    """Fits atoms to samples, mini-batch by mini-batch.

    Args:
      samples: float64 [N, F].
      atoms: initial atoms, [K, F].
      order: indices of the mini-batches, from `batches`.
      draw: gives the direction [F] of an atom that is drawn anew.
      iterations: number of mini-batches.
      size: usual number of samples in a batch, which sets how fast the past fades.
      alpha: weight of the L1 norm in the codes.
      watch: called with the number of mini-batches done.
    """
    state = Fit(atoms, draw)
    for step in range(1, iterations + 1):
        state.update(samples[next(order)], size, alpha)
        watch(step)
    return state


@dataclasses.dataclass
class Fit:
    """The atoms during the fit, with the sums over the samples so far.

    Attributes:
      atoms: float64 [K, F].
      inner: sums of code products, A of the spec: float64 [K, K].
      outer: sums of code times sample, B of the spec transposed: float64 [K, F].
      draw: gives the direction [F] of an atom that is drawn anew.
      steps: number of mini-batches so far.
      drawn: number of atoms drawn anew so far.
    """

    atoms: np.ndarray
    draw: Callable[[], np.ndarray]
    inner: np.ndarray = dataclasses.field(init=False)
    outer: np.ndarray = dataclasses.field(init=False)
    steps: int = 0
    drawn: int = 0

    def __post_init__(self):
        self.atoms = np.array(self.atoms, np.float64)
        self.inner = np.zeros((len(self.atoms), len(self.atoms)))
        self.outer = np.zeros_like(self.atoms)

    def update(self, batch: np.ndarray, size: int, alpha: float) -> None:
        """One mini-batch, float64 [n, F]; `size` and `alpha` as for `fit`."""
        codes = lasso(batch, self.atoms, alpha)
        # theta = (ii + 1) * size at first, then size² + ii + 1 - size;
        # beta = (theta + 1 - size) / (theta + 1);  A = beta A + c c^T;  B = beta B + x^T c^T
        theta = self.steps + 1
        theta = theta * size if theta < size else size**2 + theta - size
        fade = (theta + 1 - size) / (theta + 1)
        self.inner = fade * self.inner + codes.T @ codes
        self.outer = fade * self.outer + codes.T @ batch
        self._move_atoms()
        self.steps += 1

    def _move_atoms(self) -> None:
        """Block-coordinate descent over the atoms in turn.

        Atom k becomes `A_k R`, normalised, where R is the rest of `outer` (B) without the other
        atoms: `R = B - Σ_(l ≠ k) A_l d_l`. With the Gram matrix `A A^T` this is
        `A_k B - Σ_(l ≠ k) (A A^T)_kl d_l`, computed for a block of atoms at once and then corrected
        atom by atom for the atoms of the block that have moved before.

        An atom that vanishes is drawn anew, and its row of A is set to 0; as in the published fit,
        R counts it as 0 for the rest of the step (spec s3r §3.2).
        """
        used = self.inner.any(1)  # most atoms may have no code at all
        gram, wanted = self.inner @ self.inner.T, self.inner @ self.outer
        acting, vanished = self.atoms.copy(), {}  # `acting` has 0 for an atom that vanished
        for first in range(0, len(gram), BLOCK):
            block = slice(first, first + BLOCK)
            old, within = acting[block].copy(), gram[block, block]
            moved = wanted[block] - gram[block] @ acting + within.diagonal()[:, None] * old
            change = np.zeros_like(old)
            for i in range(len(old)):
                k = first + i
                if not used[k]:
                    acting[k] = self._drawn()
                    continue
                atom = moved[i] - within[i, :i].dot(change[:i])
                length = math.sqrt(atom.dot(atom))
                if length < VANISHED:
                    vanished[k], self.inner[k] = self._drawn(), 0
                    atom, length = atom * 0, 1.0
                # d_k / |d_k|, and its change for the atoms behind it in the block.
                acting[k] = atom / length
                change[i] = acting[k] - old[i]
        for k, atom in vanished.items():
            acting[k] = atom
        self.atoms = acting

    def _drawn(self) -> np.ndarray:
        """A new atom of length 1 in a random direction."""
        self.drawn += 1
        atom = self.draw()
        return atom / math.sqrt(atom.dot(atom))
