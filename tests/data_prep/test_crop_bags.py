"""Features of several crops in the layouts of S3R and RTFM, and what is refused of them."""

import json

import numpy as np
import pytest
import scipy.io

from data_prep import shanghaitech_features, ucf_crime
from data_prep.lib import bag_labels, bags
from vadjax.data import segments
from vadjax.data.bags import Bags
from vadjax.data.store.records import Dataset

CROPS, WIDTH = 3, 5
TRAIN = {"01_001": (1, 40), "01_0014": (1, 7), "02_001": (0, 32), "02_002": (0, 33)}
TEST = {"03_0031": (1, 6), "03_0032": (0, 2)}  # name → label, snippets
LABELS = {"03_0031": np.repeat([0, 1, 0, 1], [20, 10, 50, 16]), "03_0032": np.zeros(32, int)}


def features_of(name: str, crops=CROPS, width=WIDTH) -> np.ndarray:
    tau = (TRAIN | TEST)[name][1]
    rng = np.random.default_rng(list(name.encode()))
    return rng.standard_normal((tau, crops, width)).astype(np.float32)


def write_csv(path, videos, labelled=True):
    rows = [f"{name},{label}" if labelled else name for name, (label, _) in videos.items()]
    path.write_text("\n".join(["video-id,label" if labelled else "video-id", *rows]) + "\n")


def write_json(path, labels=LABELS):
    content = {
        name: {"num_frames": len(row), "labels": row.astype(float).tolist()}
        for name, row in labels.items()
    }
    path.write_text(json.dumps(content))


@pytest.fixture
def s3r(tmp_path):
    """S3R's layout, with a column of labels."""
    root = tmp_path / "source"
    for split, videos in (("train", TRAIN), ("test", TEST)):
        (root / "i3d" / split).mkdir(parents=True)
        for name in videos:
            np.save(root / "i3d" / split / f"{name}_i3d.npy", features_of(name))
    write_csv(root / "shanghaitech.training.csv", TRAIN)
    write_csv(root / "shanghaitech.testing.csv", TEST)
    write_json(root / "shanghaitech_ground_truth.testing.json")
    return root


@pytest.fixture
def rtfm(tmp_path, monkeypatch):
    """RTFM's layout: paths of another machine, labels by position, those of frames in one array."""
    root = tmp_path / "source"
    for split, videos in (("train", TRAIN), ("test", TEST)):
        folder = root / f"SH_{split}_ten_crop_i3d"
        folder.mkdir(parents=True)
        for name in videos:
            np.save(folder / f"{name}_i3d.npy", features_of(name))
        lines = [f"/home/elsewhere/{folder.name}/{name}_i3d.npy" for name in videos]
        (root / f"shanghai-i3d-{split}-10crop.list").write_text("\n".join(lines) + "\n")
    np.save(root / "gt-sh.npy", np.concatenate(list(LABELS.values())).astype(np.float64))
    monkeypatch.setitem(bags.PUBLISHED, "shanghaitech", {"train": (2, 2), "test": (1, 1)})
    return root


def prepare(root, out, program=shanghaitech_features, **options) -> Dataset:
    program.prepare(root, out, **options)
    return Dataset(out)


def check(data: Dataset, sampling: str, crops: int = CROPS) -> None:
    """Every bag of the dataset is what was written, sampled in training and whole in testing."""
    assert data.manifest["streams"] == {"features": WIDTH} and data.manifest["crops"] == crops
    train, test = Bags(data, "train"), Bags(data, "test")
    assert [bag.video for bag in train] == list(TRAIN) and [bag.video for bag in test] == list(TEST)
    assert [bag.label for bag in train] == [label for label, _ in TRAIN.values()]
    for bag in train:
        given = features_of(bag.video, crops).transpose(1, 0, 2)
        expected = segments.SAMPLINGS[sampling](given, 32)
        np.testing.assert_array_equal(bag.features, expected)
        assert bag.num_frames == -1 and bag.features.shape == (crops, 32, WIDTH)
    for bag in test:
        given = features_of(bag.video, crops).transpose(1, 0, 2)
        np.testing.assert_array_equal(bag.features, given)
        np.testing.assert_array_equal(bag.frame_labels, LABELS[bag.video])
        assert bag.num_frames == 16 * TEST[bag.video][1]


@pytest.mark.parametrize("sampling", segments.SAMPLINGS)
def test_layout_of_s3r(s3r, tmp_path, sampling):
    data = prepare(s3r, tmp_path / "out", sampling=sampling)
    check(data, sampling)
    assert data.manifest["sampling"] == {"rule": sampling, "segments": 32}
    assert [bag.class_name for bag in Bags(data, "train")] == ["anomalous"] * 2 + ["normal"] * 2


def test_layout_of_rtfm(rtfm, tmp_path):
    check(prepare(rtfm, tmp_path / "out", file_format="tfrecord"), "linear")


@pytest.mark.parametrize("crops", [10, 5, 1])
def test_any_number_of_crops(s3r, tmp_path, crops):
    for path in s3r.rglob("*_i3d.npy"):
        features = features_of(path.name.removesuffix("_i3d.npy"), crops)
        np.save(path, features[:, 0] if crops == 1 else features)
    check(prepare(s3r, tmp_path / "out"), "linear", crops)


def test_features_saved_as_objects(s3r, tmp_path):
    path = s3r / "i3d/test/03_0031_i3d.npy"
    np.save(path, features_of("03_0031").astype(object), allow_pickle=True)
    rows = np.empty(2, object)
    rows[:] = list(features_of("03_0032"))
    np.save(s3r / "i3d/test/03_0032_i3d.npy", rows, allow_pickle=True)
    check(prepare(s3r, tmp_path / "out"), "linear")


class Code:
    """Pickles as a call."""

    def __reduce__(self):
        return print, ("this must not be printed",)


def test_objects_that_are_code_are_refused(s3r, tmp_path, capsys):
    path = s3r / "i3d/test/03_0031_i3d.npy"
    np.save(path, np.array([[[Code()]]]), allow_pickle=True)
    with pytest.raises(ValueError, match="03_0031_i3d.npy: refused"):
        prepare(s3r, tmp_path / "out")
    assert not capsys.readouterr().out


def test_labels_up_to_the_last_frame_are_padded(s3r, tmp_path):
    cut = {name: row[:-3] for name, row in LABELS.items()}
    write_json(s3r / "shanghaitech_ground_truth.testing.json", cut)
    with pytest.warns(UserWarning, match="2 of 2 videos have labels up to their last frame"):
        data = prepare(s3r, tmp_path / "out")
    check(data, "linear")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (-16, r"03_0031: 80 labels, but 6 snippets of 16 frames, which are 96: the labels lack"),
        (7, "103 labels, but 6 snippets .* 96: the features lack the last snippet.*--pad_last"),
        (40, "136 labels, but 6 snippets .* 96: are these the labels of these features"),
        (-40, "56 labels, but 6 snippets .* 96: are these the labels"),
    ],
)
def test_labels_of_another_length(s3r, tmp_path, change, message):
    row = LABELS["03_0031"]
    row = np.pad(row, (0, change)) if change > 0 else row[:change]
    write_json(s3r / "shanghaitech_ground_truth.testing.json", LABELS | {"03_0031": row})
    with pytest.raises(ValueError, match=message):
        prepare(s3r, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_labels_in_one_array_of_another_length(rtfm, tmp_path):
    np.save(rtfm / "gt-sh.npy", np.concatenate(list(LABELS.values()))[:-16])
    message = (
        "112 labels, but the 2 test videos have 8 snippets .* 128, 16 more: as many as the last"
    )
    with pytest.raises(ValueError, match=message):
        prepare(rtfm, tmp_path / "out")


def spoil_crops(root):
    np.save(root / "i3d/test/03_0032_i3d.npy", features_of("03_0032", crops=2))


def spoil_width(root):
    np.save(root / "i3d/test/03_0032_i3d.npy", features_of("03_0032", width=4))


def spoil_value(root):
    features = features_of("02_001")
    features[3, 1, 2] = np.nan
    np.save(root / "i3d/train/02_001_i3d.npy", features)


def spoil_shape(root):
    np.save(root / "i3d/train/02_001_i3d.npy", np.ones(5, np.float32))


def spoil_file(root):
    path = root / "i3d/train/02_001_i3d.npy"
    path.write_bytes(path.read_bytes()[:300])


def spoil_missing(root):
    (root / "i3d/train/02_001_i3d.npy").unlink()


def spoil_twice(root):
    write_csv(root / "shanghaitech.training.csv", TRAIN)
    with (root / "shanghaitech.training.csv").open("a") as file:
        file.write("02_001,0\n")


def spoil_both(root):
    write_csv(root / "shanghaitech.training.csv", TRAIN | {"03_0031": (1, 6)})


def spoil_labels(root):
    write_csv(root / "shanghaitech.training.csv", TRAIN, labelled=False)


def spoil_column(root):
    (root / "shanghaitech.training.csv").write_text("video\n01_001\n")


def spoil_label(root):
    (root / "shanghaitech.training.csv").write_text("video-id,label\n01_001,yes\n")


def spoil_order(root):
    write_json(
        root / "shanghaitech_ground_truth.testing.json",
        {"03_0031": np.zeros(96, int), "03_0032": np.ones(32, int)},
    )


def spoil_ones(root):
    write_json(
        root / "shanghaitech_ground_truth.testing.json",
        LABELS | {"03_0031": 2 * LABELS["03_0031"]},
    )


def spoil_truth(root):
    write_json(root / "shanghaitech_ground_truth.testing.json", {"03_0031": LABELS["03_0031"]})


def spoil_frames(root):
    content = {name: {"num_frames": 5, "labels": [0] * 96} for name in TEST}
    (root / "shanghaitech_ground_truth.testing.json").write_text(json.dumps(content))


def spoil_list(root):
    content = {name: {"num_frames": 5, "labels": 5} for name in TEST}
    (root / "shanghaitech_ground_truth.testing.json").write_text(json.dumps(content))


def spoil_json(root):
    (root / "shanghaitech_ground_truth.testing.json").write_text('{"03_0031": [0, 1]}')


def spoil_place(root):
    (root / "shanghaitech_ground_truth.testing.json").unlink()


def spoil_lists(root):
    write_csv(root / "ucf-crime.training.csv", TRAIN)


def spoil_copy(root):
    np.save(root / "i3d/train/03_0031.npy", features_of("03_0031"))
    np.save(root / "i3d/03_0031.npy", features_of("03_0031"))
    (root / "i3d/test/03_0031_i3d.npy").unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_crops, "03_0032_i3d.npy: 2 crops, but .*01_001_i3d.npy has 3"),
        (spoil_width, "03_0032_i3d.npy: 4 columns, but .*01_001_i3d.npy has 5"),
        (spoil_value, "02_001_i3d.npy: 1 of 480 values are NaN"),
        (spoil_shape, r"02_001_i3d.npy: float32 \(5,\); expected .*\[rows, crops, columns\]"),
        (spoil_file, "02_001_i3d.npy: refused"),
        (spoil_missing, "no features of 1 of 4 train videos .*: 02_001"),
        (spoil_twice, "02_001 is listed 2 times"),
        (spoil_both, "1 videos are in both lists: 03_0031"),
        (spoil_labels, "4 videos without labels; the published list has 63 anomalous and then 175"),
        (spoil_column, r"columns \['video'\]; expected video-id or path, and label if known"),
        (spoil_label, "01_001 has label 'yes'; expected 0 or 1"),
        (spoil_order, "03_0031 is listed as anomalous but has no anomalous frames"),
        (spoil_ones, "03_0031 has labels other than 0 and 1"),
        (spoil_truth, r"no labels of 1 videos: \['03_0032'\]"),
        (spoil_frames, "03_0031 has 5 frames but 96 labels"),
        (spoil_list, "labels of 03_0031: 5; expected a list of 0, 1"),
        (spoil_json, "cannot be read .*expected JSON"),
        (spoil_place, "no labels of the test frames .*--truth"),
        (spoil_lists, "expected one list of training and one of test videos"),
        (spoil_copy, "03_0031: both .*; keep one of them"),
    ],
)
def test_what_is_refused(s3r, tmp_path, spoil, message):
    spoil(s3r)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        prepare(s3r, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_counts_are_those_of_the_published_list(s3r, tmp_path, monkeypatch):
    monkeypatch.setitem(bags.PUBLISHED, "shanghaitech", {"train": (1, 3), "test": (1, 1)})
    with pytest.raises(ValueError, match="2 anomalous and 2 normal videos; .* has 1 and 3"):
        prepare(s3r, tmp_path / "out")


def test_a_folder_without_lists(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no list of videos \(\*.training.csv"):
        prepare(tmp_path, tmp_path / "out")
    with pytest.raises(ValueError, match="given together"):
        prepare(tmp_path, tmp_path / "out", train_list="a.list")
    lists = {"train_list": tmp_path / "a.list", "test_list": tmp_path / "b.list"}
    with pytest.raises(FileNotFoundError, match="a.list: no such list"):
        prepare(tmp_path, tmp_path / "out", **lists)


UCF_TRAIN = {"Abuse001_x264": 1, "Arson001_x264": 1, "Normal_Videos001_x264": 0}
UCF_TEST = {"Abuse028_x264": (1, 6), "Arson011_x264": (1, 5), "Normal_Videos_003_x264": (0, 2)}


@pytest.fixture
def ucf(tmp_path):
    """Lists of RTFM for UCF-Crime, and the annotations of its authors."""
    root = tmp_path / "source"
    (root / "mat").mkdir(parents=True)
    tau = {name: 34 for name in UCF_TRAIN} | {name: tau for name, (_, tau) in UCF_TEST.items()}
    for name, count in tau.items():
        np.save(root / f"{name}_i3d.npy", np.full((count, CROPS, WIDTH), count, np.float32))
    for path, names in (("ucf-i3d.list", UCF_TRAIN), ("ucf-i3d-test.list", UCF_TEST)):
        (root / path).write_text("\n".join(f"/elsewhere/{name}_i3d.npy" for name in names))
    write_events(root, "Abuse028_x264", [[10, 19], [50, 96]])  # to the end, and one past it
    write_events(root, "Arson011_x264", [[0, 4]])
    return root


def write_events(root, name, events):
    scipy.io.savemat(root / "mat" / f"{name}.mat", {"Annotation_file": {"Anno": events}})


def test_ucf_crime_with_lists_and_annotated_events(ucf, tmp_path):
    data = prepare(ucf, tmp_path / "out", ucf_crime, truth=ucf / "mat", sampling="mean")
    assert [(bag.video, bag.label) for bag in Bags(data, "train")] == list(UCF_TRAIN.items())
    first, second, normal = Bags(data, "test")
    np.testing.assert_array_equal(first.intervals, [[10, 20], [50, 96]])
    np.testing.assert_array_equal(second.intervals, [[0, 5]])
    assert not len(normal.intervals) and normal.features.shape == (CROPS, 2, WIDTH)
    assert [first.class_name, normal.class_name] == ["Abuse", "Normal_Videos"]


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([[10, 97]], "an event of frames 10 to 97, but 6 snippets of 16 frames, which are 96"),
        ([[20, 10]], "an event of frames 20 to 10"),
        ([[-1, -1]], "listed as anomalous but has no anomalous frames"),
        (None, "no annotation of this anomalous test video"),
    ],
)
def test_events_that_do_not_fit(ucf, tmp_path, events, message):
    (ucf / "mat" / "Abuse028_x264.mat").unlink()
    if events:
        write_events(ucf, "Abuse028_x264", events)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        prepare(ucf, tmp_path / "out", ucf_crime, truth=ucf / "mat")


def test_an_annotation_that_cannot_be_read(ucf, tmp_path):
    (ucf / "mat" / "Abuse028_x264.mat").write_bytes(b"no annotation")
    with pytest.raises(ValueError, match="cannot be read .*Annotation_file.Anno"):
        prepare(ucf, tmp_path / "out", ucf_crime, truth=ucf / "mat")
    with pytest.raises(ValueError, match="--pool, --normalize and --skip_missing: not with"):
        prepare(ucf, tmp_path / "out", ucf_crime, truth=ucf / "mat", pool=True)


def test_commands(s3r, ucf, tmp_path, capsys):
    """Both sets lie in one folder: the files are named."""
    flags = ["--features", str(s3r), "--out"]
    shanghaitech_features.main([*flags, str(tmp_path / "a"), "--sampling", "mean"])
    printed = capsys.readouterr().out
    assert "test: 2 videos (1 anomalous, 1 normal)" in printed
    assert "--config=configs/shanghaitech_rtfm.py --config.data.dir=" in printed
    lists = ("--train_list", ucf / "ucf-i3d.list", "--test_list", ucf / "ucf-i3d-test.list")
    more = [str(flag) for flag in (*lists, "--truth", ucf / "mat")]
    ucf_crime.main([*flags, str(tmp_path / "b"), *more])
    printed = capsys.readouterr().out
    assert "test: 3 videos (2 anomalous, 1 normal)" in printed
    assert "--config=configs/ucf_s3r.py --config.data.dir=" in printed
    with pytest.raises(SystemExit, match="error: .*segments; expected one of linear, mean"):
        shanghaitech_features.main([*flags, str(tmp_path / "c"), "--segments", "0"])


def test_intervals_of_labels():
    labels = np.array([1, 1, 0, 0, 1, 0, 1])
    np.testing.assert_array_equal(bag_labels.intervals(labels), [[0, 2], [4, 5], [6, 7]])
    assert bag_labels.intervals(np.zeros(4)).shape == (0, 2)
