import json
import shutil

import numpy as np
import pytest

from configs import ped2_mil
from data_prep import ped2_weak
from vadjax import train
from vadjax.data import bags, segments
from vadjax.data.store.records import Dataset

RNG = np.random.default_rng(0)
WIDTH = 8


def test_seeds_reproduce_the_lists():
    lists = ped2_weak.read_lists()
    assert len(lists) == 10
    for seed, training in enumerate(lists):
        rng = np.random.default_rng(seed)
        for kind, of, count in (("normal", 16, 4), ("anomalous", 12, 6)):
            drawn = 1 + rng.choice(of, count, replace=False)
            assert training[kind] == sorted(drawn.tolist()), (seed, kind)


def length(number):
    """Frames of a clip: two or three snippets and a half."""
    return 40 + 16 * (number % 2 == 0)


def intervals(number):
    return [[number, number + 5], [30, length(number)]]


@pytest.fixture(scope="module")
def source(tmp_path_factory, write_images):
    """16 + 12 clips of the layout of frame folders, with features."""
    root = tmp_path_factory.mktemp("ped2")
    for part, count in (("training", 16), ("testing", 12)):
        for number in range(1, count + 1):
            clip = f"{part}/frames/{number:02d}"
            write_images(root / "data" / clip, length(number), size=(4, 4))
            path = root / "features" / f"{clip}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, RNG.standard_normal((length(number) // 16, WIDTH)).astype(np.float32))
    truth = {f"{number:02d}": intervals(number) for number in range(1, 13)}
    (root / "data/testing/anomalous_frames.json").write_text(json.dumps(truth))
    return root


@pytest.fixture
def copy(source, tmp_path):
    """A copy of it that a test may spoil: folders of data and features."""
    shutil.copytree(source, tmp_path / "source")
    return tmp_path / "source/data", tmp_path / "source/features"


def prepare(data, features, out, **options):
    return ped2_weak.prepare(data, features, out, **options)


def test_every_split_parts_the_28_clips(source, tmp_path):
    written = prepare(source / "data", source / "features", tmp_path / "out")
    assert [folder.name for folder in written] == [str(number) for number in range(10)]
    for folder, training in zip(written, ped2_weak.read_lists(), strict=True):
        data = Dataset(folder)
        names = {split: [bag.video for bag in bags.Bags(data, split)] for split in data.splits}
        listed = [f"Train{n:02d}" for n in training["normal"]]
        assert names["train"] == listed + [f"Test{n:02d}" for n in training["anomalous"]]
        assert len(names["test"]) == 18 and len({*names["train"], *names["test"]}) == 28
        counts = [(data.splits[s]["normal"], data.splits[s]["anomalous"]) for s in names]
        assert counts == [(4, 6), (12, 6)]


def test_bags_for_training_are_pooled_and_know_no_frames(source, tmp_path):
    folder = tmp_path / "out"
    prepare(source / "data", source / "features", folder, split=3)
    data = Dataset(folder / "3")
    features = {path.stem: np.load(path) for path in (source / "features/testing").rglob("*.npy")}
    for bag in bags.Bags(data, "train", label=1):
        rows = features[bag.video.removeprefix("Test")]
        assert (bag.num_frames, len(bag.intervals)) == (bags.UNKNOWN_LENGTH, 0)
        pooled = segments.pool_clips(rows, 32, normalize=False)
        np.testing.assert_array_equal(bag.features[0], pooled)
    for bag in bags.Bags(data, "test", label=1):
        number = bag.video.removeprefix("Test")
        assert bag.num_frames == length(int(number))
        np.testing.assert_array_equal(bag.intervals, intervals(int(number)))
        np.testing.assert_array_equal(bag.features[0], features[number])
    assert all(not len(bag.intervals) for bag in bags.Bags(data, "test", label=0))


def test_pooling_and_lengths_are_chosen_and_noted(copy, tmp_path):
    data, features = copy
    (features / "settings.json").write_text(json.dumps({"crops": "ten", "step": 16}))
    for path in features.rglob("*.npy"):
        np.save(path, np.stack([np.load(path)] * 10))
    written = prepare(data, features, tmp_path / "out", split=0, pool=True, normalize=True)
    (manifest,) = written.values()
    pooled = {"pooling": "mean", "segments": 32, "normalize": True}
    assert manifest["extraction"] == {"crops": "ten", "step": 16, **pooled}
    for split in ("train", "test"):
        for bag in bags.Bags(Dataset(tmp_path / "out/0"), split):
            assert bag.features.shape == (10, 32, WIDTH)
            np.testing.assert_allclose(np.linalg.norm(bag.features, axis=-1), 1, rtol=1e-5)


@pytest.mark.slow
def test_smoke_run_on_bags_of_several_lengths(source, tmp_path):
    prepare(source / "data", source / "features", tmp_path / "out", split=0)
    config = ped2_mil.get_config("smoke")
    config.data.dir = str(tmp_path / "out/0")
    train.run(config, tmp_path / "run")
    figures = json.loads((tmp_path / "run/metrics.json").read_text())["metrics"]
    assert 0 <= figures["auc"] <= 1
    assert len(list((tmp_path / "run/scores").glob("*.npz"))) == 18


def test_missing_features_name_the_command(copy, tmp_path):
    data, features = copy
    (features / "testing/frames/07.npy").unlink()
    message = r"07\.npy: no such file; 1 of 28 clips.*python -m data_prep.extract_features --videos"
    with pytest.raises(FileNotFoundError, match=message):
        prepare(data, features, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, WIDTH), "1 rows for 40 frames; expected 2, one for every 16"),
        ((41, WIDTH), "41 rows for 40 frames"),
        ((2, WIDTH + 1), "1 crops, 9 columns; the clips before have 1 and 8"),
        ((10, 2, WIDTH), "10 crops, 8 columns; the clips before have 1 and 8"),
    ],
)
def test_features_of_something_else_are_refused(copy, tmp_path, shape, message):
    data, features = copy
    np.save(features / "testing/frames/07.npy", np.zeros(shape, np.float32))
    with pytest.raises(ValueError, match=r"07\.npy: " + message):
        prepare(data, features, tmp_path / "out")


def test_segments_are_no_snippets(copy, tmp_path):
    data, features = copy
    (features / "settings.json").write_text(json.dumps({"pooling": "mean", "segments": 32}))
    with pytest.raises(ValueError, match="its rows are segments; extract snippets"):
        prepare(data, features, tmp_path / "out")


def test_another_number_of_clips_is_refused(copy, tmp_path, write_images):
    data, features = copy
    write_images(data / "training/frames/17", 40, size=(4, 4))
    with pytest.raises(ValueError, match="17 train clips; Ped2 has 16"):
        prepare(data, features, tmp_path / "out")


def test_labels_of_frames_are_needed_and_compared(copy, tmp_path):
    data, features = copy
    path = data / "testing/anomalous_frames.json"
    truth = json.loads(path.read_text())
    path.write_text(json.dumps({**truth, "05": []}))
    with pytest.raises(ValueError, match="clip 05: 0 of its 40 frames are anomalous; a test clip"):
        prepare(data, features, tmp_path / "out")
    path.unlink()
    with pytest.raises(ValueError, match="clip 01: no frame labels; expected .*anomalous_frames"):
        prepare(data, features, tmp_path / "out")


def test_original_layout(source, tmp_path, write_images):
    root = tmp_path / "UCSDped2"
    for part, count in (("Train", 16), ("Test", 12)):
        for number in range(1, count + 1):
            clip = f"{part}/{part}{number:03d}"
            write_images(root / clip, 40, "{:03d}.tif", first=1, size=(4, 4))
            path = tmp_path / "features" / f"{clip}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, np.full((2, WIDTH), number, np.float32))
    (root / "Test/UCSDped2.m").write_text("TestVideoFile{end+1}.gt_frame = [3:5];\n" * 12)
    prepare(root, tmp_path / "features", tmp_path / "out", split=1)
    for bag in bags.Bags(Dataset(tmp_path / "out/1"), "test"):
        assert bag.features[0, 0, 0] == int(bag.video[-2:])
        assert bag.intervals.tolist() == ([[2, 5]] if bag.label else [])


def test_command_line(source, tmp_path, capsys):
    flags = [
        "--data",
        str(source / "data"),
        "--features",
        str(source / "features"),
        "--out",
        str(tmp_path / "out"),
    ]
    ped2_weak.main([*flags, "--split", "4", "--format", "tfrecord"])
    said = capsys.readouterr().out
    assert "4: train 4 normal + 6 anomalous, test 12 normal + 6 anomalous clips" in said
    assert "--config=configs/ped2_mil.py" in said
    with pytest.raises(SystemExit, match="error: .*exists and is left as it is"):
        ped2_weak.main([*flags, "--split", "4"])
    with pytest.raises(SystemExit, match="error: no split 10; there are 0 to 9"):
        ped2_weak.main([*flags, "--split", "10"])


def test_real_labels(ped2, tmp_path):
    """The lists fit the real clips; features are made up."""
    for path in sorted((ped2).glob("t*ing/frames/*")):
        target = tmp_path / f"{path.relative_to(ped2)}.npy"
        target.parent.mkdir(parents=True, exist_ok=True)
        np.save(target, np.ones((len(list(path.glob("*.jpg"))) // 16, WIDTH), np.float32))
    clips = ped2_weak.read_clips(ped2, tmp_path)
    assert [len(found) for found in clips.values()] == [16, 12]
    assert sum(len(clip.labels) for found in clips.values() for clip in found) == 2550 + 2010
    assert sum(int(clip.labels.sum()) for clip in clips["anomalous"]) == 1648
    assert {clip.rows.shape[1] for found in clips.values() for clip in found} == {7, 9, 11}


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2)])
def test_crops_are_the_axis_that_all_clips_have_alike(copy, order):
    """Ten crops of two or three rows, as extract_features or RTFM order them."""
    data, features = copy
    stored = {}
    for path in sorted(features.rglob("*.npy")):
        crops = RNG.standard_normal((10, len(np.load(path)), WIDTH)).astype(np.float32)
        stored[path.relative_to(features).as_posix()] = crops
        np.save(path, crops.transpose(order))
    clips = ped2_weak.read_clips(data, features)
    first = clips["anomalous"][0]
    np.testing.assert_array_equal(first.rows, stored["testing/frames/01.npy"])
