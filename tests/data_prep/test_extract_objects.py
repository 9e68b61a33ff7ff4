"""Objects datasets from frames datasets: toy street scenes, bad input, real Ped2."""

import shutil

import numpy as np
import pytest

from data_prep import extract_objects, ucsd_ped
from data_prep.lib import frames
from tests.helpers import onnx_files
from vadjax.backbones.detection import overlaps
from vadjax.data.clips import Videos
from vadjax.data.store.frame_writer import SourceVideo, box_table, write_frames
from vadjax.data.store.records import Dataset
from vadjax.data.video.boxes import BOX_COLUMNS, read_boxes
from vadjax.data.video.crops import cut, rectangles
from vadjax.data.video.reader import Picture
from vadjax.extractors import detector


def float16(content: bytes) -> np.ndarray:
    return np.frombuffer(content, np.float16).astype(float)


def split_of(data: Dataset, split: str) -> list[tuple[str, np.ndarray, list[dict]]]:
    """Name, boxes and records of every video, in order."""
    records, at, found = data.records(split) if data.splits[split]["records"] else [], 0, []
    for video in data.splits[split]["videos"]:
        boxes = read_boxes(data.folder / "boxes" / split / f"{video['name']}.csv")
        own = [records[i] for i in range(at, at + len(boxes))]
        assert len(boxes) == video["objects"]
        found.append((video["name"], boxes, own))
        at += len(boxes)
    assert at == data.splits[split]["records"]
    return found


@pytest.fixture(scope="module")
def scenes(toy_scenes):
    return Dataset(toy_scenes)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A detector and a classifier in files: outputs depend on the red of what they see."""
    folder = tmp_path_factory.mktemp("onnx")
    boxes = np.array([[0, 0, 0.5, 1], [0.5, 0, 1, 1.0]])
    rows = np.concatenate([boxes, [[0.6], [0.7]], [[3], [4]]], 1)
    onnx_files.write(folder / "rows.onnx", ("out",), out=rows[None])
    grid = np.stack(np.meshgrid([0, 0.5], [0, 0.5]), -1).reshape(-1, 2)
    grid = np.concatenate([grid, grid + 0.5], 1)
    scores = np.array([[1, 3], [2, 4], [5, 1], [6, 2]]) / 10
    onnx_files.write(folder / "ssd.onnx", ("boxes",), boxes=grid[None], scores=scores[None])
    onnx_files.write(folder / "classes.onnx", out=np.arange(5.0)[None])
    return folder


def test_stored_boxes_come_through(scenes, tmp_path, capsys):
    out = tmp_path / "out"
    extract_objects.main(
        [
            "--data",
            str(scenes.folder),
            "--out",
            str(out),
            "--boxes",
            "stored",
            "--format",
            "tfrecord",
            "--shards",
            "2",
        ]
    )
    data = Dataset(out)
    assert (data.kind, data.name, data.manifest["format"]) == (
        "objects",
        f"{scenes.name}_objects",
        "tfrecord",
    )
    assert data.manifest["frames"]["digest"] == scenes.digest
    assert data.manifest["outputs"] == {"detector": 0, "classifier": 0}
    assert data.manifest["detector"]["threshold"] == 0.5
    for split in ("train", "test"):
        videos = Videos(scenes, split)
        for video, (name, boxes, records) in zip(videos, split_of(data, split), strict=True):
            stored = video.boxes[np.lexsort((-video.boxes[:, 5], video.boxes[:, 0]))]
            np.testing.assert_array_equal(boxes, stored)
            assert [record["video"] for record in records] == [name.encode()] * len(boxes)
            np.testing.assert_array_equal([int(own["frame"][0]) for own in records], boxes[:, 0])
            assert name == video.name and all(own["detector"] == b"" for own in records)
    printed = capsys.readouterr().out
    assert f"test: 2 videos, 40 frames, {data.splits['test']['records']:,} objects" in printed
    assert f"--config.data.dir={scenes.folder} --config.data.objects={out} " in printed


def test_motion_and_every(scenes, tmp_path):
    made = [tmp_path / "all", tmp_path / "some"]
    for out, flags in zip(made, ([], ["--every", "3"]), strict=True):
        extract_objects.main(
            [
                "--data",
                str(scenes.folder),
                "--out",
                str(out),
                "--detector",
                "motion",
                "--min_size",
                "4",
                *flags,
            ]
        )
    (every, some), detect = map(Dataset, made), None
    assert some.manifest["every"] == 3
    for (_, boxes, _), (_, fewer, _) in zip(
        split_of(every, "train"), split_of(some, "train"), strict=True
    ):
        assert 0 < len(fewer) < len(boxes)
        np.testing.assert_array_equal(fewer, boxes[boxes[:, 0] % 3 == 0])
    # What the manifest says opens the same detector again, for the frames of a stream
    detect = detector.open(**every.manifest["detector"])
    for video, (_, boxes, _), (_, same, _) in zip(
        Videos(scenes, "test"), split_of(every, "test"), split_of(some, "test"), strict=True
    ):
        np.testing.assert_array_equal(boxes, same)  # the test split keeps all frames
        detect.restart()
        for i, frame in enumerate(video):
            np.testing.assert_array_equal(boxes[boxes[:, 0] == i, 1:5], detect(frame).boxes)


def test_teachers(scenes, teacher, tmp_path):
    out = tmp_path / "out"
    extract_objects.main(
        [
            "--data",
            str(scenes.folder),
            "--out",
            str(out),
            "--detector",
            str(teacher / "ssd.onnx"),
            "--layout",
            "ssd",
            "--input_size",
            "24x32",
            "--threshold",
            "0",
            "--outputs",
            "logits",
            "--every",
            "8",
            "--teacher_size",
            "16",
            "--classifier",
            str(teacher / "classes.onnx"),
        ]
    )
    data = Dataset(out)
    assert data.manifest["outputs"] == {"detector": 2, "classifier": 5}
    assert data.manifest["teachers"]["classifier"]["teacher_size"] == 16
    assert data.manifest["teachers"]["detector"] == data.manifest["detector"]
    video, (_, boxes, records) = Videos(scenes, "train")[0], split_of(data, "train")[0]
    np.testing.assert_array_equal(boxes[:, 0], np.repeat([0, 8, 16], 4))
    detect = detector.open(**data.manifest["detector"])
    for frame in (0, 8, 16):
        found = detect(video[frame])
        rectangle = rectangles(found.boxes, video.size)
        own = [record for record in records if record["frame"][0] == frame]
        for record, logits, box in zip(own, found.logits, rectangle, strict=True):
            np.testing.assert_allclose(float16(record["detector"]), logits, rtol=1e-3)
            red = (cut([video[frame]], box, 16)[..., 0].mean() * 255 - 123.675) / 58.395
            np.testing.assert_allclose(float16(record["classifier"]), red + np.arange(5), atol=5e-3)
    tested = split_of(data, "test")[0][2]
    assert tested[0]["classifier"] == b"" and len(float16(tested[0]["detector"])) == 2


@pytest.fixture
def tiny(tmp_path):
    """Function: frames datasets of 20 × 30 pixels, stored smaller; no boxes in them by default."""

    def make(boxes=None, size=(10, 15)) -> str:
        rng = np.random.default_rng(0)
        out = tmp_path / f"frames{len(list(tmp_path.iterdir()))}"

        def video(name):
            frames = [Picture(rng.integers(0, 255, (20, 30, 3), np.uint8), name) for _ in range(4)]
            return SourceVideo(name, frames, labels=0, boxes=boxes)

        splits = {split: [video(f"{split}1"), video(f"{split}2")] for split in ("train", "test")}
        write_frames(out, splits, name="tiny", size=size)
        return str(out)

    return make


@pytest.fixture
def files(tmp_path):
    """Function: a folder of boxes, the same for every video of `tiny`."""

    def make(text: str | np.ndarray) -> str:
        folder = tmp_path / "boxes"
        shutil.rmtree(folder, ignore_errors=True)
        for split in ("train", "test"):
            (folder / split).mkdir(parents=True)
            for number in (1, 2):
                text = text if isinstance(text, str) else box_table(text).decode()
                (folder / split / f"{split}{number}.csv").write_text(text)
        return str(folder)

    return make


ROWS = np.array(
    [
        [0, 1, 2, 9, 9.25, 0.6],
        [0, 3, 3, 40, 12, 0.9],
        [2, 0, 0, 5, 5, 0.4],
        [3, 30, 2, 35, 9, 0.9],
        [3, 4, 4, 4, 9, 0.9],
        [3, 4, 4, 9, 9, 0.8],
    ]
)


def test_files_of_boxes(tiny, files, tmp_path, capsys):
    out = tmp_path / "out"
    extract_objects.main(["--data", tiny(), "--out", str(out), "--boxes", files(ROWS)])
    expected = [[0, 3, 3, 30, 12, 0.9], [0, 1, 2, 9, 9.25, 0.6], [3, 4, 4, 9, 9, 0.8]]
    for split in ("train", "test"):
        for _, boxes, _ in split_of(Dataset(out), split):
            np.testing.assert_array_equal(boxes, np.float32(expected))
    printed = capsys.readouterr().out
    assert "left out: 4 boxes of width or height 0 or less" in printed
    assert "left out: 4 boxes wholly outside of the frame" in printed


def test_other_columns_and_a_video_without_objects(tiny, files, tmp_path):
    folder = files("1 0.9 2 3 4 5\n")
    empty = tmp_path / "boxes/test/test1.csv"
    empty.write_text("")
    out = tmp_path / "out"
    extract_objects.main(
        [
            "--data",
            tiny(),
            "--out",
            str(out),
            "--boxes",
            folder,
            "--box_columns",
            "frame,score,x,y,w,h",
            "--first_box_frame",
            "1",
        ]
    )
    (_, none, _), (_, boxes, _) = split_of(Dataset(out), "test")
    np.testing.assert_array_equal(boxes, np.float32([[0, 2, 3, 6, 8, 0.9]]))
    assert none.shape == (0, 6)
    assert (out / "boxes/test/test1.csv").read_text().strip() == ",".join(BOX_COLUMNS)


def test_boxes_of_resized_frames_are_in_pixels_of_the_source(tiny, teacher, tmp_path):
    out = tmp_path / "out"
    extract_objects.main(
        [
            "--data",
            tiny(),
            "--out",
            str(out),
            "--detector",
            str(teacher / "rows.onnx"),
            "--layout",
            "rows6",
            "--units",
            "shares",
            "--input_size",
            "8x8",
        ]
    )
    _, boxes, records = split_of(Dataset(out), "test")[0]
    expected = [[i, *box] for i in range(4) for box in ([15, 0, 30, 20, 0.7], [0, 0, 15, 20, 0.6])]
    np.testing.assert_array_equal(boxes, np.float32(expected))
    assert len(records) == 8


def refused(flags: list[str], tmp_path, capsys) -> str:
    """The one line with which the command ends; nothing is left behind."""
    out = tmp_path / "refused"
    with pytest.raises(SystemExit) as end:
        extract_objects.main([*flags, "--out", str(out)])
    assert not out.exists() and not list(tmp_path.glob(".refused*"))
    return str(end.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,1,2,3,4\n", "train1.csv:1: 5 columns, expected 6 (frame,x0,y0"),
        ("frame,x0,y0,x1,y1\n0,1,2,3,4\n", "train1.csv:1: its heading has the columns frame,x0,y0"),
        ("frame,x0,y0,x1,y1\n0,1,2,3,4\n", "expected one of score; got none"),
        ("0,1,2,3,4,nan\n", "train1.csv:1: score is NaN"),
        ("4,1,2,3,4,0.5\n", "train1.csv:1: no such frame; frames are numbered 0 to 3"),
        ("0.5,1,2,3,4,0.5\n", "order of columns right"),
        (
            "x0,y0,x1,y1,frame,certainty\n1,2,3,4,0,0.5\n",
            "'certainty' is not known here; known are",
        ),
    ],
)
def test_files_that_cannot_be_used(text, message, tiny, files, tmp_path, capsys):
    found = refused(["--data", tiny(), "--boxes", files(text)], tmp_path, capsys)
    assert message in found and "--box_columns" in found


def test_headings_are_followed(tiny, files, tmp_path, capsys):
    """Under the order that is assumed these boxes would be of frame 1, and one would be empty."""
    flags = [
        "--data",
        tiny(),
        "--boxes",
        files("x_min,y_min,x_max,y_max,frame,conf\n1,2,3,5,0,0.9\n"),
    ]
    extract_objects.main([*flags, "--out", str(tmp_path / "out")])
    data = Dataset(tmp_path / "out")
    for _, boxes, _ in split_of(data, "test"):
        np.testing.assert_array_equal(boxes, np.float32([[0, 1, 2, 4, 6, 0.9]]))
    assert data.manifest["detector"]["box_columns"][4:] == ["frame", "conf"]
    assert "detections: columns by the heading, x_min,y_min" in capsys.readouterr().err
    flags += ["--box_columns", "frame,x0,y0,x1,y1,confidence"]
    assert "its heading begins with 'x_min" in refused(flags, tmp_path, capsys)


def test_shares_of_the_frame_where_they_are_said(tiny, files, tmp_path):
    """The frames have 20 x 30 pixels."""
    out, flags = (
        tmp_path / "out",
        ["--boxes", files("0,0.1,0.2,0.5,1,0.9\n"), "--box_units", "shares"],
    )
    extract_objects.main(["--data", tiny(), "--out", str(out), *flags])
    for _, boxes, _ in split_of(Dataset(out), "test"):
        np.testing.assert_allclose(boxes, [[0, 3, 4, 15, 20, 0.9]], rtol=1e-6)


def test_many_boxes_without_a_pixel_are_no_slip(tiny, files, tmp_path, capsys):
    """x_min, x_max, y_min, y_max without a heading."""
    flags = ["--data", tiny(), "--boxes", files("0,9,12,2,5,0.9\n1,9,12,2,5,0.9\n2,1,2,3,4,0.9\n")]
    found = refused(flags, tmp_path, capsys)
    assert "8 of 12 boxes have a width or height of 0 or less: the order of columns" in found
    assert "--box_columns" in found


def test_files_of_other_videos(tiny, files, tmp_path, capsys):
    flags = ["--data", tiny(), "--boxes", files(ROWS)]
    odd = tmp_path / "boxes/test/test2.csv"
    odd.rename(odd.with_name("test3.csv"))
    assert "test3.csv: no test video 'test3'" in refused(flags, tmp_path, capsys)
    odd.with_name("test3.csv").unlink()
    assert "test2.csv: no such file with the boxes of test" in refused(flags, tmp_path, capsys)
    shutil.rmtree(odd.parent)
    assert "test: no such folder" in refused(flags, tmp_path, capsys)


def test_no_objects_and_no_boxes(tiny, files, tmp_path, capsys):
    flags = ["--data", tiny(), "--boxes", files(ROWS), "--threshold", "0.95"]
    found = refused(flags, tmp_path, capsys)
    assert "split 'train' would be empty" in found and "--threshold" in found
    found = refused(["--data", tiny(), "--boxes", "stored"], tmp_path, capsys)
    assert "video train1 (train) has no stored boxes; name a folder of them" in found
    bad = ROWS[:1].copy()
    bad[0, 2] = np.inf
    found = refused(["--data", tiny(bad), "--boxes", "stored"], tmp_path, capsys)
    assert "boxes/train/train1.csv:2: NaN or infinite: '0,1,inf" in found


def test_commands_that_cannot_be(tiny, toy_bags, teacher, tmp_path, capsys):
    data = ["--data", tiny()]
    for flags, message in (
        ([*data], "name either --detector or --boxes"),
        ([*data, "--boxes", "stored", "--detector", "motion"], "name either --detector or"),
        ([*data, "--boxes", "stored", "--weights", "w"], "--weights: not for --boxes stored"),
        ([*data, "--boxes", "x", "--box_columns", "frame,x,y,w,h"], "expected one of score; got"),
        ([*data, "--detector", "motion", "--every", "0"], "--every 0; expected at least 1"),
        ([*data, "--detector", "motion", "--layout", "ssd"], "--layout: not for the detector mo"),
        ([*data, "--detector", "ssd_mobilenet_v2", "--weights", str(tmp_path)], "no weights here"),
        ([*data, "--detector", "motion", "--teachers", "yolo=w"], "expected NAME=WEIGHTS with a"),
        ([*data, "--detector", "motion", "--teachers", "efficientnet_lite0=w"], "no weights here"),
        ([*data, "--detector", "motion", "--teacher_size", "9"], "need a classifier"),
        ([*data, "--detector", str(teacher / "classes.onnx"), "--input_size", "8x8"], "no layout"),
        ([*data, "--detector", "motion", "--classifier", str(teacher / "ssd.onnx")], "expected [1"),
        (["--data", str(toy_bags), "--detector", "motion"], "holds 'features', expected 'frames'"),
    ):
        assert message in refused(flags, tmp_path, capsys), flags
    (tmp_path / "there").mkdir()
    with pytest.raises(SystemExit, match="there exists and is left as it is"):
        extract_objects.main([*data, "--detector", "motion", "--out", str(tmp_path / "there")])


@pytest.fixture(scope="module")
def real_frames(ped2, tmp_path_factory, request):
    """Two training and two test videos of real Ped2; with --whole all."""
    out = tmp_path_factory.mktemp("ped2") / "frames"
    most = None if request.config.option.whole else 2
    splits = {name: videos[:most] for name, videos in ucsd_ped.read_splits(ped2).items()}
    frames.write(splits, out, name="ucsd_ped", encoding="jpeg")
    return Dataset(out)


@pytest.mark.slow
def test_real_ped2(real_frames, tmp_path):
    out = tmp_path / "out"
    extract_objects.main(
        ["--data", str(real_frames.folder), "--out", str(out), "--boxes", "stored"]
    )
    data = Dataset(out)
    counts = {16: [30011, 33049], 2: [5622, 6256]}[len(Videos(real_frames, "train"))]
    assert [data.splits[split]["records"] for split in ("train", "test")] == counts
    for split in ("train", "test"):
        videos = Videos(real_frames, split)
        for video, (_, boxes, _) in zip(videos, split_of(data, split), strict=True):
            stored = video.boxes[video.boxes[:, 5] > 0.5]
            stored = stored[np.lexsort((-stored[:, 5], stored[:, 0]))]
            stored[:, 1:5] = np.clip(stored[:, 1:5], 0, np.float32([360, 240, 360, 240]))
            np.testing.assert_array_equal(boxes, stored)


@pytest.mark.slow
def test_motion_finds_what_yolo_finds_on_real_ped2(real_frames):
    video = Videos(real_frames, "test")[0]
    detect, truth = detector.open("motion"), video.boxes[video.boxes[:, 5] > 0.5]
    hits = []
    for i, frame in enumerate(video):
        found, own = detect(frame).boxes, truth[truth[:, 0] == i, 1:5]
        if i > 20:
            hits += [*(overlaps(own, found).max(1, initial=0) >= 0.5)]
    assert np.mean(hits) > 0.3
