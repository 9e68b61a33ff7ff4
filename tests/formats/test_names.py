"""Names from files that become names of files below a folder."""

import pathlib

import pytest

from vadjax.formats.names import check_name, shorten, wrong_with

OUTSIDE = [
    *("../x", "../../x", "a/../x", "..", ".", "/etc/x", "a\\..\\x", "C:x", "C:\\x", "\\\\host\\x"),
    *("", "a/", "/", "a//b", ".x", "a/.x", "a\0b", "a\nb", "a\x1b[2Jb", "\udce9", "x" * 201),
    *("é" * 101, "/".join("a" * 17), 5, None, ["x"], b"x"),
]


@pytest.mark.parametrize("name", OUTSIDE, ids=repr)
@pytest.mark.parametrize("nested", [False, True])
def test_names_that_lead_out_or_cannot_be_files(name, nested):
    with pytest.raises(ValueError, match="manifest.json: scene name .* cannot be the name of a f"):
        check_name(name, "manifest.json", "scene", nested)


@pytest.mark.parametrize(
    "name", ["Test001", "01_0014", "Robbery048_x264", "Überfall 2", "a..b", "x" * 200, "é" * 100]
)
def test_names_of_videos(name, tmp_path):
    assert check_name(name, "here") == name and wrong_with(name) is None
    (tmp_path / f"{name}.reasons.jsonl").touch()
    assert [path.parent for path in tmp_path.iterdir()] == [tmp_path]


def test_nested_names_are_for_whom_asks():
    assert check_name("Abuse/Abuse001", "here", nested=True) == "Abuse/Abuse001"
    assert "has a slash" in wrong_with("Abuse/Abuse001")


def test_names_are_shown_whole_and_harmless():
    assert shorten("a\x1b[2J") == "'a\\x1b[2J'" and shorten("é") == "'é'"
    assert shorten("\udce9") == "'\\udce9'" and len(shorten("x" * 1000)) == 80


def test_what_passes_stays_below_its_folder():
    folder = pathlib.Path("/a/b")
    for name in ("x", "x/y", "a..b", "x.y"):
        if wrong_with(name, nested=True) is None:
            assert (folder / name).resolve().is_relative_to(folder)
