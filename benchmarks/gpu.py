"""What one GPU does with vadjax, in at most eight minutes: right numbers first, then speed.

    python -m benchmarks.gpu --json gpu.json
    python -m benchmarks.gpu --minutes 20 --parts "steps rtfm" "torch *"
    python -m benchmarks.gpu --small        # small sizes, on any machine

Needs the extra of the GPU (`pip install -e '.[cuda12,dev,torch]'`); torch may be missing. The parts
(`benchmarks/gpu_parts/`) run in the order of their worth until the time is up: the golden tests
of every system in float32 with products of the highest precision, training steps in float32 and
bfloat16 beside the roofline, exemplar kernels, the input, the steps in torch, and the forms of
`vadjax/ops/forms.json`, which `--rewrite` brings up to date for this backend. Every part works in
another process within a time of its own, so one that fails or hangs is one line of the table.
Exits with 1 if a part failed. docs/performance.md tells how to read the numbers.
"""

import argparse
import contextlib
import fnmatch
import itertools
import json
import os
import pathlib
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

from rich.console import Console

from benchmarks.gpu_parts import all_parts, forms, tables
from benchmarks.gpu_parts.settings import ROOT, LeftOut, Settings
from vadjax.runtime import command

MARK = "gpu: "  # begins the lines of a worker that are for this program; libraries print others
MINUTES = 8.0  # that the bounds of the parts are made for
LEAST = 10.0  # seconds that must be left for a part to begin
FEW = 3  # cores, on which a second process would disturb the first
EMPTY = {"reason": "", "seconds": 0.0, "rows": []}


def serve(settings: Settings) -> None:
    """Runs the parts that the standard input names; prints their rows, and how each ended."""

    def tell(**content) -> None:
        print(f"{MARK}{json.dumps(content)}", flush=True)

    parts = {part.name: part for part in all_parts.parts()}
    for line in sys.stdin:
        try:
            for row in parts[line.strip()].run(settings):
                tell(row=row)
            tell(status="ok", reason="")
        except LeftOut as reason:
            tell(status="left out", reason=str(reason))
        except Exception as error:  # whatever it is, the other parts are worth their time
            tell(status="failed", reason=one_line(f"{type(error).__name__}: {error}"))


def one_line(text: str, most: int = 500) -> str:
    """A message of several lines as one, cut to a length."""
    return " · ".join(line.strip() for line in text.splitlines() if line.strip())[:most]


class Worker:
    """A process that runs parts, one after the other.

    Args:
      group: of the parts, which says how JAX is set up.
      options: of this program's command line.
    """

    def __init__(self, group: str, options: list[str]):
        self.group = group
        command = [sys.executable, "-m", "benchmarks.gpu", "--worker", *options]
        self._errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **all_parts.environment(group)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        # A thread waits for its lines, so that this program can wait for a limited time
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def run(self, name: str, seconds: float) -> dict:
        """Status, reason, seconds and rows of a part, which gets so many seconds at the most."""
        start, rows = time.monotonic(), []
        try:
            ended = self._answers(name, start + seconds, rows)
        except TimeoutError:
            self.end()
            ended = {"status": "failed", "reason": f"took longer than {seconds:.0f} s"}
        except (EOFError, BrokenPipeError):
            ended = {"status": "failed", "reason": self._last_words()}
            self.end()
        return {**ended, "seconds": time.monotonic() - start, "rows": rows}

    def _answers(self, name: str, deadline: float, rows: list[dict]) -> dict:
        """Fills `rows` and returns how the part ended."""
        self.process.stdin.write(f"{name}\n")
        self.process.stdin.flush()
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise TimeoutError from None
            if line is None:
                raise EOFError
            if line.startswith(MARK):
                content = json.loads(line.removeprefix(MARK))
                if "row" not in content:
                    return content
                rows.append(content["row"])

    def _last_words(self) -> str:
        """How the process ended, with the last line that it wrote as an error."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(LEAST)
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors if line.strip()] or ["no message"]
        return one_line(f"the process ended with {self.process.returncode}: {lines[-1]}")

    def end(self) -> None:
        """Ends the process at once."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        for stream in (self.process.stdin, self.process.stdout, self._errors):
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def run_parts(
    parts: list[all_parts.Part], options: list[str], deadline: float, tell: Callable[[dict], None]
) -> Iterator[dict]:
    """The result of every part, in their order; those without time are not begun.

    Args:
      parts: to run.
      options: of the workers.
      deadline: of `time.monotonic`.
      tell: is called with a part's name and bound before it begins.
    """
    worker = following = None
    try:
        for part, after in itertools.zip_longest(parts, parts[1:]):
            left = deadline - time.monotonic()
            if left < LEAST:
                reason = f"{max(left, 0):.0f} s were left"
                yield {"part": part.name, **EMPTY, "status": "no time", "reason": reason}
                continue
            # A process holds memory of the GPU, so the one before ends first
            if worker and (worker.group != part.group or worker.process.returncode is not None):
                worker.end()
                worker = None
            if worker is None and following and following.group == part.group:
                worker, following = following, None
            worker = worker or Worker(part.group, options)
            # The next process imports its modules meanwhile, which takes nothing of the GPU
            if not following and after and after.group != part.group and os.cpu_count() > FEW:
                following = Worker(after.group, options)
            seconds = min(part.seconds, left)
            tell({"part": part.name, "seconds": seconds})
            result = worker.run(part.name, seconds)
            # Whoever is cut off by the end of all time has not failed
            if result["reason"].startswith("took longer") and seconds < part.seconds:
                result |= {"status": "no time", "reason": f"cut off after {seconds:.0f} s"}
            yield {"part": part.name, **result}
    finally:
        for process in filter(None, (worker, following)):
            process.end()


def chosen(parts: list[all_parts.Part], patterns: list[str]) -> list[all_parts.Part]:
    """The parts that a pattern names, in their order.

    Raises:
      SystemExit: a pattern that names none.
    """
    for pattern in patterns:
        if not fnmatch.filter([part.name for part in parts], pattern):
            names = ", ".join(part.name for part in parts)
            sys.exit(f"error: --parts: no part {pattern!r}; expected patterns of: {names}")
    return [
        part for part in parts if any(fnmatch.fnmatch(part.name, pattern) for pattern in patterns)
    ]


def choose(results: list[dict], rewrite: bool) -> None:
    """Says what the table of forms should name on this backend; writes it if asked to."""
    rows = tables.rows_of(results, "forms")
    if rewrite and not rows:
        print("--rewrite: no form was measured; run --parts forms --rewrite")
    changed = forms.changes(rows)
    for name, row in changed.items():
        for platform, form in row.items():
            print(f"{forms.choices.TABLE}: {name}: {form!r} on {platform} is faster")
    if changed:
        print(f"{forms.rewrite(changed)} was changed" if rewrite else "--rewrite changes that")


def main(argv: list[str] | None = None) -> None:
    """Parses the command line, runs the parts, writes the file and prints the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of all parts (8)")
    parser.add_argument("--parts", nargs="+", default=["*"], help="names or patterns of them")
    parser.add_argument("--json", type=pathlib.Path, help="write all that was measured here")
    parser.add_argument("--small", action="store_true", help="small sizes, for any machine")
    parser.add_argument("--volumes", type=int, default=10**6, help="of the exemplar kernels")
    parser.add_argument("--exemplars", type=int, default=10**4, help="that they compare with")
    parser.add_argument("--rewrite", action="store_true", help="change vadjax/ops/forms.json")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.small and args.rewrite:
        parser.error("--rewrite: the table is for shapes of real size; leave out --small")
    settings = Settings(args.small, args.volumes, args.exemplars)
    if args.worker:
        serve(settings)
        return
    # Run, and keep the file as it grows: the machine may go away
    start, console = time.monotonic(), Console(width=150)
    options = [f"--volumes={args.volumes}", f"--exemplars={args.exemplars}"]
    options += ["--small"] * args.small
    found = {"small": args.small, "minutes": args.minutes, "seconds": 0.0, "parts": []}
    more = max(args.minutes / MINUTES, 1.0)  # with more time every part may take longer
    parts = [
        part._replace(seconds=more * part.seconds) for part in chosen(all_parts.parts(), args.parts)
    ]
    deadline = start + 60 * args.minutes
    for result in run_parts(parts, options, deadline, tables.begin):
        found["parts"].append(result)
        found["seconds"] = time.monotonic() - start
        if args.json:
            args.json.write_text(json.dumps(found, indent=1) + "\n")
    tables.show(found, console)
    choose(found["parts"], args.rewrite)
    failed = [result["part"] for result in found["parts"] if result["status"] == "failed"]
    if failed:
        sys.exit(f"error: failed: {', '.join(failed)}")


if __name__ == "__main__":
    command.run(main)
