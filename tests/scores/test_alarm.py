"""The file of a run's alarm line."""

import json

import numpy as np
import pytest

from vadjax.scores import alarm
from vadjax.scores.alarm import AlarmLine

LINE = AlarmLine(
    line=0.5,
    reliable=True,
    hours=0.25,
    per_hour=12.0,
    extrapolated=False,
    rates=np.array([[0.25, 40.0], [0.5, 12.0], [0.75, 0.5]]),
    quantiles=np.array([[0.5, 0.1], [0.999, 0.5]]),
)


def test_what_is_written_is_read(tmp_path):
    for line in (LINE, LINE._replace(per_hour=None, rates=np.zeros((0, 2)))):
        alarm.write(tmp_path, line)
        again = alarm.read(tmp_path)
        assert again[:5] == line[:5]
        np.testing.assert_array_equal(again.rates, line.rates)
        np.testing.assert_array_equal(again.quantiles, line.quantiles)
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".json"] == [alarm.FILE]


def test_a_run_without_a_line_has_none(tmp_path):
    assert alarm.read(tmp_path) is None


def test_rates_between_the_rows():
    assert LINE.rate_at(0.5) == 12
    assert LINE.rate_at(0.375) == pytest.approx(26)
    assert (LINE.rate_at(0.0), LINE.rate_at(1.0)) == (40, 0.5)
    assert LINE._replace(rates=np.zeros((0, 2))).rate_at(0.5) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 2}, "schema 2, this vadjax reads 1; use the vadjax that wrote it"),
        ({"line": "high"}, "line is 'high'; expected a finite number"),
        ({"reliable": 1}, "reliable is 1; expected true or false"),
        ({"hours": -1.0}, "hours is -1; expected 0 or more"),
        ({"per_hour": -2.0}, "per_hour is -2; expected 0 or more"),
        ({"rates": [[0.5, 1.0], [0.4, 2.0]]}, "the first numbers of rates do not rise"),
        ({"rates": [[0.5, -1.0]]}, "a rate is below 0"),
        ({"rates": [[0.5]]}, "rates has 1 rows; expected at most 10,000, of two numbers each"),
        ({"rates": [[n, 1] for n in range(10_001)]}, "rates has 10,001 rows"),
        ({"quantiles": [[0.5, 1.0], [0.5, 2.0]]}, "the first numbers of quantiles do not rise"),
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong(tmp_path, changes, message):
    alarm.write(tmp_path, LINE)
    path = tmp_path / alarm.FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes), encoding="utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        alarm.read(tmp_path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_cut_short_is_named(tmp_path):
    alarm.write(tmp_path, LINE)
    path = tmp_path / alarm.FILE
    path.write_text(path.read_text()[:40], encoding="utf-8")
    with pytest.raises(ValueError, match=r"alarm\.json:\d+: not JSON"):
        alarm.read(tmp_path)


def test_a_number_that_json_cannot_hold_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        alarm.write(tmp_path, LINE._replace(line=float("nan")))
    assert not (tmp_path / alarm.FILE).exists()
