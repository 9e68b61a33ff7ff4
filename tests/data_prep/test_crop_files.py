"""Which axis has the crops, and files of one crop each."""

import json

import numpy as np
import pytest

from data_prep import shanghaitech_features, ucf_crime
from data_prep.lib import bags, feature_files
from data_prep.lib.feature_files import OURS, RTFM, crops_axis, read_array
from vadjax.data.bags import Bags
from vadjax.data.store.records import Dataset

SPLITS = ("train", "test")


def values(name: str, *shape: int) -> np.ndarray:
    return np.random.default_rng([*name.encode()]).random(shape, np.float32)


@pytest.mark.parametrize(
    ("shapes", "axis"),
    [
        ([(32, 10, 8)], 1),  # RTFM's order, segments
        ([(10, 32, 8)], 0),  # extract_features' order
        ([(10, 40, 8), (10, 7, 8)], 0),  # by the crops that all have
        ([(40, 5, 8), (7, 5, 8)], 1),
        ([(3, 10, 8), (7, 10, 8)], 1),  # short videos
        ([(10, 3, 8), (10, 7, 8)], 0),
        ([(40, 3, 8), (7, 2, 8)], 1),  # one file is wrong, which its readers say
        ([(40, 12, 8), (70, 12, 8)], 1),  # more crops than are published
        ([(5, 8), (7, 8)], 0),  # nothing to say
    ],
)
def test_sizes_tell_the_axis(shapes, axis):
    assert crops_axis(shapes, None, "here") == axis
    assert crops_axis([(3, 8), *shapes], None, "here") == axis


@pytest.mark.parametrize("shape", [(10, 10, 8), (6, 2, 8), (1, 10, 8), (32, 64, 8)])
def test_sizes_that_do_not_tell(shape, capsys):
    message = rf"here: arrays such as \[{shape[0]}, {shape[1]}, 8\].*--axes {OURS} or --axes {RTFM}"
    with pytest.raises(ValueError, match=message):
        crops_axis([shape], None, "here")
    assert [crops_axis([shape], axes, "here") for axes in (OURS, RTFM)] == [0, 1]
    with pytest.raises(ValueError, match="axes 'rows'; expected one of"):
        crops_axis([shape], "rows", "here")
    if shape[0] == shape[1]:  # transposed it would pass every check
        with pytest.raises(ValueError, match="--axes"):
            crops_axis([shape], None, "here", default=RTFM)
    else:
        assert crops_axis([shape], None, "here", default=RTFM) == 1
        assert f"taken as [{RTFM}] (--axes)" in capsys.readouterr().err


def test_one_file_by_its_own_sizes(tmp_path):
    array = values("a", 32, 10, 8)
    np.save(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(read_array(tmp_path / "a.npy"), array.transpose(1, 0, 2))
    np.testing.assert_array_equal(read_array(tmp_path / "a.npy", 0), array)


def test_a_header_that_promises_more_than_the_file_has(tmp_path):
    path = tmp_path / "a.npy"
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (2**40, 2**10)}
        np.lib.format.write_array_header_1_0(file, header)
    for read in (feature_files.raw_shape, read_array):
        with pytest.raises(ValueError, match="a.npy: refused, not a readable array"):
            read(path)


def test_a_damaged_header(tmp_path):
    """NumPy raises an error of the tokenizer here, which is no ValueError."""
    np.save(tmp_path / "a.npy", values("a", 6, 4))
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content.replace(b"(6, 4)", b"(6, 4\x15"))
    with pytest.raises(ValueError, match="a.npy: refused, not a readable array"):
        feature_files.raw_shape(tmp_path / "a.npy")


def write_videos(root, shape, frames=640, classes=("Fight", "Normal"), count=2):
    """Features CLASS/NAME.npy of a shape, and videos.json."""
    videos = []
    for split in SPLITS:
        for kind in classes:
            for k in range(count):
                name, bad = f"{kind}_{split}_{k}", kind != "Normal"
                path = root / "f" / kind / f"{name}.npy"
                path.parent.mkdir(parents=True, exist_ok=True)
                np.save(path, values(name, *shape))
                video = {"name": name, "class_name": kind, "anomalous": bad, "split": split}
                videos.append(video | {"frames": frames, "intervals": [[100, 200]] if bad else []})
    (root / "videos.json").write_text(json.dumps(videos))
    return root / "f"


def prepare(features, out, **options) -> Dataset:
    ucf_crime.prepare(features, out, **options)
    return Dataset(out)


def test_published_order_in_folders_of_classes(tmp_path):
    features = write_videos(tmp_path, (32, 10, 8))
    data = prepare(features, tmp_path / "out")
    for bag in Bags(data, "test"):
        expected = values(bag.video, 32, 10, 8).transpose(1, 0, 2)
        np.testing.assert_array_equal(bag.features, expected)


def test_segments_are_not_pooled_again(tmp_path):
    features = write_videos(tmp_path, (32, 10, 8))
    with pytest.raises(ValueError, match="all 8 videos have 32 rows, so they are segments already"):
        prepare(features, tmp_path / "out", pool=True)


def test_axes_are_said_where_sizes_do_not_tell(tmp_path):
    features = write_videos(tmp_path, (10, 5, 8))
    with pytest.raises(ValueError, match=r"f: arrays such as \[10, 5, 8\].*--axes") as caught:
        prepare(features, tmp_path / "out", segments=10)
    assert "--pool" not in str(caught.value)
    data = prepare(features, tmp_path / "out", segments=10, axes=RTFM)
    assert Bags(data, "test")[0].features.shape == (5, 10, 8)
    data = prepare(features, tmp_path / "other", segments=5, axes=OURS)
    assert Bags(data, "test")[0].features.shape == (10, 5, 8)


@pytest.mark.parametrize("program", [ucf_crime, shanghaitech_features])
def test_what_extract_features_wrote_is_read_in_its_order(tmp_path, program):
    """Ten crops of six rows: in the order of RTFM they would be six crops of ten rows."""
    features = write_videos(tmp_path, (10, 6, 8), frames=96, count=1, classes=("A", "Normal"))
    (features / "settings.json").write_text(json.dumps({"crops": "ten"}))
    lists = [tmp_path / f"{split}.csv" for split in SPLITS]
    for path, split in zip(lists, SPLITS, strict=True):
        path.write_text(f"video-id,label\nA_{split}_0,1\nNormal_{split}_0,0\n")
    np.save(tmp_path / "gt.npy", np.repeat([0, 1, 0], [20, 60, 112]))
    named = {"train_list": lists[0], "test_list": lists[1], "truth": tmp_path / "gt.npy"}
    program.prepare(features, tmp_path / "out", **named)
    bag = Bags(Dataset(tmp_path / "out"), "test")[0]
    np.testing.assert_array_equal(bag.features, values(bag.video, 10, 6, 8))


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (
            {(40, 8)},
            "40 rows, expected 32 .*--pool; if they are segments, say so with --segments 40",
        ),
        ({(40, 8), (41, 8)}, "rows, expected 32 segments; if the rows .* with --pool$"),
        ({(32, 8), (31, 8)}, "31 rows, expected 32 segments; 7 other videos have as many; extract"),
    ],
)
def test_advice_about_rows_is_right(tmp_path, shapes, message):
    most, *other = sorted(shapes, reverse=True)
    features = write_videos(tmp_path, most)
    for shape in other:
        np.save(features / "Fight" / "Fight_train_0.npy", values("x", *shape))
    with pytest.raises(ValueError, match=message):
        prepare(features, tmp_path / "out")


def test_advice_about_rows_that_were_pooled_before(tmp_path):
    features = write_videos(tmp_path, (40, 8))
    (features / "settings.json").write_text(json.dumps({"pooling": "mean", "segments": 40}))
    with pytest.raises(ValueError, match="these are segments of --segments 40; name that number"):
        prepare(features, tmp_path / "out")


UCF = {
    "train": ("Abuse001_x264", "Normal_Videos001_x264"),
    "test": ("Abuse028_x264", "Normal_Videos_003_x264"),
}
NUMBERS = {
    "ur-dmu": [f"__{k}" for k in range(10)],
    "pel4vad": ["", *(f"__{k}" for k in range(1, 10))],
}


@pytest.fixture(params=NUMBERS)
def crop_files(tmp_path, request):
    """A file and a line of the lists for every crop; labels once a video."""
    for split, names in UCF.items():
        (tmp_path / split).mkdir()
        lines = []
        for name in names:
            for k, number in enumerate(NUMBERS[request.param]):
                file = f"{split}/{name}{number}.npy"
                np.save(tmp_path / file, values(name, 10, 6, 4)[k])
                lines.append(f"{file}\n")
        (tmp_path / f"UCF_{split.title()}.list").write_text("".join(lines))
    labels = np.zeros(192)
    labels[16:48] = 1
    np.save(tmp_path / "gt.npy", labels)
    return tmp_path


def test_a_file_for_every_crop(crop_files, tmp_path):
    """UCF_Train.list and UCF_Test.list are told apart by their names, whatever their letters."""
    data = prepare(crop_files, tmp_path / "out")
    assert data.manifest["crops"] == 10
    assert [bag.video for bag in Bags(data, "train")] == [*UCF["train"]]
    assert [bag.label for bag in Bags(data, "train")] == [1, 0]
    for bag in Bags(data, "test"):
        np.testing.assert_array_equal(bag.features, values(bag.video, 10, 6, 4))
    np.testing.assert_array_equal(Bags(data, "test")[0].intervals, [[16, 48]])


def test_a_missing_crop_is_named(crop_files, tmp_path):
    (crop_files / "test" / "Abuse028_x264__3.npy").unlink()
    with pytest.raises(ValueError, match="test: no crop 3 of Abuse028_x264 .Abuse028_x264__3.npy"):
        prepare(crop_files, tmp_path / "out")


def test_crops_of_other_lengths_are_named(crop_files, tmp_path):
    np.save(crop_files / "test" / "Abuse028_x264__3.npy", values("x", 5, 4))
    with pytest.raises(ValueError, match=r"Abuse028_x264__3.npy: \[5, 4\]; .*alike for all crops"):
        prepare(crop_files, tmp_path / "out")


def test_one_crop_of_the_test_videos_only(crop_files, tmp_path):
    names = (name for name in UCF["test"])
    (crop_files / "UCF_Test.list").write_text("".join(f"test/{n}__5.npy\n" for n in names))
    with pytest.raises(
        ValueError, match="__5.npy: 1 crops, but .* has 10; .*or list all their files"
    ):
        prepare(crop_files, tmp_path / "out")


def test_crop_files_in_folders_of_classes(tmp_path):
    features = write_videos(tmp_path, (32, 8))
    for path in sorted(features.rglob("*.npy")):
        for k in range(5):
            np.save(path.with_name(f"{path.stem}__{k}.npy"), values(path.stem, 5, 32, 8)[k])
        path.unlink()
    for bag in Bags(prepare(features, tmp_path / "out"), "test"):
        np.testing.assert_array_equal(bag.features, values(bag.video, 5, 32, 8))
    (features / "Fight" / "Fight_test_1__4.npy").unlink()
    message = (
        "Fight_test_1__3.npy: 4 crops, .*Fight_train_0__4.npy has 5; add the files of the crops"
    )
    with pytest.raises(ValueError, match=message):
        prepare(features, tmp_path / "again")


def test_pel4vad_shanghaitech(tmp_path, monkeypatch, capsys):
    """Labels after the path in the list of training videos, none in that of test videos."""
    monkeypatch.setitem(bags.PUBLISHED, "shanghaitech", {"train": (1, 1), "test": (1, 1)})
    videos = {"train": {"01_002": "0.0", "01_0014": "1.0"}, "test": {"01_0015": "", "01_001": ""}}
    for split, labels in videos.items():
        (tmp_path / split).mkdir()
        lines = []
        for name, label in labels.items():
            for k in range(10):
                np.save(tmp_path / split / f"{name}_{k}.npy", values(name, 10, 6, 4)[k])
                lines.append(f"{split}/{name}_{k}.npy {label}".rstrip() + "\n")
        (tmp_path / f"{split}.list").write_text("".join(lines))
    np.save(tmp_path / "gt-sh.npy", np.repeat([0, 1, 0], [30, 40, 122]))
    shanghaitech_features.prepare(tmp_path, tmp_path / "out")
    data = Dataset(tmp_path / "out")
    assert [(bag.video, bag.label) for bag in Bags(data, "train")] == [
        ("01_002", 0),
        ("01_0014", 1),
    ]
    anomalous, normal = Bags(data, "test")
    assert (anomalous.video, anomalous.label, normal.label) == ("01_0015", 1, 0)
    np.testing.assert_array_equal(anomalous.features, values("01_0015", 10, 6, 4))
    assert "its first 1 videos are taken as anomalous" in capsys.readouterr().err
