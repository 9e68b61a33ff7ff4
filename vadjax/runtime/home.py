"""Where vadjax keeps what all runs of a user share: published weights, and compiled programs."""

import os
import pathlib


def cache_folder() -> pathlib.Path:
    """`$VADJAX_CACHE`, or `vadjax` in `$XDG_CACHE_HOME` (`~/.cache`)."""
    if own := os.environ.get("VADJAX_CACHE"):
        return pathlib.Path(own)
    shared = os.environ.get("XDG_CACHE_HOME")
    return (pathlib.Path(shared) if shared else pathlib.Path.home() / ".cache") / "vadjax"
