"""Options of XLA:CPU's compiler, and returning the memory that it leaves behind."""

import ctypes
import os

# For training steps: an order of operations that needs little memory, not one that runs many at
# once.
STEP = {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}
# For programs that run once, as drawing the first parameters: LGN-Net's take 29 s to compile with
# the default options, 12 s with these.
ONCE = {"xla_backend_optimization_level": 1}


def trim_heap() -> None:
    """Returns the free memory of the heap to the system; otherwise the process keeps it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:  # glibc has it, other C libraries may not
        trim(0)
