"""How many threads compute. Sums are cut up by it, which shows in the last bits of a frame."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_NAME = "OMP_NUM_THREADS"


def threads() -> int:
    """`$OMP_NUM_THREADS`, else one for every processor that this process may use."""
    named = os.environ.get(_NAME, "").partition(",")[0]
    return int(named) if named.isdecimal() and int(named) else _processors()


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def pinned(count: int) -> Iterator[None]:
    """Networks that are opened meanwhile, here and in processes started here, use `count`."""
    before = os.environ.get(_NAME)
    os.environ[_NAME] = str(count)
    try:
        yield
    finally:
        del os.environ[_NAME]
        if before is not None:
            os.environ[_NAME] = before
