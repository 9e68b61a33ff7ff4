import pytest

from tests.helpers import special_files
from vadjax.formats.files import list_files
from vadjax.formats.tracks import read_tracks

README = "The files have the following format:\n\ntrack_id, frame_id, x_min, y_min, x_max, y_max\n"


@pytest.mark.parametrize("name", ["readme.txt", "README.csv", "LICENSE.txt", "file_format.txt"])
def test_what_is_about_the_files_is_no_video(tmp_path, capsys, name):
    (tmp_path / "01_0014.txt").write_text("0,10,1,1,20,20\n")
    (tmp_path / name).write_text(README)
    assert list(list_files(tmp_path, (".txt", ".csv"))) == ["01_0014"]
    assert capsys.readouterr().err == (
        f"note: {tmp_path / name}: holds no row of numbers, so it is passed over; it is no video\n"
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("readme", "0,10,1,1,20,20\n"),  # rows of numbers
        ("scene_change_01", ""),  # a video without boxes
        ("scene_change_01", "frame,x_min,y_min,x_max,y_max,score\n"),
        ("01_0015", README),  # refused where it is read, not passed over
    ],
)
def test_what_may_be_a_video_stays_one(tmp_path, capsys, name, text):
    (tmp_path / f"{name}.txt").write_text(text)
    assert list(list_files(tmp_path, (".txt",))) == [name]
    assert not capsys.readouterr().err


def test_folders_and_kinds(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no files \*.txt"):
        list_files(tmp_path, (".txt",))
    (tmp_path / "b.txt").write_text("")
    (tmp_path / "b.csv").write_text("")
    with pytest.raises(ValueError, match="holds .csv and .txt files; expected one kind"):
        list_files(tmp_path, (".txt", ".csv"))


@pytest.mark.parametrize("kind", [*special_files.KINDS, "loop"])
def test_what_looks_like_a_file_is_not_passed_over(tmp_path, kind):
    """A video whose file is a FIFO would be missing from the figures without a word."""
    (tmp_path / "a.txt").write_text("0,0,1,1,2,2\n")
    path = tmp_path / "b.txt"
    if kind == "loop":
        path.symlink_to(path)
    else:
        special_files.make(tmp_path, kind, "b.txt")
    with special_files.within(20):
        with pytest.raises((ValueError, OSError), match=r"b\.txt"):
            read_tracks(list_files(tmp_path, (".txt",)))
