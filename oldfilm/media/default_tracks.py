"""MP4 files whose subtitles are not shown by default; ffmpeg marks the first track of each kind."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from oldfilm.media.iso_boxes import outer_boxes

_SUBTITLES = (b"sbtl", b"subp", b"text", b"clcp")
"""Handlers of subtitle tracks (ISO 14496-12, 8.4.3; QuickTime)."""
_ENABLED = 1
"""The flag of a track that is shown by default (ISO 14496-12, 8.3.2)."""


def hide_subtitles(path: Path) -> None:
    """Mark the subtitle tracks of an MP4 or QuickTime file as not shown by default."""
    with path.open("r+b") as file:
        for kind, begin, end in outer_boxes(file):
            if kind != b"moov":
                continue
            file.seek(begin)
            index = file.read(end - begin)
            for flags in _flags_of_subtitles(index):
                file.seek(begin + flags)
                file.write(bytes([index[flags] & ~_ENABLED]))


def _flags_of_subtitles(index: bytes) -> Iterator[int]:
    """Yield where the lowest byte of the flags of each subtitle track is, in the index (moov)."""
    for kind, begin, end in _inner(index, 0, len(index)):
        if kind != b"trak":
            continue
        boxes = {kind: (start, stop) for kind, start, stop in _inner(index, begin, end)}
        if b"tkhd" not in boxes or b"mdia" not in boxes:
            continue
        media = {kind: start for kind, start, _ in _inner(index, *boxes[b"mdia"])}
        handler = media.get(b"hdlr", 0)
        if index[handler + 16 : handler + 20] in _SUBTITLES:
            yield boxes[b"tkhd"][0] + 11


def _inner(index: bytes, begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type, the first byte and the end of each box inside another one."""
    begin += 8
    while begin + 8 <= end:
        size, kind = struct.unpack_from(">I4s", index, begin)
        if size < 8:
            return
        yield kind, begin, begin + size
        begin += size
