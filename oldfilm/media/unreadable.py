"""Say why a file cannot be shown: it is encrypted, not finished, or joined of two files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from oldfilm.media import joined
from oldfilm.media.iso_boxes import movie_index

_EXAMINED = 4 << 20
"""Bytes of a transport or program stream to examine."""
_LARGEST_HEAD = 4096
"""Bytes of an index (moov) to search, at most."""
_ISO_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
_ENCRYPTED_ENTRIES = (b"encv", b"drmi")
"""Types of encrypted video in MP4: Common Encryption's, and FairPlay's."""
_PACKET, _SYNC = 188, 0x47
_LAST_TABLE, _STUFFING = 0x1F, 0x1FFF
"""The streams between these hold sound, pictures and the tables of programs."""
_MOSTLY = 0.5
"""Share of scrambled packets above which a stream counts as scrambled."""
_SCRAMBLED = "it is scrambled (copy protection or pay TV), so its pictures cannot be decoded"

_PARTLY = 0.05
"""Share from which a piece of a file counts as scrambled in part."""
_ALIGNED = 188 * 192
"""Packets of transport streams begin at its multiples, whatever their length."""
_PIECE, _PIECES = 30 * _ALIGNED, 16
"""Bytes of a piece, and how many pieces of a file to look at."""


def reason(path: Path) -> str | None:
    """Return why a file cannot be shown, for an error message; None if it is not known."""
    if known := joined.misread(path):
        return known
    with path.open("rb") as file:
        if _is_iso(file):
            return _reason_of_iso(path)
        file.seek(0)
        head = file.read(_EXAMINED)
    if _scrambled_share(head) > _MOSTLY and not _has_clear_picture(head):
        return _SCRAMBLED
    return None


def scrambled_picture(path: Path, number: int) -> str | None:
    """Return that a picture of a broadcast is scrambled, for an error message; None if it is not.

    number: the picture's, as packets have it.
    """
    with path.open("rb") as file:
        flags = list(_of_transport_stream(file.read(_EXAMINED), number))
    return _SCRAMBLED if sum(flags) > _MOSTLY * len(flags) else None


def scrambled_part(path: Path, form: str, number: int) -> list[str]:
    """Return a note if the picture of a broadcast is scrambled in part of a file.

    form: ffmpeg's name of the format. number: the picture's, as packets have it.
    """
    if form != "mpegts":
        return []
    size = path.stat().st_size
    step = max(_PIECE, size // _PIECES // _ALIGNED * _ALIGNED)
    with path.open("rb") as file:
        for place in range(0, size, step):
            file.seek(place)
            flags = list(_of_transport_stream(file.read(_PIECE), number))
            if sum(flags) > _PARTLY * len(flags):
                return [
                    "the picture is scrambled (copy protection or pay TV) in a part that begins "
                    f"after about {place:,} bytes of the file: what cannot be decoded is left out"
                ]
    return []


def _is_iso(file: BinaryIO) -> bool:
    """Whether a file is an MP4, a QuickTime film or a relative of theirs."""
    return file.read(8)[4:] in _ISO_BOXES


def _reason_of_iso(path: Path) -> str | None:
    index = movie_index(path)
    if not index:
        return (
            "it has no index (moov): its recording or download was not finished. Tools such as "
            "untrunc rebuild the index from another film of the same camera"
        )
    if b"rmra" in index[:_LARGEST_HEAD] and b"trak" not in index:
        return "it is a reference movie, which only names another file: give that one"
    if any(entry in index for entry in _ENCRYPTED_ENTRIES):
        return "it is encrypted (DRM), so only its seller's player can show it"
    return None


def _scrambled_share(data: bytes) -> float:
    """Return the share of scrambled packets of a transport or program stream; 0 for others."""
    flags = list(_of_transport_stream(data) or _of_program_stream(data))
    return sum(flags) / len(flags) if flags else 0.0


def _of_transport_stream(data: bytes, number: int | None = None) -> list[bool]:
    """Return for each packet of sound or pictures whether it is scrambled.

    number: of the only track to look at.
    """
    headers = (data[at + 1 : at + 4] for at in _packets(data))
    kept = (h for h in headers if _LAST_TABLE < _stream(h) < _STUFFING)
    return [bool(h[2] & 0xC0) for h in kept if number in (None, _stream(h))]


def _has_clear_picture(data: bytes) -> bool:
    """Return whether a transport stream has a picture that is not scrambled, of any program."""
    for at in _packets(data)[:-2]:  # The last ones may be cut.
        _, begins, _, control, extra = data[at : at + 5]
        if begins & 0x40 and not control & 0xC0:
            payload = at + 4 + (1 + extra if control & 0x20 else 0)
            if data[payload : payload + 3] == b"\0\0\1" and data[payload + 3] >> 4 == 0xE:
                return True
    return False


def _packets(data: bytes) -> range:
    """Return where the packets of a transport stream begin; empty if it is not one."""
    start = data[: 2 * _PACKET].find(bytes([_SYNC]))
    for packet in (_PACKET, 192):  # M2TS puts a time code before each packet.
        marks = data[start::packet] if start >= 0 else b""
        if len(marks) > 10 and marks.count(_SYNC) > 0.9 * len(marks):
            return range(start, len(data) - _PACKET + 1, packet)
    return range(0)


def _stream(header: bytes) -> int:
    """Return the stream (PID) that a packet of a transport stream belongs to."""
    return int.from_bytes(header[:2], "big") & 0x1FFF


def _of_program_stream(data: bytes) -> Iterator[bool]:
    """Yield for each packet of video whether it is scrambled."""
    at = data.find(b"\0\0\1\xe0")
    while 0 <= at < len(data) - 7 and data.startswith(b"\0\0\1\xba"):
        if data[at + 6] & 0xC0 == 0x80:  # MPEG-2; MPEG-1 has no scrambling.
            yield bool(data[at + 6] & 0x30)
        at = data.find(b"\0\0\1\xe0", at + 7)
