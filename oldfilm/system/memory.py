"""How much memory is available, and which errors mean that there was not enough."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

_OUT_OF_MEMORY = re.compile(
    "|".join(
        (
            r"Failed to allocate memory for requested buffer",  # ONNX Runtime, with its arena
            r"std::bad_alloc|bad allocation",  # C++ libraries, ONNX Runtime without its arena
            r"\(ResourceExhausted\)|ResourceExhaustedError",  # Paddle
            r"CUDA error\(2\)|CU(BLAS|DNN)_STATUS_ALLOC_FAILED",  # Paddle on a GPU
            r"\(-4:Insufficient memory\)",  # OpenCV
            r"can't start new thread",  # Python
        )
    )
)
"""Messages of libraries that report a lack of memory without raising MemoryError."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python or of a library means that memory ran out."""
    return isinstance(error, MemoryError) or bool(_OUT_OF_MEMORY.search(str(error)))


def available_memory() -> int | None:
    """Bytes that can still be allocated on this machine or in this container; None if unknown."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvail"))
    except (OSError, StopIteration):
        return None
    group = Path("/sys/fs/cgroup")
    with contextlib.suppress(OSError, ValueError):  # No cgroup, or "max": no limit.
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        free = min(free, limit - int((group / "memory.current").read_text(encoding="ascii")))
    return free
