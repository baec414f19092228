"""One process at a time: a lock that the operating system lets go when its holder dies."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt

    def _acquired(handle: IO[bytes]) -> bool:
        try:
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _acquired(handle: IO[bytes]) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


_POLL_SECONDS = 0.2


@contextlib.contextmanager
def locked(path: Path, busy: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock of `path`, which need not exist; its folder is made.

    busy: called once where another process holds the lock and this one has to wait; what it raises
    ends the wait.

    Raises:
        OSError: the folder cannot be written.
    """
    beside = path.with_name(f".{path.name}.lock")
    while True:
        beside.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("ab") as handle:  # Closing it lets go.
            if not _acquired(handle):
                busy()
                while not _acquired(handle):
                    time.sleep(_POLL_SECONDS)
            if _is_at(handle, beside):
                yield
                return


def _is_at(handle: IO[bytes], path: Path) -> bool:
    """Whether the file still has its name: a holder may have removed it with its folder."""
    try:
        return os.path.samestat(os.fstat(handle.fileno()), path.stat())
    except FileNotFoundError:
        return False
