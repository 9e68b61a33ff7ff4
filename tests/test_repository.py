"""What a clone must hold."""

import ast
import collections
import importlib
import json
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


PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "vadjax").rglob("*.md")),
]
FOLDERS = "vadjax|configs|data_prep|tests|notebooks|benchmarks|docs"
page_ids = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def paths_of(text):
    """Files and folders of the repository that a text names; NAME stands for any name."""
    files = re.findall(rf"(?<![\w/.])(?:{FOLDERS})/[\w/]+\.(?:py|md|ipynb|json|png)\b", text)
    folders = re.findall(rf"`((?:{FOLDERS})/(?:[a-z_]\w*/)*)`", text)
    return [path for path in files + folders if "NAME" not in path]


def programs_of(text):
    """Modules of the repository that a text starts with `python -m`."""
    return re.findall(rf"python -m ((?:{FOLDERS})[\w.]+\w)", text)


TABLE = re.compile(r"^\| file in `(vadjax/[\w/]*)` .*\n\|.*\n((?:\|.*\n)+)", re.M)  # folder, rows
CONFIG = re.compile(r"configs/(\w+)\.py(?::(\w+))?")  # name, variant


def test_names_in_a_text_are_found():
    text = "See `tests/golden/` and docs/a/b.md (not x/docs/c.md): python -m vadjax.main --x"
    assert paths_of(text) == ["docs/a/b.md", "tests/golden/"]
    assert programs_of(text) == ["vadjax.main"]


@page_ids
def test_files_and_programs_that_a_page_names_are_there(page):
    for path in paths_of(page.read_text()):
        assert (ROOT / path).exists(), path
    for module in programs_of(page.read_text()):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module


@page_ids
def test_files_in_the_table_of_a_folder_are_there(page):
    for folder, rows in TABLE.findall(page.read_text()):
        names = re.findall(r"`(\w+\.py)`", " ".join(row.split("|")[1] for row in rows.splitlines()))
        assert names and not [name for name in names if not (ROOT / folder / name).is_file()]


@page_ids
def test_configs_and_variants_that_a_page_names_are_there(page):
    for name, variant in CONFIG.findall(page.read_text()):
        config = importlib.import_module(f"configs.{name}")
        assert config.get_config(variant).system, name


def test_every_kind_of_name_is_found_in_the_pages():
    """A pattern that finds nothing any more would make the tests above pass."""
    texts = [page.read_text() for page in PAGES]
    assert len({path for text in texts for path in paths_of(text)}) > 50
    assert len({module for text in texts for module in programs_of(text)}) > 20
    assert len({folder for text in texts for folder, _ in TABLE.findall(text)}) >= 3
    configs = {name for text in texts for name, _ in CONFIG.findall(text)}
    assert len(configs) > 10
    assert any(variant for text in texts for _, variant in CONFIG.findall(text))


def test_every_folder_of_tests_is_a_package():
    folders = {path.parent for path in (ROOT / "tests").rglob("*.py")}
    assert not [folder for folder in folders if not (folder / "__init__.py").is_file()]


SOURCES = [
    path
    for folder in ("vadjax", "configs", "data_prep", "tests", "benchmarks", "docs", "notebooks")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in (".py", ".ipynb")
]


def code_of(path):
    """Python of a file; of a notebook that of all its cells."""
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        return text
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    return "\n".join("".join(cell["source"]) for cell in cells)


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_imported_of_the_repository_lies_in_it(path):
    """Another version that is installed must not stand in for what is no longer here."""
    wanted = set()
    for node in ast.walk(ast.parse(code_of(path))):
        if isinstance(node, ast.Import):
            wanted |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            wanted.add(node.module)
            folder = ROOT / node.module.replace(".", "/")
            face = folder / "__init__.py"
            text = face.read_text("utf-8") if face.is_file() else ""
            if folder.is_dir():
                names = {alias.name for alias in node.names}
                wanted |= {f"{node.module}.{name}" for name in names if name not in text}
    own = [name for name in wanted if re.match(rf"(?:{FOLDERS})\b", name)]
    assert not [name for name in own if not is_module(name)]


def test_one_name_for_one_thing():
    """No class name stands twice in the package, but for those of the contract of a system."""
    found = collections.Counter(
        node.name
        for path in (ROOT / "vadjax").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
    )
    twice = {name for name, count in found.items() if count > 1}
    assert twice <= {"System", "State", "Config"}
