"""The documentation builds, its references lead somewhere, its figures are the measured ones."""

import ast
import importlib.util
import json
import re
import subprocess
import sys

import pytest

from tests.helpers.places import ROOT

DOCS = ROOT / "docs"
CODE = ("vadjax", "configs", "data_prep", "benchmarks", "tests", "notebooks")
TEXT = (".py", ".md", ".ipynb", ".toml", ".yml")
HEADING = re.compile(r"^#+ (?P<number>[A-D]?\d+(?:\.\d+)*[a-z]?|[A-D])\.? ", re.MULTILINE)
# "spec eval §2, §3", "spec s3r §4-6", "spec i3d §A5, A6, B3"; "and mil §7" of a page that is there
REFERENCE = re.compile(r"\b(?P<spec>specs? )?(?P<page>[a-z]\w*),? (?P<sections>§.*)")
SECTION = re.compile(
    r"(?:\s*(?:,|and|to|-|–))?\s*§?\s*(?P<number>[A-D]?\d+(?:\.\d+)*[a-z]?|[A-D])\b"
)


def texts(*folders, suffixes=TEXT):
    """The text files of the repository's folders, and those of its top if none is named."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in suffixes and "__pycache__" not in path.parts:
                yield path
    if not folders:
        yield from (path for path in sorted(ROOT.iterdir()) if path.suffix in suffixes)


def section_numbers():
    """Page → numbers of its headings."""
    pages = {path.stem: path for path in (DOCS / "spec").glob("*.md") if path.stem != "index"}
    return {
        name: {match["number"] for match in HEADING.finditer(path.read_text())}
        for name, path in pages.items()
    }


def references(text, pages):
    """Pairs (page, section) that a text cites; a section of "" is a page that is not there."""
    text = re.sub(r"\s*(?:\\n\",)?\s*\n[ \t\"#>*|]*", " ", text)  # they may be broken over lines
    for start in re.finditer(r"\b(?:specs? )?[a-z]\w*,? §", text):
        match = REFERENCE.match(text[start.start() : start.start() + 120])
        if match["page"] in pages:
            position, sections = 0, match["sections"]
            while found := SECTION.match(sections, position):
                yield match["page"], found["number"]
                position = found.end()
        elif match["spec"]:
            yield match["page"], ""


def test_every_section_of_a_specification_that_is_cited_is_there():
    pages, cited, missing = section_numbers(), 0, []
    own = {DOCS / "spec" / f"{name}.md" for name in pages}
    for path in [*texts(*CODE), *texts("docs"), *texts()]:
        if path in own or path.name in ("test_docs.py", "CHANGELOG.md"):
            continue
        for page, number in references(path.read_text(), pages):
            cited += 1
            if number not in pages.get(page, ()):
                missing.append(f"{path.relative_to(ROOT)}: spec {page} §{number}")
    assert cited > 100 and not missing, "\n".join(missing)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("(spec eval §2, §3)", [("eval", "2"), ("eval", "3")]),
        ("spec s3r §4-6: so", [("s3r", "4"), ("s3r", "6")]),
        ("as spec\n    i3d §A5, A6, B3", [("i3d", "A5"), ("i3d", "A6"), ("i3d", "B3")]),
        ("# spec metrics §1 and mil §7b", [("metrics", "1"), ("mil", "7b")]),
        ("spec lgn_net §2.3 row 22", [("lgn_net", "2.3")]),
        ("spec nothing §4", [("nothing", "")]),
        ("the paper, §3", []),
    ],
)
def test_references_are_found(text, found):
    assert list(references(text, section_numbers())) == found


def test_nothing_outside_of_the_repository_is_cited():
    outside = re.compile(r"\.\./shared|/work/|\b(?:stack|design|style)\.md")
    cited = [
        str(path.relative_to(ROOT))
        for path in [*texts(*CODE), *texts("docs"), *texts()]
        if path.name != "test_docs.py" and outside.search(path.read_text())
    ]
    assert not cited


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200


def tables(path):
    """The tables of a page: lists of rows of cells, headings first, without the line below."""
    rows, found = [], []
    for line in [*path.read_text().splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif rows:
            found.append([rows[0], *rows[2:]])
            rows = []
    return found


def table_of_results(path):
    """Rows of the table of results on a page."""
    head = ["config", "data", "figure", "ours", "original program", "paper"]
    (table,) = [table for table in tables(path) if table[0] == head]
    return table[1:]


def test_the_tables_show_the_measured_results():
    results = json.loads((DOCS / "results.json").read_text())
    columns = ("data", "figure", "ours", "original", "paper")
    rows = [[f"`{r['config']}`", *(r[name] for name in columns)] for r in results["systems"]]
    assert table_of_results(DOCS / "results.md") == rows
    chosen = [row for row, r in zip(rows, results["systems"], strict=True) if r["readme"]]
    assert table_of_results(ROOT / "README.md") == chosen
    side_by_side = [list(row.values()) for row in results["weak_labels"]]
    assert any(table[1:] == side_by_side for table in tables(DOCS / "results.md"))


def test_every_result_names_a_config():
    results = json.loads((DOCS / "results.json").read_text())
    for row in results["systems"]:
        name, _, variant = row["config"].partition(":")
        assert (ROOT / "configs" / name).is_file(), row
        assert not variant or f":{variant}" in (ROOT / "configs" / name).read_text(), row


def test_docstrings_of_configs_show_the_measured_results():
    shown, measured = 0, (DOCS / "results.json").read_text()
    for path in texts("configs", suffixes=(".py",)):
        docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
        for mean, deviation in re.findall(r"(0\.\d{3})\s+±\s+(0\.\d{3})", docstring):
            assert f"{mean} ± {deviation}" in measured, f"{path.name}: {mean} ± {deviation}"
            shown += 1
    assert shown > 5


@pytest.mark.slow
def test_the_site_builds_and_fetches_nothing(tmp_path):
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("mkdocs is not installed: pip install -e '.[docs]'")
    build = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert build.returncode == 0, build.stdout + build.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) >= len(list(DOCS.rglob("*.md")))
    fetched = re.compile(
        r"<(?:script|img|iframe)[^>]+src=\"?https?:|<link[^>]+stylesheet[^>]+https?:"
    )
    assert not [page.name for page in pages if fetched.search(page.read_text())]
