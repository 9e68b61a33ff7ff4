"""A process that has imported what the programs import, and forks one of them for each request.

    python -m tests.faults.forks       # JSON lines in and out; see `tests.faults.process`

So a program starts in a tenth of a second. In all else it is as with `python -m MODULE OPTIONS`.
"""

import atexit
import contextlib
import importlib
import json
import os
import pathlib
import resource
import runpy
import signal
import sys
import time
import traceback
import warnings

from tests.helpers.systems import SYSTEMS

IMPORTED = (
    *("vadjax.train", "vadjax.predict.run", "scipy.io", "sklearn.linear_model"),
    *(f"vadjax.systems.{system}.system" for system in SYSTEMS),
    *("vadjax.report.marked", "vadjax.systems.s3r.__main__", "data_prep.ucf_crime"),
    *("data_prep.avenue", "data_prep.extract_objects", "data_prep.labelled_images"),
)
CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.link", "os.symlink"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
POLL = 0.02  # seconds between two looks at a program
WAITING = 4  # times the limit of work that a program may take by the clock


def main() -> None:
    """Answers requests until there are no more."""
    for name in IMPORTED:
        importlib.import_module(name)
    # Replies go to what was the standard output; programs print to files of their own
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    print("ready", file=replies, flush=True)
    for request in sys.stdin:
        print(json.dumps(serve(json.loads(request))), file=replies, flush=True)


def serve(request: dict) -> dict:
    """Runs one program within its limits.

    Returns:
      `code` (negative: the signal that ended it), `seconds`, `peak` (MB of resident memory),
      `stopped` (why it was killed: `"time"`, `"memory"`, `"wish"`, or nothing).
    """
    start = time.monotonic()
    process = os.fork()
    if not process:
        _be_program(request)
    # Looks at it every few milliseconds, and ends it once a limit is reached
    peak, stopped = 0.0, ""
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            break
        now = time.monotonic()
        peak = max(peak, _resident(process))
        if request.get("kill_after") is not None and now - start > request["kill_after"]:
            stopped = stopped or "wish"
        elif _busy(process) > request["seconds"] or now - start > WAITING * request["seconds"]:
            stopped = stopped or "time"
        elif peak > request["memory"]:
            stopped = stopped or "memory"
        if stopped:
            _end(process)
        time.sleep(min(POLL, 0.002 + (now - start) / 20))
    _end(process)  # what it has started, too
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGKILL and not stopped and request.get("kill_at"):
        stopped = "wish"
    seconds = round(time.monotonic() - start, 2)
    return {"code": code, "seconds": seconds, "peak": round(peak), "stopped": stopped}


def _end(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)


def _busy(process: int) -> float:
    """Seconds of work so far, which do not depend on what else the machine does."""
    try:
        fields = pathlib.Path(f"/proc/{process}/stat").read_text("ascii").rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident(process: int) -> float:
    """Megabytes of resident memory."""
    try:
        pages = int(pathlib.Path(f"/proc/{process}/statm").read_text("ascii").split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * resource.getpagesize() / 1e6


def _be_program(request: dict) -> None:
    """Becomes the program of the request; never returns."""
    code = 70
    try:
        os.setsid()  # a group of its own, which `_end` kills as a whole
        os.chdir(request["cwd"])
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        # Input, output, errors and the count of changes are the files 0 to 3 of the process
        for number, path in enumerate(request["files"]):
            flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            os.dup2(os.open(path, flags, 0o644), number)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.argv = [request["module"], *request["options"]]
        if request.get("kill_at") is not None or request.get("count"):
            sys.addaudithook(_Counter(request))
        code = _run(request["module"])
    finally:
        os._exit(code)


def _run(module: str) -> int:
    """Exit code of a program; an exception is a traceback and 1, as the interpreter has it."""
    code = 0
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=RuntimeWarning, module="runpy")
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


class _Counter:
    """Counts what changes files below a folder, and kills the process before the n-th."""

    def __init__(self, request: dict):
        self._folder, self._at = request["folder"], request.get("kill_at")
        self._file = request.get("count")
        self._count = 0

    def __call__(self, event: str, arguments: tuple) -> None:
        """An audit hook."""
        if event not in CHANGES and not (event == "open" and (arguments[2] or 0) & WRITES):
            return
        # Absolute paths count below the folder, relative ones for all events but `open`
        try:
            path = os.fsdecode(arguments[0])
        except TypeError:
            return  # a file that is open already
        if os.path.isabs(path) and not path.startswith(self._folder):
            return
        if not os.path.isabs(path) and event == "open":
            return
        self._count += 1
        if self._file:
            os.pwrite(3, f"{self._count:10}".encode(), 0)
        if self._count == self._at:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
