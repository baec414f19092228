"""Atomic, durable file writes, and hashes of files."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from oldfilm.errors import from_os

_BLOCK = 1 << 20
_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:6]
_STEM = 60
"""Characters of a file's name that its temporary name repeats, to stay below the system's limit."""
_numbers = itertools.count()
_ATTEMPTS, _ATTEMPT_SECONDS = 50, 0.02
"""For replacing a folder that other threads or processes may replace at the same time."""


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


def write_file(path: Path, content: bytes) -> None:
    """Write a whole file at once, and create its folder if it does not exist.

    Raises:
        MediaError, MachineError: the file cannot be written; an existing one stays as it is.
    """
    make_folder(path.parent)
    try:
        with replacing(path) as unfinished:
            unfinished.write_bytes(content)
    except OSError as error:
        raise from_os(f"{path}: cannot be written", error) from error


def make_folder(path: Path) -> None:
    """Create a folder and its parents, if they do not exist.

    Raises:
        MediaError, MachineError: the folder cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise from_os(f"{path}: cannot be created", error) from error


def unfinished_path(path: Path) -> Path:
    """Return a temporary path next to `path` that no other thread, process or machine uses."""
    owner = f"{_HOST}-{os.getpid()}-{next(_numbers)}"
    return path.with_name(f".{path.stem[:_STEM]}.{owner}.part{path.suffix}")


def remove_leftovers(path: Path) -> None:
    """Delete temporary files and folders of `path` that killed processes of this machine left."""
    name = re.escape(f".{path.stem[:_STEM]}.{_HOST}-"), re.escape(f".part{path.suffix}")
    pattern = re.compile(rf"{name[0]}(\d+)-\d+{name[1]}")
    for other in path.parent.iterdir() if path.parent.is_dir() else ():
        if (match := pattern.fullmatch(other.name)) and not _is_running(int(match[1])):
            remove(other)


def _is_running(process: int) -> bool:
    if sys.platform == "win32":  # Asking about a process there would end it.
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def remove(path: Path) -> None:
    """Delete a file, a link or a folder with its content, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def replace_folder(folder: Path, path: Path) -> None:
    """Rename a folder to `path`, in place of an existing folder.

    Threads and processes may do so at the same time: the last one wins.

    Raises:
        OSError: the folder cannot be renamed.
    """
    for attempt in range(_ATTEMPTS):
        try:
            folder.replace(path)
            return
        except OSError:  # another folder is in the way
            if attempt == _ATTEMPTS - 1 or not folder.exists():
                raise
        old = unfinished_path(path)
        with contextlib.suppress(OSError):  # another one was faster; or Windows denies access
            path.replace(old)
        remove(old)
        time.sleep(_ATTEMPT_SECONDS * (attempt > 1))


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
