"""Write films in H.264 whose frames are stored as two fields each (PAFF), or as frames.

No encoder of ffmpeg does. The macroblocks are stored as they are (I_PCM), so that frames are exact.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

TICK = Fraction(1, 90000)
_NUMBER_BITS, _ORDER_BITS = 4, 8


class _Bits:
    def __init__(self) -> None:
        self._bits: list[int] = []

    def put(self, count: int, value: int) -> _Bits:
        self._bits += [value >> i & 1 for i in reversed(range(count))]
        return self

    def number(self, *values: int) -> _Bits:
        for value in values:
            self.put(2 * (value + 1).bit_length() - 1, value + 1)
        return self

    def align(self) -> _Bits:
        return self.put(-len(self._bits) % 8, 0)

    def samples(self, values: np.ndarray) -> _Bits:
        self._bits += np.unpackbits(values.reshape(-1)).tolist()
        return self

    def unit(self, header: int) -> bytes:
        """Return a NAL unit."""
        self.put(1, 1).align()
        data = np.packbits(np.array(self._bits, np.uint8)).tobytes()
        out, zeros = bytearray(), 0
        for byte in data:
            if zeros >= 2 and byte <= 3:
                out.append(3)
                zeros = 0
            out.append(byte)
            zeros = zeros + 1 if byte == 0 else 0
        return bytes([0, 0, 0, 1, header]) + bytes(out)


def _settings(width: int, height: int) -> bytes:
    """Return the parameter sets of interlaced H.264 in the Main profile."""
    sequence = _Bits().put(24, 77 << 16 | 30).number(0, _NUMBER_BITS - 4, 0, _ORDER_BITS - 4, 1)
    sequence.put(1, 0).number(width // 16 - 1, height // 32 - 1).put(6, 0b001000)
    picture = _Bits().number(0, 0).put(2, 0).number(0, 0, 0).put(3, 0).number(0, 0, 0).put(3, 0)
    return sequence.unit(0x67) + picture.unit(0x68)


def _slice(gray: np.ndarray, number: int, field: int | None) -> bytes:
    """Return a whole picture. field: 0 for a top field, 1 for a bottom field, None for a frame."""
    bits = _Bits().number(0, 7, 0).put(_NUMBER_BITS, 0)
    bits.put(1, 0) if field is None else bits.put(2, 2 + field)
    if field != 1:
        bits.number(number % 2)
    bits.put(_ORDER_BITS, field or 0).put(1 if field == 1 else 2, 0).number(0)
    for y in range(0, gray.shape[0], 16):
        for x in range(0, gray.shape[1], 16):
            bits.number(25).align().samples(gray[y : y + 16, x : x + 16])
            bits.samples(np.full(128, 128, np.uint8))
    return bits.unit(0x21 if field == 1 else 0x65)


def _stored(frames: np.ndarray, whole: Iterable[int]) -> list[list[bytes]]:
    """Return the pictures of each frame. whole: numbers of those that are stored as frames."""
    settings = b"\0\0\0\1\x09\x10" + _settings(*frames.shape[:0:-1])
    out = []
    for number, frame in enumerate(frames):
        if number in whole:
            out.append([settings + _slice(frame, number, None)])
        else:
            fields = [_slice(frame[parity::2], number, parity) for parity in (0, 1)]
            out.append([settings + fields[0], fields[1]])
    return out


def write_fields(
    path: Path, frames: np.ndarray, apart: bool, whole: Iterable[int] = (), **options: object
) -> Path:
    """Write a film of 25 frames per second.

    frames: uint8 [t, h, w], limited range; width and height multiples of 16 and 32. apart: whether
    the fields of a frame have packets and times of their own, as ffmpeg copies them. whole: numbers
    of the frames that are stored as such. options: those of `av.open`.
    """
    stored = _stored(frames, whole)
    raw = path.with_suffix(".h264")
    raw.write_bytes(b"".join(b"".join(pictures) for pictures in stored))
    with av.open(str(raw)) as source, av.open(str(path), "w", **options) as film:
        given = source.streams.video[0]
        stream = film.add_stream_from_template(given)
        stream.time_base = TICK
        for number, pictures in enumerate(stored):
            packets = pictures if apart else [b"".join(pictures)]
            for half, data in enumerate(packets):
                packet = av.Packet(data)
                packet.pts = packet.dts = 3600 * number + 1800 * half
                packet.time_base, packet.duration = TICK, 3600 // len(packets)
                packet.is_keyframe, packet.stream = not half, stream
                film.mux(packet)
    raw.unlink()
    return path
