"""The number of threads that networks compute with.

It can change the last bits of a frame, because sums are divided among the threads.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_VARIABLE = "OMP_NUM_THREADS"


def threads() -> int:
    """Return `$OMP_NUM_THREADS`, or else the number of processors that this process may use."""
    value = os.environ.get(_VARIABLE, "").partition(",")[0]
    return int(value) if value.isdecimal() and int(value) else _processors()


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def pinned(count: int) -> Iterator[None]:
    """Give `count` threads to networks that are opened, and processes started, in this context."""
    before = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = str(count)
    try:
        yield
    finally:
        del os.environ[_VARIABLE]
        if before is not None:
            os.environ[_VARIABLE] = before
