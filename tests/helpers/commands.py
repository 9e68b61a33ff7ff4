"""Programs of the package in processes of their own, as with `python -m`.

They are forked from a process that has imported the large modules, so that these are imported once.
"""

import atexit
import multiprocessing
import os
import pathlib
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import weakref

from tests.helpers.places import ROOT
from tests.helpers.systems import SYSTEMS

IMPORTED = (
    "vadjax.train",
    "vadjax.predict.run",
    *(f"vadjax.systems.{system}.system" for system in SYSTEMS),
)


class Program:
    """`python -m MODULE OPTIONS`, and a Popen's methods.

    Args:
      module: its name.
      *options: its command line.
      devices: that it has of the CPU.
    """

    def __init__(self, module: str, *options: str, devices: int = 1):
        # All programs are forked from one server, which the first of them starts
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(IMPORTED))
        # Output goes to files: a pipe that nobody reads would stop the program once it is full
        folder = pathlib.Path(tempfile.mkdtemp())
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._files = [folder / name for name in ("out", "err")]
        self._process = context.Process(target=_run, args=(module, options, self._files, devices))
        self._process.start()

    def poll(self) -> int | None:
        """Exit code; None while it runs."""
        return self._process.exitcode

    @property
    def returncode(self) -> int | None:
        """As `poll`."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Sends it a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        """Ends it at once."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Output and errors, when it has ended."""
        self._process.join(timeout)
        if self.poll() is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout)
        return tuple(path.read_text() if path.exists() else "" for path in self._files)


def run(module: str, *options: str, timeout: float | None = None) -> tuple[int, str, str]:
    """Runs a program to its end; its exit code, output and errors."""
    program = Program(module, *options)
    out, errors = program.communicate(timeout)
    return program.returncode, out, errors


def _run(module: str, options: tuple[str, ...], files: list[pathlib.Path], devices: int) -> None:
    """Becomes the program, with its output in files."""
    os.chdir(ROOT)
    os.environ.pop("XLA_FLAGS", None)  # the tests' eight devices
    if devices > 1:
        os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
    for number, path in enumerate(files, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    sys.stdin = open(os.devnull)
    sys.argv = [module, *options]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # which a forked process leaves out
