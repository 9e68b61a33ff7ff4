"""Reads and runs a network in a separate process, where a damaged file can do no harm.

    python net_trial.py FILE HEIGHT WIDTH [ENGINE]

OpenCV ends the whole program on some damaged networks: a name that is not UTF-8 causes a
segmentation fault, and a false size may. Others make it print lines of its own. This module imports
only OpenCV and NumPy.
"""

import pathlib
import re
import subprocess
import sys

import cv2
import numpy as np

ONNX = ".onnx"
SECONDS = 300  # limit for reading a network and running it once
READ = "read\n"  # printed after reading, before running
MOST_LETTERS = 300  # of OpenCV's message in ours
LOGGED = re.compile(r"^\[ *[A-Z]+:\S+\] global \S+ ")  # OpenCV's prefix: level, time, place


def read(path: str, engine: int | None) -> cv2.dnn.Net:
    """The network of an ONNX or TFLite file.

    Raises:
      cv2.error: OpenCV cannot read it.
    """
    reader = cv2.dnn.readNetFromONNX if path.lower().endswith(ONNX) else cv2.dnn.readNetFromTFLite
    return reader(path) if engine is None else reader(path, engine)


def check(
    path: pathlib.Path,
    size: tuple[int, int],
    engine: int | None = None,
    flag: str = "--input_size",
) -> None:
    """Tries in another process whether a network can be read and run.

    Args:
      path: the file.
      size: (H, W) of its input.
      engine: number of the engine of OpenCV 5; None leaves the choice to OpenCV.
      flag: name of the flag that sets the size, for messages.

    Raises:
      ValueError: it cannot; the message names the file and quotes OpenCV.
    """
    numbers = [*size] if engine is None else [*size, engine]
    command = [sys.executable, "-P", __file__, str(path.absolute()), *map(str, numbers)]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise ValueError(
            f"{path}: OpenCV {cv2.__version__} could not read and run it in {SECONDS} seconds"
        ) from error
    if done.returncode == 0:
        return
    # What was printed before the end tells whether reading or running failed.
    reason = _reason(done.stderr.decode("utf-8", "replace"), done.returncode)
    if done.stdout.decode("utf-8", "replace").startswith(READ):
        raise ValueError(
            f"{path}: does not run on {size[0]} x {size[1]} pixels (H x W); is {flag} right? "
            f"OpenCV says: {reason}"
        )
    raise ValueError(f"{path}: OpenCV {cv2.__version__} cannot read it: {reason}")


def _reason(errors: str, code: int) -> str:
    """The last line that names an error among those that a process printed, or how it ended."""
    lines = [LOGGED.sub("", line).strip() for line in errors.splitlines()]
    lines = [line for line in lines if line]
    named = [line for line in lines if "error" in line.lower()] or lines
    ended = f"it was ended by signal {-code}" if code < 0 else f"exit code {code}"
    return named[-1][:MOST_LETTERS] if named else ended


def main() -> None:
    """Reads and runs the network that the command line names."""
    path, height, width, *engine = sys.argv[1:]
    net = read(path, int(engine[0]) if engine else None)
    print(READ, end="", flush=True)
    net.setInput(np.zeros((1, 3, int(height), int(width)), np.float32))
    net.forward(net.getUnconnectedOutLayersNames())


if __name__ == "__main__":
    main()
