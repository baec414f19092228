"""Chained Ogg, as web radio and television are recorded: streams one after the other (RFC 3533).

ffmpeg reads the first link only, or takes the headers of the next for pictures. It reads them all
as a list of pieces of the file, provided that their headers fit one decoder.
"""

from __future__ import annotations

import math
import mmap
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

_PAGE = re.compile(rb"OggS\0([\0-\7])(.{8})(.{4})", re.DOTALL)
_BEGINS = 2
"""The flag of a page that begins a stream."""
_THEORA, _VORBIS, _OPUS = b"\x80theora", b"\1vorbis", b"OpusHead"
_HEADERS = {_THEORA: 3, _VORBIS: 3}
"""How many packets of a codec are headers; one for the others."""
_LISTED = 5
"""How many links a message lists."""
_OPUS_RATE = 48000


@dataclass(frozen=True)
class Link:
    """A link of a chain. begin, end: its first byte, and the one after its last.

    pictures, sound: what the headers of its streams say, without what may differ. seconds: how
    long it lasts, in whole frames; None if unknown.
    """

    begin: int
    end: int
    pictures: tuple[bytes, ...]
    sound: tuple[bytes, ...]
    seconds: Fraction | None


def chain(path: Path) -> tuple[Link, ...]:
    """Return the links of a chain that can be read as one film; none for any other file."""
    links = _links_of(path)
    alike = len({(link.pictures, link.sound) for link in links}) == 1
    is_listable = not {"\n", "\r"} & set(str(path.absolute()))
    return links if alike and links[0].pictures and is_listable else ()


def unlike_links(path: Path) -> str | None:
    """Return why a chain cannot be read whose links do not fit one decoder; else None."""
    links = _links_of(path)
    if not any(link.pictures for link in links):
        return None
    if len({(link.pictures, link.sound) for link in links}) == 1:
        return None
    what = "sound" if len({link.pictures for link in links}) == 1 else "picture"
    begins = ", ".join(f"{link.begin:,}" for link in links[1 : _LISTED + 1])
    parts = "both" if len(links) == 2 else "all"
    return (
        f"it is a chain of {len(links)} Ogg films whose {what} is coded in different ways; the "
        f"next begins after {begins} bytes: cut the file there, and restore {parts} parts"
    )


def is_sound(path: Path) -> bool:
    """Return whether a file is a chain without any pictures."""
    links = _links_of(path)
    return bool(links) and not any(link.pictures for link in links)


def _links_of(path: Path) -> tuple[Link, ...]:
    try:
        status = path.stat()
        return _links(path, status.st_size, status.st_mtime_ns)
    except OSError:
        return ()


@lru_cache(maxsize=16)
def _links(path: Path, size: int, changed: int) -> tuple[Link, ...]:
    """Return all links of a chain; none for any other file."""
    with path.open("rb") as file:
        if file.read(5) != b"OggS\0":
            return ()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            bounds = [*_beginnings(data), size]
            if len(bounds) < 3:
                return ()
            return tuple(_link(data, a, b) for a, b in zip(bounds, bounds[1:]))


def _beginnings(data: mmap.mmap) -> Iterator[int]:
    """Yield where links begin: streams begin together, before the other pages."""
    inside = True
    for page in _PAGE.finditer(data):
        begins = bool(page[1][0] & _BEGINS)
        if begins and inside:
            yield page.start()
        inside = not begins


def _link(data: mmap.mmap, begin: int, end: int) -> Link:
    pictures, sound = [], []
    headers = _headers(data, begin, end)
    for packets in headers.values():
        first, last = packets[0], packets[-1]
        if first.startswith(_THEORA):
            # Without the bit rate, and the quality that the encoder aimed at.
            pictures.append(first[:37] + bytes([first[40] & 3, first[41]]) + last)
        elif first.startswith((_VORBIS, _OPUS)):
            sound.append(first[:16] + last if first.startswith(_VORBIS) else first[:10])
        elif first[:5] == b"OVP80":
            pictures.append(first)
    return Link(begin, end, tuple(pictures), tuple(sound), _seconds(data, begin, end, headers))


def _headers(data: mmap.mmap, begin: int, end: int) -> dict[bytes, list[bytes]]:
    """Return the header packets of the streams of a link, by their serial numbers."""
    found: dict[bytes, list[bytes]] = {}
    unfinished: dict[bytes, bytes] = {}
    at = begin
    while at + 27 <= end and data[at : at + 4] == b"OggS":
        serial, count = data[at + 14 : at + 18], data[at + 26]
        sizes = data[at + 27 : at + 27 + count]
        if data[at + 5] & _BEGINS:
            found[serial] = []
        elif all(len(each) >= _HEADERS.get(each[0][:7], 1) for each in found.values() if each):
            break
        at += 27 + count
        for size in sizes:
            unfinished[serial] = unfinished.get(serial, b"") + data[at : at + size]
            at += size
            if size < 255:
                packets = found.setdefault(serial, [])
                packet = unfinished.pop(serial)
                if not packets or len(packets) < _HEADERS.get(packets[0][:7], 1):
                    packets.append(packet)
    return {serial: packets for serial, packets in found.items() if packets}


def _seconds(
    data: mmap.mmap, begin: int, end: int, headers: dict[bytes, list[bytes]]
) -> Fraction | None:
    """Return how long a link lasts, rounded up to whole frames; None if it does not say."""
    positions = {serial: 0 for serial in headers}
    for page in _PAGE.finditer(data, begin, end):
        (position,) = struct.unpack("<q", page[2])
        positions[page[3]] = max(positions.get(page[3], 0), position)
    longest, frame = Fraction(0), None
    for serial, (first, *_) in headers.items():
        position = positions[serial]
        if first.startswith(_THEORA):
            shift = int.from_bytes(first[40:42], "big") >> 5 & 31
            rate, per = struct.unpack(">II", first[22:30])
            frame = Fraction(per, rate) if rate else None
            position = (position >> shift) + (position & ((1 << shift) - 1))
            longest = max(longest, position * (frame or Fraction(0)))
        elif first.startswith(_VORBIS):
            longest = max(longest, Fraction(position, struct.unpack("<I", first[12:16])[0] or 1))
        elif first.startswith(_OPUS):
            skipped = struct.unpack("<H", first[10:12])[0]
            longest = max(longest, Fraction(position - skipped, _OPUS_RATE))
    return math.ceil(longest / frame) * frame if frame and longest else None
