"""vadjax: video anomaly detection in JAX, five published systems on one data road.

Axis letters, everywhere the same: `B` batch or bags, `T` frames, `S` snippets, `C` crops,
`D` features, `H W` pixels, `K` memory items or atoms, `N` objects, `R` regions.
Frame indices start at 0, intervals are `[start, stop)`, scores are high when anomalous.
"""

__version__ = "0.1.0"
