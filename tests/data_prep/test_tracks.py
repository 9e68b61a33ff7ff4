import numpy as np
import pytest

from data_prep import tracks
from vadjax.data.boxes import read_tracks


def test_masks_of_ped2_give_its_tracks(ped2, tmp_path, capsys):
    """As `TRACKS_README.md` of the data says they were derived."""
    tracks.main(["masks", str(ped2 / "testing/masks"), "--out", str(tmp_path / "tracks")])
    expected = sorted((ped2 / "tracks").glob("*.txt"))
    assert expected and len(list((tmp_path / "tracks").iterdir())) == len(expected)
    for path in expected:
        np.testing.assert_array_equal(
            read_tracks(tmp_path / "tracks" / path.name), read_tracks(path), err_msg=path.name
        )
    assert "12 videos, 21 tracks, 2,410 boxes; frames 0 to 179" in capsys.readouterr().out


def test_masks_to_tracks(tmp_path, write_images, masks_of, capsys):
    write_images(tmp_path / "masks" / "v", 5, "{:03d}.png", images=list(masks_of(5, 1, 3)))
    write_images(tmp_path / "masks" / "normal", 2, "{:03d}.png", images=list(masks_of(2, 0, 0)))
    out = tmp_path / "out"
    tracks.main(["masks", str(tmp_path / "masks"), "--out", str(out)])
    assert (out / "v.txt").read_text() == "0,1,10,4,19,8\n0,2,10,4,19,8\n"
    assert (out / "normal.txt").read_text() == ""
    assert "2 videos, 1 tracks, 2 boxes" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="out: exists and is left as it is"):
        tracks.main(["masks", str(tmp_path / "masks"), "--out", str(out)])
    again = ["masks", str(tmp_path / "masks"), "--out", str(tmp_path / "large")]
    tracks.main([*again, "--min_area=51"])  # the part has 50 pixels
    assert (tmp_path / "large" / "v.txt").read_text() == ""
    for flag in ("--min_area=0", "--min_iou=0"):
        with pytest.raises(SystemExit, match="min_area .* min_iou"):
            tracks.main([*again[:-1], str(tmp_path / "never"), flag])
    assert not (tmp_path / "never").exists()


def test_text_in_other_columns(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "v.txt").write_text("1,4,5,6,10,20,car\n2,4,5.5,6,10,20,car\n")
    out = tmp_path / "out"
    flags = ["text", str(tmp_path / "in"), "--columns=frame,track,x,y,w,h,-", "--first_frame=1"]
    tracks.main([*flags, "--out", str(out)])
    assert (out / "v.txt").read_text() == "4,0,5,6,14,25\n4,1,5.5,6,14.5,25\n"
    text = capsys.readouterr().out
    assert "1 videos, 1 tracks, 2 boxes; frames 0 to 1, x 5 to 14.5, y 6 to 25" in text
    assert "repeat" not in text
    tracks.main(["text", str(out), "--out", str(tmp_path / "same")])
    assert (tmp_path / "same" / "v.txt").read_text() == (out / "v.txt").read_text()


def test_a_wrong_order_of_columns_shows(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    rows = [f"{track},{frame},0,0,9,9\n" for frame in (0, 0) for track in range(3)]
    (tmp_path / "in" / "v.txt").write_text("".join(rows))
    tracks.main(["text", str(tmp_path / "in"), "--out", str(tmp_path / "out")])
    assert "3 rows repeat a track and frame: is the order" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="got none"):
        tracks.main(["text", str(tmp_path / "in"), "--columns=frame,x,y,w,h,-", "--out=x"])
    (tmp_path / "in" / "v.txt").write_text("0,0,9,9,8,9\n")
    with pytest.raises(SystemExit, match=r"v\.txt:1: a box of width or height 0"):
        tracks.main(["text", str(tmp_path / "in"), "--out", str(tmp_path / "none")])


def test_headings_shares_and_a_readme(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "readme.txt").write_text("Tracks of people.\n")
    text = "frame,track,x_min,y_min,x_max,y_max\n0,7,0.25,0.5,0.75,1\n1,7,0.25,0.5,0.75,1\n"
    (tmp_path / "in" / "v.txt").write_text(text)
    command = ["text", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    with pytest.raises(
        SystemExit, match=r"v\.txt: all coordinates of the tracks lie .*--frame_size"
    ):
        tracks.main(command)
    with pytest.raises(
        SystemExit, match=r"v\.txt:1: its heading begins with .* leave --columns out"
    ):
        tracks.main([*command, "--columns=track,frame,x_min,y_min,x_max,y_max"])
    tracks.main([*command, "--frame_size=20x40"])
    assert (tmp_path / "out" / "v.txt").read_text() == "7,0,10,10,29,19\n7,1,10,10,29,19\n"
    assert "readme.txt: holds no row of numbers" in capsys.readouterr().err
    assert not (tmp_path / "out" / "readme.txt").exists()
