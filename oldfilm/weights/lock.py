"""One process at a time downloads a file, or notes what it knows of one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from oldfilm.errors import TransferError
from oldfilm.system import locks


@contextlib.contextmanager
def locked(path: Path, busy: Callable[[], None] = lambda: None) -> Iterator[None]:
    """As `oldfilm.system.locks.locked`.

    Raises:
        TransferError: the folder cannot be written.
    """
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locks.locked(path, busy))
        except OSError as error:
            raise TransferError(
                f"{path.parent} cannot be written ({error.strerror}): set $OLDFILM_CACHE to a "
                "folder that can."
            ) from error
        yield
