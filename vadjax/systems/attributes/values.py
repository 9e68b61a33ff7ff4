"""Attributes as numbers: the speed, look and place of objects (spec attributes §3)."""

from collections.abc import Mapping

import numpy as np

from vadjax.systems.attributes.motion import Motions

DIRECTIONS = ("off", "bins", "vector")
DIVISION = ("auto", "yes", "no")
ALONG = 0.3  # rank correlation of speed and height, beyond which a camera looks along the street
LEAST_NORM = 1e-12


def speed(motions: Motions, heights: np.ndarray, direction: str, divide: bool) -> np.ndarray:
    """How objects move, float64 [N, d]: d is 1, or 8 bins, or 2 of a vector.

    Args:
      motions: of N objects.
      heights: of their boxes [N], pixels of the frame.
      direction: a name of `DIRECTIONS`.
      divide: whether by the height.
    """
    values = {"off": motions.speed[:, None], "bins": motions.bins, "vector": motions.vector}
    rows = values[direction]
    return rows / heights[:, None] if divide else rows


def look(features: np.ndarray) -> np.ndarray:
    """Features [N, D] of length 1, float64."""
    rows = np.asarray(features, np.float64)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), LEAST_NORM)


def geometry(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Place and form of boxes [N, 4]: float64 [N, 4], `cx / W, cy / H, ln h, ln(w / h)`.

    Args:
      boxes: `x0, y0, x1, y1` in pixels of the frame.
      size: (H, W) of the frame.
    """
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2 / np.array(size[::-1])
    wide, high = (boxes[:, 2:] - boxes[:, :2]).T
    return np.concatenate([middle, np.log(high)[:, None], np.log(wide / high)[:, None]], 1)


def deviations(rows: np.ndarray) -> np.ndarray:
    """Standard deviation of each column, 1 where it is 0."""
    found = np.asarray(rows, np.float64).std(0) if len(rows) else np.zeros(rows.shape[1])
    return np.where(found > 0, found, 1.0)


def divides(rule: str, speeds: np.ndarray, heights: np.ndarray) -> tuple[bool, float]:
    """Whether speeds are divided by heights, and their rank correlation.

    Args:
      rule: a name of `DIVISION`; "auto" divides where speed rises with the height of the box, as
        before a camera that looks along the street.
      speeds: of all training objects [N], pixels a frame.
      heights: of their boxes [N].
    """
    correlation = rank_correlation(speeds, heights)
    return (correlation > ALONG if rule == "auto" else rule == "yes"), correlation


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's correlation of two rows [N]; 0 where one of them is constant."""
    ranks = [_ranks(values) for values in (one, other)]
    away = [rank - rank.mean() for rank in ranks] if len(one) else [np.zeros(1)] * 2
    norm = np.sqrt(np.square(away[0]).sum() * np.square(away[1]).sum())
    return float(away[0] @ away[1] / norm) if norm > 0 else 0.0


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    first = np.cumsum(counts) - counts
    return (first + (counts - 1) / 2)[inverse]


def present(rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Which objects have an attribute, bool [N] of each; its rows are NaN where they lack it."""
    return {name: np.isfinite(values).all(1) for name, values in rows.items()}
