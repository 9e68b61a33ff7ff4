"""The sums alone; `test_checkpoint.py` shows what becomes of a run whose files are damaged."""

import hashlib
import json
import os
import time

import google_crc32c
import pytest

from vadjax.runtime import checksums
from vadjax.runtime.checksums import CRC, FILE, SHA, Damaged


@pytest.fixture
def folder(tmp_path):
    """Files that are longer than what is read at once, short and empty."""
    (tmp_path / "below").mkdir()
    (tmp_path / "large").write_bytes(bytes(range(256)) * 2048)
    (tmp_path / "below" / "short").write_bytes(b"123456789")
    (tmp_path / "empty").write_bytes(b"")
    return tmp_path


def sums_of(folder) -> dict:
    return json.loads((folder / FILE).read_text("utf-8"))


@pytest.mark.parametrize("kind", [CRC, SHA])
def test_what_was_written_is_checked(folder, kind):
    assert not checksums.check(folder)  # there are no sums yet
    checksums.write(folder, kind)
    assert sums_of(folder)["files"].keys() == {"large", "below/short", "empty"}
    assert checksums.check(folder)


def test_sums_are_the_known_ones(folder):
    """CRC-32C of "1" (RFC 3720's polynomial), then the last eight bytes; SHA-256 of the whole."""
    checksums.write(folder, CRC)
    assert sums_of(folder)["files"]["below/short"] == [9, "90f599e3" + b"23456789".hex()]
    checksums.write(folder, SHA)
    digest = hashlib.sha256(b"123456789").hexdigest()
    assert sums_of(folder)["files"]["below/short"] == [9, digest]


@pytest.mark.parametrize("place", [0, 300_000, 2048 * 256 - 1])
def test_a_byte_anywhere_in_a_long_file_is_noticed(folder, place):
    checksums.write(folder, CRC)
    content = bytearray((folder / "large").read_bytes())
    content[place] ^= 1
    (folder / "large").write_bytes(content)
    with pytest.raises(Damaged, match=rf"^large has CRC-32C ….*…, {FILE} says …"):
        checksums.check(folder)
    assert checksums.check(folder, below="below/")  # the others are as they were


def test_a_file_that_is_longer_or_gone(folder):
    checksums.write(folder, CRC)
    (folder / "empty").write_bytes(b"x")
    with pytest.raises(Damaged, match=f"^empty has 1 bytes, {FILE} says 0$"):
        checksums.check(folder)
    (folder / "empty").unlink()
    with pytest.raises(Damaged, match=f"^empty is missing, which {FILE} has$"):
        checksums.check(folder)


def test_files_that_may_change_have_no_sum(folder):
    checksums.write(folder, CRC, ("empty",))
    (folder / "empty").write_bytes(b"x")
    assert checksums.check(folder) and "empty" not in sums_of(folder)["files"]


def test_a_fifo_is_refused_without_being_opened(folder):
    os.mkfifo(folder / "below" / "pipe")
    with pytest.raises(Damaged, match="^below/pipe is no regular file$"):
        checksums.check(folder)


@pytest.mark.parametrize(
    ("sums", "message"),
    [
        ({"kind": "MD5", "files": {}}, "kind 'MD5', expected CRC-32C or SHA-256"),
        ({"kind": CRC, "files": {"../x": [1, "0"]}}, "is no file in its folder"),
        ({"kind": CRC, "files": {"/etc/passwd": [1, "0"]}}, "is no file in its folder"),
        ({"kind": CRC, "files": {"a/../../x": [1, "0"]}}, "is no file in its folder"),
        (
            {"kind": CRC, "files": {"x": [True, "0"]}},
            r"files.x\[0\] is True; expected a whole number",
        ),
        ({"kind": CRC, "files": {"x": [1, 0]}}, r"x: \[1, 0\], expected size and sum"),
        ({"kind": CRC}, "files"),
        ([], "expected"),
    ],
)
def test_sums_that_cannot_be_right_are_damage(folder, sums, message):
    (folder / FILE).write_text(json.dumps(sums), "utf-8")
    with pytest.raises(Damaged, match=f"^{FILE} cannot be read: .*{message}"):
        checksums.check(folder)


@pytest.fixture
def early(folder):
    """Early sums that have summed every file of the folder."""
    sums, deadline = checksums.Early(folder, CRC), time.monotonic() + 20
    while len(sums._sums) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    return sums


def test_what_changes_after_an_early_sum_is_summed_again(folder, early):
    large = folder / "large"
    large.write_bytes(large.read_bytes()[::-1])  # as long as before
    large.rename(folder / "moved")
    early.write()
    assert checksums.check(folder)
    content = (folder / "moved").read_bytes()
    expected = f"{google_crc32c.value(content[:-8]):08x}{content[-8:].hex()}"
    assert sums_of(folder)["files"]["moved"] == [len(content), expected]


def test_a_file_that_was_summed_early_is_not_read_again(folder, early, monkeypatch):
    monkeypatch.setattr(checksums, "_sum", None)
    early.write()
    monkeypatch.undo()
    assert sums_of(folder)["files"].keys() == {"large", "below/short", "empty"}
    assert checksums.check(folder)
