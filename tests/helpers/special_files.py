"""What can lie where a file is expected: devices, FIFOs, sockets, folders."""

import contextlib
import os
import pathlib
import signal
import socket
from collections.abc import Iterator

KINDS = ("FIFO", "socket", "folder", "device")


def make(folder: pathlib.Path, kind: str, name: str) -> pathlib.Path:
    """Makes the thing with that name; a device is a link to /dev/zero."""
    path = folder / name
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        before = pathlib.Path.cwd()
        os.chdir(folder)  # names of sockets are short
        try:
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(name)
        finally:
            os.chdir(before)
    return path


@contextlib.contextmanager
def within(seconds: int) -> Iterator[None]:
    """Ends the block with TimeoutError where it hangs."""

    def stop(number, frame):
        raise TimeoutError(f"hangs for {seconds} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
