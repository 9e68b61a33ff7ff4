"""What a manifest says is checked before anything is done by it."""

import copy
import json
import pathlib
import shutil

import numpy as np
import pytest

from vadjax.data import bags, clips, objects
from vadjax.data.store import builder, frame_writer, manifest
from vadjax.data.store.object_writer import VideoObjects
from vadjax.data.store.records import Dataset, Description, masked_crc, sha256
from vadjax.data.toy.datasets import ToyBags, write_bags
from vadjax.runtime import workdir


def change(folder: pathlib.Path, path: str, value) -> None:
    """Sets a field of the manifest, `splits.test.records`; `...` removes it."""
    found = json.loads((folder / "manifest.json").read_text())
    *sections, field = (int(part) if part.isdigit() else part for part in path.split("."))
    part = found
    for section in sections:
        part = part[section]
    part[field] = value
    if value is ...:
        del part[field]
    (folder / "manifest.json").write_text(json.dumps(found))


@pytest.fixture
def scenes(toy_scenes, tmp_path):
    return shutil.copytree(toy_scenes, tmp_path / "scenes")


@pytest.fixture
def set_of_bags(toy_bags, tmp_path):
    return shutil.copytree(toy_bags, tmp_path / "bags")


NAMES = ["../../x", "/tmp/x", "..", "a/b", "a\\b", "C:x", ".x", "", "a\0b", "x" * 300, "a\x1b[2J"]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_names_of_videos_that_lead_out(scenes, name):
    change(scenes, "splits.test.videos.0.name", name)
    with pytest.raises(ValueError, match="manifest.json: split 'test': video name .* cannot be"):
        Dataset(scenes)


@pytest.mark.parametrize("what", ["boxes", "tracks"])
def test_boxes_and_tracks_that_are_not_among_the_files(scenes, what):
    found = json.loads((scenes / "manifest.json").read_text())
    own = [file["file"] for file in found["files"] if file["file"].startswith(what)]
    found["files"] = [file for file in found["files"] if file["file"] != own[0]]
    (scenes / "manifest.json").write_text(json.dumps(found))
    with pytest.raises(ValueError, match=f"manifest.json: files lacks {own[0]}, which video"):
        Dataset(scenes)


@pytest.mark.parametrize(
    ("path", "what"), [("splits.test.shards.0.file", "shard"), ("files.0.file", "file")]
)
def test_files_that_lead_out(scenes, path, what):
    change(scenes, path, "../../etc/passwd")
    with pytest.raises(ValueError, match=f"manifest.json.*: {what} name .* leads out"):
        Dataset(scenes)


def test_splits_that_lead_out(scenes):
    found = json.loads((scenes / "manifest.json").read_text())
    found["splits"]["../x"] = found["splits"].pop("test")
    (scenes / "manifest.json").write_text(json.dumps(found))
    with pytest.raises(ValueError, match=r"manifest.json: split name '\.\./x' cannot be"):
        Dataset(scenes)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("kind", ..., "an object without 'kind'"),
        ("kind", 5, "kind is 5; expected text"),
        ("name", [], "name is a list of 0 items; expected text"),
        ("splits", [], "splits is a list of 0 items; expected a dict"),
        ("splits.test", 5, "splits.test is 5; expected a dict"),
        ("splits.test.shards", ..., "splits.test is an object without 'shards'"),
        ("splits.test.shards.0.bytes", "x", r"splits.test.shards\[0\].bytes is 'x'; expected a wh"),
        ("splits.test.shards.0.sha256", None, r"shards\[0\].sha256 is None; expected text"),
        ("splits.test.videos", {}, "splits.test.videos is an object of nothing; expected a list"),
        ("splits.test.videos.0.frames", -5, r"videos\[0\].frames is -5; expected a whole number"),
        ("splits.test.videos.0.frames", 10**12, "video test_00 has 1,000,000,000,000 frames"),
        ("splits.test.videos.0.frames", 0, "video test_00 has 0 frames"),
        ("splits.test.videos.0.labels", "zz" * 20, "labels are 40 digits 'zzzzzzzz'"),
        ("splits.test.videos.0.labels", "00" * 19, "labels are 38 digits .*for each of 20"),
        ("splits.test.videos.0.labels", "02" * 20, "expected 00 or 01 for each of 20"),
        ("splits.test.videos.0.source_size", [0, 5], r"source_size of .* is \[0, 5\], expected"),
        ("splits.test.videos.0.kinds", {"x": "y"}, "kinds of video test_00; expected numbers"),
        ("splits.test.videos.0.masks", 1, r"videos\[0\].masks is 1; expected true or false"),
        ("splits.test.records", 39, "40 frames of its videos, but it says 39"),
        ("size", [48], r"size is \[48\], expected \[height, width\]"),
        ("size", [10**6, 64], r"size is \[1000000, 64\], expected"),
        ("size", [1 << 14, 1 << 14], "size is .* of up to 134,217,728 pixels"),
        ("size", ..., "an object without 'size'"),
        ("encoding", "gif", "encoding 'gif'; expected raw, jpeg, png"),
    ],
)
def test_fields_of_frames(scenes, path, value, message):
    change(scenes, path, value)
    with pytest.raises(ValueError, match=f"manifest.json: .*{message}.*prepare it again"):
        Dataset(scenes)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("streams", {"rgb": "x"}, "streams.rgb is 'x'; expected a whole number"),
        ("streams", {"rgb": 1 << 40}, "streams.rgb is 1,099,511,627,776; expected 1,048,576 at"),
        ("extraction", {"crops": 5}, "extraction.crops is 5; expected text"),
        ("extraction", {"levels": [1]}, r"levels \[1\]; expected two numbers"),
        ("splits.train.labels", "00" * 22, "0 1 in labels, but it says 10"),
        ("splits.train.labels", ..., "labels are 0 digits"),
        ("splits.train.normal", 3, "13 labels, but it says 22"),
        ("splits.train.records", 21, "labels are 44 digits .* for each of 21"),
    ],
)
def test_fields_of_bags(set_of_bags, path, value, message):
    change(set_of_bags, path, value)
    with pytest.raises(ValueError, match=f"manifest.json: .*{message}"):
        Dataset(set_of_bags)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"5", b'{"a": "\xff"}', b"[" * 100_000, b'{"kind": NaN}']
)
def test_manifests_that_are_none(set_of_bags, content):
    (set_of_bags / "manifest.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"bags/manifest\.json.*prepare it again"):
        Dataset(set_of_bags)


@pytest.mark.parametrize("form", ["array_record", "tfrecord"])
def test_shards_with_fewer_records_than_the_manifest_says(tmp_path, form):
    """Sizes and sums are those of the files: only the counts tell."""
    write_bags(tmp_path / "whole", ToyBags(train=(4, 4), test=(2, 2), width=8), form, shards=2)
    folder = tmp_path / "whole"
    found = json.loads((folder / "manifest.json").read_text())
    first, second = found["splits"]["train"]["shards"]
    shutil.copy(folder / first["file"], folder / second["file"])
    if form == "tfrecord":
        (folder / second["file"]).write_bytes(b"")
    else:
        found["splits"]["train"]["shards"] = [first]
    for shard in found["splits"]["train"]["shards"]:
        path = folder / shard["file"]
        shard |= {"bytes": path.stat().st_size, "sha256": sha256(path)}
    (folder / "manifest.json").write_text(json.dumps(found))
    data = Dataset(folder)
    with pytest.raises(ValueError, match=r"whole \(train\): its shards hold 4 records, .* says 8"):
        data.records("train")


def test_records_that_are_no_bags(tmp_path):
    """The checksums are right: a stranger can make them."""
    from tensorflow_datasets.proto import tf_example_pb2

    write_bags(tmp_path / "set", ToyBags(train=(2, 2), test=(2, 2), width=8), "tfrecord", shards=1)
    folder = tmp_path / "set"
    path = next(folder.glob("*-train.*"))
    first = path.read_bytes()
    size = int.from_bytes(first[:8], "little")
    record = tf_example_pb2.Example.FromString(first[12 : 12 + size])

    def message(edit) -> str:
        other = copy.deepcopy(record)
        edit(other.features.feature)
        content = other.SerializeToString()
        head = len(content).to_bytes(8, "little")
        whole = head + masked_crc(head) + content + masked_crc(content)
        path.write_bytes(whole + first[16 + size :])
        found = json.loads((folder / "manifest.json").read_text())
        shard = found["splits"]["train"]["shards"][0]
        shard |= {"bytes": path.stat().st_size, "sha256": sha256(path)}
        (folder / "manifest.json").write_text(json.dumps(found))
        with pytest.raises(ValueError, match=r"set \(train\): record 0 is no bag") as caught:
            bags.Bags(Dataset(folder), "train")[0]
        return str(caught.value)

    def set_shape(feature, *shape):
        feature["features/shape"].int64_list.value[:] = shape

    def rename(feature):
        feature["video"].bytes_list.value[0] = b"../../x"

    assert "features [1, 32, 7], expected" in message(lambda f: set_shape(f, 1, 32, 7))
    assert "features [-1, 32, 16], expected" in message(lambda f: set_shape(f, -1, 32, 16))
    assert "features [32, 16], expected" in message(lambda f: set_shape(f, 32, 16))
    assert "cannot reshape" in message(lambda f: set_shape(f, 2, 32, 16))
    assert "video name '../../x' cannot be" in message(rename)

    def set_number(feature, field, *numbers):
        feature[field].int64_list.value[:] = numbers

    for field, wrong in (
        ("label", "label 7, the manifest says 0"),
        ("num_frames", "num_frames 7000000000"),
        ("intervals", "cannot reshape"),
    ):
        value = 7_000_000_000 if field == "num_frames" else 7
        assert wrong in message(lambda f, field=field, value=value: set_number(f, field, value))
    assert "intervals [5, 3] in -1 frames" in message(lambda f: set_number(f, "intervals", 5, 3))
    for field in ("video", "label", "class_name", "num_frames", "intervals", "features/shape"):
        assert message(lambda f, field=field: f.pop(field)).endswith("(data_prep/)")
        text = message(lambda f, field=field: f[field].float_list.value.append(0.5))
        assert text.endswith("(data_prep/)")


def test_frames_of_another_size_than_the_manifest_says(scenes):
    change(scenes, "size", [40, 64])
    frames = clips.Frames(Dataset(scenes), "test")
    for read in (frames.__getitem__, frames.stored):
        with pytest.raises(
            ValueError, match=r"scenes \(test\): frame 0 is .*manifest says \(40, 6"
        ):
            read(0)


def test_masks_of_another_size_than_their_frames(scenes):
    change(scenes, "splits.test.videos.0.source_size", [40, 64])
    with pytest.raises(ValueError, match=r"test_00: the mask of frame 3 is \(48, 64\)"):
        clips.Videos(Dataset(scenes), "test")[0].mask(3)


@pytest.mark.parametrize("value", ["nan", "inf", "1e30", "1.5", "-1"])
def test_boxes_that_are_no_numbers(scenes, value):
    path = scenes / "boxes" / "test" / "test_00.csv"
    row = f"{value},1,1,2,2,0.5" if value in ("1.5", "-1") else f"0,1,{value},2,2,0.5"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], row, *lines[1:]]) + "\n")
    for file in (found := json.loads((scenes / "manifest.json").read_text()))["files"]:
        if file["file"] == "boxes/test/test_00.csv":
            file |= {"bytes": path.stat().st_size, "sha256": sha256(path)}
    (scenes / "manifest.json").write_text(json.dumps(found))
    with pytest.raises(ValueError, match=r"test/test_00\.csv:2: "):
        objects.ObjectSource(Dataset(scenes)).videos("test")


def test_what_a_run_keeps_of_its_dataset(toy_scenes, tmp_path):
    kept = Dataset(toy_scenes).to_json()
    path = tmp_path / workdir.DESCRIPTION
    path.write_text(json.dumps(kept))
    assert Description.from_file(path).manifest["size"] == [48, 64]
    for field, value, message in (
        ("manifest", [], "manifest is a list"),
        ("digest", None, "digest is None; expected text"),
        ("folder", ..., "an object without 'folder'"),
    ):
        path.write_text(
            json.dumps(
                {
                    k: value if k == field else v
                    for k, v in kept.items()
                    if (k, value) != (field, ...)
                }
            )
        )
        with pytest.raises(ValueError, match=rf"dataset\.json: {message}"):
            Description.from_file(path)
    path.write_text(json.dumps({**kept, "manifest": {**kept["manifest"], "size": "big"}}))
    with pytest.raises(ValueError, match=r"dataset\.json: manifest: size is 'big'; expected a li"):
        workdir.trained_on(tmp_path)


@pytest.mark.parametrize("fps", [0, -10, 1000.5, "10", True, float("nan"), float("inf")])
def test_frame_rates_that_cannot_be(scenes, fps):
    change(scenes, "fps", fps)
    with pytest.raises(ValueError, match=r"manifest\.json: .*(fps|NaN|Infinity)"):
        Dataset(scenes)


def test_a_frame_rate_is_kept_and_may_be_unknown(scenes, tmp_path):
    for fps in (29.97, 1000, None, ...):
        change(scenes, "fps", fps)
        data = Dataset(scenes)
        (tmp_path / workdir.DESCRIPTION).write_text(json.dumps(data.to_json()))
        kept = workdir.trained_on(tmp_path).manifest.get("fps")
        assert kept == data.manifest.get("fps") == (None if fps is ... else fps)


def test_a_run_knows_the_size_of_the_source(scenes, tmp_path):
    """Of the videos only that is kept; several sizes are none."""
    for side, expected in ((48, (48, 64)), (40, None)):
        change(scenes, "splits.test.videos.0.source_size", [side, 64])
        data = Dataset(scenes)
        assert data.source_size == expected
        (tmp_path / workdir.DESCRIPTION).write_text(json.dumps(data.to_json()))
        assert workdir.trained_on(tmp_path).source_size == expected


def test_what_is_written_has_names_too(tmp_path):
    """A second lock: whatever reader names a video, nothing is written outside."""
    none = np.zeros((0, 6), np.float32)
    with pytest.raises(ValueError, match=r"video name '\.\./x' cannot be"):
        VideoObjects("../x", 5, none, np.zeros((0, 0)), np.zeros((0, 0)))
    video = frame_writer.SourceVideo("../x", [])
    with pytest.raises(ValueError, match=r"video name '\.\./x' cannot be"):
        frame_writer.FrameNotes("train").start(video, (4, 4))

    class Notes(builder.LabelNotes):
        def files(self):
            return {"../x": b""}

    with pytest.raises(ValueError, match=r"file name '\.\./x' cannot be"):
        builder._write_files(tmp_path / "a", {"train": Notes()})
    assert not (tmp_path / "x").exists()


def test_patterns_name_every_kind_of_dataset():
    assert set(manifest.KINDS) == {"features", "frames", "images", "objects", "tracks"}
