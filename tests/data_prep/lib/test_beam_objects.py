"""Objects datasets made through Apache Beam, on this machine: the same files."""

import numpy as np
import pytest

from data_prep import extract_objects
from data_prep.lib import beam_objects
from tests.data_prep.folders import contents
from tests.helpers import onnx_files
from vadjax.backbones.ssd import NAME
from vadjax.data.store.frame_writer import SourceVideo, write_frames
from vadjax.data.video.reader import Picture

pytest.importorskip("apache_beam", reason="the extra `beam` is not installed")


@pytest.fixture
def frames(tmp_path):
    """Function: a frames dataset in the working folder; its test videos have other boxes."""

    def make(boxes) -> str:
        pictures = [Picture(np.full((20, 30, 3), 9 * i, np.uint8), f"{i}") for i in range(3)]
        kept = np.array([[0, 3, 3, 12, 12, 0.9], [2, 9, 9, 4, 9, 0.8], [2, 1, 1, 9, 9, 0.7]])
        splits = {
            "train": [SourceVideo(name, pictures, labels=0, boxes=kept) for name in ("b", "a")],
            "test": [SourceVideo(name, pictures, labels=0, boxes=boxes) for name in ("2", "1")],
        }
        write_frames(tmp_path / "frames", splits, name="tiny")
        return "frames"

    return make


def both(tmp_path, capsys, *flags) -> tuple[str, str]:
    """What the command prints without and with Beam; compares the datasets."""
    out, printed = tmp_path / "prepared" / "set", []
    for name, more in (("plain", []), ("beam", ["--beam"])):
        extract_objects.main(["--out", str(out), *flags, *more])
        assert [path.name for path in out.parent.iterdir()] == ["set"]  # no parts are left
        out.rename(tmp_path / name)
        printed.append(capsys.readouterr().out)
    assert contents(tmp_path / "beam") == contents(tmp_path / "plain")
    return tuple(printed)


def test_stored_boxes_of_a_relative_path(frames, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data = frames(np.array([[1, 30, 3, 40, 9, 0.9], [1, 0, 0, 9, 9, 0.6]]))
    plain, beam = both(tmp_path, capsys, "--data", data, "--boxes", "stored", "--shards", "2")
    for line in ("left out: 2 boxes of width or height 0", "left out: 2 boxes wholly outside"):
        assert line in plain and line in beam


def test_motion_with_teachers(toy_scenes, tmp_path, capsys):
    grid = np.array([[0, 0, 0.5, 1], [0.5, 0, 1, 1.0]])
    scores = np.array([[1, 3], [2, 4]]) / 10
    onnx_files.write(tmp_path / "classes.onnx", out=np.arange(5.0)[None])
    onnx_files.write(tmp_path / "ssd.onnx", ("boxes",), boxes=grid[None], scores=scores[None])
    teach = ["--classifier", str(tmp_path / "classes.onnx"), "--teacher_size", "16", "--every", "3"]
    both(
        tmp_path,
        capsys,
        "--data",
        str(toy_scenes),
        "--detector",
        "motion",
        "--min_size",
        "4",
        "--format",
        "tfrecord",
        *teach,
    )
    for name in ("plain", "beam"):
        (tmp_path / name).rename(tmp_path / f"motion_{name}")
    both(
        tmp_path,
        capsys,
        "--data",
        str(toy_scenes),
        "--detector",
        str(tmp_path / "ssd.onnx"),
        "--layout",
        "ssd",
        "--input_size",
        "24x32",
        "--threshold",
        "0",
        "--outputs",
        "logits",
        *teach,
    )


def test_refusals_are_those_without_beam(frames, tmp_path):
    data = str(tmp_path / frames(np.array([[1, 3, np.inf, 12, 12, 0.9]])))
    refused = []
    for more in ([], ["--beam"]):
        with pytest.raises(SystemExit) as end:
            extract_objects.main(
                ["--data", data, "--out", str(tmp_path / "out"), "--boxes", "stored", *more]
            )
        refused.append(str(end.value))
        assert [path.name for path in tmp_path.iterdir()] == ["frames"]
    assert "boxes/test/2.csv:2: NaN or infinite: '1,3,inf" in refused[0]  # the first in order
    assert refused[1] == refused[0]


def test_machines_get_absolute_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"detector": "d.onnx", "labels": "l.txt", "teachers_named": f"{NAME}=w", "every": 2}
    found = beam_objects.absolute(given)
    assert found == {
        "detector": f"{tmp_path}/d.onnx",
        "labels": f"{tmp_path}/l.txt",
        "teachers_named": f"{NAME}={tmp_path}/w",
        "every": 2,
    }
    assert beam_objects.absolute({"boxes": "stored"}) == {"boxes": "stored"}
    assert beam_objects.absolute({"detector": "motion"}) == {"detector": "motion"}
