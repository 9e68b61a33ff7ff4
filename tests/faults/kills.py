"""Programs that are killed, and then the same command again."""

import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tests.faults import outcomes
from tests.faults.jobs import JOBS, Job
from tests.faults.outcomes import Outcome
from tests.faults.process import Worker

LEFT_AS_IT_IS = "exists and is left as it is"  # what is said where all was done before the kill


class Reference(NamedTuple):
    """What a program writes that nothing happens to, how often it changes files, how long it runs.

    `source` is the folder of its input, `errors` what it says on the standard error.
    """

    source: pathlib.Path
    made: dict[str, str]
    errors: str
    changes: int
    seconds: float


def run(
    count: int,
    seed: int,
    root: pathlib.Path,
    worker: Worker,
    only: str = "",
    jobs: Sequence[Job] = JOBS,
) -> Iterator[Outcome]:
    """Kills programs `count` times, two of three before a change of a file, else at a time.

    Args:
      count: how often.
      seed: of the moments.
      root: folder to work in.
      worker: runs the programs.
      only: of jobs whose names hold this.
      jobs: to draw from.

    Raises:
      RuntimeError: a program fails to which nothing happens.
    """
    jobs = [job for job in jobs if only in job.name]
    # By turns: every job once, then those of a weight of at least two again, and so on
    order = [
        job for turn in range(max(job.weight for job in jobs)) for job in jobs if job.weight > turn
    ]
    undamaged: dict[str, Reference] = {}
    for number in range(count):
        job = order[number % len(order)]
        if job.name not in undamaged:
            undamaged[job.name] = reference(job, root, worker)
        yield _one(job, undamaged[job.name], number, seed, root, worker)


def reference(
    job: Job, root: pathlib.Path, worker: Worker, work: pathlib.Path | None = None
) -> Reference:
    """Builds the input of a job and runs it, twice where the first compiles.

    Args:
      job: what to run.
      root: folder for its input.
      worker: runs it.
      work: where it runs, which it may note; `root/case` if None.

    Raises:
      RuntimeError: it fails.
    """
    source, work = root / "inputs" / job.name.replace(" ", "_"), work or root / "case"
    source.mkdir(parents=True)
    job.build(source, worker)
    for _ in range(2 if job.module == "vadjax.main" else 1):
        job.lay(source, work)
        ended = job.run(source, work, worker, count=True)
        if ended.code:
            raise RuntimeError(f"{job.name}: {ended.code} {ended.stopped}: {ended.said}")
    made = outcomes.contents(work)
    return Reference(source, made, ended.errors, ended.changes, ended.seconds)


def _one(
    job: Job, undamaged: Reference, number: int, seed: int, root: pathlib.Path, worker: Worker
) -> Outcome:
    rng, work = outcomes.of_seed(seed, number, job.name), root / "case"
    job.lay(undamaged.source, work)
    if number % 3 and undamaged.changes:
        change = int(rng.integers(1, undamaged.changes + 1))
        fault, limits = f"before change {change} of {undamaged.changes}", {"kill_at": change}
    else:
        seconds = float(rng.uniform(0.05, undamaged.seconds))
        fault, limits = f"after {seconds:.2f} of {undamaged.seconds:.2f} s", {"kill_after": seconds}
    ended = job.run(undamaged.source, work, worker, **limits)
    if ended.stopped != "wish":
        fault += " (it had ended)"
    again = job.run(undamaged.source, work, worker)
    kind, note = compare(again, work, undamaged.made)
    return Outcome(job.name, f"{fault} ({number})", kind, note, again.seconds)


def compare(again, work: pathlib.Path, wanted: dict[str, str]) -> tuple[str, str]:
    """What became of the same command, given again: a kind of `outcomes.KINDS`, and a note.

    Args:
      again: how it ended.
      work: its folder.
      wanted: what is there where nothing happens.
    """
    made = outcomes.contents(work)
    # Evaluations go to a folder of their own each; one that was cut short stays beside
    kept = {name: digest for name, digest in made.items() if "/evaluate_" not in name}
    kept |= _last_evaluation(made)
    different = outcomes.difference(kept, wanted)
    if again.stopped:
        return "hang", f"{again.stopped}, {again.seconds} s, {again.peak} MB"
    if "Traceback (most recent" in again.said or again.code < 0:
        return "traceback", outcomes.last_line(again.errors)
    if again.code and not (LEFT_AS_IT_IS in again.said and not different):
        return "named", outcomes.last_line(again.said)
    return ("silent", different) if different else ("survived", "")


def _last_evaluation(made: dict[str, str]) -> dict[str, str]:
    """Files of the newest evaluation, under the name of the first, and hidden files of all."""
    names = {name.split("/evaluate_")[1].split("/")[0] for name in made if "/evaluate_" in name}
    if not names:
        return {}
    newest = max(names, key=lambda name: [int(part) for part in name.split("_")])
    first = newest.split("_")[0]
    renamed = {
        name.replace(f"/evaluate_{newest}/", f"/evaluate_{first}/"): digest
        for name, digest in made.items()
        if f"/evaluate_{newest}/" in name
    }
    hidden = {name: made[name] for name in made if "/evaluate_" in name and ".tmp/" in name}
    return renamed | hidden
