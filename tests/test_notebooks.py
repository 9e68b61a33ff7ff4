import json

import nbformat
import pytest
from nbclient import NotebookClient

from tests.helpers.places import ROOT

BAGS = {"ucf_mil", "shanghaitech_s3r"}  # the others show frames
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_runs_top_to_bottom(path, toy_bags, toy_scenes, tmp_path, monkeypatch):
    monkeypatch.setenv("VADJAX_WORKDIR", str(tmp_path / "run"))
    monkeypatch.setenv("VADJAX_DATASET", str(toy_bags if path.stem in BAGS else toy_scenes))
    monkeypatch.setenv("VADJAX_VARIANT", "smoke")
    monkeypatch.delenv("XLA_FLAGS")
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=900, resources={"metadata": {"path": ROOT}}).execute()
    summary = json.loads((tmp_path / "run" / "metrics.json").read_text())
    printed = "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ())
    )
    assert f"pooled AUC {summary['metrics']['auc']:.4f}" in printed
    images = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "image/png" in output.get("data", {})
    ]
    assert len(images) >= 4


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_committed_without_outputs_and_defines_nothing_of_its_own(path):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in cells)
    assert not any("class " in cell.source for cell in cells)
