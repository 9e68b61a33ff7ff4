"""What is read of `metrics.jsonl`: all rows, but one that a kill cut short."""

import pytest

from vadjax.runtime import metric_writers


def test_a_last_line_cut_short_is_left_out(tmp_path):
    path = tmp_path / metric_writers.FILE
    assert metric_writers.read(tmp_path) == []
    path.write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "loss": null}\n{"step": 3, "lo')
    assert metric_writers.read(tmp_path) == [{"step": 1, "loss": 0.5}, {"step": 2, "loss": None}]
    path.write_bytes(path.read_bytes()[:-4] + b"\xc3")
    assert len(metric_writers.read(tmp_path)) == 2
    path.write_bytes(b"")
    assert metric_writers.read(tmp_path) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"step": 2, "lo', "not JSON"),
        (b"\x00\x00\x00", "a zero byte"),
        (b"[]", "a list of 0 items; expected a dict"),
        (b'{"loss": 0.5}', "an object without 'step'"),
        (b'{"step": "2"}', "step is '2'; expected a whole number"),
        (b'{"step": 2, "loss": "x"}', "loss is 'x'; expected"),
        (b'{"step": 2, "loss": NaN}', "not JSON .*NaN, which is no number"),
        (b'{"step": 2, "loss": \xff}', "not a text file in UTF-8 .*line 2"),
    ],
)
def test_a_damaged_line_is_named_and_nothing_after_it_dropped(tmp_path, line, message):
    path = tmp_path / metric_writers.FILE
    path.write_bytes(b'{"step": 1, "loss": 0.5}\n' + line + b'\n{"step": 3, "loss": 0.4}\n')
    with pytest.raises(ValueError, match=rf"metrics\.jsonl(:2)?: {message}"):
        metric_writers.read(tmp_path)
    with pytest.raises(ValueError, match=r"metrics\.jsonl"):
        metric_writers.Writer(tmp_path, step=3)
    assert line in path.read_bytes()  # a run that cannot go on leaves the file as it was
