"""Names of videos in files of other programs: none leads out of a folder."""

import json

import pytest

from vadjax.formats import coco, numbering
from vadjax.predict import run as predict
from vadjax.scores import files

IMAGE = {"id": 1, "file_name": "x/001.jpg"}


@pytest.mark.parametrize("name", ["../001.jpg", "x/../001.jpg", "..\\..\\001.jpg", ".x/001.jpg"])
def test_names_of_frames(tmp_path, name):
    with pytest.raises(ValueError, match="names no video"):
        numbering.place(name)
    path = tmp_path / "coco.json"
    path.write_text(json.dumps({"images": [{**IMAGE, "file_name": name}], "annotations": []}))
    with pytest.raises(ValueError, match=r"coco\.json: images\[0\]: .* names no video"):
        coco.read_coco(path)


@pytest.mark.parametrize("name", ["..", "../..", "a\nb", ""])
def test_names_of_videos_in_coco(tmp_path, name):
    listed = {"videos": [{"id": 5, "name": name}], "images": [IMAGE], "annotations": []}
    (tmp_path / "coco.json").write_text(json.dumps(listed))
    with pytest.raises(ValueError, match=r"coco\.json: video name .* cannot be the name"):
        coco.read_coco(tmp_path / "coco.json")


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/b", ".x", ""])
@pytest.mark.parametrize("live", [False, True])
def test_names_of_the_command_line(tmp_path, name, live):
    """Before the run is looked for, and before a camera is opened."""
    with pytest.raises(ValueError, match="--name: video name .* cannot be the name of a file"):
        predict.run(None, tmp_path, "0", tmp_path / "out", as_it_comes=live, name=name)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2Jb", "x" * 240, "\udce9"])
def test_names_of_score_files(tmp_path, name):
    path = tmp_path / "v.npz"
    files.write(tmp_path, files.Scores("v", [0.5, 0.25]))
    path.rename(tmp_path / f"{name}.npz")
    with pytest.raises(ValueError, match="video name .* cannot be the name of a file") as caught:
        files.read_folder(tmp_path)
    assert str(caught.value).split("(/")[0].isprintable()
