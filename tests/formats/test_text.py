import pytest

from vadjax.formats import text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_marks_and_line_ends(tmp_path, encoding, end):
    path = tmp_path / "v.txt"
    path.write_bytes(end.join(["Straße 1", "", "# a comment", " 2 "]).encode(encoding))
    assert text.read_lines(path) == [(1, "Straße 1"), (4, "2")]
    assert text.read_lines(path, ())[1] == (3, "# a comment")


def test_big_endian_and_separators_that_end_no_line(tmp_path):
    path = tmp_path / "v.txt"
    path.write_bytes(b"\xfe\xff" + "1\u2028\x0c2\n3".encode("utf-16-be"))
    assert text.read_lines(path) == [(1, "1\u2028\x0c2"), (2, "3")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("ok\nStra\xdfe".encode("latin-1"), "v.txt: not a text file in UTF-8 .*line 2.*save it as"),
        (b"\xff\xfe1", "v.txt: not a text file"),
        ("0,1\n".encode("utf-16-le"), r"v.txt:1: a zero byte"),
        (b"1\n2\n\x00\x01", r"v.txt:3: a zero byte"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path, content, message):
    path = tmp_path / "v.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        text.read_lines(path)


def test_notes_are_said_below_what_is_printed(capfd):
    with pytest.raises(ValueError, match="refused"), text.notes_last():
        text.note("assumed")
        print("figure")
        assert capfd.readouterr().err == ""
        raise ValueError("refused")
    assert capfd.readouterr().err == "note: assumed\n"
    text.note("at once")
    assert capfd.readouterr().err == "note: at once\n"


def test_size_is_bounded(tmp_path):
    path = tmp_path / "v.txt"
    path.write_bytes(b"\xef\xbb\xbf12345")
    assert text.read_text(path, 8) == "12345"
    with pytest.raises(ValueError, match="v.txt: more than 7 bytes"):
        text.read_text(path, 7)
