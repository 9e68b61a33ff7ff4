"""Finding recordings: names, cameras, links, other files."""

import os
import pathlib

import pytest

from data_prep.lib import recordings
from vadjax.formats.names import check_name


@pytest.fixture
def tree(tmp_path):
    """Function that makes empty files below a folder and returns it."""

    def make(*names) -> pathlib.Path:
        for name in names:
            path = tmp_path / "normal" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        return tmp_path / "normal"

    return make


def names(found) -> list[str]:
    return [recording.name for recording in found.recordings]


def test_files_at_any_depth_get_the_names_of_their_folders(tree):
    found = recordings.find([tree("2.mp4", "10.MKV", "day/a/1.avi", "day/b/1.avi")], "--normal")
    assert names(found) == ["2", "10", "day_a_1", "day_b_1"]
    assert [one.inside for one in found.recordings] == [
        "2.mp4",
        "10.MKV",
        "day/a/1.avi",
        "day/b/1.avi",
    ]


def test_files_of_one_name_keep_their_endings_or_get_numbers(tree):
    root = tree("a.mp4", "a.avi", "b_c.mp4", "b/c.mp4")
    assert names(recordings.find([root], "--normal")) == ["a.avi", "a.mp4", "b_c.mp4", "b_c.mp4-2"]


def test_odd_names_can_be_files(tree):
    root = tree("a b.mp4", "тест’s <x>.mp4", "x\x1by\n.mp4", f"{'ü' * 110}.mp4", "C:.mp4")
    found = names(recordings.find([root], "--normal"))
    assert {"a b", "тест’s <x>", "x-y-", "C-"} <= set(found)
    (long,) = [name for name in found if "ü" in name]
    assert len(long.encode()) <= recordings.MOST_BYTES and long.startswith("ü" * 50)


def test_a_name_that_is_no_utf_8(tmp_path):
    os.makedirs(tmp_path / "normal")
    try:
        open(os.fsencode(tmp_path / "normal") + b"/\xff.mp4", "wb").close()
    except OSError:
        pytest.skip("this file system only has names in UTF-8")
    assert names(recordings.find([tmp_path / "normal"], "--normal")) == ["-"]


def test_what_is_passed_over(tree):
    root = tree(".hidden.mp4", ".git/a.mp4", "Thumbs.db", "a.mp4", "a.jpg", "notes.txt")
    found = recordings.find([root], "--normal")
    assert names(found) == ["a"]
    assert [path.name for path in found.passed_over] == ["a.jpg", "notes.txt"]


def test_folders_of_pictures(tree):
    root = tree("a/1.png", "a/2.png", "b/c/1.jpg")
    assert names(recordings.find([root], "--normal")) == ["a", "b_c"]
    assert names(recordings.find([root / "a"], "--normal")) == ["a"]


def test_links_are_followed_once(tree):
    root = tree("a/1.mp4")
    (root / "again.mp4").symlink_to(root / "a/1.mp4")
    (root / "a/up").symlink_to(root)
    (root / "gone.mp4").symlink_to(root / "nowhere.mp4")
    found = recordings.find([root], "--normal")
    assert names(found) == ["a_1", "gone"]  # that it leads nowhere is seen when it is opened
    assert [reason for _, reason in found.left_out] == [
        "leads back to a folder that it lies in",
        f"the same file as {root / 'a/1.mp4'}",
    ]


def test_long_names_of_cameras_and_files_still_fit(tree):
    found = recordings.find([tree(f"{'c' * 250}/{'f' * 240}.mp4")], "--normal", "folder")
    (one,) = found.recordings
    assert check_name(one.name, "here") and one.name.startswith(f"{one.camera}_fff")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("folder", [("front-door", "front-door_a_1"), ("gate", "gate_1")]),
        ("one", [("", "front_door_a_1"), ("", "gate_1")]),
    ],
)
def test_cameras_as_folders(tree, rule, expected):
    root = tree("front_door/a/1.mp4", "gate/1.mp4")
    found = recordings.find([root], "--normal", rule)
    assert [(one.camera, one.name) for one in found.recordings] == expected


def test_cameras_as_prefixes(tree):
    found = recordings.find([tree("day/01_0014.mp4", "02_1.mp4")], "--normal", "prefix")
    assert [(one.camera, one.name) for one in found.recordings] == [
        ("02", "02_1"),
        ("01", "01_day_0014"),
    ]


@pytest.mark.parametrize(
    ("files", "rule", "message"),
    [
        (["1.mp4"], "folder", "1.mp4: lies in no folder of a camera; make one for each camera"),
        (["1.mp4"], "prefix", "1.mp4: no camera before an underscore in its name; expected for"),
        (["a_b/1.mp4", "a-b/1.mp4"], "folder", "a-b and a_b would both be camera a-b; rename one"),
        (
            ["notes.txt", "b.srt"],
            "one",
            r"no video and no folder of frames \(--normal\), but 1 .srt",
        ),
        ([".a.mp4"], "one", "empty; --normal takes video files and folders of them or of frames"),
    ],
)
def test_messages(tree, files, rule, message):
    with pytest.raises(ValueError, match=message):
        recordings.find([tree(*files)], "--normal", rule)


def test_a_source_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone: no such file or folder \(--new\)"):
        recordings.find([tmp_path / "gone"], "--new")
