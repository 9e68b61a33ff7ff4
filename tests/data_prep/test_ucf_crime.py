import json
import warnings

import numpy as np
import pytest

from data_prep import ucf_crime
from vadjax.data import bags
from vadjax.data.segments import pool_clips
from vadjax.data.store.records import Dataset

RNG = np.random.default_rng(0)
TRAIN = {"normal": ["Normal/N1", "Normal/N2", "Normal/N1"], "anomaly": ["Abuse/A1", "Arson/B1"]}
TEST_NORMAL, TEST_ANOMALY = "Testing/T1_x264", "Arson/B2_x264"


def write_lists(folder, v2=True, ending="\n"):
    folder.mkdir(parents=True, exist_ok=True)
    for kind, names in TRAIN.items():
        text = "\n".join(f"{name}.mp4" for name in names)
        (folder / f"train_{kind}.txt").write_text(text + ending)
    v2 = "v2" if v2 else ""
    (folder / f"test_normal{v2}.txt").write_text(f"{TEST_NORMAL}.mp4 500 -1{ending}")
    line = f"{TEST_ANOMALY}.mp4|320|[17, 32, 300, 321]"
    (folder / f"test_anomaly{v2}.txt").write_text(line + ending)


def all_names():
    return {*TRAIN["normal"], *TRAIN["anomaly"], TEST_NORMAL, TEST_ANOMALY}


@pytest.fixture
def two_stream(tmp_path):
    root, arrays = tmp_path / "features", {}
    write_lists(root)
    for name in all_names():
        for stream in ("all_rgbs", "all_flows"):
            array = RNG.standard_normal((32, 1024)).astype(np.float32)
            path = root / stream / f"{name}.mp4.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, array)
            arrays[name, stream] = array
    return root, arrays


def prepare(*args, **kwargs):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*ends past its")
        ucf_crime.prepare(*args, **kwargs)
    return Dataset(kwargs.get("out", args[1]))


@pytest.mark.parametrize("ending", ["\n", ""])
def test_two_streams_side_by_side(two_stream, tmp_path, ending):
    root, arrays = two_stream
    write_lists(root, ending=ending)
    data = prepare(root, tmp_path / "out")
    assert data.manifest["streams"] == {"rgb": 1024, "flow": 1024}
    train = bags.Bags(data, "train")
    names = [name.split("/")[1] for name in TRAIN["normal"] + TRAIN["anomaly"]]
    assert [bag.video for bag in train] == names  # the repeated name stays repeated
    assert [bag.label for bag in train] == [0, 0, 0, 1, 1]
    flow = bags.Bags(data, "train", "FLOW", label=1)[1]
    np.testing.assert_array_equal(flow.features[0], arrays["Arson/B1", "all_flows"])
    normal, anomalous = bags.Bags(data, "test")
    assert (normal.video, normal.num_frames, len(normal.intervals)) == ("T1_x264", 500, 0)
    assert anomalous.class_name == "Arson" and anomalous.frame_labels.sum() == 16 + 21


def test_intervals_past_the_end_are_clipped_with_a_warning(two_stream, tmp_path):
    with pytest.warns(UserWarning, match=r"B2_x264: interval \[299, 321\) ends past its 320"):
        ucf_crime.prepare(two_stream[0], tmp_path / "out")
    anomalous = bags.Bags(Dataset(tmp_path / "out"), "test", label=1)[0]
    np.testing.assert_array_equal(anomalous.intervals, [[16, 32], [299, 320]])


def test_text_features_and_pooling(tmp_path):
    root = tmp_path / "features"
    write_lists(tmp_path, v2=False)
    clips = {name: RNG.standard_normal((40, 6)) for name in all_names()}
    for name, array in clips.items():
        path = root / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savetxt(path, array, "%f")
    with pytest.raises(ValueError, match="40 rows, expected 32 segments.*--pool"):
        prepare(root, tmp_path / "out")
    data = prepare(root, tmp_path / "out", pool=True, normalize=True)
    rows = bags.Bags(data, "test")[0].features
    assert rows.shape == (1, 32, 6)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=-1), 1, rtol=1e-6)


@pytest.fixture
def ten_crops(tmp_path):
    """Features of three crops, 40 rows of 6 columns, and their settings."""
    root, arrays = tmp_path / "features", {}
    write_lists(tmp_path)
    for name in all_names():
        arrays[name] = RNG.standard_normal((3, 40, 6)).astype(np.float32)
        path = root / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, arrays[name])
    (root / "settings.json").write_text(json.dumps({"weights": "0123", "crops": "three"}))
    return root, arrays


def test_crops_are_pooled_one_by_one(ten_crops, tmp_path):
    root, arrays = ten_crops
    data = prepare(root, tmp_path / "out", pool=True, normalize=True)
    rows = bags.Bags(data, "test")[0].features
    assert rows.shape == (3, 32, 6) and data.manifest["streams"] == {"features": 6}
    for crop, clips in zip(rows, arrays[TEST_NORMAL], strict=True):
        np.testing.assert_array_equal(crop, pool_clips(clips, 32, True))
    odd = root / f"{TEST_ANOMALY}.npy"
    np.save(odd, np.load(odd)[:2])
    with pytest.raises(ValueError, match=r"B2_x264.npy: 2 crops, .*N1.npy has 3; .*--crops"):
        prepare(root, tmp_path / "again", pool=True)


def test_the_manifest_says_how_rows_were_made(ten_crops, tmp_path):
    root, _ = ten_crops
    known = {"weights": "0123", "crops": "three"}
    data = prepare(root, tmp_path / "pooled", pool=True, normalize=True)
    after = {"pooling": "mean", "segments": 32, "normalize": True}
    assert data.manifest["extraction"] == {**known, **after}
    data = prepare(root, tmp_path / "plain", segments=40)
    after = {"pooling": None, "segments": None, "normalize": False}
    assert data.manifest["extraction"] == {**known, **after}
    settings = root / "settings.json"
    settings.write_text(json.dumps({"pooling": "linear", "segments": 40, "normalize": True}))
    data = prepare(root, tmp_path / "linear", segments=40)
    after = {"pooling": "linear", "segments": 40, "normalize": True}
    assert data.manifest["extraction"] == after
    with pytest.raises(ValueError, match="its rows are 40 segments already; leave out --pool"):
        prepare(root, tmp_path / "twice", pool=True)
    settings.write_text("[1]")
    with pytest.raises(ValueError, match="settings.json: not a JSON object"):
        prepare(root, tmp_path / "damaged", pool=True)
    settings.unlink()
    assert "extraction" not in prepare(root, tmp_path / "unknown", pool=True).manifest


def test_features_of_resampled_video_are_taken_to_fit_the_lists_and_that_is_said(
    ten_crops, tmp_path
):
    root, _ = ten_crops
    (root / "settings.json").write_text(json.dumps({"weights": "0123", "resample_fps": 25.0}))
    with pytest.warns(UserWarning, match="features: made of video .* resampled to 25 frames a sec"):
        data = prepare(root, tmp_path / "out", pool=True)
    assert data.manifest["extraction"]["resample_fps"] == 25


@pytest.mark.golden
def test_published_lists(golden, tmp_path):
    lists = json.loads((golden / "mil" / "ucf_crime_lists.json").read_text())
    files = {
        "train_normal.txt": lists["train_normal"],
        "train_anomaly.txt": [f"{c}/{n}" for c, ns in lists["train_anomaly"].items() for n in ns],
        "test_normalv2.txt": [f"{path} {frames} -1" for path, frames in lists["test_normal"]],
        "test_anomalyv2.txt": [f"{path}|{n}|{ends}" for path, n, ends in lists["test_anomaly"]],
    }
    for name, lines in files.items():
        (tmp_path / name).write_text("\n".join(map(str, lines)) + "\n")
    splits = ucf_crime.read_labels(tmp_path)
    test = splits["test"]
    with pytest.warns(UserWarning, match="ends past its") as caught:
        positive = sum(b - a for entry in test for a, b in ucf_crime.clip_intervals(entry))
    assert len(caught) == sum(any(b > e.num_frames for _, b in e.intervals) for e in test)
    assert lists["totals"] == {
        "test_frames_normal": sum(e.num_frames for e in test if not e.label),
        "test_frames_anomaly": sum(e.num_frames for e in test if e.label),
        "positive_frames": positive,
        "videos_shorter_than_512_frames": sum(e.num_frames < 512 for e in test),
    }
    normal = [entry.path for entry in splits["train"] if not entry.label]
    assert normal == lists["train_normal"]  # repeated names and all


def test_real_features(ucf_mini, tmp_path):
    data = prepare(ucf_mini / "c3d_fc6_32seg", tmp_path / "out")
    assert (data.splits["train"]["anomalous"], data.splits["train"]["normal"]) == (13, 10)
    assert (data.splits["test"]["anomalous"], data.splits["test"]["normal"]) == (10, 7)
    assert data.manifest["streams"] == {"features": 4096}
    for bag in bags.Bags(data, "test"):
        path = ucf_mini / "c3d_fc6_32seg" / bag.class_name / f"{bag.video}.npy"
        np.testing.assert_array_equal(bag.features[0], np.load(path))
        assert bag.frame_labels.any() == bool(bag.label)


def test_absent_files_are_named_or_left_out(two_stream, tmp_path, capsys):
    root, _ = two_stream
    (root / "all_flows" / "Abuse" / "A1.mp4.npy").unlink()
    message = r"1 listed feature files(.|\n)*A1.mp4.npy(.|\n)*--skip_missing"
    with pytest.raises(FileNotFoundError, match=message):
        prepare(root, tmp_path / "out")
    data = prepare(root, tmp_path / "out", skip_missing=True)
    assert data.splits["train"]["anomalous"] == 1
    assert "Left out: 1" in capsys.readouterr().out


class Bomb:
    """A pickle that would run code."""

    def __reduce__(self):
        return (print, ("this must not run",))


def spoil(path, how):
    array = np.load(path)
    if how == "nan":
        array[3, 5] = np.nan
        np.save(path, array)
    elif how == "width":
        np.save(path, array[:, :1000])
    elif how == "rows":
        np.save(path, array[:31])
    elif how == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif how == "pickle":
        np.save(path, np.array([Bomb()], object), allow_pickle=True)
    elif how == "text":
        np.save(path, np.full((32, 1024), "x"))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("nan", r"1 of 32,768 values are NaN"),
        ("width", r"1000 columns, expected 1024 \(set by the layout\)"),
        ("rows", "31 rows, expected 32 segments"),
        ("truncated", "not a readable array"),
        ("pickle", "not a readable array .*it calls builtins.print"),
        ("text", r"<U1 \(32, 1024\); expected float"),
    ],
)
def test_bad_arrays_are_refused(two_stream, tmp_path, capsys, how, message):
    path = two_stream[0] / "all_rgbs" / f"{TEST_ANOMALY}.mp4.npy"
    spoil(path, how)
    with pytest.raises(ValueError, match=message) as caught:
        prepare(two_stream[0], tmp_path / "out")
    assert str(path) in str(caught.value)
    assert not (tmp_path / "out").exists()
    assert "must not run" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("test_normalv2.txt", "a/b.mp4 many -1", r"test_normalv2.txt:2: cannot read 'a/b.mp4 many"),
        ("test_normalv2.txt", "a/b.mp4 0 -1", "0 frames"),
        ("test_anomalyv2.txt", "a/b.mp4|100|[5, 2]", "expected pairs start <= end"),
        ("test_anomalyv2.txt", "a/b.mp4 100 5 7", r"expected: path\|frames"),
    ],
)
def test_bad_lines_name_file_and_line(two_stream, tmp_path, file, line, message):
    path = two_stream[0] / file
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(ValueError, match=message):
        prepare(two_stream[0], tmp_path / "out")


VIDEO = {"name": "v", "class_name": "c", "anomalous": True, "split": "train"}
TEST = {**VIDEO, "split": "test", "frames": 600, "intervals": [[3, 9]]}


def write_videos(folder, text: str):
    (folder / "f" / "c").mkdir(parents=True)
    np.save(folder / "f" / "c" / "v.npy", np.zeros((32, 4), np.float32))
    (folder / "videos.json").write_text(text)
    return folder / "f"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[{", "videos.json:1: not JSON"),
        (json.dumps([{**VIDEO, "anomalous": "false"}]), "anomalous: 'false'"),
        (json.dumps([{**VIDEO, "frames": "600"}]), "'600' is not a whole number"),
        (json.dumps([{**VIDEO, "intervals": [3, 9]}]), r"expected .*intervals: \[\[start, stop\]"),
        (json.dumps([{"name": "v"}]), "has no field 'split'"),
        (json.dumps([{**VIDEO, "split": "val"}]), "has no field 'val'"),
        (
            json.dumps([VIDEO, {**VIDEO, "split": "test", "frames": 600}]),
            "v: an anomalous test video needs its intervals",
        ),
        (
            json.dumps([VIDEO, {**VIDEO, "split": "test", "intervals": [[3, 9]]}]),
            r"v: a test video needs its number of frames.*videos.json\)",
        ),
        ('[{"name": "v", "name": "w"}]', "the key 'name' is there twice"),
        (
            json.dumps([VIDEO, {**TEST, "intervals": [[700, 900]]}]),
            r"v: interval \[700, 900\) outside",
        ),
        (json.dumps([VIDEO, {**TEST, "frames": 1 << 70}]), "frames; expected 20,000,000 at most"),
        (json.dumps([VIDEO, TEST, TEST]), "v is listed twice among the test videos"),
        (json.dumps([TEST]), "split 'train' is empty"),
        (json.dumps([VIDEO, {**TEST, "name": "w"}]), "feature files are not there"),
        (json.dumps([VIDEO, {**TEST, "name": "n" * 250}]), "cannot be the name of a video"),
    ],
)
def test_unusable_videos_json_is_named(tmp_path, text, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        prepare(write_videos(tmp_path, text), tmp_path / "out")
    assert str(tmp_path / "videos.json") in str(caught.value)


def test_unusable_lists_are_named(two_stream, tmp_path):
    path = two_stream[0] / "test_anomalyv2.txt"
    path.write_text(f"{TEST_ANOMALY}.mp4|320|[400, 500]\n")
    with pytest.raises(ValueError, match=r"interval \[399, 500\) outside .*test_anomalyv2.txt"):
        prepare(two_stream[0], tmp_path / "out")


def test_training_videos_need_no_frames_and_no_intervals(tmp_path):
    test = {**VIDEO, "split": "test", "frames": 600, "intervals": [[3, 9]]}
    data = prepare(write_videos(tmp_path, json.dumps([VIDEO, test])), tmp_path / "out")
    assert bags.Bags(data, "train")[0].num_frames == bags.UNKNOWN_LENGTH


def test_values_beyond_float32_are_refused(two_stream, tmp_path):
    path = two_stream[0] / "all_rgbs" / f"{TEST_ANOMALY}.mp4.npy"
    np.save(path, np.full((32, 1024), 1e60))
    with pytest.raises(ValueError, match="32,768 of 32,768 values are NaN or infinite"):
        prepare(two_stream[0], tmp_path / "out")


def test_an_interval_that_begins_past_the_end_is_refused():
    entry = ucf_crime.Entry("a/b", 1, 100, ((100, 120),))
    with pytest.raises(ValueError, match=r"b: interval \[100, 120\) outside its 100 frames"):
        ucf_crime.clip_intervals(entry)


def test_a_test_video_listed_twice_is_refused(two_stream, tmp_path):
    path = two_stream[0] / "test_normalv2.txt"
    path.write_text(path.read_text() * 2)
    with pytest.raises(ValueError, match="T1_x264 is listed twice"):
        prepare(two_stream[0], tmp_path / "out")


def test_missing_places(tmp_path, two_stream):
    with pytest.raises(FileNotFoundError, match="no such folder of features"):
        prepare(tmp_path / "none", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="found neither all_rgbs/ and all_flows/"):
        prepare(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(FileNotFoundError, match=r"\(--labels\)"):
        prepare(two_stream[0], tmp_path / "out", labels=tmp_path / "none")
    (two_stream[0] / "train_normal.txt").unlink()
    with pytest.raises(FileNotFoundError, match="no train_normal.txt and no videos.json"):
        prepare(two_stream[0], tmp_path / "out")


def test_an_empty_split_is_refused(two_stream, tmp_path):
    for name in ("test_normalv2.txt", "test_anomalyv2.txt"):
        (two_stream[0] / name).write_text("\n")
    with pytest.raises(ValueError, match="split 'test' is empty"):
        prepare(two_stream[0], tmp_path / "out")


def test_command_line(two_stream, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["--features", str(two_stream[0]), "--out", str(out), "--format", "tfrecord"]
    ucf_crime.main(arguments)
    said, warned = capsys.readouterr()
    assert "warning: B2_x264" in warned and "train: 5 videos (2 anomalous, 3 normal)" in said
    with pytest.raises(SystemExit, match="error: .*exists and is left as it is"):
        ucf_crime.main(arguments)
