import pytest

from tests import required


def test_a_missing_part_skips_on_a_persons_machine_and_fails_where_it_is_required(monkeypatch):
    monkeypatch.setenv(required.VARIABLE, "rtsp, mqtt")
    assert required.required() == {"rtsp", "mqtt"}
    with pytest.raises(pytest.skip.Exception, match="chromium: not installed"):
        required.missing("chromium", "not installed")
    with pytest.raises(pytest.fail.Exception, match="mqtt is required.*no broker"):
        required.missing("mqtt", "no broker")


def test_without_the_variable_nothing_is_required(monkeypatch):
    monkeypatch.delenv(required.VARIABLE, raising=False)
    assert required.required() == set()
