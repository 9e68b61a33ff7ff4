"""What became of a damaged input or of a fault, and the table of it."""

import collections
import hashlib
import itertools
import json
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

KINDS = ("survived", "named", "unnamed", "traceback", "silent", "hang", "outside")
BAD = ("unnamed", "traceback", "hang", "outside")
MEANING = {
    "survived": "the same result as without the fault",
    "named": "refused, or warned of, in a line that names the file",
    "unnamed": "refused without naming the file",
    "traceback": "ended in a traceback, or by a signal",
    "silent": "accepted with another result",
    "hang": "more than 30 seconds, or 2 GB of resident memory",
    "outside": "something was written outside of the folder that was asked for",
}
# Files that say when, where and how fast: only their names are compared. Checkpoints are compared
# by what is scored with them.
VOLATILE = re.compile(r"(^|/)(provenance\.json|.*\.webm|.*\.mp4|events|settings\.json)$")
EVENTS = re.compile(r"(?<=/)events\.out\.tfevents\..*")  # of TensorBoard: the time is in the name
STATES = re.compile(r"(^|/)(finished|checkpoints/\d+)/")


class Outcome(NamedTuple):
    """What became of one fault.

    Attributes:
      case: name of the input or of the program.
      fault: what was done.
      kind: one of `KINDS`.
      note: what the program said, or what differs.
      seconds: how long it took.
    """

    case: str
    fault: str
    kind: str
    note: str
    seconds: float


def contents(folder: pathlib.Path) -> dict[str, str]:
    """Path → digest of all files of a folder, but for what differs from run to run.

    Files of a checkpoint count as one name without a digest.
    """
    digests = {}
    for path in sorted(folder.rglob("*")):
        name = EVENTS.sub("events", path.relative_to(folder).as_posix())
        if path.is_symlink() or not path.is_file():
            continue
        # A checkpoint is one entry: its files hold times
        if state := STATES.search(name):
            digests[name[: state.end()]] = ""
        else:
            digests[name] = "" if VOLATILE.search(name) else _digest(path)
    return digests


def _digest(path: pathlib.Path) -> str:
    """SHA-256 of a file, cut short, without when and with what it was made."""
    content = path.read_bytes()
    if path.suffix == ".html":
        content = re.sub(rb"<details><summary>Made with.*?</details>", b"", content, flags=re.S)
    if path.suffix == ".js":
        content = re.sub(rb'"made": "[^"]*"', b"", content)
    if path.suffix == ".json":
        try:
            content = json.dumps(_timeless(json.loads(content))).encode()
        except (ValueError, RecursionError):
            pass
    return hashlib.sha256(content).hexdigest()[:16]


def _timeless(value: object) -> object:
    """What JSON holds, without the entries that differ from run to run."""
    if isinstance(value, dict):
        return {
            key: _timeless(part)
            for key, part in value.items()
            if key not in ("made_with", "date", "command")
        }
    return value


def difference(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """Names that only the first has (+), only the second (-), or both with other content (≠).

    In one line; empty if there is no difference.
    """
    more = [f"+{name}" for name in here.keys() - there.keys()]
    less = [f"-{name}" for name in there.keys() - here.keys()]
    other = [f"≠{name}" for name in here.keys() & there.keys() if here[name] != there[name]]
    return " ".join(sorted(more) + sorted(less) + sorted(other))[:300]


def steady(text: str) -> str:
    """What is printed, without how fast it went."""
    return re.sub(r"[\d.,]+ (steps/s|s left|objects/s)|objects/s [\d.]+", "", text)


def other_lines(here: str, there: str) -> str:
    """The first line in which two outputs differ, of both; empty if they say the same."""
    pairs = itertools.zip_longest(*(steady(text).splitlines() for text in (there, here)))
    changed = next((pair for pair in pairs if pair[0] != pair[1]), None)
    return f"other figures: {changed[0]!r} → {changed[1]!r}"[:300] if changed else ""


def last_line(text: str) -> str:
    """The last line that says something, at most 300 letters."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def table(outcomes: Sequence[Outcome]) -> str:
    """The counts by case, as markdown."""
    rows = collections.defaultdict(collections.Counter)
    for outcome in outcomes:
        rows[outcome.case][outcome.kind] += 1
    total = collections.Counter(outcome.kind for outcome in outcomes)
    lines = [f"| | faults | {' | '.join(KINDS)} |", f"| --- |{' ---: |' * (len(KINDS) + 1)}"]
    for name, counts in [*sorted(rows.items()), ("all", total)]:
        cells = " | ".join(str(counts[kind] or "–") for kind in KINDS)
        lines.append(f"| {name} | {counts.total()} | {cells} |")
    return "\n".join(lines)


def silent(outcomes: Iterable[Outcome]) -> str:
    """What was accepted with another result, by kind."""
    counts = collections.Counter(
        (outcome.case, re.split(r":| \(", outcome.fault)[0])
        for outcome in outcomes
        if outcome.kind == "silent"
    )
    return "\n".join(
        f"{count:4} {case}: {fault}" for (case, fault), count in sorted(counts.items())
    )


def write_json(path: pathlib.Path, outcomes: Sequence[Outcome]) -> None:
    """Writes all outcomes, and their counts."""
    counts = collections.Counter(outcome.kind for outcome in outcomes)
    rows = [outcome._asdict() for outcome in outcomes]
    text = json.dumps({"counts": counts, "outcomes": rows}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def of_seed(*parts: object) -> np.random.Generator:
    """Random numbers that depend on the parts alone."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))
