"""Lists of weakly supervised sets and features together, in the forms that people have them."""

import json

import numpy as np
import pytest

from data_prep import labelled_images, shanghaitech_features, ucf_crime, ucsd_ped
from vadjax.data.bags import Bags
from vadjax.data.store.records import Dataset
from vadjax.data.video.reader import find_videos
from vadjax.scores import files


def save(path, *shape):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.random.default_rng([*path.stem.encode()]).random(shape, np.float32)
    np.save(path, rows)
    return rows


def prepare(features, out, program=ucf_crime, **options) -> Dataset:
    program.prepare(features, out, **options)
    return Dataset(out)


def names_of(data, split):
    return [bag.video for bag in Bags(data, split)]


@pytest.mark.parametrize("program", [ucf_crime, shanghaitech_features])
def test_windows_paths_of_rtfm(tmp_path, program):
    videos = {
        "Train": ("Abuse001_x264", "Normal_Videos001_x264"),
        "Test": ("Abuse028_x264", "Normal_Videos_003_x264"),
    }
    for split, names in videos.items():
        for name in names:
            save(tmp_path / split / f"{name}_i3d.npy", 6, 2, 4)
        lines = [f"G:\\UCF_{split}_ten_crop_i3d\\{name}_i3d.npy" for name in names]
        (tmp_path / f"ucf-i3d-{split}.list").write_text("\r\n".join(lines))
    np.save(tmp_path / "gt.npy", np.repeat([0, 1, 0], [16, 32, 144]))
    data = prepare(tmp_path, tmp_path / "out", program)
    assert [names_of(data, split) for split in ("train", "test")] == [*map(list, videos.values())]
    assert Bags(data, "test")[0].features.shape == (2, 6, 4)


@pytest.fixture
def archive(tmp_path):
    """Features in the parts of UCF-Crime's archives, and the four lists."""
    root = tmp_path / "f"
    for path in (
        "Anomaly-Videos-Part-1/Abuse/Abuse001_x264",
        "Anomaly-Videos-Part-1/Abuse/Abuse028_x264",
        "Anomaly-Videos-Part-2/Arson/Arson001_x264",
        "Training-Normal-Videos-Part-1/N1_x264",
        "Testing_Normal_Videos_Anomaly/N2_x264",
    ):
        save(root / f"{path}.npy", 32, 8)
    lines = {
        "train_anomaly.txt": "Abuse/Abuse001_x264.mp4\nArson/Arson001_x264.mp4\n",
        "train_normal.txt": "Normal_Videos_event/N1_x264.mp4\n",
        "test_anomalyv2.txt": "Abuse/Abuse028_x264.mp4|640|[165, 240]\n",
        "test_normalv2.txt": "Normal_Videos_event/N2_x264.mp4 640 -1\n",
    }
    for name, text in lines.items():
        (tmp_path / name).write_text(text)
    return root


def test_parts_of_the_archive(archive, tmp_path, capsys):
    data = prepare(archive, tmp_path / "out")
    assert names_of(data, "train") == ["N1_x264", "Abuse001_x264", "Arson001_x264"]
    assert names_of(data, "test") == ["N2_x264", "Abuse028_x264"]
    assert not capsys.readouterr().out
    stored = np.load(archive / "Anomaly-Videos-Part-1/Abuse/Abuse028_x264.npy")
    np.testing.assert_array_equal(Bags(data, "test")[1].features[0], stored)


def test_parts_of_the_archive_in_two_streams(archive, tmp_path):
    for path in sorted(archive.rglob("*.npy")):
        for stream in ("all_rgbs", "all_flows"):
            name = path.relative_to(archive).with_suffix(".mp4.npy")
            save(archive / stream / name, 32, 1024)
        path.unlink()
    data = prepare(archive, tmp_path / "out")
    assert names_of(data, "test") == ["N2_x264", "Abuse028_x264"]
    assert data.manifest["streams"] == {"rgb": 1024, "flow": 1024}


def test_copies_in_two_folders_are_named(archive, tmp_path):
    save(archive / "copy" / "Abuse" / "Abuse028_x264.npy", 32, 8)
    message = "Abuse/Abuse028_x264.mp4: both .*Part-1/Abuse/Abuse028.*npy and .*copy/Abuse/Abuse028"
    with pytest.raises(ValueError, match=message):
        prepare(archive, tmp_path / "out")
    save(archive / "Abuse" / "Abuse028_x264.npy", 32, 8)  # as the list says
    prepare(archive, tmp_path / "out")


def test_features_of_another_class_are_not_taken(archive, tmp_path):
    (archive / "Anomaly-Videos-Part-2/Arson/Arson001_x264.npy").rename(
        archive / "Anomaly-Videos-Part-1/Abuse/Arson001_x264.npy"
    )
    with pytest.raises(FileNotFoundError, match=r"1 listed feature files(.|\n)*Arson001_x264.npy"):
        prepare(archive, tmp_path / "out")


def test_both_sides_are_counted_and_named(archive, tmp_path, capsys):
    (archive / "Anomaly-Videos-Part-2/Arson/Arson001_x264.npy").unlink()
    save(archive / "Anomaly-Videos-Part-1/Abuse/Abuse030_x264.npy", 32, 8)
    with pytest.raises(FileNotFoundError, match="1 listed feature files are not there"):
        prepare(archive, tmp_path / "out")
    prepare(archive, tmp_path / "out", skip_missing=True)
    printed = capsys.readouterr().out
    assert "Left out: 1 listed feature files that are not there, Arson001_x264.npy" in printed
    assert "Left out of split 'train', all videos of: Arson" in printed
    assert (
        "Not used: 1 feature files that no list has, Anomaly-Videos-Part-1/Abuse/Abuse030"
        in printed
    )


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("Abuse028*", "split 'test': none of its 1 anomalous videos has features"),
        ("N1*", "split 'train': none of its 1 normal videos has features"),
        ("A*1_*", "split 'train': none of its 2 anomalous videos has features"),
    ],
)
def test_a_whole_kind_is_never_left_out(archive, tmp_path, pattern, message):
    for path in archive.rglob(f"{pattern}.npy"):
        path.unlink()
    with pytest.raises(ValueError, match=message):
        prepare(archive, tmp_path / "out", skip_missing=True)
    assert not (tmp_path / "out").exists()


def write_classes(root, classes=("Fighting", "Robbery", "Normal")):
    """One name in every class."""
    videos = []
    for split in ("train", "test"):
        for kind in classes:
            save(root / "f" / kind / f"{split}_001.npy", 32, 8)
            bad = kind != "Normal"
            video = {"name": f"{split}_001", "class_name": kind, "anomalous": bad, "split": split}
            videos.append(video | {"frames": 640, "intervals": [[1, 200]] if bad else []})
    (root / "videos.json").write_text(json.dumps(videos), encoding="utf-8-sig")
    return root / "f"


def test_same_names_in_classes(tmp_path):
    data = prepare(write_classes(tmp_path), tmp_path / "out")
    names = names_of(data, "test")
    assert names == ["Fighting_test_001", "Robbery_test_001", "Normal_test_001"]
    assert names_of(data, "train")[0] == "Fighting_train_001"
    for name in names:  # they are names of files of scores
        files.write(tmp_path / "scores", files.Scores(name, np.zeros(4)))
    assert len([*(tmp_path / "scores").glob("*.npz")]) == 3


def test_same_names_in_the_lists_of_rtfm(tmp_path):
    for kind in ("Fighting", "Robbery", "Normal"):
        for split in ("train", "test"):
            save(tmp_path / kind / f"{split}_001_i3d.npy", 6, 4)
    for split in ("train", "test"):
        lines = [f"{kind}/{split}_001_i3d.npy\n" for kind in ("Fighting", "Robbery", "Normal")]
        (tmp_path / f"{split}.list").write_text("".join(lines))
    np.save(tmp_path / "gt.npy", np.repeat([1, 0, 1, 0], [10, 100, 50, 128]))
    data = prepare(tmp_path, tmp_path / "out")
    assert names_of(data, "test") == ["Fighting_test_001", "Robbery_test_001", "Normal_test_001"]
    for bag in Bags(data, "test"):
        path = tmp_path / bag.video.split("_")[0] / "test_001_i3d.npy"
        np.testing.assert_array_equal(bag.features[0], np.load(path))
    (tmp_path / "Robbery" / "test_001_i3d.npy").unlink()
    message = "no features of 1 of 3 test videos .*: Robbery/test_001_i3d.npy"
    with pytest.raises(FileNotFoundError, match=message):
        prepare(tmp_path, tmp_path / "again")


def test_two_listed_videos_never_have_one_file(tmp_path):
    root = write_rtfm(tmp_path / "r")
    np.save(root / "gt.npy", np.repeat([0, 1, 0], [30, 40, 570]))
    lines = [
        "/x/a/Abuse028_x264_i3d.npy",
        "/x/b/Abuse028_x264_i3d.npy",
        "/x/a/Normal_Videos_003_x264.npy",
    ]
    (root / "test.list").write_text("\n".join(lines))
    with pytest.raises(ValueError, match="are two videos of the test list, but the only features"):
        prepare(root, tmp_path / "out")


ANNOTATION = (
    "Abuse028_x264.mp4  Abuse  165  240  -1  -1  \n"
    "Normal_Videos_003_x264.mp4  Normal  -1  -1  -1  -1  \n"
)


@pytest.fixture
def official(tmp_path):
    """UCF-Crime's own lists, and features of 32 segments."""
    root = tmp_path / "f"
    train = ["Abuse/Abuse001_x264.mp4", "Training_Normal_Videos_Anomaly/Normal_Videos001_x264.mp4"]
    for path in (*train, "Abuse/Abuse028_x264", "Testing_Normal/Normal_Videos_003_x264"):
        save(root / f"{path.removesuffix('.mp4')}.npy", 32, 8)
    (tmp_path / "Anomaly_Train.txt").write_text("\n".join(train))
    (tmp_path / "Temporal_Anomaly_Annotation.txt").write_text(ANNOTATION)
    return root


def test_official_annotations_with_numbers_of_frames(official, tmp_path):
    with pytest.raises(ValueError, match="Abuse028_x264, Normal_Videos_003_x264: .*--frames"):
        prepare(official, tmp_path / "out")
    frames = tmp_path / "frames.txt"
    frames.write_text("Abuse028_x264.mp4 1412\n")
    with pytest.raises(ValueError, match="Normal_Videos_003_x264: .*frames.txt lacks"):
        prepare(official, tmp_path / "out", frames=frames)
    frames.write_text("Abuse028_x264.mp4 1412\nNormal_Videos_003_x264.mp4 2820\n")
    data = prepare(official, tmp_path / "out", frames=frames)
    abuse, normal = Bags(data, "test")
    assert (abuse.num_frames, normal.num_frames, normal.class_name) == (1412, 2820, "Normal")
    np.testing.assert_array_equal(abuse.intervals, [[164, 240]])  # frames 165 to 240 from 1
    assert [bag.label for bag in Bags(data, "train")] == [1, 0]


def test_official_annotations_with_clips(official, tmp_path, capsys):
    """Rows of 16 frames say how many frames they cover; the number is said to be taken so."""
    for path in sorted(official.rglob("*.npy")):
        save(path, 40, 8)
    data = prepare(official, tmp_path / "out", pool=True)
    assert [bag.num_frames for bag in Bags(data, "test")] == [640, 640]
    assert "2 test videos have no number of frames; taken as" in capsys.readouterr().err
    (official / "settings.json").write_text(json.dumps({"step": 8, "pooling": None}))
    data = prepare(official, tmp_path / "steps", segments=40)
    assert [bag.num_frames for bag in Bags(data, "test")] == [39 * 8 + 16] * 2


def test_official_annotations_and_another_list(official, tmp_path):
    annotation = tmp_path / "Temporal_Anomaly_Annotation.txt"
    (tmp_path / "Anomaly_Train.txt").rename(tmp_path / "mine.txt")
    with pytest.raises(FileNotFoundError, match="Name it with --train_list"):
        prepare(official, tmp_path / "out", labels=annotation)
    for path in sorted(official.rglob("*.npy")):
        save(path, 40, 8)
    options = {"labels": annotation, "train_list": tmp_path / "mine.txt", "pool": True}
    assert len(Bags(prepare(official, tmp_path / "out", **options), "train")) == 2
    annotation.rename(tmp_path / "other.txt")
    with pytest.raises(ValueError, match="given together"):
        prepare(official, tmp_path / "again", train_list=tmp_path / "mine.txt")


def test_labels_that_are_in_no_form(official, tmp_path):
    with pytest.raises(
        ValueError, match="mine.csv: not a form of labels that is read: a folder with"
    ):
        (tmp_path / "mine.csv").write_text("a,b\n")
        prepare(official, tmp_path / "out", labels=tmp_path / "mine.csv")
    with pytest.raises(ValueError, match="--truth gt.npy: these lists have the events"):
        prepare(official, tmp_path / "out", truth="gt.npy")


def write_rtfm(root, tau=20):
    for split, names in (
        ("train", ("Abuse001_x264", "Normal_Videos001_x264")),
        ("test", ("Abuse028_x264", "Normal_Videos_003_x264")),
    ):
        for name in names:
            save(root / split / f"{name}_i3d.npy", tau, 10, 4)
        (root / f"{split}.list").write_text("".join(f"/x/{name}_i3d.npy\n" for name in names))
    return root


def test_official_annotations_of_listed_features(tmp_path):
    root = write_rtfm(tmp_path / "r")
    (root / "Temporal_Anomaly_Annotation.txt").write_text(ANNOTATION)
    data = prepare(root, tmp_path / "out")
    np.testing.assert_array_equal(Bags(data, "test")[0].intervals, [[164, 240]])
    (root / "Temporal_Anomaly_Annotation.txt").write_text(ANNOTATION.splitlines()[0])
    with pytest.raises(FileNotFoundError, match="no line for 1 videos: Normal_Videos_003_x264"):
        prepare(root, tmp_path / "again")


def test_events_past_the_listed_features(tmp_path):
    root = write_rtfm(tmp_path / "r", tau=14)  # 224 frames; the last snippet may be incomplete
    (root / "Temporal_Anomaly_Annotation.txt").write_text(ANNOTATION)
    np.testing.assert_array_equal(
        Bags(prepare(root, tmp_path / "out"), "test")[0].intervals, [[164, 224]]
    )
    root = write_rtfm(tmp_path / "s", tau=13)
    (root / "Temporal_Anomaly_Annotation.txt").write_text(ANNOTATION)
    with pytest.raises(ValueError, match="Abuse028_x264 has an event of frames 165 to 240, but 13"):
        prepare(root, tmp_path / "again")


def test_labels_of_videos_that_the_list_lacks_are_named(tmp_path, capsys):
    root = write_rtfm(tmp_path / "r")
    labels = {"Abuse028_x264": [0] * 160 + [1] * 160, "Normal_Videos_003_x264": [0] * 320}
    content = {name: {"num_frames": 320, "labels": row} for name, row in labels.items()}
    content["Abuse030_x264"] = {"num_frames": 2, "labels": [0, 1]}
    (root / "ground_truth.json").write_text(json.dumps(content), encoding="utf-8-sig")
    save(root / "test" / "Arson001_x264_i3d.npy", 20, 10, 4)
    prepare(root, tmp_path / "out")
    said = capsys.readouterr()
    assert "labels of 1 videos that the list lacks: Abuse030_x264" in said.err
    assert "Not used: 1 feature files that no list has, test/Arson001_x264_i3d.npy" in said.out


def test_a_video_in_both_splits_is_said(tmp_path, capsys):
    features = write_classes(tmp_path)
    videos = json.loads((tmp_path / "videos.json").read_text(encoding="utf-8-sig"))
    videos.append(videos[0] | {"split": "test"})
    (tmp_path / "videos.json").write_text(json.dumps(videos))
    prepare(features, tmp_path / "out")
    assert "1 videos are in both splits: train_001" in capsys.readouterr().err


MARK = b"\xef\xbb\xbf"  # as Notepad and Excel save UTF-8


def test_other_lists_with_marks(tmp_path):
    """Lists of videos, of labelled images, and labels of Ped2, as editors of Windows save them."""
    (tmp_path / "Fire").mkdir()
    (tmp_path / "Fire" / "a.avi").touch()
    (tmp_path / "clips.txt").write_bytes(MARK + b"Fire\\a.avi\r\n")
    assert find_videos(tmp_path, tmp_path / "clips.txt") == {"Fire/a": tmp_path / "Fire" / "a.avi"}
    (tmp_path / "clips.txt").write_bytes(b"C:\\Fire\\a.avi")
    with pytest.raises(ValueError, match="clips.txt: 'C:/Fire/a.avi' is not a path below"):
        find_videos(tmp_path, tmp_path / "clips.txt")
    (tmp_path / "labels.csv").write_bytes(MARK + b"a.png,car;person\r\n")
    (tmp_path / "a.png").touch()
    (row,) = labelled_images.read_rows(tmp_path, tmp_path / "labels.csv", ("car", "person"))
    assert row.name == "a.png"
    (tmp_path / "UCSDped2.m").write_bytes(MARK + b"TestVideoFile{1}.gt_frame = [61:180];\r\n")
    assert ucsd_ped.read_matlab_intervals(tmp_path / "UCSDped2.m") == [[(60, 180)]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("test_001 500", "3 test videos are named test_001, such as Fighting/test_001; write"),
        ("train_001 500", "test_001, test_001, test_001: a test video needs .*frames.txt lacks"),
    ],
)
def test_numbers_of_frames_of_names_in_several_classes(tmp_path, line, message):
    features = write_classes(tmp_path)
    videos = json.loads((tmp_path / "videos.json").read_text(encoding="utf-8-sig"))
    (tmp_path / "videos.json").write_text(json.dumps([v | {"frames": None} for v in videos]))
    (tmp_path / "frames.txt").write_text(line)
    with pytest.raises(ValueError, match=message):
        prepare(features, tmp_path / "out", frames=tmp_path / "frames.txt")


def test_numbers_of_frames_that_differ_from_the_lists(tmp_path):
    (tmp_path / "frames.txt").write_text("test_001 641")
    with pytest.raises(ValueError, match="Fighting/test_001: 640 frames in the list, 641 in .*txt"):
        prepare(write_classes(tmp_path), tmp_path / "out", frames=tmp_path / "frames.txt")
