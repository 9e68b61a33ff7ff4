"""Lists of videos as they are published: paths, labels, crops, classes and marks of editors."""

import json

import pytest

from vadjax.formats import annotations, lists
from vadjax.formats.entries import Entry, shared_videos, split_name, unique_names


def written(path, *lines):
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("file", "name", "crop"),
    [
        ("Abuse001_x264_i3d.npy", "Abuse001_x264", None),
        ("Abuse001_x264.mp4.npy", "Abuse001_x264", None),
        ("Abuse001_x264.MP4", "Abuse001_x264", None),
        ("Abuse001_x264__9.npy", "Abuse001_x264", 9),
        ("v=9eME__#01-12-00_01-18-00_label_A__4.npy", "v=9eME__#01-12-00_01-18-00_label_A", 4),
        ("01_0014", "01_0014", None),
        ("01_0014_0.npy", "01_0014_0", None),
    ],
)
def test_names_of_files(file, name, crop):
    assert split_name(file) == (name, crop)


def test_windows_paths(tmp_path):
    path = written(
        tmp_path / "a.list", r"G:\UCF_Train_ten_crop_i3d\Abuse001_x264_i3d.npy", "b/c.npy"
    )
    first, second = lists.read_list(path)
    assert (first.name, first.folder) == ("Abuse001_x264", "UCF_Train_ten_crop_i3d")
    assert (second.name, second.path, second.label) == ("c", "b/c.npy", None)


def test_pel4vad_lists_a_label_for_every_crop(tmp_path, capsys):
    videos = {"train/01_0014": "1.0", "train/01_002": "0.0"}
    lines = [f"{video}_{k}.npy {label}" for video, label in videos.items() for k in range(10)]
    found = lists.read_list(written(tmp_path / "train.list", *lines))
    assert [(entry.name, entry.label, entry.crops) for entry in found] == [
        ("01_0014", 1, (*range(10),)),
        ("01_002", 0, (*range(10),)),
    ]
    assert "its 20 lines are 2 videos, a line a crop" in capsys.readouterr().err
    with pytest.raises(
        ValueError, match="train.list: 01_002 is listed with 9 crops, without crop 0"
    ):
        lists.read_list(written(tmp_path / "train.list", *lines[:10], *lines[11:]))
    lines[13] = lines[13].replace("0.0", "1.0")
    with pytest.raises(ValueError, match="the crops of 01_002 have different labels"):
        lists.read_list(written(tmp_path / "train.list", *lines))


def test_pel4vad_has_no_number_for_crop_0_of_ucf_crime(tmp_path):
    lines = [
        f"Abuse/{name}{crop}.npy" for name in "ab" for crop in ("", "__1", "__2", "__3", "__4")
    ]
    found = lists.read_list(written(tmp_path / "a.list", *lines))
    assert [(entry.name, entry.crops) for entry in found] == [
        ("a", (*range(5),)),
        ("b", (*range(5),)),
    ]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a__0.npy", "a__1.npy", "b__0.npy"], "b is listed with 1 crops, without crop 1"),
        (["a__0.npy", "a__2.npy", "b__0.npy"], "a is listed with 2 crops, without crop 1"),
        (["a__0.npy", "a__0.npy"], "crop 0 of a is listed twice"),
        (["a.npy", "a__0.npy"], "crop 0 of a is listed twice"),
        (["a.npy 1", "b.npy"], "1 of 2 lines have no label, such as b.npy"),
        (["a.npy 2"], "a.list:1: '2' after a.npy; expected .* a label, 0 or 1"),
        (["a.mp4 940 -1"], "'940 -1' after a.mp4"),
        ([""], "no videos in this list"),
    ],
)
def test_lines_that_are_refused(tmp_path, lines, message):
    with pytest.raises(ValueError, match=message):
        lists.read_list(written(tmp_path / "a.list", *lines))


def test_numbers_that_are_no_crops(tmp_path, capsys):
    """A camera with three videos and one with two; and one crop of every video."""
    cameras = ["cam_0.npy", "cam_1.npy", "cam_2.npy", "hall_0.npy", "hall_1.npy"]
    found = lists.read_list(written(tmp_path / "a.list", *cameras))
    assert [entry.name for entry in found] == [name.removesuffix(".npy") for name in cameras]
    found = lists.read_list(written(tmp_path / "a.list", "a__5.npy", "b__5.npy"))
    assert [(entry.name, entry.crops) for entry in found] == [("a", (5,)), ("b", (5,))]
    assert not capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_csv_of_s3r_and_of_spreadsheets(tmp_path, encoding, delimiter):
    path = tmp_path / "x.csv"
    text = "video-id,label\nA1,1\nN1, 0\n".replace(",", delimiter)
    path.write_bytes(text.encode(encoding))
    assert lists.read_list(path) == [Entry("A1", 1), Entry("N1", 0)]


def test_csv_of_vadclip(tmp_path):
    lines = ["path,label"]
    lines += [f"/home/x/UCFClipFeatures/Abuse/Abuse001_x264__{k}.npy,Abuse" for k in range(10)]
    lines += [f"/home/x/UCFClipFeatures/Normal/N1_x264__{k}.npy,Normal" for k in range(10)]
    abuse, normal = lists.read_list(written(tmp_path / "ucf.csv", *lines))
    assert (abuse.name, abuse.label, abuse.class_name) == ("Abuse001_x264", 1, "Abuse")
    assert (normal.name, normal.label, len(normal.crops)) == ("N1_x264", 0, 10)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["video-id,label", "a,A", "b,B1-0-0"], "a has label 'A'; expected 0 or 1, or names of"),
        (["video-id,label", "a,1", "b,Normal"], "a has label '1'; expected 0 or 1, or the name"),
        (["video-id,label", "a"], "a has label ''"),
        (["name,label", "a,1"], r"columns \['name', 'label'\]; expected video-id or path"),
        ([], r"columns \[\]"),
    ],
)
def test_csv_that_is_refused(tmp_path, lines, message):
    with pytest.raises(ValueError, match=message):
        lists.read_list(written(tmp_path / "x.csv", *lines))


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_four_lists_with_marks_windows_paths_and_capitals(tmp_path, mark):
    contents = {
        "Train_Normal.txt": rb"Normal\N1.mp4",
        "train_anomaly.txt": b"Abuse/A1.mp4",
        "test_normalv2.txt": rb"Normal\N2.mp4 640 -1",
        "Test_AnomalyV2.TXT": b"Abuse\\A2.mp4|640|[100, 200]",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(mark + content + b"\r\n")
    splits = lists.read_four(tmp_path)
    assert splits["train"] == [Entry("Normal/N1.mp4", 0), Entry("Abuse/A1.mp4", 1)]
    assert splits["test"] == [
        Entry("Normal/N2.mp4", 0, 640),
        Entry("Abuse/A2.mp4", 1, 640, ((99, 200),)),
    ]


@pytest.mark.parametrize(
    "videos", [{"a": 1}, 5, [5], [{"split": "test", "name": 5, "class_name": "c"}], [[]], None]
)
def test_json_that_is_no_list_of_videos(tmp_path, videos):
    path = tmp_path / "videos.json"
    path.write_text(json.dumps(videos))
    with pytest.raises(ValueError, match="videos.json: "):
        lists.read_videos_json(path)
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match="videos.json: not JSON .*nested too deep"):
        lists.read_videos_json(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "Abuse/1.npy 1\n../../x.npy 1\n", r"a\.txt:2: '\.\./\.\./x\.npy' cannot be"),
        ("a.txt", "..\\..\\x.npy\n", r"a\.txt:1: '\.\./\.\./x\.npy' cannot be"),
        ("a.txt", "a\x1b[2Jb.npy\n", r"a\.txt:1: 'a\\x1b\[2Jb\.npy' cannot be"),
        ("a.csv", "path,label\nx/../../y,1\n", r"a\.csv: 'x/\.\./\.\./y' cannot be"),
        ("a.csv", "path\n../y\n", r"a\.csv: '\.\./y' cannot be"),
    ],
)
def test_names_that_lead_out_of_their_folder(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        lists.read_list(tmp_path / name)


def test_annotations_and_videos_that_lead_out(tmp_path):
    (tmp_path / "a.txt").write_text("Abuse1.mp4 Abuse 1 5 -1 -1\n../x.mp4 Abuse 1 5 -1 -1\n")
    with pytest.raises(ValueError, match=r"a\.txt:2: cannot read .*'\.\./x\.mp4' cannot be"):
        annotations.read_annotation(tmp_path / "a.txt")
    video = {"split": "test", "name": "x", "class_name": "..", "frames": 5, "anomalous": 0}
    (tmp_path / "videos.json").write_text(json.dumps([video]))
    with pytest.raises(ValueError, match=r"videos\.json: .*'\.\./x' cannot be"):
        lists.read_videos_json(tmp_path / "videos.json")


def test_names_that_classes_share(capsys):
    entries = [Entry("Fighting/1.mp4", 1), Entry("Robbery/1.mp4", 1), Entry("Robbery/2.mp4", 1)]
    assert unique_names(entries, "test") == ["Fighting_1", "Robbery_1", "2"]
    assert "videos of several classes share a name; named Fighting_1" in capsys.readouterr().err
    assert unique_names([entries[2]] * 2, "train") == ["2", "2"]  # one video, listed twice
    clash = [*entries, Entry("Fire/Robbery_1.mp4", 1)]
    with pytest.raises(ValueError, match=r"Robbery/1.mp4 and Fire/Robbery_1.mp4 would both be"):
        unique_names(clash, "test")
    for path in ("Abuse/..", "Abuse/.hidden.mp4"):
        with pytest.raises(ValueError, match="cannot be the name of a video"):
            unique_names([Entry(path, 1)], "test")


def test_videos_of_both_splits():
    train = [Entry("Train/a.npy"), Entry("Train/b.npy")]
    assert shared_videos(train, [Entry("Test/b.npy"), Entry("Test/c.npy")]) == ["b"]
    train = [Entry("Fighting/1.mp4"), Entry("Robbery/2.mp4")]
    test = [Entry("Robbery/1.mp4"), Entry("Fighting/2.mp4"), Entry("Robbery/2.mp4")]
    assert shared_videos(train, test) == ["2"]
    assert not shared_videos(train, test[:2])
