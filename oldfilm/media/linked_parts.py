"""Matroska films that players put together from parts: ordered chapters, and linked files.

RFC 9559, 5.1.7 and 17. ffmpeg shows what a file holds, in the order in which it is stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

_SEGMENT, _INFO, _CHAPTERS = 0x18538067, 0x1549A966, 0x1043A770
_BEFORE, _AFTER = 0x3CB923, 0x3EB923
_EDITION, _ATOM, _ORDERED, _ELSEWHERE = 0x45B9, 0xB6, 0x45DD, 0x6E67
_LARGEST = 16 << 20
"""Bytes of a list of chapters to read, at most."""


def linked_parts(path: Path) -> list[str]:
    """Return notes on parts of a Matroska film that are elsewhere, or shown in another order."""
    with path.open("rb") as file:
        found = set(_marks(file, 0, path.stat().st_size))
    notes = []
    if _ELSEWHERE in found:
        notes.append(
            "its chapters show parts of other files, which are not read: the frames of this file "
            "are restored, in the order in which they are stored"
        )
    elif _ORDERED in found:
        notes.append(
            "its chapters have an order in which players show its parts: the frames are restored "
            "in the order in which they are stored"
        )
    if found & {_BEFORE, _AFTER}:
        notes.append("players show it together with another file, which is not read")
    return notes


def _marks(file: BinaryIO, begin: int, end: int) -> Iterator[int]:
    """Yield the elements that say that parts are elsewhere or in another order."""
    for kind, start, stop in _elements(file, begin, end):
        if kind == _SEGMENT:
            yield from _marks(file, start, stop)
        elif kind in (_INFO, _CHAPTERS):
            file.seek(start)
            content = file.read(min(stop - start, _LARGEST))
            yield from _marks(BytesIO(content), 0, len(content))
        elif kind in (_EDITION, _ATOM):
            yield from _marks(file, start, stop)
        elif kind in (_BEFORE, _AFTER, _ELSEWHERE):
            yield kind
        elif kind == _ORDERED:
            file.seek(start)
            if any(file.read(min(8, stop - start))):
                yield kind


def _elements(file: BinaryIO, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield the identifier, the first byte and the end of each element, up to one without size."""
    while begin < end:
        file.seek(begin)
        head = file.read(12)
        length = 9 - head[0].bit_length() if head and head[0] else 9
        if length > 4 or len(head) <= length:
            return
        kind = int.from_bytes(head[:length], "big")
        width = 9 - head[length].bit_length() if head[length] else 9
        raw = head[length : length + width]
        if width > 8 or len(raw) < width:
            return
        size = int.from_bytes(raw, "big") & ((1 << 7 * width) - 1)
        start = begin + length + width
        unknown = size == (1 << 7 * width) - 1
        if unknown and kind != _SEGMENT:
            return
        stop = end if unknown else min(start + size, end)
        yield kind, start, stop
        begin = stop
