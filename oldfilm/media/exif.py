"""Read and write EXIF, XMP and IPTC data, resolutions and color profiles.

OpenCV writes pixels without metadata. Pillow writes metadata, but no 16-bit colors, and replaces
text that is not ASCII. EXIF data have the structure of a TIFF file (TIFF 6.0, section 2), so that
one reader and one writer serve both.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

_ICC, _ORIENTATION, _CAMERA, _XMP, _IPTC = 34675, 274, 34665, 700, 33723
_RESOLUTION = (282, 283, 296)
"""Pixels per unit in x and y, and the unit: 2 is an inch, 3 a centimeter."""
_LISTS = (_CAMERA, 34853, 40965)
"""Tags that point to a list of tags: EXIF, GPS and interoperability."""

# fmt: off
_LAYOUT_TAGS = frozenset([
    254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 280, 281, 284,
    288, 289, 290, 291, 292, 293, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 330, 332, 334,
    336, 337, 338, 339, 340, 341, 342, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530,
    531, 532, 700, 33723, 34377, 34675, 37724, 40962, 40963,
])
# fmt: on
"""Tags that describe the layout of pixels or hold other images; orientation too, since images are
rotated upright when they are read."""

_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
"""Size of a value of each TIFF type."""
_LONG_TYPES = {16: 4, 17: 9, 18: 4}
"""Types of 8 bytes that only BigTIFF has, and those of 4 bytes that replace them."""

_FRACTIONS = (5, 10)
"""Types that consist of two 4-byte numbers."""

_SEGMENT = 65533
"""Maximum bytes in a segment of a JPEG file."""

_EXIF = b"Exif\0\0"
_HEADER = b"II*\0\x08\0\0\0"
"""The header of a TIFF file whose first list of tags follows immediately."""

_XMP_START, _IPTC_START = b"http://ns.adobe.com/xap/1.0/\0", b"Photoshop 3.0\0008BIM\4\4\0\0"


@dataclass(frozen=True)
class Metadata:
    """What describes a photograph, besides its pixels.

    exif: EXIF data without the tags that describe the layout of pixels in the file. The resolution
    is among them. icc: color profile. xmp: XMP packet. iptc: IPTC-IIM data.
    """

    exif: bytes | None = None
    icc: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None


_NAMES = {
    "exif": "the EXIF data",
    "icc": "the color profile",
    "xmp": "the XMP data",
    "iptc": "the IPTC data",
}

Tags = dict[int, Any]
"""Tags by number: (type, little-endian values), or the tags of a list."""


def kept_exif(data: bytes) -> tuple[bytes | None, int]:
    """Return the EXIF data that stay valid once an image is upright, and its orientation.

    data: EXIF data, or a whole TIFF file. The EXIF data are None if nothing is left.

    Raises:
        ValueError: the data are damaged.
    """
    try:
        tags = _tags(data[len(_EXIF) :] if data.startswith(_EXIF) else data)
    except struct.error as error:
        raise ValueError(f"damaged: {error}") from error
    _, orientation = tags.get(_ORIENTATION, (3, b"\1"))
    camera = tags.get(_CAMERA, {})
    kept = {tag: value for tag, value in tags.items() if tag not in _LAYOUT_TAGS}
    if kept.get(_RESOLUTION[2], (3, b""))[1][:1] == b"\1":  # A ratio, not a resolution.
        kept = {tag: value for tag, value in kept.items() if tag not in _RESOLUTION}
    if camera:
        kept[_CAMERA] = {tag: v for tag, v in camera.items() if tag not in _LAYOUT_TAGS}
    exif = _HEADER + _packed(kept, len(_HEADER)) if kept else None
    return exif, int.from_bytes(orientation[:1], "little") or 1


def with_resolution(exif: bytes | None, per_inch: tuple[float, float] | None) -> bytes | None:
    """Add a resolution to EXIF data that have none. per_inch: pixels in x and y."""
    tags = _tags(exif) if exif else {}
    if per_inch is None or _RESOLUTION[0] in tags or not min(per_inch) > 0:
        return exif
    for tag, value in zip(_RESOLUTION, per_inch):
        exact = Fraction(value).limit_denominator(10_000)
        tags[tag] = (5, struct.pack("<II", exact.numerator, exact.denominator))
    tags[_RESOLUTION[2]] = (3, b"\2\0")
    return _HEADER + _packed(tags, len(_HEADER))


def _resolution(exif: bytes | None) -> tuple[float, float] | None:
    """Return the pixels per inch that EXIF data state."""
    tags = _tags(exif) if exif else {}
    found = [tags[tag][1] for tag in _RESOLUTION[:2] if tag in tags and tags[tag][0] == 5]
    if len(found) < 2 or any(len(value) != 8 for value in found):
        return None
    pairs = [struct.unpack("<II", value) for value in found]
    unit = tags.get(_RESOLUTION[2], (3, b"\2\0"))[1][:1]
    if any(not bottom for _, bottom in pairs) or unit not in (b"\2", b"\3"):
        return None
    x, y = (top / bottom * (2.54 if unit == b"\3" else 1) for top, bottom in pairs)
    return (x, y) if 0 < x < 65536 and 0 < y < 65536 else None


def upright_xmp(xmp: bytes | None) -> bytes | None:
    """Return an XMP packet for an image that was rotated upright."""
    if xmp is None:
        return None
    return re.sub(rb"(tiff:Orientation(?:=[\"']|>))[2-8]", rb"\g<1>1", xmp)


def _tags(data: bytes) -> Tags:
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        raise ValueError("the data begin neither with II nor with MM")
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    (first,) = struct.unpack_from(f"{order}Q" if big else f"{order}I", data, 8 if big else 4)
    return _read(data, first, order, big)


def _read(data: bytes, start: int, order: str, big: bool = False, depth: int = 0) -> Tags:
    """Read the list of tags at byte `start`. big: of BigTIFF, with numbers of 8 bytes."""
    tags: Tags = {}
    counter, entry, room = ("Q", "HHQQ", 8) if big else ("H", "HHII", 4)
    (count,) = struct.unpack_from(f"{order}{counter}", data, start)
    start, size = start + struct.calcsize(f"<{counter}"), struct.calcsize(f"<{entry}")
    for at in range(start, start + size * min(count, 65536), size):
        tag, kind, number, place = struct.unpack_from(f"{order}{entry}", data, at)
        if tag in tags:
            continue
        if tag in _LISTS and depth < 2:
            if room == 8 and kind not in (16, 18):  # the number has 4 bytes and is left-justified
                (place,) = struct.unpack_from(f"{order}I", data, at + size - room)
            tags[tag] = _read(data, place, order, big, depth + 1)
        elif kind in _BYTES or kind in _LONG_TYPES:
            length = number * _BYTES.get(kind, 8)
            begin = place if length > room else at + size - room
            values = data[begin : begin + length]
            if len(values) == length:
                tags.update(_little_endian(tag, values, kind, order))
    return tags


def _little_endian(tag: int, values: bytes, kind: int, order: str) -> Tags:
    """Return one tag with little-endian values of a type that every TIFF has."""
    if tag == _IPTC:  # Bytes, which some programs declare as numbers.
        return {tag: (7, values)}
    if kind in _LONG_TYPES:
        numbers = np.frombuffer(values, f"{order}u8")
        fits = numbers.max(initial=0) < 1 << 32
        return {tag: (_LONG_TYPES[kind], numbers.astype("<u4").tobytes())} if fits else {}
    each = 4 if kind in _FRACTIONS else _BYTES[kind]
    return {tag: (kind, np.frombuffer(values, f"{order}u{each}").astype(f"<u{each}").tobytes())}


def _packed(tags: Tags, start: int) -> bytes:
    """Return tags as they stand in a little-endian file from byte `start` on."""
    rows, values = [], b""
    for tag, value in sorted(tags.items()):
        place = start + 2 + 12 * len(tags) + 4 + len(values)
        if isinstance(value, dict):
            rows.append(struct.pack("<HHII", tag, 4, 1, place))
            values += _even(_packed(value, place))
            continue
        kind, content = value
        rows.append(struct.pack("<HHI", tag, kind, len(content) // _BYTES[kind]))
        if len(content) <= 4:
            rows.append(content.ljust(4, b"\0"))
        else:
            rows.append(struct.pack("<I", place))
            values += _even(content)
    return struct.pack("<H", len(tags)) + b"".join(rows) + bytes(4) + values


def _even(content: bytes) -> bytes:
    return content + bytes(len(content) % 2)


def tiff_metadata(data: bytes) -> tuple[bytes | None, bytes | None]:
    """Return the XMP packet and the IPTC data of a TIFF file, None where it has none.

    Raises:
        ValueError: the tags are damaged.
    """
    try:
        tags = _tags(data)
    except struct.error as error:
        raise ValueError(f"damaged: {error}") from error
    xmp, iptc = (tags[tag][1] if tag in tags else None for tag in (_XMP, _IPTC))
    return xmp, iptc


def with_metadata(data: bytes, suffix: str, metadata: Metadata) -> tuple[bytes, list[str]]:
    """Add metadata to a file; also return the names of those that the format cannot hold.

    data: an encoded image without metadata. suffix: the suffix of its format.
    """
    held = set(_HELD.get(suffix, ()))
    if suffix in _JPEG_SUFFIXES:
        held -= {name for name in _SINGLE if len(getattr(metadata, name) or b"") > _SEGMENT - 40}
    lost = [name for name in _NAMES if name not in held and getattr(metadata, name)]
    metadata = replace(metadata, **dict.fromkeys(lost))
    if suffix in _WRITERS and metadata != Metadata():
        data = _WRITERS[suffix](data, metadata)
    return data, [_NAMES[name] for name in lost]


def _png(data: bytes, metadata: Metadata) -> bytes:
    chunks = b""
    if metadata.icc is not None:
        chunks += _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc))
    if per_inch := _resolution(metadata.exif):
        x, y = (round(number / 0.0254) for number in per_inch)
        chunks += _chunk(b"pHYs", struct.pack(">IIB", x, y, 1))
    if metadata.exif is not None:
        chunks += _chunk(b"eXIf", metadata.exif)
    if metadata.xmp is not None:
        chunks += _chunk(b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + metadata.xmp)
    after_header = 8 + 25
    return data[:after_header] + chunks + data[after_header:]


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def _jpeg(data: bytes, metadata: Metadata) -> bytes:
    segments = b"" if metadata.exif is None else _segment(0xE1, _EXIF + metadata.exif)
    if metadata.xmp is not None:
        segments += _segment(0xE1, _XMP_START + metadata.xmp)
    if metadata.icc is not None:
        start = b"ICC_PROFILE\0"
        room = _SEGMENT - len(start) - 2
        parts = [metadata.icc[at : at + room] for at in range(0, len(metadata.icc), room)]
        for number, part in enumerate(parts, 1):
            segments += _segment(0xE2, start + bytes([number, len(parts)]) + part)
    if metadata.iptc is not None:
        size = struct.pack(">I", len(metadata.iptc))
        segments += _segment(0xED, _IPTC_START + size + _even(metadata.iptc))
    # After the JFIF marker, which comes first.
    after = 4 + struct.unpack(">H", data[4:6])[0] if data[2:4] == b"\xff\xe0" else 2
    return _with_density(data[:after], _resolution(metadata.exif)) + segments + data[after:]


def _with_density(marker: bytes, per_inch: tuple[float, float] | None) -> bytes:
    """Return the JFIF marker with a resolution, in pixels per inch."""
    if per_inch is None or marker[6:11] != b"JFIF\0":
        return marker
    x, y = (min(65535, max(1, round(number))) for number in per_inch)
    return marker[:13] + struct.pack(">BHH", 1, x, y) + marker[18:]


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _tiff(data: bytes, metadata: Metadata) -> bytes:
    """Write a new list of tags for the first page after all pages, which stay in place."""
    own = _tags(data)
    of_encoder = [tag for tag in _RESOLUTION if metadata.exif and tag in _tags(metadata.exif)]
    tags = _tags(metadata.exif) if metadata.exif else {}
    tags |= {tag: value for tag, value in own.items() if tag not in of_encoder}
    for tag, kind, value in ((_ICC, 7, metadata.icc), (_XMP, 1, metadata.xmp)):
        if value is not None:
            tags[tag] = (kind, value)
    if metadata.iptc is not None:
        tags[_IPTC] = (7, metadata.iptc)
    pages = _even(data)
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    following = data[first + 2 + 12 * count :][:4]
    packed = _packed(tags, len(pages))
    end = 2 + 12 * len(tags)
    packed = packed[:end] + following + packed[end + 4 :]
    return _HEADER[:4] + struct.pack("<I", len(pages)) + pages[8:] + packed


_JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".jif")
_SINGLE = ("exif", "xmp", "iptc")
"""Metadata that have to fit into a single segment of a JPEG file."""

_HELD: dict[str, tuple[str, ...]] = {
    ".png": ("exif", "icc", "xmp"),
    ".tif": ("exif", "icc", "xmp", "iptc"),
    ".tiff": ("exif", "icc", "xmp", "iptc"),
    **dict.fromkeys(_JPEG_SUFFIXES, ("exif", "icc", "xmp", "iptc")),
}
"""The metadata that a format holds, by its suffix."""

_WRITERS: dict[str, Callable[[bytes, Metadata], bytes]] = {
    ".png": _png,
    ".tif": _tiff,
    ".tiff": _tiff,
    **dict.fromkeys(_JPEG_SUFFIXES, _jpeg),
}
