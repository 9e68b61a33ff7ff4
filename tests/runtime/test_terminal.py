"""Names from outside do nothing in a terminal, and any terminal can show any name."""

import ast
import io
import json
import os
import pathlib
import pty
import subprocess
import sys

import numpy as np
import pytest

from tests.helpers.places import ROOT
from vadjax.report import table
from vadjax.runtime import progress, terminal

BRACKETS = ["[bold]x[/]", "[/]", "[red", "[link=http://x]y[/link]", ":smile:", "\\[x]", "[[0]]"]
ESCAPES = "\x1b[2J\x1b]0;owned\x07\x9b1m\r\x00\u202e"
SHOWN = r"\x1b[2J\x1b]0;owned\x07\x9b1m\r\x00\u202e"


@pytest.mark.parametrize("name", BRACKETS)
def test_brackets_are_no_markup_in_tables(tmp_path, name, capsys):
    """In titles, names of figures and of runs, and their meanings."""
    figures = {f"auc:{name}": 0.5, "auc": 0.5}
    labels = {f"auc:{name}": f"AUC of {name} alone", "auc": "AUC"}
    summary = {"title": name, "metrics": figures, "labels": labels, "system": name}
    table.print_table(summary)
    out = capsys.readouterr().out
    assert out.startswith(name) and f" auc:{name} " in out and f"AUC of {name} alone" in out
    for run in ("a", name.replace("/", "|")):
        (tmp_path / run).mkdir()
        (tmp_path / run / "metrics.json").write_text(json.dumps({**summary, "data": run}))
    table.main([str(path) for path in sorted(tmp_path.iterdir())])
    out = capsys.readouterr().out
    assert name in map(str.rstrip, out.splitlines()) and f" auc:{name} " in out
    assert f" {name.replace('/', '|')} " in out


def test_figures_of_a_run_of_an_older_version_are_shown_without_labels(capsys):
    table.print_table({"title": "t", "metrics": {"auc": 0.5, "strange:x": 0.25, "videos": 3}})
    out = capsys.readouterr().out
    assert "0.2500" in out and "videos" not in out


PROGRAM = """
import sys
from vadjax.runtime import command, progress
from vadjax.report import table
name, escapes = {name!r}, {escapes!r}
def main():
    table.print_table({{"title": name + escapes, "metrics": {{"auc:" + name + escapes: 0.5}}}})
    with progress.bar(name + escapes, 1) as bar:
        print("inside", name + escapes)
        bar.update(1, {{name + escapes: 1.0}})
    print("outside", escapes)
    sys.exit("error: " + name + escapes)
command.run(main)
"""


def on_terminal(script: str, **environment: str) -> str:
    """What a program writes to a terminal of 200 columns."""
    main, other = pty.openpty()
    settings = {"TERM": "xterm", "COLUMNS": "200", "LINES": "40"} | environment
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        stdout=other,
        stderr=other,
        env=os.environ | settings,
    )
    os.close(other)
    found = b""
    try:
        while block := os.read(main, 1 << 16):
            found += block
    except OSError:  # its end, on Linux
        pass
    os.close(main)
    assert process.wait(60) == 1
    return found.decode("utf-8", "backslashreplace")


@pytest.mark.parametrize("name", BRACKETS)
def test_a_terminal_shows_names_as_they_are(name):
    out = on_terminal(PROGRAM.format(name=name, escapes=ESCAPES))
    assert "\x1b[2J" not in out and "\x1b]" not in out and "\x07" not in out
    assert "\x9b" not in out and "\u202e" not in out
    plain = "".join(out.split("\x1b[1m"))
    assert f"inside {name}{SHOWN}" in plain and f"outside {SHOWN}" in plain
    assert f"auc:{name}{SHOWN}" in plain and f"error: {name}{SHOWN}" in plain
    assert f"\n{name}{SHOWN} " in plain.replace("\r", "\n")  # the bar
    assert "\x1b[?25l" in out, "rich still moves the cursor"


def test_rich_has_one_door():
    for path in sorted((*(ROOT / "vadjax").rglob("*.py"), *(ROOT / "data_prep").rglob("*.py"))):
        allowed = {"terminal.py": {"rich.console", "rich.progress", "rich.text"}}
        allowed["table.py"] = {"rich.table"}
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [one.name for one in node.names] if isinstance(node, ast.Import) else []
            rich = {name for name in names if name.split(".")[0] == "rich"}
            assert rich <= allowed.get(path.name, set()), path


PLAIN_LOCALES = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "ascii, strict": {"PYTHONIOENCODING": "ascii:strict"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "C": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "POSIX, coerced": {"LC_ALL": "POSIX"},
}


@pytest.fixture
def odd_scores(tmp_path):
    """Score files whose names no terminal of those can show."""
    rng = np.random.default_rng(0)
    for name in ("\u8857 \u00b1", "[red"):
        arrays = {"frame_scores": rng.random(20), "labels": np.arange(20) % 2}
        arrays["alternative_\u8857 \u00d7"] = rng.random(20)
        with open(os.fsencode(tmp_path / f"{name}.npz"), "wb") as file:
            np.savez(file, **arrays)
    return tmp_path


def program(module: str, *options: str, **environment: str) -> tuple[int, str, str]:
    """Exit code, output and errors of a program in another locale."""
    done = subprocess.run(
        [sys.executable, "-m", module, *options],
        cwd=ROOT,
        capture_output=True,
        env=os.environ | environment,
    )
    return done.returncode, done.stdout.decode("latin-1"), done.stderr.decode("latin-1")


@pytest.mark.parametrize("locale", PLAIN_LOCALES)
def test_programs_end_well_in_any_locale(odd_scores, locale):
    code, out, errors = program("vadjax.report", str(odd_scores), **PLAIN_LOCALES[locale])
    assert "Traceback" not in errors
    if locale == "C":  # which has no such names of files
        assert code == 1 and errors.startswith("error: ") and "\\udce8" in errors, errors
    else:
        assert (code, "auc:\\u8857 x" in out) == (0, locale.startswith("ascii")), errors
        assert "街 ±" in (odd_scores.parent / "report" / "figures.html").read_text("utf-8")
    code, out, errors = program("vadjax.main", "--help", **PLAIN_LOCALES[locale])
    assert "rtsp://" in out and "codec" not in out + errors


@pytest.mark.parametrize("module", ["vadjax.metrics.frame", "data_prep.tracks"])
def test_help_can_be_read_in_ascii(module):
    code, out, errors = program(module, "--help", PYTHONIOENCODING="ascii:strict")
    assert (code, errors) == (0, "") and out.isascii() and "usage: " in out


def test_a_letter_that_an_encoding_lacks_has_a_plain_form():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", errors=terminal.ERRORS)
    print("2 × 3 ± 1 → … 街 \udcff", file=stream, flush=True)
    assert raw.getvalue().decode().strip() == r"2 x 3 +- 1 -> ... \u8857 \udcff"
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("utf-8", terminal.ERRORS)


def test_the_bar_without_a_terminal_is_a_line(capsys):
    with progress.bar("[red", 2) as bar:
        bar.update(2, {"loss": 0.5})
    assert capsys.readouterr().out.startswith("[red 2/2 · loss 0.5000 · ")


def test_files_are_written_and_read_in_utf_8_in_any_locale():
    """Every text file names its encoding, or a locale would choose it."""
    for path in sorted((*(ROOT / "vadjax").rglob("*.py"), *(ROOT / "data_prep").rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and _without_encoding(node):
                where = f"{pathlib.Path(path).relative_to(ROOT)}:{node.lineno}"
                pytest.fail(f"{where}: no encoding in {ast.unparse(node)[:80]}")


def _without_encoding(call: ast.Call) -> bool:
    """Whether a call opens a text file without naming its encoding."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)
    given = {keyword.arg for keyword in call.keywords}
    texts = [one.value for one in call.args if isinstance(one, ast.Constant)]
    if name in ("read_text", "write_text"):
        of_text = name == "read_text" and isinstance(call.func, ast.Name)  # formats.text's own
        place = 0 if name == "read_text" else 1
        return not of_text and "encoding" not in given and len(call.args) <= place
    if name != "open" or ast.unparse(call.func).split(".")[0] in ("os", "Image", "av", "detector"):
        return False
    mode = next((one for one in texts if isinstance(one, str) and set(one) <= set("rwaxbt+")), "r")
    opened = isinstance(call.func, ast.Name) or bool(call.args or given) or mode != "r"
    return opened and "b" not in mode and "encoding" not in given and bool(texts)
