"""Folders of published weights, as `data_prep.weights` writes them."""

import pathlib

from vadjax.formats import json_files

PROVENANCE = "provenance.json"


def check_folder(folder: str | pathlib.Path, name: str) -> pathlib.Path:
    """Checks that a folder holds the weights `name`, and returns it.

    Raises:
      FileNotFoundError: there are no weights.
      ValueError: weights of something else, or a provenance that cannot be read.
    """
    folder = pathlib.Path(folder)
    path, command = folder / PROVENANCE, f"python -m data_prep.weights {name} --out {folder}"
    if not path.is_file():
        raise FileNotFoundError(f"{folder}: no weights here (no {PROVENANCE}). Run: {command}")
    if (other := json_files.read(path, dict).get("name")) != name:
        raise ValueError(f"{path}: holds {other!r:.40}, not {name!r}. Run: {command}")
    return folder
