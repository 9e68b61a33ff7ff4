"""Files and folders are the old ones or the new ones, whatever is killed, and nothing stays."""

import os
import pathlib
import subprocess
import sys
import threading

import pytest

from tests.helpers.places import ROOT
from vadjax.runtime import lock, replacing, space

# Runs work(out) in children of itself, each killed at its n-th change of the file system, until one
# ends by itself; after each, the same again to its end. Prints what is there after every pair.
DRIVER = """
import json, os, pathlib, shutil, signal, sys
sys.path.insert(0, {root!r})
{work}
CHANGES = {{"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"}}

def attempt(out, kill_at):
    child = os.fork()
    if not child:
        count = 0
        def seen(event, arguments):
            nonlocal count
            writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & 3
            if event in CHANGES or writes:
                count += 1
                if count == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)
        if kill_at:
            sys.addaudithook(seen)
        code = 1
        try:
            work(out)
            code = 0
        except BaseException as error:
            print(json.dumps({{"failed": repr(error), "kill_at": kill_at}}))
            sys.stdout.flush()
        os._exit(code)
    return os.waitpid(child, 0)[1]

def files(folder):
    return {{str(p.relative_to(folder)): p.read_text() if p.is_file() else None
            for p in sorted(folder.rglob("*"))}}

place = pathlib.Path(sys.argv[1])
kill_at, status = 1, 9
while status:
    folder = place / str(kill_at)
    folder.mkdir(parents=True)
    before(folder / "out")
    status = attempt(folder / "out", kill_at)
    assert status in (0, 9), status
    between = files(folder)
    again = attempt(folder / "out", 0)
    print(json.dumps({{"again": again, "between": between, "after": files(folder)}}), flush=True)
    shutil.rmtree(folder)
    kill_at += 1
"""


def killed_everywhere(work: str, place: pathlib.Path) -> list[dict]:
    """What is there after each kill (`between`) and after the same call again (`after`)."""
    import json

    script = DRIVER.format(root=str(ROOT), work=work)
    done = subprocess.run(
        [sys.executable, "-c", script, str(place)], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert not [row for row in rows if "failed" in row], rows
    return rows


FOLDER = """
from vadjax.runtime import replacing

def before(out):
    out.mkdir()
    for name in "abc":
        (out / name).write_text("old")

def work(out):
    with replacing.folder(out) as new:
        for name in "bcd":
            (new / name).write_text("new")
"""
OLD = {"out": None, **{f"out/{name}": "old" for name in "abc"}}
NEW = {"out": None, **{f"out/{name}": "new" for name in "bcd"}}


def test_a_folder_survives_a_kill_at_every_change(tmp_path):
    rows = killed_everywhere(FOLDER, tmp_path)
    assert len(rows) > 15
    for row in rows:
        assert row["again"] == 0 and row["after"] == NEW, row
        seen = {name: text for name, text in row["between"].items() if not name.startswith(".")}
        assert seen in (OLD, NEW, {}), row  # never a mixture


SCORES = """
from vadjax.scores import files as scores

def before(out):
    with scores.replacing(out, "scores") as new:
        for name in "abc":
            (new / name).write_text("old")

def work(out):
    with scores.replacing(out, "scores") as new:
        for name in "bcd":
            (new / name).write_text("new")
"""


def test_a_kill_while_old_scores_are_replaced_refuses_nothing_for_ever(tmp_path):
    rows = killed_everywhere(SCORES, tmp_path)
    whole = NEW | {"out/.vadjax-scores": ""}
    for row in rows:
        assert row["again"] == 0 and row["after"] == whole, row


TOY = """
from vadjax.data.store import source
from vadjax.data.toy import datasets
from vadjax.data.toy.images import ToyImages
import types
config = types.SimpleNamespace(data=types.SimpleNamespace(dir="", verify="size"), system="x")
datasets.WRITERS["images"] = lambda out: datasets.write_images(out, ToyImages(train=4, test=4))

def before(out):
    out.mkdir()

def work(out):
    source.open_dataset(config, "images", out)
"""


def test_a_kill_while_the_toy_set_is_made_refuses_nothing_for_ever(tmp_path):
    rows = killed_everywhere(TOY, tmp_path)
    for row in rows:
        assert row["again"] == 0, row
        assert sorted(row["after"]) == ["out", "out/toy_data", "out/toy_data/manifest.json"], row


FILE = """
from vadjax.runtime import replacing

def before(out):
    out.write_text("old")

def work(out):
    replacing.write(out, "new")
"""


def test_a_file_survives_a_kill_at_every_change(tmp_path):
    for row in killed_everywhere(FILE, tmp_path):
        assert row["again"] == 0 and row["after"] == {"out": "new"}, row
        assert row["between"]["out"] in ("old", "new"), row


def test_an_error_in_the_block_leaves_the_old_one(tmp_path):
    replacing.write(tmp_path / "out", "old")
    with pytest.raises(KeyError), replacing.file(tmp_path / "out") as new:
        new.write_text("half")
        raise KeyError
    with pytest.raises(KeyError), replacing.folder(tmp_path / "folder") as new:
        raise KeyError
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"out": "old"}


def test_two_that_write_the_same_file_do_it_one_after_the_other(tmp_path):
    path, texts = tmp_path / "out", ["a" * 100_000, "b" * 100_000]

    def write(text: str) -> None:
        for _ in range(20):
            replacing.write(path, text)
            assert path.read_text() in texts

    threads = [threading.Thread(target=write, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() in texts and [*tmp_path.iterdir()] == [path]


def test_a_second_program_is_told_who_writes_the_folder(tmp_path):
    with replacing.folder(tmp_path / "out") as work:
        (work / "a").touch()
        with pytest.raises(lock.Held, match=rf"out: in use by process {os.getpid()} on .* since"):
            with replacing.folder(tmp_path / "out"):
                pass
        with pytest.raises(lock.Held):
            replacing.clear(tmp_path / "out")
        assert (work / "a").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_no_link_leads_the_writing_elsewhere(tmp_path):
    far, place = tmp_path / "far", tmp_path / "place"
    far.mkdir()
    place.mkdir()
    (far / "a").write_text("mine")
    (place / "out").symlink_to(far)
    with pytest.raises(FileExistsError, match="out is a link and is left as it is"):
        with replacing.folder(place / "out"):
            pass
    (place / "out").unlink()
    for kind in ("tmp", "old", "gone"):
        (place / f".out.{kind}").symlink_to(far)
    with replacing.folder(place / "out") as work:
        (work / "a").write_text("new")
    assert [path.name for path in place.iterdir()] == ["out"]
    for name in (".b.tmp", ".c.lock"):
        (place / name).symlink_to(far / "a")
    with pytest.raises(OSError, match="symbolic link"):
        replacing.write(place / "b", "new")
    with pytest.raises(OSError, match="symbolic link"), replacing.folder(place / "c"):
        pass
    os.mkfifo(place / ".d.tmp")
    with pytest.raises(OSError, match="not a regular file"):
        replacing.write(place / "d", "new")
    assert (far / "a").read_text() == "mine" and [*far.iterdir()] == [far / "a"]


def test_without_locks_files_get_names_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "fcntl", None)
    with replacing.file(tmp_path / "out") as one, replacing.file(tmp_path / "other") as two:
        one.write_text("1")
        two.write_text("2")
        assert str(os.getpid()) in one.name
    with replacing.folder(tmp_path / "folder"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "other", "out"]


def test_appending_adds_all_or_nothing(tmp_path, monkeypatch):
    class Full:
        """A file with room for three more bytes."""

        def __init__(self, file):
            self._file, self.room = file, 3

        def write(self, data):
            if not self.room:
                raise OSError(28, "No space left on device")
            count = self._file.write(data[: self.room])
            self.room -= count
            return count

        def __getattr__(self, name):
            return getattr(self._file, name)

    path = tmp_path / "lines"
    path.write_bytes(b"whole\n")
    with path.open("ab", buffering=0) as file:
        with pytest.raises(OSError):
            replacing.append(Full(file), b"a line\n")
        replacing.append(file, b"next\n")
    assert path.read_bytes() == b"whole\nnext\n"


def test_too_little_room_is_found_before_the_writing(tmp_path, monkeypatch):
    monkeypatch.setattr(space, "free", lambda place: 1_000_000)
    with pytest.raises(space.NotWritten) as caught:
        with replacing.file(tmp_path / "out", size=3_500_000):
            raise AssertionError("not reached")
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'out'}: ") and "\n" not in said
    assert "1.0 MB are free, 3.5 MB or more are needed, 2.5 MB are missing" in said
    assert not [*tmp_path.iterdir()]
