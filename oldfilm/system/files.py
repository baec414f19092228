"""Atomic, durable file writes, and hashes of files."""

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
    """Write a file or folder under a temporary name, fsync it, and rename it to `path`.

    Yields the path to write to: a hidden name in the same folder, with the same suffix. If the body
    raises an exception or writes nothing, `path` does not change. A folder at `path` is replaced
    only by a folder.

    Raises:
        OSError: the file cannot be written, or the body wrote nothing.
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
    """Return the temporary path that `replacing` writes to."""
    return path.with_name(f".{path.stem}.part{path.suffix}")


def remove(path: Path) -> None:
    """Delete a file, a link or a folder with its content, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Flush a file, or the entries of a folder, to disk, so that they survive a power failure."""
    if path.is_dir() and sys.platform == "win32":  # Windows cannot open folders.
        return
    # Windows syncs only files that are open for writing.
    handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # Some network shares cannot sync.
            raise
    finally:
        os.close(handle)


def sha256_of_file(path: Path) -> str:
    """Return the sha256 of a file's content, as 64 hexadecimal digits.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def sha256_of_files(paths: Iterable[Path]) -> str:
    """Return one sha256 for several files: of their names and contents, in the given order.

    Raises:
        OSError: a file cannot be read.
    """
    digest = hashlib.sha256()
    for path in paths:
        digest.update(os.fsencode(f"{path.name}\0{sha256_of_file(path)}\n"))
    return digest.hexdigest()
