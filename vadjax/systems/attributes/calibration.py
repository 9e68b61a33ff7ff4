"""How rare a novelty is among normal objects: evidence in decades (spec attributes §5)."""

from typing import NamedTuple

import numpy as np

STEPS = 1000  # of the table
TOP = 0.99  # share of normal objects below the last entry of the table
DECADES = 2.0  # evidence there: 1 in 100
LEAST = 1e-12  # of a mean excess
FEW = 20  # objects, below which there is no density


class CalibrationTable(NamedTuple):
    """What the novelties of held-out normal objects were.

    Attributes:
      quantiles: float64 [1001], from the lowest novelty to that of the 99th of 100 objects.
      excess: mean of what exceeds the last quantile, more than 0.
      cap: evidence that so many objects can vouch for.
      largest: the largest held-out novelty.
    """

    quantiles: np.ndarray
    excess: np.ndarray
    cap: np.ndarray
    largest: np.ndarray

    @property
    def count(self) -> int:
        """Of how many objects the novelties were."""
        return round(10 ** (float(self.cap) - 1))

    def evidence(self, novelty: np.ndarray) -> np.ndarray:
        """Decades of rarity, float64 of the shape of `novelty`: 2 is one normal object in 100."""
        novelty = np.asarray(novelty, np.float64)
        # within the table: the share of normal objects below; of equal entries the last one counts
        below = np.searchsorted(self.quantiles, novelty, side="right") - 1
        low = np.clip(below, 0, STEPS - 1)
        start, stop = self.quantiles[low], self.quantiles[low + 1]
        part = np.divide(
            novelty - start, stop - start, out=np.zeros(novelty.shape), where=stop > start
        )
        share = TOP * np.where(below >= STEPS, STEPS, low + part) / STEPS
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.where(below < 0, 0.0, -np.log10(1 - np.minimum(share, TOP)))
        # above it: an exponential tail
        tail = DECADES + (novelty - self.quantiles[-1]) / (self.excess * np.log(10))
        found = np.where(novelty > self.quantiles[-1], tail, found)
        # N objects cannot vouch for much more than 1 in 10 N
        capped = self.cap + np.log10(1 + np.maximum(found - self.cap, 0))
        return np.where(found > self.cap, capped, found)


def calibrate(novelties: np.ndarray, count: int | None = None) -> CalibrationTable:
    """The table of held-out novelties [N].

    Args:
      novelties: the novelties.
      count: of how many objects they were kept, for the cap; N if None.

    Raises:
      ValueError: there are none.
    """
    novelties = np.asarray(novelties, np.float64)
    if not len(novelties):
        raise ValueError("no held-out objects to calibrate with")
    quantiles = np.quantile(novelties, TOP * np.arange(STEPS + 1) / STEPS)
    beyond = novelties[novelties > quantiles[-1]] - quantiles[-1]
    excess = beyond.mean() if len(beyond) else 0.0
    if excess == 0:
        excess = max(novelties.std(), LEAST)
    cap = np.log10(count or len(novelties)) + 1
    return CalibrationTable(quantiles, np.float64(excess), np.float64(cap), novelties.max())
