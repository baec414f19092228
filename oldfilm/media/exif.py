"""Read and write EXIF data and color profiles.

OpenCV writes pixels without metadata. Pillow writes metadata, but no 16-bit colors, and replaces
text that is not ASCII. EXIF data have the structure of a TIFF file (TIFF 6.0, section 2), so that
one reader and one writer serve both.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

_ICC, _ORIENTATION, _CAMERA = 34675, 274, 34665
_LISTS = (_CAMERA, 34853, 40965)
"""Tags that point to a list of tags: EXIF, GPS and interoperability."""

# fmt: off
_LAYOUT_TAGS = frozenset([
    254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 280, 281, 284,
    288, 289, 290, 291, 292, 293, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 330, 332, 334,
    336, 337, 338, 339, 340, 341, 342, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530,
    531, 532, 700, 34377, 34675, 37724, 40962, 40963,
])
# fmt: on
"""Tags that describe the layout of pixels or hold other images; orientation too, since images are
rotated upright when they are read."""

_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
"""Size of a value of each TIFF type."""

_FRACTIONS = (5, 10)
"""Types that consist of two 4-byte numbers."""

_SEGMENT = 65533
"""Maximum bytes in a segment of a JPEG file."""

_EXIF = b"Exif\0\0"
_HEADER = b"II*\0\x08\0\0\0"
"""The header of a TIFF file whose first list of tags follows immediately."""

_EXIF_NAME, _PROFILE_NAME = "the EXIF data", "the color profile"

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
    if camera:
        kept[_CAMERA] = {tag: v for tag, v in camera.items() if tag not in _LAYOUT_TAGS}
    exif = _HEADER + _packed(kept, len(_HEADER)) if kept else None
    return exif, int.from_bytes(orientation[:1], "little") or 1


def _tags(data: bytes) -> Tags:
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        raise ValueError("the data begin neither with II nor with MM")
    (first,) = struct.unpack_from(f"{order}I", data, 4)
    return _read(data, first, order)


def _read(data: bytes, start: int, order: str, depth: int = 0) -> Tags:
    tags: Tags = {}
    (count,) = struct.unpack_from(f"{order}H", data, start)
    for at in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, number, place = struct.unpack_from(f"{order}HHII", data, at)
        if tag in tags:
            continue
        if tag in _LISTS and depth < 2:
            tags[tag] = _read(data, place, order, depth + 1)
        elif kind in _BYTES:
            length = number * _BYTES[kind]
            values = data[place : place + length] if length > 4 else data[at + 8 : at + 8 + length]
            if len(values) == length:
                tags[tag] = (kind, _little_endian(values, kind, order))
    return tags


def _little_endian(values: bytes, kind: int, order: str) -> bytes:
    each = 4 if kind in _FRACTIONS else _BYTES[kind]
    return np.frombuffer(values, f"{order}u{each}").astype(f"<u{each}").tobytes()


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


def with_metadata(
    data: bytes, suffix: str, exif: bytes | None, icc: bytes | None
) -> tuple[bytes, list[str]]:
    """Add EXIF data and a color profile to a file; also return the names of those it cannot hold.

    data: an encoded image without metadata. suffix: the suffix of its format.
    """
    if exif is None and icc is None:
        return data, []
    if suffix in (".jpg", ".jpeg") and exif and len(_EXIF + exif) > _SEGMENT:
        made, lost = with_metadata(data, suffix, None, icc)
        return made, [_EXIF_NAME, *lost]
    if suffix in _WRITERS:
        return _WRITERS[suffix](data, exif, icc), []
    return data, [name for name, value in ((_EXIF_NAME, exif), (_PROFILE_NAME, icc)) if value]


def _png(data: bytes, exif: bytes | None, icc: bytes | None) -> bytes:
    chunks = b""
    if icc is not None:
        chunks += _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))
    if exif is not None:
        chunks += _chunk(b"eXIf", exif)
    after_header = 8 + 25
    return data[:after_header] + chunks + data[after_header:]


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def _jpeg(data: bytes, exif: bytes | None, icc: bytes | None) -> bytes:
    segments = b"" if exif is None else _segment(0xE1, _EXIF + exif)
    if icc is not None:
        start = b"ICC_PROFILE\0"
        room = _SEGMENT - len(start) - 2
        parts = [icc[at : at + room] for at in range(0, len(icc), room)]
        for number, part in enumerate(parts, 1):
            segments += _segment(0xE2, start + bytes([number, len(parts)]) + part)
    # After the JFIF marker, which comes first.
    after = 4 + struct.unpack(">H", data[4:6])[0] if data[2:4] == b"\xff\xe0" else 2
    return data[:after] + segments + data[after:]


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _tiff(data: bytes, exif: bytes | None, icc: bytes | None) -> bytes:
    """Write a new list of tags after the pixels, which stay in place."""
    tags = {**_tags(exif or data), **_tags(data)}
    if icc is not None:
        tags[_ICC] = (7, icc)
    pixels = _even(data)
    return _HEADER[:4] + struct.pack("<I", len(pixels)) + pixels[8:] + _packed(tags, len(pixels))


_WRITERS: dict[str, Callable[[bytes, bytes | None, bytes | None], bytes]] = {
    ".png": _png,
    ".jpg": _jpeg,
    ".jpeg": _jpeg,
    ".tif": _tiff,
    ".tiff": _tiff,
}
