"""Files that are complete or absent, on disk when they are reported, and known by their hashes."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

_BLOCK = 1 << 20


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file or folder beside `path`, sync it, and rename it into place.

    Yields the path to write to: hidden, in the same folder, with the same suffix. When the body
    raises, or writes nothing, `path` is left as it was. A folder that stands at `path` is replaced
    only by a folder.

    Raises:
        OSError: it cannot be written, or nothing was written.
    """
    unfinished = unfinished_path(path)
    remove(unfinished)  # It may be a link to somewhere else.
    try:
        yield unfinished
        for file in sorted(unfinished.iterdir()) if unfinished.is_dir() else [unfinished]:
            sync(file)
        if unfinished.is_dir():
            sync(unfinished)
            remove(path)
        unfinished.replace(path)
        sync(path.parent)
    finally:
        remove(unfinished)


def unfinished_path(path: Path) -> Path:
    """Where `replacing` writes until the file is complete."""
    return path.with_name(f".{path.stem}.part{path.suffix}")


def remove(path: Path) -> None:
    """Delete a file, a link or a whole folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to disk, so that they survive a loss of power."""
    if path.is_dir() and sys.platform == "win32":  # Folders cannot be opened there.
        return
    # Windows syncs only files that are open for writing.
    handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # Some network shares cannot.
            raise
    finally:
        os.close(handle)


def sha256_of_file(path: Path) -> str:
    """The sha256 of a file's content, as 64 hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def sha256_of_files(paths: Iterable[Path]) -> str:
    """One sha256 for several files: of their names and contents, in the order given.

    Raises:
        OSError: one cannot be read.
    """
    digest = hashlib.sha256()
    for path in paths:
        digest.update(os.fsencode(f"{path.name}\0{sha256_of_file(path)}\n"))
    return digest.hexdigest()
