"""Options of XLA:CPU's compiler, and the memory that it leaves behind."""

import ctypes
import os

# Operations in an order that needs little memory, not one that runs many at once.
STEP = {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}
# First parameters are many drawings, which take long to compile: 29 s for LGN-Net, here 12 s.
ONCE = {"xla_backend_optimization_level": 1}


def trim_heap() -> None:
    """Gives free memory of the heap back, which else stays with the process for its whole life."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:  # glibc has it
        trim(0)
