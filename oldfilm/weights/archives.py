"""Read one file out of a wheel or a source archive that may be damaged or malicious."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from oldfilm.system.files import remove

LARGEST = 4 << 30
"""The most bytes of a file whose size is not known."""

_BLOCK = 1 << 20
_MOST_COMPRESSION = 20
"""How many times larger an archive may become. Weights hardly compress."""
_SLACK = 64 << 20
_DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, ValueError),
    *(NotImplementedError, RuntimeError),
)


class BadArchive(Exception):
    """An archive is damaged, malicious, or lacks the file."""


def extract(archive: Path, member: str, destination: Path, most: int = LARGEST) -> None:
    """Write one member of an archive to `destination`, and nothing else.

    archive: a zip file (such as a wheel), or a tar file with any compression. member: its path in
    the archive; the first folder may be left out, as that of source archives repeats their name.
    most: the most bytes that it may have.

    Raises:
        BadArchive: the archive is damaged or malicious, or lacks the member.
        OSError: the file cannot be written.
    """
    try:
        with _opened(archive, member, most) as stream, destination.open("wb") as file:
            left = most
            while block := stream.read(_BLOCK):
                left -= len(block)
                if left < 0:
                    raise BadArchive(f"{member} in {archive.name} has more than {most} bytes")
                file.write(block)
    except BadArchive:
        remove(destination)
        raise
    except (*_DAMAGE, OSError) as error:
        remove(destination)
        if isinstance(error, OSError) and error.errno is not None:
            raise  # Of the disk; decompressors raise OSErrors without a number.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadArchive(f"{archive.name} is damaged or incomplete ({reason})") from error


@contextlib.contextmanager
def _opened(archive: Path, member: str, most: int) -> Iterator[IO[bytes]]:
    if archive.stat().st_size == 0:
        raise BadArchive(f"{archive.name} is an empty file")
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped, _in_zip(zipped, archive, member, most) as stream:
            yield stream
    else:
        with _unpacked(archive) as plain, tarfile.open(plain, "r:") as tarred:
            yield _in_tar(tarred, archive, member)


def _in_zip(zipped: zipfile.ZipFile, archive: Path, member: str, most: int) -> IO[bytes]:
    found = zipped.getinfo(_chosen(zipped.namelist(), archive, member))
    if stat.S_ISLNK(found.external_attr >> 16) or found.is_dir():
        raise BadArchive(f"{member} in {archive.name} is not a plain file")
    if found.file_size > min(most, _MOST_COMPRESSION * found.compress_size + _SLACK):
        raise BadArchive(f"{member} in {archive.name} has {found.file_size} bytes: too many")
    return zipped.open(found)


def _in_tar(tarred: tarfile.TarFile, archive: Path, member: str) -> IO[bytes]:
    found = tarred.getmember(_chosen(tarred.getnames(), archive, member))
    stream = tarred.extractfile(found) if found.isreg() else None
    if stream is None:
        raise BadArchive(f"{member} in {archive.name} is not a plain file")
    return stream


def _chosen(names: Sequence[str], archive: Path, member: str) -> str:
    """Return the name of the member; refuse an archive with names that leave their folder."""
    for name in names:
        if name.startswith("/") or "\\" in name or ".." in name.split("/"):
            raise BadArchive(f"{archive.name} has a member outside its folder ({name[:80]!r})")
    matches = [n for n in dict.fromkeys(names) if member in (n, n.partition("/")[2])]
    exact = [name for name in matches if name == member]
    if len(exact or matches) != 1:
        raise BadArchive(f"{archive.name} has no file {member}")
    return (exact or matches)[0]


@contextlib.contextmanager
def _unpacked(archive: Path) -> Iterator[Path]:
    """Decompress a tar file next to it, up to a size that no honest archive exceeds."""
    with archive.open("rb") as file:
        start = file.read(6)
    openers: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
    opener = next((found for mark, found in openers.items() if start.startswith(mark)), None)
    if opener is None:
        yield archive
        return
    plain = archive.with_name(f"{archive.name}.tar")
    left = _MOST_COMPRESSION * archive.stat().st_size + _SLACK
    try:
        with opener(archive, "rb") as stream, plain.open("wb") as file:
            while block := stream.read(_BLOCK):
                left -= len(block)
                if left < 0:
                    raise BadArchive(f"{archive.name} decompresses to an absurd size")
                file.write(block)
        yield plain
    finally:
        remove(plain)
