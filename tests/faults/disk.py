"""Full disks and places that cannot be written to; needs root, to mount."""

import contextlib
import pathlib
import subprocess
from collections.abc import Iterator

from tests.faults import outcomes
from tests.faults.jobs import JOBS, Job
from tests.faults.kills import Reference, compare, reference
from tests.faults.outcomes import Outcome
from tests.faults.process import Ended, Worker

FULL, READ_ONLY = 20, 10
PLENTY = 1 << 30
NOT_HERE = ("lgn", "ssmtl", "s3r")  # they compile for minutes, and write as the others do


class CannotMount(RuntimeError):
    """This user or machine may not mount."""


def run(
    seed: int,
    root: pathlib.Path,
    worker: Worker,
    only: str = "",
    full: int = FULL,
    read_only: int = READ_ONLY,
) -> Iterator[Outcome]:
    """Fills the disk at `full` points, and makes `read_only` places unwritable.

    Raises:
      CannotMount: mounting is not allowed.
    """
    # Jobs by turns; each runs once without a fault, where it will run with one
    jobs = [job for job in JOBS if only in job.name and not any(n in job.name for n in NOT_HERE)]
    undamaged: dict[str, Reference] = {}
    for number in range(full + read_only):
        job = jobs[number % len(jobs)]
        with small_disk(root / "case"):
            if job.name not in undamaged:
                undamaged[job.name] = reference(job, root, worker, root / "case" / "w")
        if number < full:
            yield _full(job, undamaged[job.name], number, seed, root, worker)
        else:
            yield _read_only(job, undamaged[job.name], number, root, worker)


@contextlib.contextmanager
def small_disk(place: pathlib.Path, size: int = PLENTY) -> Iterator[None]:
    """Mounts a file system of so many bytes at a folder, which is empty then.

    Raises:
      CannotMount: mounting is not allowed.
    """
    place.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={size}", "none", str(place))
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True, capture_output=True)


def _mount(*options: str) -> None:
    try:
        subprocess.run(["mount", *options], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or error
        raise CannotMount(f"mount {' '.join(options)}: {reason}") from error


def _full(job: Job, undamaged: Reference, number: int, seed: int, root, worker: Worker) -> Outcome:
    # How much space the job needs
    work, rng = root / "case", outcomes.of_seed(seed, number, job.name)
    with small_disk(work):
        job.lay(undamaged.source, work / "w")
        before = _used(work)
        job.run(undamaged.source, work / "w", worker)
        need = max(_used(work) - before, 8192)
    # With less and less space, until it does not suffice
    for share in (rng.uniform(0.1, 0.95), 0.3, 0.1, 0.02):
        with small_disk(work):
            job.lay(undamaged.source, work / "w")
            room = before + int(share * need) // 4096 * 4096
            _mount("-o", f"remount,size={max(room, before, 4096)}", str(work))
            ended = job.run(undamaged.source, work / "w", worker)
            if not ended.code:
                continue
            _mount("-o", f"remount,size={PLENTY}", str(work))
            again = job.run(undamaged.source, work / "w", worker)
            kind, note = _judge(ended, again, work / "w", undamaged, str(work))
            fault = f"{share:.0%} of {need:,} bytes free ({number})"
            return Outcome(job.name, fault, kind, note, ended.seconds)
    return Outcome(job.name, f"no space ({number})", "survived", "needs none", 0.0)


def _used(place: pathlib.Path) -> int:
    return sum(path.lstat().st_blocks * 512 for path in place.rglob("*"))


def _read_only(job: Job, undamaged: Reference, number: int, root, worker: Worker) -> Outcome:
    work = root / "case"
    with small_disk(work):
        job.lay(undamaged.source, work / "w")
        place = work / "w" / "out"
        _mount("--bind", str(place), str(place))
        try:
            _mount("-o", "remount,bind,ro", str(place))
            ended = job.run(undamaged.source, work / "w", worker)
            _mount("-o", "remount,bind,rw", str(place))
            again = job.run(undamaged.source, work / "w", worker)
            kind, note = _judge(ended, again, work / "w", undamaged, str(work))
        finally:
            subprocess.run(["umount", "-l", str(place)], check=True, capture_output=True)
    return Outcome(job.name, f"read-only ({number})", kind, note, ended.seconds)


def _judge(
    ended: Ended, again: Ended, work: pathlib.Path, undamaged: Reference, place: str
) -> tuple[str, str]:
    """One line that names the place and exit code 1; then the same files as without the fault."""
    usual_lines = undamaged.errors.splitlines()
    lines = [line for line in ended.errors.splitlines() if line.strip() and line not in usual_lines]
    if ended.stopped:
        return "hang", f"{ended.stopped}, {ended.seconds} s"
    if "Traceback (most recent" in ended.said or ended.code < 0:
        return "traceback", f"{len(lines)} lines: {outcomes.last_line(ended.errors)}"
    if place not in ended.errors:
        return "unnamed", outcomes.last_line(ended.errors)
    if ended.code != 1 or len(lines) != 1:
        return (
            "unnamed",
            f"exit {ended.code}, {len(lines)} lines: {outcomes.last_line(ended.errors)}",
        )
    return compare(again, work, undamaged.made)
