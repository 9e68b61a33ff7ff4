"""Programs that are compared in processes of their own, one at a time in turns.

A benchmark starts itself again for every program, with the option `--worker PROGRAM`. That process
calls `serve`, which does the work once for every line of the standard input. So memory, threads and
CPU time of a program are its own, and only one of them works at any time.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

MARK = "answer "  # begins the lines that are answers; libraries print others


def bind_to_cores(count: int) -> None:
    """Binds this process, and the threads that it starts, to the first cores that it may use."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def serve(turn: Callable[[], dict]) -> None:
    """Calls `turn` for every line of the standard input and prints what it returns as JSON."""
    for _ in sys.stdin:
        print(f"{MARK}{json.dumps(turn())}", flush=True)


class Worker:
    """A program in a process of its own.

    Args:
      module: of the benchmark, which calls `serve` when it is started with `--worker`.
      program: name of the program.
      **options: more options of the benchmark's command line.
    """

    def __init__(self, module: str, program: str, **options: object):
        command = [sys.executable, "-m", module, "--worker", program]
        command += [f"--{name}={value}" for name, value in options.items()]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self) -> dict:
        """One turn: what `serve` was told.

        Raises:
          RuntimeError: the process has ended.
        """
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith(MARK):
                return json.loads(line.removeprefix(MARK))
        raise RuntimeError(f"{self.process.args}: ended without an answer")

    def close(self) -> None:
        """Lets the process end."""
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def in_turns(workers: Mapping[str, Worker], runs: int, pause: float = 0.0) -> dict[str, list[dict]]:
    """Answers of every program, run A B C A B C …, so that a slow minute hits all alike.

    Args:
      workers: program → its process; all of them are closed in the end.
      runs: turns of each.
      pause: seconds before each turn.
    """
    answers: dict[str, list[dict]] = {name: [] for name in workers}
    for _ in range(runs):
        for name, worker in workers.items():
            time.sleep(pause)
            answers[name].append(worker.run())
    for worker in workers.values():
        worker.close()
    return answers
