"""Damaged inputs: what programs make of them."""

import pathlib
import re
import shutil
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tests.faults import inputs as files
from tests.faults import mutations, network_inputs, outcomes, weight_inputs
from tests.faults.inputs import Input
from tests.faults.outcomes import Outcome
from tests.faults.process import Ended, Worker

INPUTS = (*files.INPUTS, *network_inputs.INPUTS, *weight_inputs.INPUTS)


class Reference(NamedTuple):
    """An undamaged input, and what its program makes of it."""

    folder: pathlib.Path
    files: list[str]
    ended: Ended
    made: dict[str, str]


def run(
    count: int, seed: int, root: pathlib.Path, worker: Worker, inputs: Sequence[Input] = INPUTS
) -> Iterator[Outcome]:
    """Damages `count` files and runs the programs on them; the same seed damages the same.

    Args:
      count: how many.
      seed: of everything.
      root: folder to work in.
      worker: runs the programs.
      inputs: formats to draw from.

    Raises:
      RuntimeError: a program does not read the undamaged input.
    """
    order = [one for one in inputs for _ in range(one.weight)]
    undamaged: dict[str, Reference] = {}
    for number in range(count):
        entry = order[number % len(order)]
        if entry.name not in undamaged:
            undamaged[entry.name] = _reference(entry, root / "inputs" / f"{len(undamaged)}", worker)
        yield _one(entry, undamaged[entry.name], number, seed, root, worker)


def _reference(entry: Input, folder: pathlib.Path, worker: Worker) -> Reference:
    # The input is always made and read in one place, so that what is printed is the same
    work = folder.parents[1] / "case"
    shutil.rmtree(work, ignore_errors=True)
    (work / "in").mkdir(parents=True)
    entry.build(work / "in", worker)
    shutil.copytree(work / "in", folder / "in")
    # The files that may be damaged
    files = sorted(
        {
            path.relative_to(folder / "in").as_posix()
            for pattern in entry.damaged
            for path in (folder / "in").glob(pattern)
            if path.is_file()
        }
    )
    # The program on the undamaged input
    _lay(folder / "in", work)
    ended = worker.run(entry.module, entry.command(work / "in", work / "out"), work, seconds=300)
    made = outcomes.contents(work)
    if ended.code or not files:
        raise RuntimeError(f"{entry.name}: {len(files)} files; {ended.code}: {ended.said}")
    return Reference(folder / "in", files, ended, made)


def _lay(source: pathlib.Path, work: pathlib.Path) -> None:
    """A fresh copy of an input at `work/in`, and an empty folder `work/out`."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(source, work / "in", symlinks=True)
    (work / "out").mkdir()


def _one(
    entry: Input, undamaged: Reference, number: int, seed: int, root: pathlib.Path, worker: Worker
) -> Outcome:
    # A copy of the input, in which one file is damaged
    rng, work = outcomes.of_seed(seed, number, entry.name), root / "case"
    _lay(undamaged.folder, work)
    file = undamaged.files[rng.integers(len(undamaged.files))]
    fault = f"{mutations.damage(work / 'in' / file, rng)} ({file}; {number})"
    # The program on it; then whether there is a new name around its folder
    before, names_around = outcomes.contents(work), _names(root)
    ended = worker.run(entry.module, entry.command(work / "in", work / "out"), work)
    kind, note = classify(ended, file, undamaged, outcomes.contents(work), before)
    if escaped := _names(root) - names_around:
        kind, note = "outside", " ".join(sorted(escaped))
    return Outcome(entry.name, fault, kind, note, ended.seconds)


def _names(root: pathlib.Path) -> set[str]:
    """Names in the folders around that of a case."""
    return {path.name for folder in (root, *root.parents[:1]) for path in folder.iterdir()}


def classify(
    ended: Ended, file: str, known: Reference, made: dict[str, str], before: dict[str, str]
) -> tuple[str, str]:
    """What became of a program that read a damaged file, and what says so.

    Args:
      ended: how it ended.
      file: path of the damaged file in the input.
      known: what it makes of the undamaged input.
      made: what is in its folder.
      before: what was in it before.
    """
    if ended.stopped:
        return "hang", f"{ended.stopped} {ended.seconds} s, {ended.peak} MB"
    if "Traceback (most recent" in ended.said or ended.code < 0:
        return "traceback", outcomes.last_line(ended.errors) or f"signal {-ended.code}"
    # Refused: does any line name the file?
    if ended.code:
        kind = "named" if names_file(ended.said, file) else "unnamed"
        return kind, outcomes.last_line(ended.said)
    # Accepted: is all that it printed and wrote the same, the damaged file itself left aside?
    lines = outcomes.other_lines(ended.out, known.ended.out)
    left_out = {*before, f"in/{file}"}
    written = {name: digest for name, digest in made.items() if before.get(name) != digest}
    new = {name: digest for name, digest in written.items() if name not in left_out}
    wanted = {name: digest for name, digest in known.made.items() if name not in left_out}
    inputs = [name for name in written if name in before and name != f"in/{file}"]
    changed = [name for name in inputs if known.made.get(name) != written[name]]
    if not lines and wanted == new and not changed:
        return "survived", ""
    # Another result: does a line that is not always printed name the file?
    usual = set(outcomes.steady(known.ended.said).splitlines())
    said = [
        line
        for line in ended.said.splitlines()
        if outcomes.steady(line) not in usual and names_file(line, file)
    ]
    note = outcomes.difference(new, wanted) or lines or f"≠{' ≠'.join(changed)}"
    return ("named", said[-1][:300]) if said else ("silent", note)


def names_file(text: str, file: str) -> bool:
    """Whether a text names a file, or the folder or video that it is all of."""
    path = pathlib.PurePosixPath(file)
    folders = [part for part in path.parts[:-1] if any(letter.isdigit() for letter in part)]
    names = (path.name, path.stem, *folders)
    return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) for name in names)
