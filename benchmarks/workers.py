"""How a program is timed: by itself on a number of cores, mostly in a process of its own.

A benchmark starts itself again for every program, with options that say which one. That process
calls `serve`, which does the work once for every line of the standard input. So memory, threads,
CPU time and compiled code of a program are its own, and only one of them works at any time
(`benchmarks.table.in_turns`).
"""

import concurrent.futures
import json
import math
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from benchmarks import memory

MARK = "answer "  # begins the lines that are answers; libraries print others
COMPILATION = "/jax/core/compile/backend_compile_duration"


class Turn(NamedTuple):
    """One call of a program.

    Attributes:
      wall: seconds of wall clock.
      cpu: seconds of the processor, of all threads together.
      peak: largest resident memory of the process so far, GB.
      compiled: seconds that XLA's compiler took within it; 0 without `watch_compiler`.
      result: what a program in another process tells of its result.
    """

    wall: float
    cpu: float = math.nan
    peak: float = math.nan
    compiled: float = 0.0
    result: Any = None


_compiled: list[float] = []  # seconds of every compilation of this process


def watch_compiler() -> None:
    """From now on the turns of this process know how long XLA compiled. Imports JAX."""
    from jax import monitoring

    def note(event: str, seconds: float, **_) -> None:
        if event == COMPILATION:
            _compiled.append(seconds)

    monitoring.register_event_duration_secs_listener(note)


def train_as_main() -> None:
    """Prepares this process as `vadjax.main` does before training. Imports JAX."""
    from vadjax.runtime import heap

    heap.prepare()


def measure(program: Callable) -> Turn:
    """Calls a program of this process."""
    before, cpu, wall = sum(_compiled), time.process_time(), time.perf_counter()
    result = program()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Turn(wall, cpu, memory.peak(), sum(_compiled) - before, result)


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def use_cores(count: int = 0) -> None:
    """Binds this process, and what it starts, to its first cores.

    Args:
      count: how many; 0 = all that it has.

    Raises:
      ValueError: it has fewer.
    """
    if count > cores():
        raise ValueError(f"--cores {count}: this process may use {cores()}")
    if count:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def import_torch():
    """Torch, with as many threads as this process has cores."""
    import torch

    torch.set_num_threads(cores())
    return torch


def apart(function: Callable, *arguments) -> Any:
    """What a function gives in a process that then ends: its libraries are not loaded here."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
        return pool.submit(function, *arguments).result()


def serve(make: Callable[[], Callable], tell: Callable[[Any], Any] = lambda result: None) -> None:
    """Runs a program once for every line of the standard input and prints its turns as JSON.

    Args:
      make: makes the program. That is part of the first turn.
      tell: result of a call → what `Turn.result` says of it.
    """
    program = None

    def first():
        nonlocal program
        program = make()
        return program()

    for _ in sys.stdin:
        turn = measure(program or first)
        told = turn._replace(result=tell(turn.result))
        print(f"{MARK}{json.dumps(told._asdict())}", flush=True)


class Worker:
    """A program in a process of its own.

    Args:
      module: of the benchmark, which calls `serve` when it is started with `options`.
      environment: variables beside those of this process.
      **options: of the benchmark's command line.
    """

    def __init__(self, module: str, environment: Mapping[str, str] | None = None, **options):
        command = [sys.executable, "-m", module]
        command += [f"--{name}={value}" for name, value in options.items()]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )

    def run(self) -> Turn:
        """One turn, measured in the process of the program.

        Raises:
          RuntimeError: the process has ended.
        """
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # what it printed before is read
        for line in self.process.stdout:
            if line.startswith(MARK):
                return Turn(**json.loads(line.removeprefix(MARK)))
        raise RuntimeError(f"{' '.join(self.process.args)}: ended without an answer")

    def close(self) -> None:
        """Lets the process end."""
        self.process.communicate()
