"""Every message in the table of docs/live.md is printed by the programs and read by a test."""

import re

import pytest

from tests.helpers.places import ROOT

ROWS = re.compile(r"^\| `(.+?)` \| (.+?) \| (.+?) \|$", re.MULTILINE)
TABLE = (ROOT / "docs/live.md").read_text("utf-8").split("## Messages")[1]
MESSAGES = [row[0] for row in ROWS.findall(TABLE)]


def text_of(*folders):
    """Their sources with the strings that are broken over lines put together."""
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    text = "\n".join(path.read_text("utf-8") for path in paths if path.name != "test_messages.py")
    return re.sub(r"\"\s*\n\s*f?\"", "", text).replace("\\", "")


PROGRAMS = text_of("vadjax/live", "vadjax/predict", "vadjax/data/video")
TESTS = text_of("tests/live", "tests/predict", "tests/data/video")


def test_the_table_is_read():
    assert len(MESSAGES) > 30


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_of_the_table_is_printed_and_tested(message):
    fixed = [part.strip(" .") for part in message.split("…")]
    for part in filter(None, fixed):
        assert part in PROGRAMS, part
    assert any(len(part) > 3 and part in TESTS for part in fixed), f"no test reads {message}"
