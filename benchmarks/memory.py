"""Memory of a process, as Linux counts it."""

import pathlib


def resident(pid: int | str = "self", key: str = "VmRSS") -> float:
    """Resident (or with `VmHWM` peak) memory of a process, GB; 0 once it has ended."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    kilobytes = [line.split()[1] for line in status.splitlines() if line.startswith(key)]
    return 1024 * int(kilobytes[0]) / 1e9 if kilobytes else 0.0


def peak(pid: int | str = "self") -> float:
    """Largest resident memory so far, GB, interpreter and libraries included.

    Not by getrusage, whose peak is that of the process which started this one, if that was larger.
    """
    return resident(pid, "VmHWM")
