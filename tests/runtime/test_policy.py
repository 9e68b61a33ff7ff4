"""One table says which fields may differ when a run is resumed, evaluated or used."""

import importlib
import json

import ml_collections
import pytest

from tests.helpers.places import ROOT
from vadjax.runtime import policy, provenance, workdir

NAMES = sorted(path.stem for path in (ROOT / "configs").glob("[a-z]*.py"))


def fields(name: str) -> set[str]:
    config = importlib.import_module(f"configs.{name}").get_config()
    return set(provenance.flatten(json.loads(config.to_json())))


@pytest.mark.parametrize("name", NAMES)
def test_every_field_falls_under_exactly_one_rule(name):
    wrong = {field: policy.rows_of(field) for field in fields(name)}
    assert not {field: rows for field, rows in wrong.items() if len(rows) != 1}


def test_every_rule_speaks_for_a_field():
    used = {row for name in NAMES for field in fields(name) for row in policy.rows_of(field)}
    assert used == set(policy.RULES)


def test_what_changes_no_number_may_differ_always():
    for name, rule in policy.RULES.items():
        assert not rule.resume or (rule.evaluate and rule.predict), name


@pytest.mark.parametrize(
    ("field", "uses"),
    [
        ("seed", ()),
        ("model.dropout", ()),
        ("train.steps", ()),
        ("a_section_of_a_user.field", ()),
        ("a_field_of_a_user", ()),
        ("train.devices", ("resume", "evaluate", "predict")),
        ("data.threads", ("resume", "evaluate", "predict")),
        ("eval.sigma", ("evaluate", "predict")),
        ("report.videos", ("evaluate", "predict")),
        ("data.modality", ("evaluate", "predict")),
        ("data.dir", ("evaluate",)),
        ("features.weights", ("predict",)),
        ("objects.detector", ("predict",)),
    ],
)
def test_the_columns(field, uses, tmp_path):
    allowed = [use for use in ("resume", "evaluate", "predict") if policy.may_differ(field, use)]
    assert tuple(allowed) == uses
    section, _, name = field.rpartition(".")
    there, here = {"system": "mil", **nested(section, name, "/a")}, nested(section, name, "/b")
    (tmp_path / "config.json").write_text(json.dumps(there))
    config = ml_collections.ConfigDict({"system": "mil", **here})
    for use in ("resume", "evaluate"):
        if use in uses:
            workdir.check(tmp_path, config, use=use)
        else:
            with pytest.raises(ValueError, match=f"{field}: '/a' there, '/b' here"):
                workdir.check(tmp_path, config, use=use)
    taken, changed = workdir.adopt(config, tmp_path)
    value = provenance.flatten(taken.to_dict())[field]
    assert value == ("/b" if "predict" in uses else "/a")
    assert changed == ([] if "predict" in uses or field == "data.dir" else [field])


def nested(section: str, name: str, value) -> dict:
    return {section: {name: value}} if section else {name: value}
