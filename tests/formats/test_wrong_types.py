"""A folder in the place of a file, or a file in that of a folder, is not passed over."""

import cv2
import numpy as np
import pytest

from data_prep import street_scene, ucsd_ped
from data_prep.lib import frames as prepared
from vadjax.data.video.masks import find_masks, open_masks
from vadjax.data.video.reader import find_videos
from vadjax.formats import annotations, detections, yolo
from vadjax.formats.columns import ASSUMED, Layout
from vadjax.formats.regular import NotRegular

ROW = "0,0,1,1,2,2\n"
PIXELS = np.zeros((4, 6), np.uint8)


def pictures(folder, count: int = 2, ending: str = "png"):
    folder.mkdir(parents=True)
    for t in range(count):
        cv2.imwrite(str(folder / f"{t + 1:03d}.{ending}"), PIXELS)
    return folder


@pytest.mark.parametrize("ending", ["csv", "txt"])
def test_a_folder_among_tables(tmp_path, ending):
    (tmp_path / f"a.{ending}").write_text("0,1,1,2,2,0.5\n")
    (tmp_path / f"b.{ending}").mkdir()
    layout = Layout(("frame", "x_min", "y_min", "x_max", "y_max", "score"), "score", source=ASSUMED)
    assert detections.format_of(tmp_path) == "table"
    with pytest.raises(NotRegular, match=rf"b\.{ending}: a folder, expected a regular file"):
        detections.read_detections(tmp_path, "table", layout)


def test_a_folder_alone_in_the_place_of_a_table_or_score_file(tmp_path):
    for ending, form in ((".csv", "table"), (".npz", "scores")):
        (tmp_path / ending / f"v{ending}").mkdir(parents=True)
        assert detections.format_of(tmp_path / ending) == form


def test_a_file_in_the_place_of_a_folder_of_yolo(tmp_path, capsys):
    (tmp_path / "v1").mkdir()
    (tmp_path / "v1" / "000.txt").write_text("0 0.5 0.5 0.1 0.1 0.5\n")
    (tmp_path / "v2").write_text("what was a folder")
    (tmp_path / "LICENSE").write_text("of the files")
    assert [*yolo.read_yolo(tmp_path)] == ["v1"]
    assert f"{tmp_path}: neither folders of videos nor *.txt, passed over: v2\n" in (
        capsys.readouterr().err
    )


def test_a_folder_in_the_place_of_annotations(tmp_path):
    (tmp_path / "Temporal_Anomaly_Annotation.txt").mkdir()
    path = annotations.find_annotation(tmp_path)
    with pytest.raises(NotRegular, match=r"Temporal_Anomaly_Annotation\.txt: a folder"):
        annotations.read_annotation(path)


def test_masks_of_the_wrong_type(tmp_path):
    np.save(tmp_path / "v1.npy", np.zeros((2, 4, 6), np.uint8))
    pictures(tmp_path / "v2.npy")
    with pytest.raises(NotRegular, match=r"v2\.npy: a folder, expected a regular file"):
        open_masks(tmp_path, {"v1": 2, "v2": 2})


@pytest.mark.parametrize("ending", ["_gt", "_annotations"])
@pytest.mark.parametrize("scene", ["", "Scene1"])
def test_a_file_in_the_place_of_a_folder_of_masks(tmp_path, ending, scene):
    pictures(tmp_path / scene / f"v1{ending}")
    (tmp_path / scene / f"v2{ending}").write_bytes(b"")
    with pytest.raises(ValueError, match=f"v2{ending}: no folder; expected one of pictures"):
        find_masks(tmp_path)


def ped2(root):
    for path in ("Train/Train001", "Test/Test001", "Test/Test001_gt"):
        pictures(root / path)
    (root / "Test" / "UCSDped2.m").write_text("TestVideoFile{end+1}.gt_frame = [1:2];\n")
    return root


@pytest.mark.parametrize("name", ["Train/Train002", "Test/Test002", "Test/Test002_gt"])
@pytest.mark.parametrize("kind", ["file", "broken link"])
def test_files_among_the_videos_of_ped2(tmp_path, name, kind):
    root = ped2(tmp_path / "ped2")
    assert [*map(len, ucsd_ped.read_original(root).values())] == [1, 1]
    if kind == "file":
        (root / name).write_bytes(b"")
    else:
        (root / name).symlink_to("nowhere")
    with pytest.raises(ValueError, match=f"{name}: no folder; expected one of pictures"):
        ucsd_ped.read_original(root)


def test_a_file_among_the_sequences_of_street_scene(tmp_path):
    pictures(tmp_path / "Test" / "Test001", ending="jpg")
    assert len(street_scene.list_sequences(tmp_path / "Test")) == 1
    (tmp_path / "Test" / "Test002").write_bytes(b"")
    with pytest.raises(ValueError, match="Test002: no folder; expected one of pictures"):
        street_scene.list_sequences(tmp_path / "Test")


@pytest.mark.parametrize("name", ["01", "01_gt", "01.npy", "01_annotations"])
def test_a_broken_link_in_the_place_of_masks(tmp_path, name):
    (tmp_path / "masks").mkdir()
    assert prepared.find_video_masks(tmp_path, "01") is None
    (tmp_path / "masks" / name).symlink_to("nowhere")
    assert prepared.find_video_masks(tmp_path, "01") == tmp_path / "masks" / name


def test_an_empty_folder_in_the_place_of_a_video(tmp_path):
    pictures(tmp_path / "a.avi")  # frames of a video in a folder with its name
    assert [*find_videos(tmp_path)] == [f"{tmp_path.name}/a"]
    (tmp_path / "b.avi").mkdir()
    with pytest.raises(ValueError, match=r"b\.avi: an empty folder; expected a video, or a folder"):
        find_videos(tmp_path)
