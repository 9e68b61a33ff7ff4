"""Gaussian mixture of normal objects, fitted the same way every time (spec attributes §4.1).

N objects, K components, D dimensions. Everything is float64.
"""

from typing import NamedTuple

import numpy as np

COMPONENTS = 5
MOST_ROWS = 20_000  # objects that a mixture is fitted on
PER_COMPONENT = 10  # objects for each component, at least
STEPS = 200  # at most
ENOUGH = 1e-6  # rise of the mean log likelihood below which fitting stops
SPREAD = 0.01  # of the variance, added to the first covariances
LEAST_VARIANCE = 1e-12
GONE = 1e-12  # weight below which a component keeps its mean and covariance


class GaussianMixture(NamedTuple):
    """A mixture of Gaussians with full covariances.

    Attributes:
      weights: float64 [K], which sum to 1.
      means: float64 [K, D].
      covariances: float64 [K, D, D].
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    def novelty(self, rows: np.ndarray) -> np.ndarray:
        """-log density [N] of rows [N, D]."""
        return -_log_sum_exp(self.log_joint(rows))

    def log_joint(self, rows: np.ndarray) -> np.ndarray:
        """log(weight · density) of every component, [N, K]."""
        dimensions = rows.shape[1]
        joint = np.empty((len(rows), len(self.weights)))
        for k, covariance in enumerate(self.covariances):
            # |L^-1 (x - mean)|² with the Cholesky factor L is the Mahalanobis distance
            factor = np.linalg.cholesky(covariance)
            scaled = (rows - self.means[k]) @ np.linalg.inv(factor).T
            log_determinant = 2 * np.log(np.diag(factor)).sum()
            joint[:, k] = np.square(scaled).sum(1) + log_determinant
        with np.errstate(divide="ignore"):  # a weight of 0 gives -inf, which is right
            return np.log(self.weights) - (joint + dimensions * np.log(2 * np.pi)) / 2


class FittedMixture(NamedTuple):
    """A fitted mixture, and how the fitting went.

    Attributes:
      mixture: the mixture.
      steps: number of the last step that was begun, from 0.
      log_likelihood: mean over the rows, of the parameters with which that step began.
    """

    mixture: GaussianMixture
    steps: int
    log_likelihood: float


def thinning(count: int, most: int) -> int:
    """The step c at which every c-th of `count` rows is kept, so that at most `most` are left."""
    return max(1, -(-count // most))


def thinned(rows: np.ndarray, most: int = MOST_ROWS) -> np.ndarray:
    """Every c-th row from the first on, so that at most `most` are left."""
    return rows[:: thinning(len(rows), most)]


def fit(rows: np.ndarray, components: int = COMPONENTS) -> FittedMixture:
    """Fits a mixture by expectation and maximisation.

    Args:
      rows: normal objects [N, D], in the order of video, frame and object; more than `MOST_ROWS`
        are thinned.
      components: K, unless there are fewer than ten objects for each.

    Raises:
      ValueError: no rows.
    """
    if not len(rows):
        raise ValueError("a mixture of no objects; expected at least one")
    rows = thinned(np.asarray(rows, np.float64))
    regular = max(1e-6 * rows.var(0).mean(), LEAST_VARIANCE)
    mixture = _start(rows, min(components, max(1, len(rows) // PER_COMPONENT)), regular)
    last = -np.inf
    for step in range(STEPS):  # noqa: B007 - the last one is told
        # expectation: how much of every object each component explains
        joint = mixture.log_joint(rows)
        total = _log_sum_exp(joint)
        likelihood = float(total.mean())
        if likelihood - last < ENOUGH:
            break
        last = likelihood
        # maximisation
        mixture = _maximise(rows, np.exp(joint - total[:, None]), mixture, regular)
    return FittedMixture(mixture, step, likelihood)


def _start(rows: np.ndarray, components: int, regular: float) -> GaussianMixture:
    """Runs of the rows in their order, by value or by the sum of standardised coordinates."""
    variance = rows.var(0)
    deviation = np.sqrt(variance)
    scaled = np.divide(rows - rows.mean(0), deviation, out=np.zeros_like(rows), where=deviation > 0)
    order = np.argsort(rows[:, 0] if rows.shape[1] == 1 else scaled.sum(1), kind="stable")
    runs = [rows[run] for run in np.array_split(order, components)]
    spread = np.diag(regular + SPREAD * variance)
    return GaussianMixture(
        np.array([len(run) / len(rows) for run in runs]),
        np.stack([run.mean(0) for run in runs]),
        np.stack([_covariance(run, run.mean(0)) + spread for run in runs]),
    )


def _maximise(
    rows: np.ndarray, shares: np.ndarray, before: GaussianMixture, regular: float
) -> GaussianMixture:
    """Weights, means and covariances of the objects as they are shared out [N, K]."""
    totals = shares.sum(0)
    weights = totals / len(rows)
    means, covariances = before.means.copy(), before.covariances.copy()
    for k in np.flatnonzero(weights >= GONE):
        share = shares[:, k] / totals[k]
        means[k] = share @ rows
        covariances[k] = _covariance(rows, means[k], share) + regular * np.eye(rows.shape[1])
    return GaussianMixture(weights, means, covariances)


def _covariance(rows: np.ndarray, mean: np.ndarray, share: np.ndarray | None = None) -> np.ndarray:
    """Covariance [D, D], of rows that count alike or by their share [N], which sums to 1."""
    away = rows - mean
    weighted = away / len(rows) if share is None else away * share[:, None]
    return weighted.T @ away


def _log_sum_exp(joint: np.ndarray) -> np.ndarray:
    highest = joint.max(1, keepdims=True)
    return highest[:, 0] + np.log(np.exp(joint - highest).sum(1))
