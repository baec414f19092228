"""The boxes of MP4 and QuickTime files."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_LARGEST_INDEX = 64 << 20
"""Bytes of an index to read, at most."""


def movie_index(path: Path) -> bytes:
    """Return the index (moov) of an MP4 or QuickTime file; nothing of any other file."""
    with path.open("rb") as file:
        for kind, begin, end in outer_boxes(file):
            if kind == b"moov":
                file.seek(begin)
                return file.read(min(end - begin, _LARGEST_INDEX))
    return b""


def outer_boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type, the first byte and the end of each outermost box, as its header states."""
    length = file.seek(0, 2)
    begin = 0
    while begin + 8 <= length:
        file.seek(begin)
        size, kind = struct.unpack(">I4s", file.read(8))
        if size == 1:
            size = int.from_bytes(file.read(8), "big")
        size = length - begin if size == 0 else size
        if size < 8:
            return
        yield kind, begin, begin + size
        begin += size
