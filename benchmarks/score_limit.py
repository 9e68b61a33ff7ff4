"""What it takes to open a score file right below and above the bound of frames.

    python -m benchmarks.score_limit

A file of 670 bytes, with scores of segments alone, claims fewer frames than such a file may claim,
and more. A file that has a score for each frame may claim more. Each file is opened in a process of
its own, and measured by `vadjax.metrics.frame` with labels that are there. The memory is what comes
on top of that of the program.
"""

import contextlib
import io
import pathlib
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np

from benchmarks import memory
from vadjax.metrics import frame
from vadjax.scores import files

LIMIT = files.LITTLE // files.FRAME_BYTES
FRAMES = {  # file → frames
    "segments.npz": (LIMIT - 20_000, LIMIT + 20_000, files.MAX_FRAMES),
    "frames.npz": (LIMIT - 20_000, LIMIT + 20_000, files.MAX_FRAMES),
}


def main() -> None:
    """Writes the files and prints a line for each."""
    for name, counts in FRAMES.items():
        for count in counts:
            with tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder) / "scores" / name
                _write(path, count)
                command = [sys.executable, "-m", __spec__.name]
                print(f"{name}, {count:,} frames, {path.stat().st_size:,} bytes", flush=True)
                for what in ("read", "figures"):
                    subprocess.run([*command, what, folder], check=True)


def _write(path: pathlib.Path, count: int) -> None:
    path.parent.mkdir()
    rng = np.random.default_rng(0)
    if path.name == "frames.npz":
        np.savez(path, frame_scores=rng.random(count, np.float32))
    else:
        np.savez(path, segment_scores=rng.random(32, np.float32), num_frames=np.array(count))
    labels = (np.arange(count) // 1000 % 2).astype(np.uint8)
    np.savez(path.parents[1] / "labels.npz", **{path.stem: labels})


def measure(what: str, folder: pathlib.Path) -> None:
    """Opens the file, or computes its figures, and prints time and memory that it took."""
    before, start = memory.peak(), time.perf_counter()
    warnings.simplefilter("ignore")
    refusal = ""
    try:
        if what == "read":
            files.read_folder(folder / "scores")
        else:
            with contextlib.redirect_stdout(io.StringIO()):
                frame.main([str(folder / "scores"), "--labels", str(folder / "labels.npz")])
    except (ValueError, SystemExit) as error:
        refusal = ", refused" if error.args else ""
    seconds, megabytes = time.perf_counter() - start, 1000 * (memory.peak() - before)
    print(f"    {what}: {seconds:.2f} s, {megabytes:,.0f} MB{refusal}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1], pathlib.Path(sys.argv[2]))
    else:
        main()
