"""Temporary memory of training steps that is kept from one to the next: on CPU, with glibc.

XLA:CPU asks malloc for the temporary memory of a program at every call, in one block of hundreds
of MB. glibc has the system map such a block, and unmap it when it is freed, so that every step
waits for 100,000 pages of zeros and more. Here the block lies in the heap, which keeps it.

What `prepare` and the steps after it change for the whole process, and why:

* JAX's CPU client runs a program in the thread that calls it, not in one of its own. The heap that
  can hold a large block is that of the main thread; glibc maps those of other threads.
* While a step runs, no block is mapped (M_MMAP_MAX is 0). Between steps they are as ever, so that
  arrays of the input, of evaluations and of checkpoints do not take the place in the heap.
* Free memory at the end of the heap is kept (M_TRIM_THRESHOLD), until `release`. From then on glibc
  no longer changes these limits by itself.
* Between steps the block is taken, so that nothing else gets a part of it and the next step another
  block: of 14 processes that trained SSMTL five had 2.75 GB in place of 1.7. A smaller one is
  taken for results. Where other threads have got in between, the pages of the first are given back.

The programs are the same, so results are the same bits. Nothing changes without glibc, on other
devices, on several devices or processes, for steps that another thread than the main one calls, and
where the user has set malloc's or JAX's variables (`SETTINGS`). `config.runtime.plain_ops` turns it
off. Huge pages for the block gained nothing: the first step took seconds longer to get them.
"""

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax._src import xla_bridge

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # of mallopt
NEVER, NONE = -1, 0  # their values while memory is kept
# And otherwise: glibc's number of blocks, and the largest threshold that it comes to by itself.
MAPPED, TRIMMED = 65536, 64 << 20
SETTINGS = ("MALLOC_", "GLIBC_TUNABLES", "JAX_CPU_ENABLE_ASYNC_DISPATCH")
SEVERAL = "xla_force_host_platform_device_count"  # makes several devices of one processor

# Bytes more than a step's temporary memory, since XLA wants addresses that are aligned; and bytes
# more than its results, for what else it allocates before.
ALIGNED, BEFORE = 128, 1 << 20

_prepared = False
_taken: list[int] = []  # addresses of what is taken between steps


def prepare() -> None:
    """Lets `keeping` keep memory. To be called before JAX has devices, else it does nothing."""
    global _prepared
    has_settings = any(name.startswith(SETTINGS) for name in os.environ)
    several = SEVERAL in os.environ.get("XLA_FLAGS", "") or jax.config.jax_num_cpu_devices > 1
    late = xla_bridge.backends_are_initialized()
    if has_settings or several or late or _glibc() is None:
        return
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    _prepared = True


def keeping(step: Callable, devices: int = 1) -> Callable:
    """The compiled step, with its temporary memory kept from call to call after `prepare`.

    Args:
      step: compiled; called with arrays of JAX, since NumPy's would have to be waited for.
      devices: that it runs on.
    """
    if not _prepared or devices > 1 or jax.default_backend() != "cpu":
        return step
    memory = step.memory_analysis()
    results = memory.output_size_in_bytes - memory.alias_size_in_bytes
    sizes = memory.temp_size_in_bytes + ALIGNED, results + BEFORE
    first = True

    def call(*arguments: Any) -> Any:
        nonlocal first
        if first:  # what compiling left would lie beside the block
            _glibc().malloc_trim(0)
            first = False
        # What has to wait for an argument is run by another thread.
        jax.block_until_ready(arguments)
        with _in_heap(sizes):
            return step(*arguments)

    return call


@contextlib.contextmanager
def _in_heap(sizes: tuple[int, int]) -> Iterator[None]:
    """Within it all blocks of the main thread come from the heap, and stay in it.

    `sizes` in bytes are those of the two blocks that are taken at the end.
    """
    library = _glibc()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    library.mallopt(TRIM_THRESHOLD, NEVER)
    library.mallopt(MMAP_MAX, NONE)
    _free()
    try:
        yield
    finally:
        _take(*sizes)
        library.mallopt(MMAP_MAX, MAPPED)


def _take(size: int, of_results: int) -> None:
    """Takes a block for the next step's memory and one for its results.

    Where what the step before had is in pieces, so that the heap grows, its pages are given back.
    """
    library = _glibc()
    library.malloc.argtypes, library.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    library.sbrk.argtypes, library.sbrk.restype = [ctypes.c_ssize_t], ctypes.c_void_p
    end = library.sbrk(0)
    _taken.append(library.malloc(size))
    if library.sbrk(0) != end:
        library.malloc_trim(0)
    _taken.append(library.malloc(of_results))


def _free() -> None:
    library = _glibc()
    while _taken:
        library.free(ctypes.c_void_p(_taken.pop()))


def release() -> None:
    """Gives what is kept back to the system, for other work that needs memory."""
    if _prepared:
        library = _glibc()
        _free()
        library.mallopt(TRIM_THRESHOLD, TRIMMED)
        library.malloc_trim(0)


@contextlib.contextmanager
def released() -> Iterator[None]:
    """Releases at its end."""
    try:
        yield
    finally:
        release()


def _glibc() -> ctypes.CDLL | None:
    """The C library of this process, if it is glibc on Linux."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "gnu_get_libc_version") else None
