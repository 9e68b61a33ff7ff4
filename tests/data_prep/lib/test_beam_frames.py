"""Frames datasets made through Apache Beam, on this machine: the same files."""

import numpy as np
import pytest

from data_prep import shanghaitech, ucsd_ped
from tests.data_prep.folders import contents
from vadjax.data.video.masks import MaskFile

HEAD = "frame,x0,y0,x1,y1,confidence\n"

pytest.importorskip("apache_beam", reason="the extra `beam` is not installed")


def refusal(root, out, *flags) -> str:
    """The line with which the command ends; nothing is left behind."""
    before = sorted(out.parent.iterdir())
    with pytest.raises(SystemExit) as end:
        ucsd_ped.main(["--data", str(root), "--out", str(out), *flags])
    assert sorted(out.parent.iterdir()) == before
    return str(end.value)


@pytest.mark.parametrize("flags", [["--encoding", "jpeg"], ["--size", "16x20", "--shards", "2"]])
def test_the_dataset_is_that_without_beam(frame_tree, write_images, masks_of, tmp_path, flags):
    for name, count in (("01", 7), ("02", 5)):
        masks = masks_of(count, 0, 2)
        write_images(frame_tree / "testing/masks" / name, count, "{:03d}.png", images=masks)
    (frame_tree / "training/detections").mkdir()
    (frame_tree / "training/detections/02.csv").write_text(HEAD + "0,1.5,2,3,4,0.5\n")
    out = tmp_path / "prepared" / "set"
    given = ["--data", str(frame_tree), "--out", str(out), "--format", "tfrecord", *flags]
    ucsd_ped.main(given)
    plain = contents(out)
    out.rename(tmp_path / "plain")
    ucsd_ped.main([*given, "--beam"])
    assert contents(out) == plain
    assert [path.name for path in out.parent.iterdir()] == ["set"]  # no parts are left


def test_masks_in_one_array_and_a_relative_path(tmp_path, write_images, masks_of, monkeypatch):
    root = tmp_path / "source"
    write_images(root / "training/frames/01", 3)
    write_images(root / "testing/frames/01", 4)
    (root / "testing/test_pixel_mask").mkdir()
    (root / "testing/test_frame_mask").mkdir()
    np.save(root / "testing/test_pixel_mask/01.npy", masks_of(4, 1, 3) > 0)
    np.save(root / "testing/test_frame_mask/01.npy", np.array([0, 1, 1, 0]))
    monkeypatch.chdir(tmp_path)
    for out, flags in (("plain", []), ("beam", ["--beam"])):
        shanghaitech.main(["--data", "source", "--out", out, *flags])
    assert contents(tmp_path / "beam") == contents(tmp_path / "plain")
    masks = MaskFile(root / "testing/test_pixel_mask/01.npy")
    assert masks.__reduce__() == (MaskFile, (root / "testing/test_pixel_mask/01.npy",))


def test_refusals_are_those_without_beam(frame_tree, write_images, tmp_path):
    out = tmp_path / "out"
    for name in ("01", "02"):
        (frame_tree / "testing/frames" / name / "003.jpg").write_bytes(b"no picture")
    found = refusal(frame_tree, out, "--beam")
    assert found == refusal(frame_tree, out)
    assert "testing/frames/01/003.jpg: not a readable image" in found  # the first in order
    write_images(frame_tree / "training/frames/02", 8, size=(30, 36))
    assert "30 x 36 pixels, but the first" in (found := refusal(frame_tree, out, "--beam"))
    assert found == refusal(frame_tree, out)
    out.mkdir()
    assert "exists and is left as it is" in refusal(frame_tree, out, "--beam")
