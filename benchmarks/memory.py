"""Memory of a process, as Linux counts it."""

import pathlib


def resident(pid: int | str = "self", key: str = "VmRSS") -> float:
    """Resident (or with `VmHWM` peak) memory of a process, GB; 0 once it has ended."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = [line.split()[1] for line in status.splitlines() if line.startswith(key)]
    return 1024 * int(found[0]) / 1e9 if found else 0.0


def peak(pid: int | str = "self") -> float:
    """Largest resident memory so far, GB, with the interpreter's and the libraries' own.

    Not getrusage: that is the peak of the process which started this one where it was larger.
    """
    return resident(pid, "VmHWM")
