"""Every message on the page of one's own videos is one of the program, and is tested."""

import ast

from tests.helpers.places import ROOT
from tests.test_docs import tables

PAGE = ROOT / "docs/videos.md"
SOURCES = (
    *(ROOT / "data_prep").glob("videos.py"),
    *(ROOT / "data_prep/lib").glob("rec*.py"),
    *(ROOT / "vadjax/data/video").glob("*.py"),
    *(ROOT / "vadjax/data/store").glob("*.py"),
    *(ROOT / "vadjax/formats").glob("regular.py"),
    *(ROOT / "vadjax/runtime").glob("space.py"),
)
TESTS = (
    *(
        path
        for path in (ROOT / "tests/data_prep").glob("test_videos*.py")
        if path.stem != "test_videos_messages"
    ),
    *(ROOT / "tests/data_prep/lib").glob("test_rec*.py"),
    *(ROOT / "tests/data/video").glob("test_ignored.py"),
)


def strings(paths) -> list[str]:
    """The texts in some files, those of several literals as one; `{}` stands for what is put in."""
    found = []
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (getattr(part, "value", None) for part in node.values)
                found.append("".join(part if isinstance(part, str) else "{}" for part in parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def messages() -> list[str]:
    """The messages in the tables of the page."""
    wanted = [table for table in tables(PAGE) if table[0][0] == "message"]
    return [row[0].strip("`") for table in wanted for row in table[1:]]


def test_every_message_is_one_of_the_program_and_has_a_test():
    ours, tested = strings(SOURCES), [text.replace("\\", "") for text in strings(TESTS)]
    assert len(messages()) > 45
    assert not [text for text in messages() if not any(text in one for one in ours)]
    assert not [text for text in messages() if not any(text in one for one in tested)]
