"""A listing of `data_prep/` is a list of commands; what they share is in `data_prep/lib/`."""

import ast

import pytest

from tests.helpers.places import ROOT

FOLDER = ROOT / "data_prep"
COMMANDS = sorted(path for path in FOLDER.glob("*.py") if path.name != "__init__.py")
SHARED = sorted((FOLDER / "lib").glob("*.py"))


def imports(path) -> list[ast.Import | ast.ImportFrom]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]


def test_every_file_beside_the_shared_ones_is_a_command():
    others = {path.name for path in FOLDER.iterdir()} - {path.name for path in COMMANDS}
    assert others - {"__pycache__"} == {"__init__.py", "lib"}
    for path in COMMANDS:
        assert f"python -m data_prep.{path.stem} " in ast.get_docstring(ast.parse(path.read_text()))
        assert '__name__ == "__main__"' in path.read_text()
    for path in SHARED:
        assert '__name__ == "__main__"' not in path.read_text()


@pytest.mark.parametrize("path", [*COMMANDS, *SHARED], ids=lambda path: path.stem)
def test_its_own_modules_are_imported_relatively(path):
    for node in imports(path):
        names = [alias.name for alias in node.names]
        named = [node.module or ""] if isinstance(node, ast.ImportFrom) else names
        if isinstance(node, ast.ImportFrom) and node.level:
            assert node.level == 1, f"{path.name}: shared modules know no command"
        else:
            assert not any(name.split(".")[0] in ("data_prep", "tests") for name in named)
