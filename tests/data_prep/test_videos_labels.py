"""Labels and masks of one's own videos, in every form, and what is said of wrong ones."""

import json

import numpy as np
import pytest

from data_prep import videos
from tests.data_prep.own_films import by_name, prepare, street, write_at
from tests.helpers.video_files import write
from vadjax.data.store.records import Dataset

RATE = 10


@pytest.fixture
def films(tmp_path):
    """Normal footage, and three new films of 30 frames, of which two adjoin."""
    write(tmp_path / "normal/gate.mp4", street(30), rate=RATE)
    for name in ("day/gate", "20260131_153000", "20260131_153003"):
        write(tmp_path / f"new/{name}.mp4", street(30), rate=RATE)
    return tmp_path


def labels_of(data) -> dict[str, list[int]]:
    """Anomalous frames of every new video."""
    found = by_name(data, "test")
    return {name: np.flatnonzero(video.labels).tolist() for name, video in found.items()}


EXPECTED = {
    "day_gate": [5, 6, 7, 25, 26],
    "20260131_153000": [*range(20, 30), *range(30, 34)],
}
CSV_SECONDS = """Video, start_seconds, stop_seconds
day/gate.mp4, 0.5, 0:00.8
day/gate.mp4, 2.5, 2.7

20260131_153000, 2, 3
20260131_153003.mp4, 0:00:00, 0.4
"""
CSV_FRAMES = """video,start_frame,stop_frame
gate,5,8
day_gate,25,27
20260131_153000.mp4,20,30
20260131_153003.mp4,0,4
"""
PAIRS = {
    "day/gate": [[5, 8], [25, 27]],
    "20260131_153000": [[20, 30]],
    "20260131_153003": [[0, 4]],
}
IN_SECONDS = {name: [[s / 10 for s in pair] for pair in rows] for name, rows in PAIRS.items()}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("l.csv", CSV_SECONDS),
        ("l.csv", CSV_FRAMES),
        ("l.csv", CSV_FRAMES.replace("\n", "\r")),
        ("l.json", json.dumps({"frames": PAIRS})),
        ("l.json", json.dumps({"seconds": IN_SECONDS})),
    ],
    ids=["csv-seconds", "csv-frames", "csv-old-mac", "json-frames", "json-seconds"],
)
def test_intervals(films, name, content):
    """Of files, also where several are one video."""
    (films / name).write_text(content, newline="")
    assert labels_of(prepare(films, f"--labels={films / name}")) == EXPECTED


def test_a_file_without_an_interval_is_normal(films):
    (films / "l.csv").write_text("video,start_frame,stop_frame\ngate.mp4,1,2\n")
    assert labels_of(prepare(films, f"--labels={films / 'l.csv'}")) == {
        "day_gate": [1],
        "20260131_153000": [],
    }


def test_labels_follow_the_resampling(films):
    (films / "l.csv").write_text("video,start_seconds,stop_seconds\ngate.mp4,1,2\n")
    data = prepare(films, f"--labels={films / 'l.csv'}", "--resample_fps=5")
    assert labels_of(data)["day_gate"] == [5, 6, 7, 8, 9]


@pytest.mark.parametrize(("interval", "expected"), [("1.5,3", []), ("0.85,3", [8, 9])])
def test_an_interval_in_a_hole(films, interval, expected):
    """Nothing was recorded in it, so the frame before it is not what was labelled."""
    seconds = [number / RATE for number in range(60) if not 10 <= number < 40]
    write_at(films / "new/holed.mkv", seconds)
    (films / "l.csv").write_text(f"video,start_seconds,stop_seconds\nholed.mkv,{interval}\n")
    found = labels_of(prepare(films, f"--labels={films / 'l.csv'}"))
    assert found["holed"] == expected and not found["holed_from_0h00m04.0s"]


def test_labels_of_what_is_left_out_are_passed_over(films):
    (films / "new/broken.mp4").write_bytes(b"")
    (films / "l.csv").write_text("video,start_frame,stop_frame\nbroken.mp4,1,2\n")
    assert not any(labels_of(prepare(films, f"--labels={films / 'l.csv'}")).values())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("l.csv", "", "l.csv: begins with ''; expected the heading video,start_seconds,stop_sec"),
        ("l.csv", "gate,1,2\n", "l.csv: begins with 'gate,1,2'; expected the heading"),
        ("l.csv", "video,start_frame,stop_frame\ngate,1\n", "l.csv:2: 'gate,1'; expected video,st"),
        ("l.csv", "video,start_frame,stop_frame\ngate,x,2\n", "l.csv:2: 'gate,x,2'; expected"),
        (
            "l.csv",
            "video,start_frame,stop_frame\ngate,5,5\n",
            "l.csv:2: an interval from 5 to 5; expected start < stop",
        ),
        ("l.csv", 'video,start_frame,stop_frame\n"gate,1,2\nyard,1,2\n', "l.csv:2: .*expected vid"),
        (
            "l.csv",
            f"video,start_frame,stop_frame\n{'x' * 140_000},1,2\n",
            r"l.csv:2: 'xxx.*; no line of CSV \(field larger than field limit",
        ),
        ("l.csv", "video,start_frame,stop_frame\ngate,nan,5\n", "l.csv:2: an interval from nan"),
        ("l.csv", "video,start_frame,stop_frame\ngate,5,31\n", "gate: frames 5 to 31; .*its 30 f"),
        (
            "l.csv",
            "video,start_frame,stop_frame\ngate,1.5,3\n",
            "gate: frames 1.5 to 3; expected whole numbers up to its",
        ),
        (
            "l.csv",
            "video,start_seconds,stop_seconds\ngate,5,9\n",
            "5 to 9 seconds, but it lasts 3.0; seconds count from the start of the file",
        ),
        (
            "l.csv",
            "video,start_frame,stop_frame\nyard,1,2\n",
            "'yard' is no video of --new; expect",
        ),
        ("l.json", "[]", "l.json: a list of 0 items; expected a dict"),
        ("l.json", '{"gate": [[1, 2]]}', "expected {\"seconds\": .*it has 'gate'"),
        ("l.json", '{"frames": {"gate": [1, 2]}}', r"frames.gate\[0\] is 1; expected a list"),
        (
            "l.json",
            '{"frames": {"gate": [[1, 2, 3]]}}',
            r"gate: \[1, 2, 3\]; expected \[start, stop",
        ),
    ],
)
def test_intervals_that_cannot_be(films, name, content, message):
    (films / name).write_text(content)
    with pytest.raises(SystemExit, match=message):
        prepare(films, f"--labels={films / name}")
    assert not (films / "out").exists()


def test_a_name_of_two_files(films):
    write(films / "new/night/gate.mp4", street(30), rate=RATE)
    (films / "l.csv").write_text("video,start_frame,stop_frame\ngate,1,2\n")
    with pytest.raises(
        SystemExit, match="'gate' is 2 videos of --new; expected one of day/gate.mp4"
    ):
        prepare(films, f"--labels={films / 'l.csv'}")


def test_an_exact_name_means_one_file(films, masks_of):
    """Though another file further down has it too, or one of its name is left out."""
    write(films / "new/gate.mp4", street(30), rate=RATE)
    write(films / "new/night/yard.mp4", street(30), rate=RATE)
    (films / "new/yard.mp4").write_bytes(b"")
    (films / "l.csv").write_text("video,start_frame,stop_frame\ngate.mp4,1,2\nyard.mp4,3,4\n")
    found = labels_of(prepare(films, f"--labels={films / 'l.csv'}"))
    assert {name: rows for name, rows in found.items() if rows} == {"gate": [1]}
    (films / "masks").mkdir()
    names = ("gate", "day_gate", "night_yard", "20260131_153000", "20260131_153003")
    for at, name in enumerate(names):
        np.save(films / f"masks/{name}.npy", masks_of(30, at, at + 1, size=(48, 64)))
    (films / "out").rename(films / "before")
    found = labels_of(prepare(films, f"--masks={films / 'masks'}"))
    assert found["gate"] == [0] and found["day_gate"] == [1] and found["night_yard"] == [2]


def test_files_at_one_place_in_two_folders(films, monkeypatch, masks_of):
    for day in ("day1", "day2"):
        write(films / f"{day}/gate.mp4", street(30), rate=RATE)
    monkeypatch.chdir(films)
    command = ["--normal", "normal", "--new", "day1", "day2", "--out", "out", "--labels=l.csv"]
    (films / "l.csv").write_text("video,start_frame,stop_frame\ngate.mp4,1,2\n")
    with pytest.raises(SystemExit, match="is 2 videos of --new; expected one of day1/gate.mp4, da"):
        videos.main(command)
    (films / "l.csv").write_text("video,start_frame,stop_frame\nday1/gate.mp4,1,2\n")
    videos.main(command)
    assert labels_of(Dataset(films / "out")) == {"gate.mp4": [1], "gate.mp4-2": []}
    # Of masks the name of the video counts.
    (films / "masks").mkdir()
    for at, name in enumerate(("gate.mp4", "gate.mp4-2")):
        np.save(films / f"masks/{name}.npy", masks_of(30, at, at + 1, size=(48, 64)))
    videos.main([*command[:-2], "out2", "--masks=masks"])
    assert labels_of(Dataset(films / "out2")) == {"gate.mp4": [0], "gate.mp4-2": [1]}


def test_masks_of_a_name_of_two_files(films, masks_of):
    write(films / "new/night/gate.mp4", street(30), rate=RATE)
    (films / "masks").mkdir()
    np.save(films / "masks/gate.npy", masks_of(30, 4, 9, size=(48, 64)))
    with pytest.raises(SystemExit, match="which is 2 videos of --new; expected one of day_gate, n"):
        prepare(films, f"--masks={films / 'masks'}")


def test_seconds_of_pictures(tmp_path, write_images):
    for split in ("normal", "new"):
        write_images(tmp_path / split / "gate", 12, size=(48, 64))
    (tmp_path / "l.csv").write_text("video,start_seconds,stop_seconds\ngate,0.5,1\n")
    with pytest.raises(
        SystemExit, match="gate: seconds of a folder of pictures, whose rate is unknown"
    ):
        prepare(tmp_path, f"--labels={tmp_path / 'l.csv'}")
    data = prepare(tmp_path, f"--labels={tmp_path / 'l.csv'}", "--fps=10")
    assert labels_of(data) == {"gate": [5, 6, 7, 8, 9]}


def test_masks(films, masks_of):
    (films / "masks").mkdir()
    for name, stop in (("gate", 9), ("20260131_153000", 4), ("20260131_153003", 4)):
        np.save(films / f"masks/{name}.npy", masks_of(30, 4, stop, size=(48, 64)))
    data = prepare(films, f"--masks={films / 'masks'}")
    found = by_name(data, "test")
    assert np.flatnonzero(found["day_gate"].labels).tolist() == [4, 5, 6, 7, 8]
    assert found["day_gate"].mask(4).sum() == 50 and not found["day_gate"].mask(3).any()
    assert found["20260131_153000"].labels.sum() == 0


def test_masks_of_only_some_recordings(films, masks_of):
    """Without labels nothing could be measured; with labels these hold for all."""
    (films / "masks").mkdir()
    np.save(films / "masks/gate.npy", masks_of(30, 4, 9, size=(48, 64)))
    with pytest.raises(
        SystemExit,
        match="for 2 of the 3 recordings of --new: .*_153000.mp4, .*003.mp4. "
        "Nothing can be measured where only some have labels: add masks",
    ):
        prepare(films, f"--masks={films / 'masks'}")
    assert not (films / "out").exists()
    (films / "l.csv").write_text(CSV_FRAMES)
    data = prepare(films, f"--masks={films / 'masks'}", f"--labels={films / 'l.csv'}")
    found = by_name(data, "test")
    assert found["day_gate"].has_masks and not found["20260131_153000"].has_masks
    assert labels_of(data) == EXPECTED


def test_masks_of_what_is_left_out_are_passed_over(films, masks_of):
    (films / "new/broken.mp4").write_bytes(b"")
    (films / "masks").mkdir()
    for name in ("gate", "20260131_153000", "20260131_153003", "broken"):
        np.save(films / f"masks/{name}.npy", masks_of(30, 4, 6, size=(48, 64)))
    assert labels_of(prepare(films, f"--masks={films / 'masks'}")) == {
        "day_gate": [4, 5],
        "20260131_153000": [4, 5, 34, 35],
    }


def test_masks_of_one_video_of_two_files(films, masks_of):
    (films / "masks").mkdir()
    np.save(films / "masks/20260131_153003.npy", masks_of(30, 4, 9, size=(48, 64)))
    (films / "l.csv").write_text(CSV_FRAMES)
    with pytest.raises(
        SystemExit,
        match="no masks for .*_153000.mp4, which is one video with recordings that have some",
    ):
        prepare(films, f"--masks={films / 'masks'}", f"--labels={films / 'l.csv'}")
    for name in ("20260131_153000", "gate"):
        np.save(films / f"masks/{name}.npy", masks_of(30, 0, 0, size=(48, 64)))
    found = by_name(prepare(films, f"--masks={films / 'masks'}"), "test")
    assert np.flatnonzero(found["20260131_153000"].labels).tolist() == [34, 35, 36, 37, 38]


@pytest.mark.parametrize(
    ("name", "count", "message"),
    [
        ("yard", 30, "masks of 'yard', which is no video of --new; expected one of"),
        ("gate", 29, r"number of frames 30; expected \[frames, H, W\]"),
    ],
)
def test_masks_that_cannot_be(films, masks_of, name, count, message):
    (films / "masks").mkdir()
    np.save(films / f"masks/{name}.npy", masks_of(count, 4, 9, size=(48, 64)))
    with pytest.raises(SystemExit, match=message):
        prepare(films, f"--masks={films / 'masks'}")


def test_pictures_of_masks_must_be_as_many_as_frames(films, write_images, masks_of):
    write_images(films / "masks/gate", 29, images=masks_of(29, 4, 9, size=(48, 64)), name="{}.png")
    with pytest.raises(
        SystemExit, match="29 masks for the 30 frames of day/gate.mp4; each frame needs one"
    ):
        prepare(films, f"--masks={films / 'masks'}")
