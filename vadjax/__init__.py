"""vadjax: video anomaly detection in JAX, five published systems on one data road.

Axis letters, everywhere the same: `B` batch or bags, `T` frames, `S` snippets, `C` crops,
`D` features, `H W` pixels, `K` memory items or atoms, `N` objects, `R` regions.
Frame indices start at 0, intervals are `[start, stop)`, scores are high when anomalous.

`vadjax.load("runs/door")` uses a finished run from Python (docs/python.md). The names of `__all__`
bring JAX with them, so they are imported when they are first asked for.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vadjax.predict.api import Event, LoadedRun, PartialScores, Scores, load

__version__ = "0.1.0"
__all__ = ["Event", "LoadedRun", "PartialScores", "Scores", "load"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'vadjax' has no attribute {name!r}")
    import vadjax.predict.api as api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
