"""What a folder holds, to compare datasets."""

import pathlib


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    """Bytes of all files of a folder, by their path in it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
