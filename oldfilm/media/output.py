"""Write results completely or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oldfilm.errors import from_os
from oldfilm.system.files import replacing


@contextmanager
def whole_output(destination: Path) -> Iterator[Path]:
    """Yield a path to write to, which becomes `destination` when the body succeeds.

    Raises:
        MediaError: the file or folder cannot be written; `destination` is left as it was.
    """
    try:
        with replacing(destination) as unfinished:
            yield unfinished
    except OSError as error:
        raise from_os(f"{destination}: cannot be written", error) from error


@contextmanager
def scratch_folder(destination: Path) -> Iterator[Path]:
    """Yield a temporary folder next to a result, where cleaning up after a killed job finds it.

    Raises:
        MediaError: the folder cannot be created.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix=".oldfilm-", dir=destination.parent)
    except OSError as error:
        raise from_os(f"{destination}: cannot be written", error) from error
    with folder as name:
        yield Path(name)
