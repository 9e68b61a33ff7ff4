import json

import nbformat
import pytest
from nbclient import NotebookClient

from tests.helpers.places import ROOT
from tests.helpers.video_files import write

BAGS = {"ucf_mil", "shanghaitech_s3r"}  # the others show frames
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
OWN_CAMERA = ROOT / "notebooks" / "own_camera.ipynb"  # has no labels, and no figures


def execute(path):
    """Runs a notebook; what it prints, and how many pictures it shows."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=900, resources={"metadata": {"path": ROOT}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    printed = "".join(output.get("text", "") for output in outputs)
    return printed, sum("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", [path for path in NOTEBOOKS if path != OWN_CAMERA], ids=lambda path: path.stem
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_runs_top_to_bottom(path, toy_bags, toy_scenes, tmp_path, monkeypatch):
    monkeypatch.setenv("VADJAX_WORKDIR", str(tmp_path / "run"))
    monkeypatch.setenv("VADJAX_DATASET", str(toy_bags if path.stem in BAGS else toy_scenes))
    monkeypatch.setenv("VADJAX_VARIANT", "smoke")
    monkeypatch.delenv("XLA_FLAGS")
    printed, pictures = execute(path)
    summary = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert f"pooled AUC {summary['metrics']['auc']:.4f}" in printed and pictures >= 4


@pytest.mark.slow
@pytest.mark.parametrize("source", ["toy scenes", "folders"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_own_camera_runs(source, small_scenes, tmp_path, monkeypatch):
    monkeypatch.setenv("VADJAX_WORKDIR", str(tmp_path / "run"))
    monkeypatch.setenv("VADJAX_VARIANT", "smoke")
    monkeypatch.delenv("XLA_FLAGS")
    if source == "folders":
        for split, variable in (("train", "VADJAX_NORMAL"), ("test", "VADJAX_NEW")):
            for video in small_scenes.videos(split):
                frames = [picture.pixels for picture in video.frames]
                write(tmp_path / split / f"{video.name}.mp4", frames, rate=10)
            monkeypatch.setenv(variable, str(tmp_path / split))
    printed, pictures = execute(OWN_CAMERA)
    count = "5 normal videos, 3 new ones" if source == "toy scenes" else "2 normal videos, 2 new"
    assert count in printed and "the same scores as by the file: True" in printed
    assert "alarm line 0.5" in printed and "test_00 has" in printed and pictures >= 2
    assert (tmp_path / "run/run/report/index.html").is_file()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_committed_without_outputs_and_defines_nothing_of_its_own(path):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in cells)
    assert not any("class " in cell.source for cell in cells)
