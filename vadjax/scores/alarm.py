"""The alarm line of a run: from which reported score on there is an alarm, and how often.

A run whose line was learned on held-out normal video has it in `alarm.json`, in its workdir:

    schema          1; another number means other keys
    line            reported score from which a frame is an alarm
    reliable        whether there was enough normal video to rely on the line
    hours           of held-out normal video, all cameras together
    per_hour        alarms an hour that were asked for; null if none were
    extrapolated    whether the video was too short for that, so that a tail was fitted
    rates           rows [threshold, alarms an hour], thresholds ascending
    quantiles       rows [share, score]: so large a share of the held-out frames scores lower

Thresholds and scores are on the scale of the reported scores. A rate is that of alarm intervals
counted on the held-out video; one below `1 / hours`, less than a single alarm there, is that of
the fitted tail.
"""

import json
import pathlib
from typing import NamedTuple

import numpy as np

from vadjax.formats import json_files
from vadjax.formats.regular import is_there
from vadjax.runtime import replacing

FILE = "alarm.json"
SCHEMA = 1
MOST_BYTES = 1 << 20  # of the file
MOST_ROWS = 10_000  # of a table
PATTERN = {
    "schema": int,
    "line": float,
    "reliable": bool,
    "hours": float,
    "per_hour": (float, None),
    "extrapolated": bool,
    "rates": [[float]],
    "quantiles?": [[float]],
}
REMEDY = "Copy the run again, or give the command again that made it"


class AlarmLine(NamedTuple):
    """The alarm line of a run, as its file has it (see the module docstring).

    Attributes:
      line: reported score from which a frame is an alarm.
      reliable: whether there was enough normal video to rely on it.
      hours: of held-out normal video, all cameras together.
      per_hour: alarms an hour that were asked for; None if none were.
      extrapolated: whether the video was too short for that rate.
      rates: float64 [n, 2], thresholds (ascending) and alarms an hour.
      quantiles: float64 [k, 2], shares (ascending) of held-out frames and scores; k may be 0.
    """

    line: float
    reliable: bool
    hours: float
    per_hour: float | None
    extrapolated: bool
    rates: np.ndarray
    quantiles: np.ndarray = np.zeros((0, 2))

    def rate_at(self, threshold: float) -> float | None:
        """Alarms an hour at a reported score, linear between the rows; None without any rows.

        Below the first threshold it is the rate there, and above the last one the rate there.
        """
        if not len(self.rates):
            return None
        return float(np.interp(threshold, self.rates[:, 0], self.rates[:, 1]))


def write(workdir: str | pathlib.Path, alarm: AlarmLine) -> None:
    """Writes the alarm line of the run in `workdir`, as a whole or not at all.

    Raises:
      vadjax.runtime.space.NotWritten: the disk is full, or cannot be written.
    """
    fields = {
        "schema": SCHEMA,
        "line": float(alarm.line),
        "reliable": bool(alarm.reliable),
        "hours": float(alarm.hours),
        "per_hour": None if alarm.per_hour is None else float(alarm.per_hour),
        "extrapolated": bool(alarm.extrapolated),
        "rates": np.asarray(alarm.rates, np.float64).tolist(),
        "quantiles": np.asarray(alarm.quantiles, np.float64).tolist(),
    }
    text = json.dumps(fields, indent=1, allow_nan=False) + "\n"
    replacing.write(pathlib.Path(workdir) / FILE, text, sync=True)


def read(workdir: str | pathlib.Path) -> AlarmLine | None:
    """The alarm line of the run in `workdir`; None if it has none.

    Raises:
      OSError: the file cannot be read.
      ValueError: the file is damaged, or of another schema; the message names the field.
    """
    path = pathlib.Path(workdir) / FILE
    if not is_there(path):
        return None
    fields = json_files.read(path, {"schema": int, ...: object}, MOST_BYTES)
    if fields["schema"] != SCHEMA:
        raise ValueError(
            f"{path}: schema {fields['schema']}, this vadjax reads {SCHEMA}; use the vadjax that "
            "wrote it, or train the run again"
        )
    json_files.check_fields(fields, PATTERN, path)
    rates = _table(fields["rates"], path, "rates")
    quantiles = _table(fields.get("quantiles", []), path, "quantiles")
    # Numbers that no run has.
    for name in ("hours", "per_hour"):
        value = fields[name]
        if value is not None and value < 0:
            raise ValueError(f"{path}: {name} is {value:g}; expected 0 or more. {REMEDY}")
    if (rates[:, 1] < 0).any():
        raise ValueError(f"{path}: a rate is below 0. {REMEDY}")
    return AlarmLine(
        fields["line"],
        fields["reliable"],
        fields["hours"],
        fields["per_hour"],
        fields["extrapolated"],
        rates,
        quantiles,
    )


def told(alarm: AlarmLine) -> str:
    """What a line is and how far it can be relied on, in sentences."""
    count = f"{60 * alarm.hours:.3g} minutes" if alarm.hours < 2 else f"{alarm.hours:.3g} hours"
    text = f"The alarm line is the score {alarm.line:.3g}, by {count} of held-out normal video."
    if (rate := alarm.rate_at(alarm.line)) is not None:
        text += f" There it gives {rate:.3g} alarm{'' if f'{rate:.3g}' == '1' else 's'} an hour."
    if alarm.extrapolated:
        text += (
            f" extrapolated: that is too short to count {alarm.per_hour:g} an hour, so an "
            "exponential tail was fitted to the highest scores."
        )
    if not alarm.reliable:
        text += " There was too little normal video to rely on it."
    return text


def _table(rows: list[list[float]], path: pathlib.Path, name: str) -> np.ndarray:
    """Rows of two numbers, the first of them rising, as float64 [n, 2].

    Raises:
      ValueError: other rows, or too many.
    """
    if len(rows) > MOST_ROWS or any(len(row) != 2 for row in rows):
        raise ValueError(
            f"{path}: {name} has {len(rows):,} rows; expected at most {MOST_ROWS:,}, of two "
            f"numbers each. {REMEDY}"
        )
    table = np.array(rows, np.float64).reshape(-1, 2)
    if (np.diff(table[:, 0]) <= 0).any():
        raise ValueError(f"{path}: the first numbers of {name} do not rise. {REMEDY}")
    return table
