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
    references: dict[str, Reference] = {}
    for number in range(count):
        own = order[number % len(order)]
        if own.name not in references:
            references[own.name] = _reference(own, root / "inputs" / f"{len(references)}", worker)
        yield _one(own, references[own.name], number, seed, root, worker)


def _reference(own: Input, folder: pathlib.Path, worker: Worker) -> Reference:
    # The input is always made and read in one place, so that what is printed is the same
    work = folder.parents[1] / "case"
    shutil.rmtree(work, ignore_errors=True)
    (work / "in").mkdir(parents=True)
    own.build(work / "in", worker)
    shutil.copytree(work / "in", folder / "in")
    files = sorted(
        {
            path.relative_to(folder / "in").as_posix()
            for pattern in own.damaged
            for path in (folder / "in").glob(pattern)
            if path.is_file()
        }
    )
    _lay(folder / "in", work)
    ended = worker.run(own.module, own.command(work / "in", work / "out"), work, seconds=300)
    made = outcomes.contents(work)
    if ended.code or not files:
        raise RuntimeError(f"{own.name}: {len(files)} files; {ended.code}: {ended.said}")
    return Reference(folder / "in", files, ended, made)


def _lay(source: pathlib.Path, work: pathlib.Path) -> None:
    """A fresh copy of an input at `work/in`, and an empty folder `work/out`."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(source, work / "in", symlinks=True)
    (work / "out").mkdir()


def _one(
    own: Input, known: Reference, number: int, seed: int, root: pathlib.Path, worker: Worker
) -> Outcome:
    rng, work = outcomes.of_seed(seed, number, own.name), root / "case"
    _lay(known.folder, work)
    file = known.files[rng.integers(len(known.files))]
    fault = f"{mutations.damage(work / 'in' / file, rng)} ({file}; {number})"
    before, beside = outcomes.contents(work), _names(root)
    ended = worker.run(own.module, own.command(work / "in", work / "out"), work)
    kind, note = classify(ended, file, known, outcomes.contents(work), before)
    if escaped := _names(root) - beside:
        kind, note = "outside", " ".join(sorted(escaped))
    return Outcome(own.name, fault, kind, note, ended.seconds)


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
    # What the program wrote beside the input, and changed in it, but for the damaged file itself
    own, wrote = f"in/{file}", {n: d for n, d in made.items() if before.get(n) != d}
    wanted = {n: d for n, d in known.made.items() if n not in before and n != own}
    new = {n: d for n, d in wrote.items() if n not in before and n != own}
    inside = [n for n in wrote if n in before and n != own and known.made.get(n) != wrote[n]]
    known_lines = set(outcomes.steady(known.ended.said).splitlines())
    new_lines = [one for one in ended.said.splitlines() if outcomes.steady(one) not in known_lines]
    said = [one for one in new_lines if names_file(one, file)]
    if ended.code:
        return ("named" if names_file(ended.said, file) else "unnamed"), outcomes.last_line(
            ended.said
        )
    lines = outcomes.other_lines(ended.out, known.ended.out)
    if not lines and wanted == new and not inside:
        return "survived", ""
    note = outcomes.difference(new, wanted) or lines or f"≠{' ≠'.join(inside)}"
    return ("named", said[-1][:300]) if said else ("silent", note)


def names_file(text: str, file: str) -> bool:
    """Whether a text names a file, or the folder or video that it is all of."""
    path = pathlib.PurePosixPath(file)
    folders = [part for part in path.parts[:-1] if any(letter.isdigit() for letter in part)]
    names = (path.name, path.stem, *folders)
    return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) for name in names)
