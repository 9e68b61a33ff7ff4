"""The same work through Apache Beam, on this machine."""

import sys

import numpy as np
import pytest

from data_prep import extract_features
from data_prep.lib import beam
from tests.data_prep.extract_cases import Net, run, write_video
from vadjax.extractors import clips


def make():
    def work(name, path):
        if name == "b":
            raise ValueError(f"{path}: not this one")
        path.with_suffix(".done").write_text(name)

    return work


def test_every_file_and_the_failures(tmp_path):
    pytest.importorskip("apache_beam", reason="the extra `beam` is not installed")
    files = {name: tmp_path / name for name in "abc"}
    failed = beam.each(files, make, tmp_path)
    assert failed == {"b": f"{tmp_path}/b: not this one"}
    left = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert left == {"a.done": "a", "c.done": "c"}  # and no notes
    assert beam.each({}, make, tmp_path) == {}


def test_extraction_equals_that_without_beam(tmp_path, monkeypatch, capsys):
    pytest.importorskip("apache_beam", reason="the extra `beam` is not installed")
    loads = []
    monkeypatch.setattr(clips, "load_i3d", lambda *args: loads.append(1) or Net())
    source, out = tmp_path / "videos", tmp_path / "out"
    for i in range(5):
        write_video(source / f"Fire/{i}.avi", 20 + 16 * i)
    (source / "Fire/bad.mp4").write_bytes(b"")
    flags = ["--videos", str(source), "--weights", "w", "--out", str(out), "--beam"]
    with pytest.raises(
        SystemExit, match="1 of 6 videos could not be used:\n  Fire/bad: .*no video"
    ):
        extract_features.main(flags)
    assert len(loads) < 6  # not once a video
    run(source, tmp_path / "plain")
    files = sorted(path.name for path in (out / "Fire").iterdir())
    assert files == [f"{i}.npy" for i in range(5)]
    for name in files:
        found, expected = np.load(out / "Fire" / name), np.load(tmp_path / "plain/Fire" / name)
        np.testing.assert_array_equal(found, expected)
    (source / "Fire/bad.mp4").unlink()
    (out / "Fire/3.npy").unlink()
    extract_features.main(flags)
    assert "5 of 5 videos have features" in capsys.readouterr().out


def test_without_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(ImportError, match=r"needs Apache Beam: pip install 'vadjax\[beam\]'"):
        beam.each({}, make, tmp_path)
