"""Every dataset of frames says how many there are a second."""

import pytest

from data_prep import avenue, shanghaitech, street_scene, toy, ucsd_ped
from tests.helpers.video_files import moving, write
from vadjax.data.store.records import Dataset


@pytest.fixture
def street(tmp_path, write_images):
    """Pictures in Street Scene's layout."""
    for name in ("Train/Train001", "Test/Test001"):
        write_images(tmp_path / "street" / name, 4, first=1)
    (tmp_path / "street/Test/Test001_gt.txt").write_text("")
    return tmp_path / "street"


def prepared(program, data, out, *flags):
    program.main(["--data", str(data), "--out", str(out), *flags])
    return Dataset(out).manifest


@pytest.mark.parametrize(("program", "fps"), [(ucsd_ped, 10), (avenue, 25), (shanghaitech, 24)])
def test_pictures_have_the_rate_of_the_published_set(program, fps, frame_tree, tmp_path, capsys):
    assert prepared(program, frame_tree, tmp_path / "out")["fps"] == fps
    said = capsys.readouterr().out
    assert f"frame rate: {fps} a second, that of the published set; --fps declares" in said
    manifest = prepared(program, frame_tree, tmp_path / "own", "--fps", "12.5")
    assert manifest["fps"] == 12.5 and "frame rate" not in capsys.readouterr().out


def test_street_scene(street, tmp_path):
    assert prepared(street_scene, street, tmp_path / "out")["fps"] == 15


def test_toy_scenes_are_ten_frames_a_second(tmp_path):
    flags = ["--train=1", "--test=1", "--frames=3", "--size=48x64", "--events=1"]
    toy.main(["--kind=scenes", "--out", str(tmp_path / "out"), *flags])
    assert Dataset(tmp_path / "out").manifest["fps"] == 10


def test_video_files_have_their_own_rate(tmp_path, capsys):
    """Folders of pictures beside them have it too; several rates are none."""
    films = tmp_path / "data"
    write(films / "train/frames/01.mp4", moving(4), rate=30)
    write(films / "test/frames/01.mp4", moving(4), rate=30)
    assert prepared(ucsd_ped, films, tmp_path / "one")["fps"] == 30
    assert "frame rate: 30 a second, as its video files have it" in capsys.readouterr().out
    write(films / "train/frames/02.mp4", moving(4), rate=25)
    assert "fps" not in prepared(ucsd_ped, films, tmp_path / "two")
    said = capsys.readouterr().out
    assert "frame rate: none is stored; 02 has 25 frames a second, 01 30. Say --fps" in said
    assert prepared(ucsd_ped, films, tmp_path / "three", "--fps=30")["fps"] == 30


@pytest.mark.parametrize("fps", ["0", "-5", "nan", "inf", "1001"])
def test_rates_that_cannot_be(fps, frame_tree, tmp_path):
    with pytest.raises(SystemExit, match=r"--fps is .*; expected more than 0, to 1,000"):
        prepared(ucsd_ped, frame_tree, tmp_path / "out", f"--fps={fps}")
    assert not (tmp_path / "out").exists()
