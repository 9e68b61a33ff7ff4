"""Distances between volumes, greedy exemplars and nearest exemplars, all regions at once.

Spec eval §5-7. Features are float32; every decision is the one of float64 arithmetic on direct
differences (`Metric.terms`), whatever the device, the block or the capacity:

1. The device works in float32 with matrix products and keeps, for every distance, an interval
   that holds the true one. A decision that the intervals leave open is flagged.
2. Flagged volumes, which are few, are decided again in float64 on the host. Where a selection
   turns out to have gone wrong, the rest of that region is selected again on the host.
"""

from vadjax.ops.distance.metric import COMPONENTS, VERSIONS, Metric, largest_distances
from vadjax.ops.distance.regions import padded_rows
from vadjax.ops.distance.scoring import Nearest, nearest
from vadjax.ops.distance.selection import Exemplars, Merged, merge, select

__all__ = [
    "COMPONENTS",
    "VERSIONS",
    "Exemplars",
    "Merged",
    "Metric",
    "Nearest",
    "largest_distances",
    "merge",
    "nearest",
    "padded_rows",
    "select",
]
