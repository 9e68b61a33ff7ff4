"""Takes from root the rights that let it write where the permissions of files forbid it."""

import contextlib
import ctypes
import os
from collections.abc import Iterator

VERSION_3 = 0x20080522  # of the system call, with two words of 32 capabilities each
OVERRIDING = (1, 2, 3)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER


@contextlib.contextmanager
def plain() -> Iterator[None]:
    """Within it this thread, and those that it starts, may do only what permissions allow.

    The user stays root, so that what root owns (Python in /root) can be read. Nothing changes for
    other users, who have no such rights.

    Raises:
      OSError: the system cannot take them.
    """
    if os.geteuid():
        yield
        return
    # Capabilities of this thread are taken out of the effective ones, and given back in the end
    header = (ctypes.c_uint32 * 2)(VERSION_3, 0)
    before = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice
    _call("capget", header, before)
    reduced = (ctypes.c_uint32 * 6)(*before)
    for number in OVERRIDING:
        reduced[0] &= ~(1 << number)
    _call("capset", header, reduced)
    try:
        yield
    finally:
        _call("capset", header, before)


def _call(name: str, *arguments) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
