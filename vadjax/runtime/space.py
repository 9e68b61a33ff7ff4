"""Room on a disk: what is free, and the one line for a disk that is full or cannot be written.

Libraries report such a disk by a dozen kinds of errors, some from threads of their own, which have
the system's words in their text; `cause` finds them all. Nothing here needs NumPy.
"""

import contextlib
import errno
import os
import pathlib
import re
import shutil
from collections.abc import Iterator

FULL = (errno.ENOSPC, errno.EDQUOT)
CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)
REASONS = {
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file grows larger than the system allows (ulimit -f)",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "no permission to write there",
    errno.EPERM: "the system does not permit it",
}
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


class NotWritten(OSError):
    """Something could not be written; the message says what, where, why, and what to do."""


def free(place: str | pathlib.Path) -> int | None:
    """Bytes that this user may still write at a place, which need not exist yet.

    None if unknown: some network file systems do not report it.
    """
    place = pathlib.Path(place).absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        usage = shutil.disk_usage(place)
    except OSError:
        return None
    return usage.free if usage.total else None


def check(place: str | pathlib.Path, needed: int, what: str) -> None:
    """Finds out before long work whether there is room for it.

    Args:
      place: where it will be written.
      needed: bytes, at least.
      what: what will be written, for the message.

    Raises:
      NotWritten: there is less; says what is needed, what is free and what is missing.
    """
    available = free(place)
    if available is not None and available < needed:
        raise NotWritten(_full(f"{place}: {what}", REASONS[errno.ENOSPC], place, needed))


@contextlib.contextmanager
def naming(
    place: str | pathlib.Path, what: str | None = None, needed: int | None = None
) -> Iterator[None]:
    """Turns what a full or closed disk raises in the block, which writes to `place`, into one line.

    Other errors pass, and so does that of a file elsewhere that may not be read.

    Args:
      place: the file or folder that is written, by its final name.
      what: what that is, if its name does not say so.
      needed: its bytes, if known.

    Raises:
      NotWritten: it could not be written.
    """
    try:
        yield
    except NotWritten:
        raise
    except Exception as error:
        number = cause(error)
        if number is None or (number in CLOSED and not _is_of(error, place)):
            raise
        raise NotWritten(_line(number, place, what, needed)) from error


def told(error: BaseException) -> str | None:
    """The line for an error of a full or closed disk, wherever it was raised; else None.

    None also for a missing permission, which may be one to read.
    """
    if isinstance(error, NotWritten):
        return str(error)
    number = cause(error)
    if number is None or number in (errno.EACCES, errno.EPERM):
        return None
    return _line(number, _place(error), None, None)


def cause(error: BaseException | None) -> int | None:
    """Number of the system's error behind an error: one of `REASONS`, or None."""
    # An error, what it was raised from, and so on; a library may have wrapped it.
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        if getattr(error, "errno", None) in REASONS:
            return error.errno
        words = str(error)
        for number in REASONS:
            if os.strerror(number) in words:
                return number
        if re.fullmatch(r"\d+ requested and \d+ written", words):  # NumPy gives no reason
            return errno.EFBIG if _files_are_limited() else errno.ENOSPC
        error = error.__cause__ or error.__context__
    return None


def _files_are_limited() -> bool:
    """Whether the system limits the size of this program's files."""
    try:
        import resource
    except ImportError:  # no POSIX system
        return False
    return resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY


def size(count: float) -> str:
    """Bytes as a person reads them, for example `12.3 MB`."""
    for unit in _UNITS:
        if count < 1000 or unit == _UNITS[-1]:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1000
    raise AssertionError("not reached")


def _line(number: int, place: str | pathlib.Path, what: str | None, needed: int | None) -> str:
    """What was not written, why, and what to do; `number` is one of `REASONS`."""
    subject = f"{place}: {what}" if what else f"{place}"
    if number in FULL:
        return _full(subject, REASONS[number], place, needed)
    mend = "Name another place" if number in CLOSED else "Lift the limit; the same command goes on"
    return f"{subject}: not written: {REASONS[number]}. {mend}"


def _full(subject: str, reason: str, place: str | pathlib.Path, needed: int | None) -> str:
    """The line for a disk without room, with what is free, needed and missing, where known."""
    available = free(place)
    room = "" if available is None else f" ({size(available)} are free"
    if room and needed is not None:
        missing = f", {size(needed - available)} are missing" if needed > available else ""
        room += f", {size(needed)} or more are needed{missing}"
    room += ")" if room else ""
    return f"{subject}: not written: {reason}{room}. Make room there; the same command goes on"


def _is_of(error: BaseException | None, place: str | pathlib.Path) -> bool:
    """Whether an error is about `place`, what is in it or above it, or its hidden neighbours."""
    target = pathlib.Path(os.path.realpath(place))
    prefixes = (f"{target}/", f"{target.parent}/.{target.name}.")
    # By the file that the error names, else by a path in its text.
    while error is not None:
        if named := getattr(error, "filename", None):
            named = pathlib.Path(os.path.realpath(os.fsdecode(named)))
            if f"{named}/".startswith(prefixes) or named in target.parents:
                return True
        elif any(prefix in str(error) for prefix in prefixes):
            return True
        error = error.__cause__ or error.__context__
    return False


def _place(error: BaseException) -> str:
    """The place that an error names: a file, the first path in its text, or the current folder."""
    current: BaseException | None = error
    while current is not None:
        if named := getattr(current, "filename", None):
            return os.fsdecode(named)
        if found := re.search(r"\"(/[^\"]+)\"|(?<!\S)(/[^\s;:,'\"]+)", str(current)):
            return found[1] or found[2]
        current = current.__cause__ or current.__context__
    return os.getcwd()
