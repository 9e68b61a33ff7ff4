"""Full-size UCF-Crime shape: memory and time of the published config, end to end.

    python -m benchmarks.full_size [--steps 2025] [--dir /tmp/full_size]

The program generates 1,620 + 290 bags of 32 × 2048 float32: 810 + 810 training records, as many as
the published lists have, and 140 + 150 test videos. It runs `configs/ucf_mil.py` on them as a
command and samples the resident memory of that process. Printed are the highest of each tenth of
the run, and the peak.
"""

import argparse
import pathlib
import subprocess
import sys
import threading
import time

from benchmarks import memory
from vadjax.data.toy.datasets import ToyBags, write_bags
from vadjax.runtime import metric_writers

LIMIT_GB = 3.0


def sample(process: subprocess.Popen, workdir: pathlib.Path) -> list[tuple[int, float, float]]:
    """(step, resident GB, peak GB), twice a second until the process ends."""
    rows = []
    while process.poll() is None:
        log = metric_writers.read(workdir)
        step = log[-1]["step"] if log else 0
        rows.append((step, memory.resident(process.pid), memory.peak(process.pid)))
        time.sleep(0.5)
    return [row for row in rows if row[1]]


def main(argv: list[str] | None = None) -> None:
    """Generates, runs, samples and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=75 * 27)
    parser.add_argument("--dir", type=pathlib.Path, default=pathlib.Path("/tmp/vadjax_full_size"))
    args = parser.parse_args(argv)
    data, workdir = args.dir / "data", args.dir / f"run_{time.time_ns()}"
    if not data.exists():
        write_bags(data, ToyBags(train=(810, 810), test=(150, 140), width=1024))
    command = [
        sys.executable,
        "-m",
        "vadjax.main",
        "--config=configs/ucf_mil.py",
        f"--config.data.dir={data}",
        f"--workdir={workdir}",
        f"--config.train.steps={args.steps}",
    ]
    # A thread reads the output, or the process would wait once the pipe is full
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout), daemon=True)
    reader.start()
    rows = sample(process, workdir)
    reader.join()
    minutes = (time.monotonic() - start) / 60
    if process.returncode:
        sys.exit("".join(lines))
    # The highest sample of each tenth of the steps
    tenths = [
        max((gb for step, gb, _ in rows if i <= 10 * step / args.steps < i + 1), default=0.0)
        for i in range(10)
    ]
    peak = max(peak for _, _, peak in rows)
    print("".join(line for line in lines if "·" in line and "steps/s" in line), end="")
    print(f"{args.steps:,} steps of 30 + 30 bags × 32 × 2048, whole command: {minutes:.1f} min")
    print("resident GB, each tenth of the run:", " ".join(f"{gb:.2f}" for gb in tenths))
    print(f"peak resident memory: {peak:.2f} GB (bar: below {LIMIT_GB:g} GB)")


if __name__ == "__main__":
    main()
