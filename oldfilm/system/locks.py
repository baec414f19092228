"""File locks that the operating system releases when their holder dies.

This is not `filelock`: the folder of a lock may be deleted while others wait for it (a finished
job deletes its work folder), and not every version of that library notices.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle: IO[bytes]) -> bool:
        try:
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_lock(handle: IO[bytes]) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


_POLL_SECONDS = 0.2


@contextlib.contextmanager
def locked(path: Path, busy: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock of `path`. Neither `path` nor its folder needs to exist.

    busy: called once if another process holds the lock, before waiting for it. An exception that
    it raises ends the wait.

    Raises:
        OSError: the folder cannot be written.
    """
    lock = path.with_name(f".{path.name}.lock")
    while True:
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = lock.open("ab")
        except FileNotFoundError:  # The last holder has just deleted the folder.
            continue
        with handle:  # Closing the file releases the lock.
            if not _try_lock(handle):
                busy()
                while not _try_lock(handle):
                    time.sleep(_POLL_SECONDS)
            if _is_at(handle, lock):
                yield
                return


def _is_at(handle: IO[bytes], path: Path) -> bool:
    """Whether an open file still exists at `path`: the last holder may have deleted it."""
    try:
        return os.path.samestat(os.fstat(handle.fileno()), path.stat())
    except FileNotFoundError:
        return False


_guard = threading.Lock()
_in_use: weakref.WeakValueDictionary[str, _PathLock] = weakref.WeakValueDictionary()


class _PathLock:
    """The lock that threads of this process share for one path."""

    def __init__(self) -> None:
        self.lock = threading.RLock()


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Let only one thread of this process work on `path` at a time; the others wait.

    Unlike `locked`, it leaves no trace on the disk.
    """
    with _guard:
        shared = _in_use.setdefault(str(path.absolute()), _PathLock())
    with shared.lock:
        yield
