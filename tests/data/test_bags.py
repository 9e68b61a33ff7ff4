import dataclasses

import numpy as np
import pytest

from vadjax.data import bags
from vadjax.data.store import builder, loader
from vadjax.data.store.loader import Shard
from vadjax.data.store.records import Dataset

WHOLE = Shard()


@pytest.fixture(scope="module")
def data(toy_bags):
    return Dataset(toy_bags)


def stream(data, count, threads=2, shard=WHOLE, pairs=4, seed=3, modality="TWO"):
    batches = loader.iterate(
        bags.paired_bags(data, "train", modality, pairs, seed, shard), threads=threads
    )
    return [next(batches) for _ in range(count)]


def equal(a, b):
    return all(np.array_equal(x[k], y[k]) for x, y in zip(a, b, strict=True) for k in x)


def test_bags_are_paired_by_label(data):
    every = {label: bags.Bags(data, "train", label=label) for label in (0, 1)}
    known = {k: {b.features.tobytes() for b in every[v]} for k, v in LABELS.items()}
    for batch in stream(data, 6):
        for kind, rows in batch.items():
            assert rows.shape == (4, 32, 32) and rows.dtype == np.float32
            assert all(row.tobytes() in known[kind] for row in rows)


LABELS = {"anomalous": 1, "normal": 0}


def test_each_pass_shows_every_bag_once_in_a_new_order(data):
    passes = [
        [row.tobytes() for batch in part for row in batch["normal"]]
        for part in np.array_split(stream(data, 6, pairs=4), 2)  # 12 normal bags: 3 batches a pass
    ]
    assert all(len(set(order)) == 12 for order in passes)
    assert set(passes[0]) == set(passes[1]) and passes[0] != passes[1]


def test_order_follows_the_seed_not_the_threads(data):
    first = stream(data, 5)
    assert equal(first, stream(data, 5, threads=0))
    assert equal(first, stream(data, 5, threads=4))
    assert not equal(first, stream(data, 5, seed=4))


def test_reading_goes_on_at_any_batch(data):
    def fresh(first=0):
        return loader.iterate(bags.paired_bags(data, "train", "TWO", 4, 3, WHOLE), first=first)

    batches = fresh()
    for _ in range(3):
        next(batches)
    expected = [next(batches) for _ in range(4)]
    again = fresh(first=3)
    assert equal(expected, [next(again) for _ in range(4)])


@pytest.mark.parametrize("count", [2, 4])
def test_processes_make_parts_of_the_same_batches(data, count):
    parts = [stream(data, 5, pairs=4, shard=Shard(i, count)) for i in range(count)]
    for whole, *rows in zip(stream(data, 5, pairs=4), *parts, strict=True):
        for kind, expected in whole.items():
            assert len(rows[0][kind]) == 4 // count
            np.testing.assert_array_equal(np.concatenate([own[kind] for own in rows]), expected)
    with pytest.raises(ValueError, match="multiple of 3, for example 3 or 6"):
        stream(data, 1, pairs=4, shard=Shard(0, 3))


def test_modalities_are_the_streams_side_by_side(data):
    two, rgb, flow = (bags.Bags(data, "test", m)[0].features for m in ("TWO", "RGB", "FLOW"))
    np.testing.assert_array_equal(np.concatenate([rgb, flow], -1), two)
    assert bags.feature_width(data, "FLOW") == 16 and bags.feature_width(data) == 32
    with pytest.raises(ValueError, match=r"'rgb'; .* has RGB \(16\), FLOW \(16\)"):
        bags.Bags(data, "test", "rgb")


def test_a_split_without_anomalies_is_refused(toy_bags):
    data = Dataset(toy_bags)
    data.splits["train"]["labels"] = bytes(22).hex()
    with pytest.raises(ValueError, match="split 'train' has no anomalous video"):
        bags.paired_bags(data, "train", "TWO", 4, 0, WHOLE)


def test_crops_are_averaged(data):
    bag = bags.Bags(data, "test")[0]
    double = dataclasses.replace(bag, features=np.concatenate([bag.features, 3 * bag.features]))
    np.testing.assert_allclose(bags.crop_mean(double), 2 * bag.features[0], rtol=1e-6)


def test_held_out_bags_are_the_last_of_each_label_and_in_no_batch(toy_bags):
    data = Dataset(toy_bags)
    held = [bag.video for bag in bags.held_out(data, "TWO", 0.2)]
    every = [[bag.video for bag in bags.Bags(data, "train", label=label)] for label in (0, 1)]
    assert held == every[0][-2:] + every[1][-2:]
    order = bags.paired_bags(data, "train", "TWO", 4, 0, WHOLE, bags.all_crops, held_out=0.2)
    seen = {row.tobytes() for i in range(8) for kind in order[i].values() for row in kind}
    kept = {bag.features.tobytes() for bag in bags.Bags(data, "train") if bag.video not in held}
    assert seen == kept


def scored_set(folder, frames: list[int], value: float = 0.5):
    """A dataset of test videos of so many frames, two segments each."""
    found = [
        bags.Bag(f"v{i}", 0, "n", count, np.zeros((0, 2)), np.full((1, 2, 4), value))
        for i, count in enumerate(frames)
    ]
    builder.write_dataset(
        folder,
        name="x",
        kind=bags.KIND,
        features=bags.tfds_features(4),
        splits={"test": [bag.to_example() for bag in found]},
        extra={"streams": {"features": 4}},
    )
    return bags.Bags(Dataset(folder), "test")


def test_frames_that_no_shards_stand_for(tmp_path):
    """Each is below the limit of a video; together they would take gigabytes to score."""
    found = scored_set(tmp_path / "data", [5_000_000] * 4)
    assert [found[i].num_frames for i in (0, 1, 0, 1)] == [5_000_000] * 4
    with pytest.raises(ValueError, match=r"data \(test\): record 2 .*15,000,000 with .* 900.0 MB"):
        found[2]


def test_scored_features_that_are_not_finite(tmp_path):
    found = scored_set(tmp_path / "data", [32], np.nan)
    with pytest.raises(ValueError, match=r"data \(test\): record 0 .*8 of 8 features are NaN"):
        found[0]
