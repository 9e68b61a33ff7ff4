"""The files of a run's folder, damaged or of a stranger: refused in a line that names them."""

import json
import re

import ml_collections
import pytest

from vadjax.runtime import workdir

CONFIG = {"system": "mil", "seed": 0, "model": {"hidden": [8, 4], "dropout": 0.5, "w": None}}


def config():
    return ml_collections.ConfigDict({**CONFIG, "model": {**CONFIG["model"], "hidden": (8, 4)}})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"config\.json:1: not JSON \(it is empty"),
        (b'{"system": "mil",', r"config\.json:1: not JSON"),
        (b"[]", r"config\.json: a list of 0 items; expected a dict"),
        (b"{}", r"config\.json: an object without 'system'"),
        (b'{"system": 5}', r"config\.json: system is 5; expected text"),
        (b'{"system": "mil", "model": []}', r"config\.json: model is a list"),
        (b'{"system": "m\xff"}', r"config\.json: not a text file in UTF-8"),
        (b"[" * 100_000, r"config\.json: .*nested too deep"),
        (b'{"system": "a", "system": "mil"}', r"config\.json: .*'system' is there twice"),
        (b'{"system": "mil", "seed": NaN}', r"config\.json: .*NaN"),
    ],
)
def test_configs_that_cannot_be_read(tmp_path, content, message):
    (tmp_path / "config.json").write_bytes(content)
    for read in (workdir.saved, lambda folder: workdir.check(folder, config())):
        with pytest.raises(ValueError, match=message):
            read(tmp_path)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"dropout": "0.5"}, "model.dropout is '0.5', the config here has 0.5"),
        ({"dropout": True}, "model.dropout is True, the config here has 0.5"),
        ({"hidden": 8}, "model.hidden is 8, the config here has [8, 4]"),
        ({"hidden": "84"}, "model.hidden is '84', the config here has [8, 4]"),
    ],
)
def test_fields_of_another_type_are_not_taken(tmp_path, model, message):
    theirs = {**CONFIG, "model": {**CONFIG["model"], **model}}
    (tmp_path / "config.json").write_text(json.dumps(theirs))
    with pytest.raises(ValueError, match=rf"config\.json: {re.escape(message)}"):
        workdir.adopt(config(), tmp_path)


@pytest.mark.parametrize("hidden", [[8, 10**9], [-(10**9)], [1 << 70]])
def test_sizes_that_no_network_has_are_not_taken(tmp_path, hidden):
    """10¹² would overflow in XLA, which then ends the program by a signal."""
    theirs = {**CONFIG, "model": {**CONFIG["model"], "hidden": hidden}}
    (tmp_path / "config.json").write_text(json.dumps(theirs))
    message = rf"config\.json: model.hidden is {hidden[-1]}; expected whole numbers up to 1,048,576"
    with pytest.raises(ValueError, match=message):
        workdir.adopt(config(), tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "seed": 10**12}))
    assert workdir.adopt(config(), tmp_path)[0].seed == 10**12


def test_sizes_that_are_too_large_together_are_not_taken(tmp_path):
    theirs = {**CONFIG, "model": {**CONFIG["model"], "hidden": [1 << 20, 1 << 20, 2]}}
    (tmp_path / "config.json").write_text(json.dumps(theirs))
    with pytest.raises(ValueError, match=r"config\.json: model.hidden is .* would be 2e\+12 tog"):
        workdir.adopt(config(), tmp_path)


def test_fields_of_the_same_type_are(tmp_path):
    theirs = {**CONFIG, "model": {"hidden": [16], "dropout": 1, "w": "x"}}
    (tmp_path / "config.json").write_text(json.dumps(theirs))
    found, changed = workdir.adopt(config(), tmp_path)
    assert found.model.hidden == (16,) and found.model.dropout == 1 and found.model.w == "x"
    assert changed == ["model.dropout", "model.hidden", "model.w"]


@pytest.mark.parametrize("content", [b"", b"[1", b"5", b'{"a": 1}', b"\xff", b"[" * 100_000])
def test_provenance_that_cannot_be_read(tmp_path, content):
    (tmp_path / "provenance.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"provenance\.json.*; move it away"):
        workdir.add_provenance(tmp_path, {"a": 1})
    assert (tmp_path / "provenance.json").read_bytes() == content
