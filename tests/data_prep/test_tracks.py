import numpy as np
import pytest

from data_prep import tracks
from vadjax.data.store.records import Dataset
from vadjax.data.tracks import TrackedVideos
from vadjax.data.video.boxes import read_tracks


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


BOX = np.zeros((48, 64), np.uint8)
BOX[10:20, 10:20] = 1
ROWS = "".join(f"0,{frame},10,10,19,19\n" for frame in range(6, 12))


def masks_to(tmp_path, folder, *flags):
    """Text of the tracks of the video 01 and what was printed."""
    out = tmp_path / "tracks"
    tracks.main(["masks", str(folder), "--out", str(out), *flags])
    return (out / "01.txt").read_text()


@pytest.mark.parametrize(
    ("name", "kind", "value"),
    [("{:03d}.png", np.uint16, 1), ("{:03d}.png", np.uint8, 1), ("{:03d}.jpg", np.uint8, 255)],
)
def test_pictures_of_any_depth_and_jpeg_give_the_same_box(
    tmp_path, write_images, name, kind, value
):
    images = [(BOX * (frame >= 6) * value).astype(kind) for frame in range(12)]
    write_images(tmp_path / "masks/01", 12, name, images=images)
    assert masks_to(tmp_path, tmp_path / "masks") == ROWS


@pytest.fixture
def volume(tmp_path):
    """Masks [48, 64, 30] as MATLAB orders them: the box in frames 12 to 19."""
    folder = tmp_path / "masks"
    folder.mkdir()
    masks = np.zeros((48, 64, 30), np.uint8)
    masks[10:20, 10:20, 12:20] = 1
    np.save(folder / "01.npy", masks)
    return folder


def test_an_array_whose_order_nothing_says_is_refused(volume, tmp_path):
    with pytest.raises(SystemExit, match=r"01\.npy: .*\(48, 64, 30\) may be.*--num_frames.*hwt"):
        masks_to(tmp_path, volume)
    with pytest.raises(SystemExit, match="--num_frames 31: but the masks .* have 30 or 48 frames"):
        masks_to(tmp_path, volume, "--num_frames=31")
    assert not (tmp_path / "tracks").exists()


@pytest.mark.parametrize("said", ["30", "file", "folder", "order"])
def test_the_number_of_frames_or_a_flag_says_the_order(volume, tmp_path, write_images, said):
    if said == "file":
        (tmp_path / "frames.csv").write_text("01,30\n")
    write_images(tmp_path / "frames/01", 30)
    value = {"file": tmp_path / "frames.csv", "folder": tmp_path / "frames"}.get(said, said)
    flag = "--mask_order=hwt" if said == "order" else f"--num_frames={value}"
    expected = "".join(f"0,{frame},10,10,19,19\n" for frame in range(12, 20))
    assert masks_to(tmp_path, volume, flag) == expected


def test_the_total_of_all_videos_says_the_order(volume, tmp_path, write_images):
    np.save(volume / "02.npy", np.zeros((48, 64, 9), np.uint8))
    write_images(volume / "03", 2, "{}.png", images=[BOX * 0, BOX])
    assert masks_to(tmp_path, volume, "--num_frames=41").startswith("0,12,10,10,19,19\n")
    assert (tmp_path / "tracks/03.txt").read_text() == "0,1,10,10,19,19\n"


def test_a_video_that_the_number_of_frames_does_not_name(volume, tmp_path, write_images):
    (tmp_path / "frames.csv").write_text("02,30\n")
    with pytest.raises(SystemExit, match="masks of 01, not named by --num_frames"):
        masks_to(tmp_path, volume, f"--num_frames={tmp_path / 'frames.csv'}", "--mask_order=hwt")
    write_images(tmp_path / "pictures/02", 5, images=[BOX] * 5)
    with pytest.raises(SystemExit, match="pictures/02: 5 masks for 30 frames"):
        masks_to(tmp_path, tmp_path / "pictures", f"--num_frames={tmp_path / 'frames.csv'}")


def test_numbers_of_objects_are_tracks(tmp_path, write_images, capsys):
    values = BOX.astype(np.uint16) * 300
    values[10:20, 20:30] = 2  # touches the other
    write_images(tmp_path / "masks/01", 2, "{}.png", images=[values, values])
    assert masks_to(tmp_path, tmp_path / "masks") == "0,0,10,10,29,19\n0,1,10,10,29,19\n"
    (tmp_path / "tracks/01.txt").unlink()
    (tmp_path / "tracks").rmdir()
    assert masks_to(tmp_path, tmp_path / "masks", "--objects").splitlines() == [
        "2,0,20,10,29,19",
        "2,1,20,10,29,19",
        "300,0,10,10,19,19",
        "300,1,10,10,19,19",
    ]
    write_images(tmp_path / "jpeg/01", 1, images=[BOX * 200])
    with pytest.raises(SystemExit, match=r"000\.jpg: a JPEG, which changes the numbers of objects"):
        tracks.main(["masks", str(tmp_path / "jpeg"), "--out", str(tmp_path / "o"), "--objects"])


def test_the_layout_of_ubnormal(tmp_path, write_images, capsys):
    name = "abnormal_scene_1_scenario_2"
    folder = tmp_path / f"Scene1/{name}_annotations"
    values = BOX * 7
    values[30:40, 30:40] = 9  # a normal object
    write_images(folder, 4, f"{name}_{{:04d}}_gt.png", images=[values] * 3 + [values * 0])
    (folder / f"{name}_tracks.txt").write_text("7,1,3\n")
    (tmp_path / f"Scene1/{name}.mp4").touch()
    (tmp_path / "Scene1/normal_scene_1_scenario_1.mp4").touch()
    for where in (tmp_path, tmp_path / "Scene1"):
        out = tmp_path / f"tracks of {where.name}"
        tracks.main(["masks", str(where), "--out", str(out)])
        assert (out / f"{name}.txt").read_text() == "0,1,10,10,19,19\n0,2,10,10,19,19\n"
    assert f"{name}: no part of its object is seen in 1 frames" in capsys.readouterr().out


def test_annotations_without_an_anomaly_are_said(tmp_path, write_images, capsys):
    folder = tmp_path / "Scene1/a_annotations"
    write_images(folder, 2, "a_{:04d}_gt.png", images=[BOX * 7] * 2)
    (folder / "a_tracks.txt").write_text("")
    tracks.main(["masks", str(tmp_path), "--out", str(tmp_path / "out")])
    assert (tmp_path / "out/a.txt").read_text() == ""
    said = capsys.readouterr().err
    assert (
        said == f"note: {folder}/a_tracks.txt: has no row, so no object of this video is "
        "anomalous\n"
    )


def test_damaged_masks_end_with_one_line(tmp_path, write_images):
    write_images(tmp_path / "masks/01", 3, "{}.png", images=[BOX] * 3)
    path = tmp_path / "masks/01/1.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(SystemExit, match=r"error: .*masks/01/1\.png: cut short \(60 bytes\)"):
        masks_to(tmp_path, tmp_path / "masks")
    write_images(tmp_path / "masks/01", 1, "{}.png", first=1, images=[BOX[:9]])
    with pytest.raises(SystemExit, match=r"1\.png: a mask of shape \(9, 64\), expected \(48, 64\)"):
        masks_to(tmp_path, tmp_path / "masks")


def mot(folder, **videos):
    """Writes rows of MOTChallenge, a file a video."""
    folder.mkdir()
    for name, rows in videos.items():
        text = "".join(f"{frame},{track},10,20,8,16,1,-1,-1,-1\n" for frame, track in rows)
        (folder / f"{name}.txt").write_text(text)
    return folder


def test_a_dataset_of_tracks(tmp_path, capsys):
    """Frames count from 1 there; the labels say how many frames a video has."""
    train = mot(tmp_path / "train", a=[(1, 1), (3, 1)], empty=[])
    test = mot(tmp_path / "test", b=[(2, 5), (1, 5)])
    labels = tmp_path / "labels.json"
    labels.write_text('{"b": {"frames": 9, "intervals": [[2, 4]]}}')
    flags = ["dataset", f"--train={train}", f"--test={test}", "--size=48x64"]
    out = tmp_path / "out"
    tracks.main([*flags, f"--labels={labels}", "--fps=24", f"--out={out}"])
    data = Dataset(out)
    a, empty = TrackedVideos(data, "train")
    np.testing.assert_array_equal(a.rows, [[0, 1, 10, 20, 18, 36], [2, 1, 10, 20, 18, 36]])
    assert (a.num_frames, empty.num_frames, len(empty.rows)) == (3, 1, 0)
    (b,) = TrackedVideos(data, "test")
    assert b.rows[:, 0].tolist() == [0, 1] and b.labels.tolist() == [0, 0, 1, 1, 0, 0, 0, 0, 0]
    captured = capsys.readouterr()
    assert "test: 1 videos, 9 frames (2 anomalous, 7 normal), 2 boxes" in captured.out
    assert "shanghaitech_attributes.py:tracks" in captured.out
    assert "the numbers of frames of 2 videos are not known" in captured.err
    assert "their columns are taken as frame,track,x,y,w,h,-,-,-,-" in captured.err


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"b": {"frames": 1, "intervals": []}}', r"b\.txt:1: no such frame"),
        ('{"b": {"frames": 9, "intervals": [[8, 10]]}}', r"b: interval \[8, 10\) is not within"),
        ('{"b": {"frames": true, "intervals": []}}', "b: intervals with frames True"),
        ('{"b": {"frames": 9, "intervals": 3}}', "b: expected labels, or intervals"),
        ('{"b": [[1, 2]]}', "b has intervals, whose number of frames is not known"),
        ('{"c": {"frames": 9, "intervals": []}}', "no labels for b and labels for c"),
        (
            '{"a": {"frames": 9, "intervals": [[0, 1]]}, "b": {"frames": 9, "intervals": []}}',
            "1 training videos have anomalous frames, the first a",
        ),
    ],
)
def test_labels_that_do_not_fit_a_dataset_of_tracks(tmp_path, content, problem):
    train, test = mot(tmp_path / "train", a=[(1, 1)]), mot(tmp_path / "test", b=[(2, 5)])
    (tmp_path / "labels.json").write_text(content)
    flags = [f"--train={train}", f"--test={test}", f"--labels={tmp_path / 'labels.json'}"]
    with pytest.raises(SystemExit, match=problem):
        tracks.main(["dataset", *flags, "--size=48x64", f"--out={tmp_path / 'out'}"])
    assert not (tmp_path / "out").exists()


def test_columns_of_a_dataset_of_tracks(tmp_path):
    (tmp_path / "train").mkdir()
    path = tmp_path / "train" / "a.txt"
    flags = ["dataset", f"--train={path.parent}", "--size=48x64", f"--out={tmp_path / 'out'}"]
    path.write_text("0,1,2,3\n")
    with pytest.raises(SystemExit, match=r"a\.txt:1: 4 columns; expected frame,track,x,y,w,h and"):
        tracks.main(flags)
    path.write_text("7 0 1 2 9 9\n7 0 1 2 9 9\n")
    columns = ["--columns=track,frame,x0,y0,x1,y1", "--first_frame=0"]
    with pytest.raises(SystemExit, match="video a: .*or are there twice"):
        tracks.main([*flags, *columns])
    path.write_text("7 0 1 2 9 9\n")
    tracks.main([*flags, *columns])
    (video,) = TrackedVideos(Dataset(tmp_path / "out"), "train")
    assert video.rows.tolist() == [[0, 7, 1, 2, 9, 9]]
