"""Densities of normal objects, one for each attribute (spec attributes §4)."""

from typing import NamedTuple

import ml_collections
import numpy as np

from vadjax.ops.distance import Metric, select
from vadjax.systems.attributes import bank, mixture
from vadjax.systems.attributes.mixture import GaussianMixture

MIXED = ("speed",)  # attributes with a Gaussian mixture; the others have a bank of exemplars
SELECTIONS = ("farthest", "greedy", "random")


class Bank(NamedTuple):
    """Exemplars of normal objects.

    Attributes:
      rows: float64 [M, D].
      objects: int64 [M], which of the objects it was fitted on each is.
    """

    rows: np.ndarray
    objects: np.ndarray

    def novelty(self, rows: np.ndarray) -> np.ndarray:
        """Distance [N] of rows [N, D] to the nearest exemplar."""
        return bank.nearest(rows, self.rows)[0]


Density = GaussianMixture | Bank


def fit(attribute: str, rows: np.ndarray, options: ml_collections.ConfigDict, seed: int) -> Density:
    """The density of an attribute.

    Args:
      attribute: its name.
      rows: of normal objects [N, D], N at least 1.
      options: section `bank` of the config.
      seed: of what is drawn, where `bank.selection` is "random".
    """
    if attribute in MIXED:
        return mixture.fit(rows).mixture
    chosen = choose(rows, options, seed)
    return Bank(rows[chosen], chosen)


def choose(rows: np.ndarray, options: ml_collections.ConfigDict, seed: int) -> np.ndarray:
    """Numbers of the rows [N, D] that become exemplars, by `bank.selection`; all where they fit."""
    most = options.most
    if options.selection == "farthest":
        if len(rows) <= most:
            return np.arange(len(rows))
        return bank.farthest_first(rows, most)[0]
    if options.selection == "greedy":
        metric = Metric((rows.shape[1],), (1.0,))
        chosen = select(rows[None], metric, options.threshold).index
        return np.asarray(chosen, np.int64)[:most]
    drawn = np.random.default_rng(seed).permutation(len(rows))[:most]
    return np.sort(drawn)
