"""What a clone must hold."""

import re
import subprocess

import pytest

from tests.helpers.places import ROOT


def test_no_source_file_is_ignored():
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    sources = [
        path
        for folder in ("vadjax", "configs", "data_prep", "tests", "benchmarks", "notebooks")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".md", ".ipynb") and "__pycache__" not in path.parts
    ]
    ignored = subprocess.run(
        ["git", "check-ignore", *map(str, sources)], cwd=ROOT, capture_output=True, text=True
    )
    assert len(sources) > 50 and not ignored.stdout


def test_files_that_the_readme_names_are_there():
    text = (ROOT / "README.md").read_text()
    named = re.findall(r"(?:vadjax|configs|data_prep|tests|benchmarks|notebooks)/[\w/]+\.\w+", text)
    modules = re.findall(r"python -m ((?:vadjax|data_prep|tests|benchmarks)[\w.]+)", text)
    assert named and modules
    for path in [*named, *(module.replace(".", "/") for module in modules)]:
        found = ROOT / path
        assert found.exists() or found.with_suffix(".py").exists(), path
