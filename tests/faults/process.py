"""Runs programs as users run them, each in a process of its own with limits."""

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parents[2]
SECONDS, MEMORY = 30.0, 2048.0  # limits: of a program's work, and of its resident memory in MB
ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".cache" / "jax"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES": "none",
    "PYTHONHASHSEED": "0",
}


class Ended(NamedTuple):
    """How a program ended.

    Attributes:
      code: its exit code; negative: the signal that ended it.
      out: what it printed.
      errors: what it printed to the standard error.
      seconds: how long it ran.
      peak: its resident memory at most, MB.
      stopped: why it was killed: `"time"`, `"memory"`, `"wish"`; or nothing.
      changes: how often it changed a file in its folder, if that was counted.
    """

    code: int
    out: str
    errors: str
    seconds: float
    peak: float
    stopped: str
    changes: int = 0

    @property
    def said(self) -> str:
        """All that it printed."""
        return f"{self.out}\n{self.errors}"


class Worker:
    """The process that forks the programs; it is started with the first one.

    Args:
      environment: more variables for it and the programs.
    """

    def __init__(self, environment: Mapping[str, str] | None = None):
        self._environment = environment or {}
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_) -> None:
        if self._process:
            self._process.stdin.close()
            self._process.wait()
            self._process.stdout.close()

    def _start(self) -> subprocess.Popen:
        environment = {**os.environ, **ENVIRONMENT, **self._environment}
        environment.pop("XLA_FLAGS", None)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        command = [sys.executable, "-m", "tests.faults.forks"]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, **pipes)
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the worker did not start")
        return process

    def run(
        self,
        module: str,
        options: Sequence[str],
        folder: pathlib.Path,
        *,
        seconds: float = SECONDS,
        memory: float = MEMORY,
        kill_at: int | None = None,
        kill_after: float | None = None,
        count: bool = False,
    ) -> Ended:
        """Runs `python -m MODULE OPTIONS` in `folder`.

        Args:
          module: name of the program.
          options: its command line.
          folder: where it runs; its output is kept beside.
          seconds: it is killed after so many of work, or four times as many by the clock.
          memory: it is killed when it has so many MB.
          kill_at: it is killed before it changes a file of the folder for the n-th time.
          kill_after: it is killed after so many seconds.
          count: whether to count how often it changes a file of the folder.
        """
        self._process = self._process or self._start()
        # What the program reads and prints lies beside the folder
        files = [folder.with_name(f"{folder.name}.{name}") for name in ("in", "out", "errors")]
        files.append(folder.with_name(f"{folder.name}.count"))
        files[0].write_bytes(b"")
        request = {
            "module": module,
            "options": list(options),
            "cwd": str(folder),
            "folder": str(folder),
            "files": [str(path) for path in files[: 4 if count else 3]],
            "seconds": seconds,
            "memory": memory,
            "kill_at": kill_at,
            "kill_after": kill_after,
            "count": count,
        }
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        # One line of reply when it has ended
        reply = json.loads(self._process.stdout.readline())
        texts = [path.read_text("utf-8", "replace") if path.exists() else "" for path in files]
        for path in files:
            path.unlink(missing_ok=True)
        changes = int(texts[3] or 0) if count else 0
        return Ended(out=texts[1], errors=texts[2], changes=changes, **reply)
