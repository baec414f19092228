"""Animated PNG whose frames are cleared: ffmpeg and Pillow clear them to black, not to nothing.

Source: W3C, Portable Network Graphics (PNG) Specification, Third Edition.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from oldfilm.media.pillow import opened

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TO_BACKGROUND, _TO_PREVIOUS = 1, 2
"""What to do with the area of a frame before the next one is drawn."""
_OVER = 1
"""Draw a frame over the one before, by its alpha, in place of replacing it."""
_OWN_CHUNKS = frozenset({b"IHDR", b"acTL", b"fcTL", b"IDAT", b"fdAT", b"IEND"})


@dataclass
class _Part:
    """A frame as the file has it: the area that it changes, how, and the compressed pixels."""

    width: int
    height: int
    x: int
    y: int
    delay: Fraction
    disposal: int
    blending: int
    data: bytes = b""


def clears(data: bytes) -> bool:
    """Return whether a frame of an animated PNG clears its area, so that it becomes transparent."""
    parts = [_control(body) for name, body in _chunks(data) if name == b"fcTL" and len(body) == 26]
    first = [part for part in parts[:1] if part.disposal == _TO_PREVIOUS]
    return bool(first) or any(part.disposal == _TO_BACKGROUND for part in parts[:-1])


def composed(data: bytes) -> Iterator[tuple[np.ndarray, Fraction]]:
    """Yield the frames of an animated PNG, uint8 [h, w, 4] RGBA, and their delays in milliseconds.

    Raises:
        Exception: of any kind, where the file is damaged.
    """
    header, shared, parts = _read(data)
    width, height = struct.unpack(">II", header[:8])
    canvas = np.zeros((height, width, 4), np.uint8)
    for number, part in enumerate(parts):
        area = canvas[part.y : part.y + part.height, part.x : part.x + part.width]
        before = area.copy()
        image = _decoded(header, shared, part)
        area[...] = _blended(image, before) if part.blending == _OVER else image
        yield canvas.copy(), part.delay * 1000
        if part.disposal == _TO_PREVIOUS and number:
            area[...] = before
        elif part.disposal:
            area[...] = 0


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_SIGNATURE)
    while at + 8 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        at += 12 + size


def _control(body: bytes) -> _Part:
    _, width, height, x, y, count, per_second, disposal, blending = struct.unpack(">5I2H2B", body)
    return _Part(width, height, x, y, Fraction(count, per_second or 100), disposal, blending)


def _read(data: bytes) -> tuple[bytes, bytes, list[_Part]]:
    """Return the header's content, the chunks that all frames share, and the frames."""
    header, shared = b"", b""
    parts: list[_Part] = []
    for name, body in _chunks(data):
        if name == b"IHDR":
            header = body
        elif name == b"fcTL":
            parts.append(_control(body))
        elif name in (b"IDAT", b"fdAT") and parts:
            # An image before the first frame is for programs that show no animations.
            parts[-1].data += body[4:] if name == b"fdAT" else body
        elif name not in _OWN_CHUNKS and not parts:
            shared += _chunk(name, body)
    return header, shared, parts


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _decoded(header: bytes, shared: bytes, part: _Part) -> np.ndarray:
    """Decode the pixels of one frame: uint8 [h, w, 4] RGBA."""
    from PIL import Image

    own = struct.pack(">II", part.width, part.height) + header[8:]
    file = _SIGNATURE + _chunk(b"IHDR", own) + shared + _chunk(b"IDAT", part.data)
    picture = opened(file + _chunk(b"IEND", b""), ("PNG",))
    if picture is None:
        raise ValueError("the header of a frame")
    if picture.mode.startswith("I"):  # gray of 16 bits, which Pillow would clip
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    return np.asarray(picture.convert("RGBA"))


def _blended(image: np.ndarray, under: np.ndarray) -> np.ndarray:
    """Return an image over another one; uint8 [h, w, 4] RGBA."""
    top, bottom = (codes.astype(np.float32) / 255 for codes in (image, under))
    rest = bottom[..., 3:] * (1 - top[..., 3:])
    alpha = top[..., 3:] + rest
    color = (top[..., :3] * top[..., 3:] + bottom[..., :3] * rest) / np.maximum(alpha, 1e-6)
    return np.rint(np.concatenate([color, alpha], axis=2) * 255).astype(np.uint8)
