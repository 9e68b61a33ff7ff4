"""Writes scalars to `metrics.jsonl`, and to TensorBoard if it is installed."""

import json
import math
import pathlib
from collections.abc import Mapping

from vadjax.formats import json_files
from vadjax.formats.regular import is_there
from vadjax.runtime import replacing, space

FILE = "metrics.jsonl"
BOARD = "tensorboard"  # folder
ROW = {"step": int, ...: (float, None)}


class Writer:
    """Appends one JSON line per write; the lines of a resumed run are those of an unbroken one.

    Args:
      workdir: folder of the run.
      step: step that the run continues from; later lines of an earlier attempt are dropped.
    """

    def __init__(self, workdir: pathlib.Path, step: int = 0):
        self._path = workdir / FILE
        # A resumed run takes the steps after its checkpoint again, so their lines go.
        rows = [row for row in read(workdir) if row["step"] <= step] if step else []
        replacing.write(self._path, "".join(_line(row) for row in rows))
        self._file = self._path.open("ab", buffering=0)  # nothing waits to be written at the end
        try:
            with space.naming(workdir / BOARD):
                self._board = _tensorboard(workdir / BOARD)
        except BaseException:
            self._file.close()
            raise

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Writes the scalars of `step`.

        Raises:
          vadjax.runtime.space.NotWritten: the disk is full, or cannot be written.
        """
        with space.naming(self._path):
            replacing.append(self._file, _line({"step": step, **scalars}).encode())
        if self._board:
            with space.naming(self._path.parent / BOARD):
                for name, value in scalars.items():
                    self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Closes the files."""
        self._file.close()
        if self._board:
            with space.naming(self._path.parent / BOARD):
                self._board.close()


class Silent:
    """A writer that writes nothing: for all processes but the first."""

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def read(workdir: str | pathlib.Path) -> list[dict]:
    """The rows of `metrics.jsonl`; a last line cut short by a kill is left out.

    Raises:
      ValueError: any other line that is damaged; names it.
    """
    path = pathlib.Path(workdir) / FILE
    return json_files.read_lines(path, ROW, cut_last=True) if is_there(path) else []


def write_json(path: pathlib.Path, value: object) -> None:
    """Writes a JSON file in one move (`replacing.write`); NaN becomes null.

    Raises:
      vadjax.runtime.space.NotWritten: the disk is full, or cannot be written.
    """
    replacing.write(path, json.dumps(_finite(value), indent=1) + "\n", sync=True)


def _line(row: Mapping) -> str:
    return json.dumps(_finite(row)) + "\n"


def _finite(value):
    """The same value with None for every number that JSON cannot hold."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _tensorboard(folder: pathlib.Path):
    """TensorBoard's writer for a folder; None if it is not installed."""
    try:
        from tensorboard.summary import Writer as Board
    except ImportError:
        return None
    return Board(str(folder))
