"""The line for a disk that is full or closed: of which errors, and with which words."""

import errno
import os

import pytest

from vadjax.runtime import command, space


def full(number: int = errno.ENOSPC, name: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), name)


def chained(error: Exception, outer: Exception) -> Exception:
    """`outer`, raised because of `error`."""
    try:
        try:
            raise error
        except Exception as cause:
            raise outer from cause
    except Exception as found:
        return found


TOLD = {  # as libraries raise them
    "system": full(),
    "quota": full(errno.EDQUOT),
    "orbax": ValueError(
        'RESOURCE_EXHAUSTED: Error writing "w/0" in OCDBT database at local file "/d/c/1/": Failed '
        "writing: Failed to write 9 bytes to file 4: No space left on device [os_error_code='28']"
    ),
    "array_record": RuntimeError(
        "write() failed: No space left on device; writing /d/x.array_record; at byte 49152"
    ),
    "numpy": OSError("100000 requested and 1008 written"),
    "chained": chained(full(), RuntimeError("thread failed")),
}


@pytest.mark.parametrize("name", TOLD)
def test_a_full_disk_is_known_whoever_tells_of_it(name, tmp_path, monkeypatch):
    monkeypatch.setattr(space, "free", lambda place: 1_234_567)
    with pytest.raises(space.NotWritten) as caught:
        with space.naming(tmp_path / "out", "checkpoint", 5_000_000):
            raise TOLD[name]
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'out'}: checkpoint: not written: ") and "\n" not in said
    assert "1.2 MB are free, 5.0 MB or more are needed, 3.8 MB are missing" in said
    assert said.endswith("Make room there; the same command goes on")


@pytest.mark.parametrize(
    ("error", "place"),
    [
        (full(name="/d/a file"), "/d/a file"),
        (TOLD["orbax"], "/d/c/1/"),
        (TOLD["array_record"], "/d/x.array_record"),
        (TOLD["chained"], os.getcwd()),
    ],
)
def test_where_nobody_has_named_the_place_the_error_does(error, place):
    assert command.line(error).startswith(f"error: {place}: not written: no space left on the disk")


def test_other_errors_pass_and_no_reading_is_called_writing(tmp_path):
    place = tmp_path / "out"
    for error in (
        KeyError("x"),
        ValueError("labels of 3 frames"),
        full(errno.ENOENT, str(place)),
        full(errno.EACCES, str(tmp_path / "input")),
        full(errno.EACCES, str(tmp_path / "output")),  # begins alike
        ValueError(f"{tmp_path}/input: {os.strerror(errno.EACCES)}"),
    ):
        with pytest.raises(type(error)) as caught, space.naming(place):
            raise error
        assert caught.value is error and space.told(error) is None
    assert command.line(ValueError("labels")) == "error: labels"


@pytest.mark.parametrize("name", ["out", "out/a", ".out.tmp/a", "."])
def test_what_may_not_be_written_there_is_said(tmp_path, name):
    with pytest.raises(space.NotWritten, match="no permission to write there. Name another place"):
        with space.naming(tmp_path / "out"):
            raise full(errno.EACCES, str(tmp_path / name))


def test_the_room_of_a_place_that_is_not_there_yet(tmp_path):
    assert space.free(tmp_path / "a" / "b") == pytest.approx(space.free(tmp_path), rel=0.1)
    space.check(tmp_path / "a" / "b", 1, "the dataset")
    with pytest.raises(space.NotWritten, match="a/b: the dataset: not written: .* are missing"):
        space.check(tmp_path / "a" / "b", 10**18, "the dataset")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (12_345_678, "12.3 MB"),
        (2_000_000_000, "2.0 GB"),
        (3 * 10**15, "3,000.0 TB"),
    ],
)
def test_bytes_as_a_person_reads_them(count, text):
    assert space.size(count) == text
