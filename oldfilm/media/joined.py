"""Find a second film at the end of a file: parts joined with `cat` or `copy /b`.

ffmpeg reads on where a new part of a broadcast, a DVD, or a Matroska or AVI file begins. Other
formats it reads up to the end of the first part, and some beyond it, but wrongly.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from oldfilm.errors import MediaError
from oldfilm.media.chained_ogg import chain, is_sound, unlike_links
from oldfilm.media.iso_boxes import outer_boxes
from oldfilm.media.packets import UNKNOWN, Packets

_MOV = "mov,mp4,m4a,3gp,3g2,mj2"
_BEGINNINGS = {
    "asf": bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
    "flv": b"FLV\x01",
    "live_flv": b"FLV\x01",
    "rm": b".RMF\0\0\0",
    "wtv": bytes.fromhex("b7d800203749da11a64e0007e95ead8d"),
    "yuv4mpegpipe": b"YUV4MPEG2 ",
}
"""The first bytes of a file, by ffmpeg's name of its format."""
_MXF_HEADER = bytes.fromhex("060e2b34020501010d0102010102")
"""How the header of an MXF file begins, which ffmpeg reads on after, with times that repeat."""
_CONTINUED = rb"OggS\0[^\x02\x06]"
"""A page of Ogg that begins no track. Tracks begin together, before the other pages."""
_MISREAD = {
    b"nut/multimedia container\0": (rb"", rb"nut/multimedia container\0"),
    b"DKIF\0\0": (rb"", rb"DKIF\0\0\x20\0"),
    b"OggS\0": (_CONTINUED, rb"OggS\0[\x02\x06]"),
}
"""How a second film begins where ffmpeg takes its header for pictures: NUT, IVF and Ogg.

By the first bytes of the file: the pattern after which to search, and that of the beginning.
"""


def misread(path: Path) -> str | None:
    """Return why a file cannot be read whose second film ffmpeg would read wrongly; else None."""
    if chain(path) or is_sound(path):
        return None
    if unlike := unlike_links(path):
        return unlike
    with path.open("rb") as file:
        head = file.read(32)
        for first, patterns in _MISREAD.items():
            if head.startswith(first):
                begin = _matching(file, len(first), *patterns)
                return None if begin is None else _reason(begin)
    return None


def unopened(path: Path) -> str | None:
    """Return why ffmpeg cannot open a file that is joined of two MP4 films; else None."""
    with path.open("rb") as file:
        begin = _second_movie(file)
    return None if begin is None else _reason(begin)


def note_on(path: Path, form: str, tracks: Sequence[Packets]) -> list[str]:
    """Return a note for the user on a second film that is not read; none if there is none.

    form: ffmpeg's name of the format. tracks: the packets that it reads.

    Raises:
        MediaError: ffmpeg reads a part of the second film.
    """
    if links := chain(path):
        return [f"the file is a chain of {len(links)} Ogg films: they were joined without a gap"]
    with path.open("rb") as file:
        begin, is_read = _second_film(file, form, tracks)
    if begin is None:
        return []
    if is_read:
        raise MediaError(f"{path}: {_reason(begin)}")
    return [
        f"a second film begins after {begin:,} bytes of the file, and is not read, since files of "
        f"{_ADVICE}"
    ]


def _second_film(file: BinaryIO, form: str, tracks: Sequence[Packets]) -> tuple[int | None, bool]:
    """Return where a second film begins, None if none does, and whether ffmpeg reads of it."""
    if form == _MOV:
        begin = _second_movie(file)
        fragmented = any(kind == b"moof" for kind, *_ in outer_boxes(file))
        return (None, False) if fragmented and _continues(tracks, begin) else (begin, fragmented)
    if form == "mxf":
        repeats = any(len(np.unique(p.pts)) < len(p) for p in tracks)
        first = _found(file, _MXF_HEADER, 0) if repeats else None
        return (None if first is None else _found(file, _MXF_HEADER, first + 1)), True
    return (_found(file, _BEGINNINGS[form], _end(tracks)) if form in _BEGINNINGS else None), False


_ADVICE = "this format cannot be joined byte by byte: cut the file there, and restore both parts"


def _reason(begin: int) -> str:
    return f"a second film begins after {begin:,} bytes, but files of {_ADVICE}"


def _end(tracks: Sequence[Packets]) -> int:
    """Return a byte after the beginnings of all packets."""
    known = [int(p.positions.max()) for p in tracks if (p.positions != UNKNOWN).any()]
    return max(known, default=0) + 1


def _continues(tracks: Sequence[Packets], begin: int | None) -> bool:
    """Return whether packets from a byte on continue those before, as segments of a stream do."""
    if begin is None:
        return False
    once = all(len(np.unique(p.pts)) == len(np.unique(p.positions)) == len(p) for p in tracks)
    return once and _end(tracks) > begin


def _matching(file: BinaryIO, start: int, before: bytes, beginning: bytes) -> int | None:
    """Return where a pattern matches first, at or after a byte and after another pattern."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        place = re.compile(before).search(data, start)
        found = place and re.compile(beginning).search(data, max(start, place.end()))
        return found.start() if found else None


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
    for kind, begin, end_of_box in outer_boxes(file):
        if movie and kind == b"ftyp":
            return begin
        if movie and kind == b"moov":  # Old QuickTime files have no file type.
            return end if media else begin
        if kind == b"moov":
            movie, end = True, end_of_box
        media |= kind == b"mdat" and not movie
    return None
