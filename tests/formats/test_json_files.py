"""JSON files: bounded, each key once, fields of the right types; messages name the place."""

import pytest

from vadjax.formats import json_files

PATTERN = {"name": str, "n": int, "videos": [{"v": str, "fps?": (float, None)}], "by?": {...: bool}}
GOOD = '{"name": "a", "n": 3, "videos": [{"v": "x", "fps": 25.0}, {"v": "y", "fps": null}], "z": 1}'


def test_what_is_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(GOOD, "utf-8-sig")
    assert json_files.read(path, PATTERN)["videos"][0] == {"v": "x", "fps": 25.0}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"a\.json:1: not JSON \(it is empty\)"),
        (b' {\n"name": "a",\n', r"a\.json:3: not JSON"),
        (b"{}x", r"a\.json:1: not JSON \(Extra data\)"),
        (b'{"name": "\xff"}', r"a\.json: not a text file in UTF-8 .*line 1"),
        (b"[" * 100_000, r"a\.json: not JSON .*nested too deep"),
        (b"[" * 200 + b"]" * 200, r"a\.json: not JSON .*nested too deep"),
        (b'{"n": 1, "n": 2}', r"a\.json: .*the key 'n' is there twice"),
        (b'{"n": NaN}', r"a\.json: .*NaN, which is no number in JSON"),
        (b'{"n": -Infinity}', r"a\.json: .*-Infinity, which is no number"),
        (b'{"n": ' + b"9" * 5000 + b"}", r"a\.json: .*digits"),
        (b"[]", r"a\.json: a list of 0 items; expected a dict"),
        (b"{}", r"a\.json: an object without 'name'"),
        (b'{"name": 5, "n": 1, "videos": []}', r"a\.json: name is 5; expected text"),
        (b'{"name": "", "n": -1, "videos": []}', r"n is -1; expected a whole number of 0 or more"),
        (b'{"name": "", "n": true, "videos": []}', "n is True; expected a whole number"),
        (b'{"name": "", "n": 1e3, "videos": []}', "n is 1000.0; expected a whole number"),
        (b'{"name": "", "n": 1, "videos": {}}', "videos is an object of nothing; expected a list"),
        (b'{"name": "", "n": 1, "videos": [{}]}', r"videos\[0\] is an object without 'v'"),
        (b'{"name": "", "n": 1, "videos": [{"v": "", "fps": "x"}]}', r"videos\[0\]\.fps is 'x'"),
        (b'{"name": "", "n": 1, "videos": [{"v": "", "fps": 1e400}]}', r"videos\[0\]\.fps is inf"),
        (b'{"name": "", "n": 1, "videos": [], "by": {"a": 1}}', "by.a is 1; expected true or fal"),
    ],
)
def test_what_is_refused(tmp_path, content, message):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        json_files.read(path, PATTERN)
    assert str(path) in str(caught.value)


def test_sizes_are_bounded(tmp_path):
    (tmp_path / "a.json").write_text("[1, 2]")
    with pytest.raises(ValueError, match="more than 5 bytes"):
        json_files.read(tmp_path / "a.json", most=5)


def test_lines(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n\n{"a": 2}\n{"a": 3')
    assert json_files.read_lines(path, {"a": int}, cut_last=True) == [{"a": 1}, {"a": 2}]
    with pytest.raises(ValueError, match=r"a\.jsonl:4: not JSON .*: '\{\"a\": 3'"):
        json_files.read_lines(path, {"a": int})
    path.write_text('{"a": 1}\n{"a": 2}')  # cut between the line and its end
    assert len(json_files.read_lines(path, {"a": int}, cut_last=True)) == 2
    path.write_text('{"a": 1}\n{"a": \n{"a": 3}\n')
    with pytest.raises(ValueError, match=r"a\.jsonl:2: not JSON"):
        json_files.read_lines(path, {"a": int}, cut_last=True)
    path.write_text('{"a": 1}\n{"a": "x"}\n')
    with pytest.raises(ValueError, match=r"a\.jsonl:2: a is 'x'; expected a whole number"):
        json_files.read_lines(path, {"a": int}, cut_last=True)
