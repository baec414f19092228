"""Find a second film at the end of a file: parts joined with `cat` or `copy /b`.

ffmpeg reads on where a new part of a broadcast, a DVD, or a Matroska, AVI, MXF, NUT or Ogg file
begins. Other formats it reads up to the end of the first part.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from oldfilm.media.packets import UNKNOWN, Packets

_MOV = "mov,mp4,m4a,3gp,3g2,mj2"
_BEGINNINGS = {
    "asf": bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
    "flv": b"FLV\x01",
    "live_flv": b"FLV\x01",
    "wtv": bytes.fromhex("b7d800203749da11a64e0007e95ead8d"),
    "yuv4mpegpipe": b"YUV4MPEG2 ",
}
"""The first bytes of a file, by ffmpeg's name of its format."""
_LARGEST = 2**62


def second_film(path: Path, form: str, tracks: Iterable[Packets]) -> int | None:
    """Return the byte at which a second film begins that ffmpeg does not read, if there is one.

    form: ffmpeg's name of the format. tracks: the packets that it reads.
    """
    with path.open("rb") as file:
        if form == _MOV:
            return _second_movie(file)
        if form not in _BEGINNINGS:
            return None
        known = [int(p.positions.max()) for p in tracks if (p.positions != UNKNOWN).any()]
        return _found(file, _BEGINNINGS[form], max(known, default=0) + 1)


def note_on(path: Path, form: str, tracks: Iterable[Packets]) -> list[str]:
    """Return a note for the user on a second film in a file; none if there is none."""
    begin = second_film(path, form, tracks)
    if begin is None:
        return []
    return [
        f"a second film begins after {begin:,} bytes of the file, and is not read, since files of "
        "this format cannot be joined byte by byte: cut the file there, and restore both parts"
    ]


def _found(file: BinaryIO, beginning: bytes, start: int) -> int | None:
    if start >= file.seek(0, 2):
        return None
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        begin = data.find(beginning, start)
    return None if begin < 0 else begin


def _second_movie(file: BinaryIO) -> int | None:
    """Return where the boxes of an MP4 or QuickTime file begin a second time."""
    movie = media = False
    end = 0
    for kind, begin, end_of_box in _boxes(file):
        if movie and kind == b"ftyp":
            return begin
        if movie and kind == b"moov":  # Old QuickTime files have no file type.
            return end if media else begin
        if kind == b"moov":
            movie, end = True, end_of_box
        media |= kind == b"mdat" and not movie
    return None


def _boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind, the first byte and the end of each box of a file."""
    begin = 0
    while True:
        file.seek(begin)
        head = file.read(16)
        if len(head) < 8:
            return
        size, kind = struct.unpack(">I4s", head[:8])
        if size == 1 and len(head) == 16:
            (size,) = struct.unpack(">Q", head[8:])
        if not 8 <= size < _LARGEST:
            return
        yield kind, begin, begin + size
        begin += size
