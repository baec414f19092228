"""Recognize H.264 packets that hold only a field (PAFF, as cameras and broadcasters encode).

A frame is then stored in two packets. ffmpeg decodes them to one frame at the time of the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.packet import Packet
    from av.stream import Stream

_EXAMINED = 2**14
"""Bytes of a packet in which its first slice begins."""
_SLICE, _KEY_SLICE, _SETTINGS = 1, 5, 7
"""Types of NAL units."""
_WITH_CHROMA_FORMAT = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})
"""Profiles whose settings include the chroma format."""


class SecondFields:
    """Says of each packet of a track, in the order of the file, whether it is a second field."""

    def __init__(self, stream: Stream) -> None:
        self._settings: _Settings | None = None
        self._first: _Field | None = None
        context = stream.codec_context if stream.type == "video" else None
        self._is_h264 = bool(context and context.codec.canonical_name == "h264")
        header = bytes(context.extradata or b"") if context else b""
        self._size_bytes = header[4] % 4 + 1 if header[:1] == b"\1" and len(header) > 6 else 0
        if self._is_h264:
            self._read_settings([header[8:]] if self._size_bytes else list(self._units(header)))

    def __call__(self, packet: Packet) -> bool:
        """Return whether a packet completes the frame that the packet before began."""
        if not self._is_h264:
            return False
        if packet.is_keyframe or self._settings is None:
            self._read_settings(list(self._units(_beginning(packet))))
        if self._settings is None or self._settings.frames_only:
            return False
        first, self._first = self._first, self._field(packet, self._settings)
        if first and self._first and first.completed_by(self._first):
            self._first = None
            return True
        return False

    def _units(self, data: bytes) -> Iterator[bytes]:
        """Yield the NAL units at the beginning of a packet."""
        at = 0
        while not self._size_bytes and (at := data.find(b"\0\0\1", at) + 3) > 2:
            yield data[at:]
        while self._size_bytes and at + self._size_bytes < len(data):
            begin = at + self._size_bytes
            at = begin + int.from_bytes(data[at:begin], "big")
            yield data[begin:at]

    def _read_settings(self, units: list[bytes]) -> None:
        for unit in units:
            if unit and unit[0] % 32 == _SETTINGS:
                self._settings = _Settings.read(unit) or self._settings

    def _field(self, packet: Packet, settings: _Settings) -> _Field | None:
        """Return which field a packet holds; None if it holds a frame."""
        for unit in self._units(_beginning(packet)):
            if unit and unit[0] % 32 in (_SLICE, _KEY_SLICE):
                return settings.field_of(unit)
        return None


def _beginning(packet: Packet) -> bytes:
    return bytes(memoryview(packet)[:_EXAMINED])


@dataclass(frozen=True)
class _Field:
    """A field. number: of its frame, as the stream counts frames."""

    number: int
    bottom: int

    def completed_by(self, other: _Field) -> bool:
        return self.number == other.number and self.bottom != other.bottom


@dataclass(frozen=True)
class _Settings:
    """What a sequence parameter set says about slices (ITU-T H.264, 7.3.2.1.1).

    number_bits: bits of a frame's number.
    """

    separate_planes: int
    number_bits: int
    frames_only: int

    @classmethod
    def read(cls, unit: bytes) -> _Settings | None:
        bits = _Bits(unit[1:256])
        try:
            profile, _ = bits.read(8), bits.read(16)
            bits.number()
            separate = _skip_chroma_format(bits) if profile in _WITH_CHROMA_FORMAT else 0
            number_bits = bits.number() + 4
            _skip_order(bits)
            bits.number()
            bits.read(1)
            bits.number(), bits.number()
            return cls(separate, number_bits, bits.read(1))
        except EOFError:
            return None

    def field_of(self, unit: bytes) -> _Field | None:
        """Return which field a slice belongs to; None if to a frame (7.3.3)."""
        bits = _Bits(unit[1:64])
        try:
            bits.number(), bits.number(), bits.number()
            bits.read(2 * self.separate_planes)
            number = bits.read(self.number_bits)
            return _Field(number, bits.read(1)) if bits.read(1) else None
        except EOFError:
            return None


def _skip_chroma_format(bits: _Bits) -> int:
    """Skip the chroma format and the scaling lists; return whether planes are coded separately."""
    chroma = bits.number()
    separate = bits.read(1) if chroma == 3 else 0
    bits.number(), bits.number()
    bits.read(1)
    if bits.read(1):
        for i in range(12 if chroma == 3 else 8):
            if bits.read(1):
                _skip_scaling_list(bits, 16 if i < 6 else 64)
    return separate


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = 8
    for _ in range(size):
        last = (last + bits.signed()) % 256
        if not last:
            return


def _skip_order(bits: _Bits) -> None:
    """Skip how the order of the frames is coded."""
    kind = bits.number()
    if kind == 0:
        bits.number()
    elif kind == 1:
        bits.read(1)
        for _ in range(2):
            bits.signed()
        for _ in range(bits.number()):
            bits.signed()


class _Bits:
    """The bits of a NAL unit, without the bytes that prevent false start codes.

    Raises:
        EOFError: there are no more.
    """

    def __init__(self, data: bytes) -> None:
        plain = data.replace(b"\0\0\3", b"\0\0")
        self._value, self._left = int.from_bytes(plain, "big"), 8 * len(plain)

    def read(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise EOFError
        return self._value >> self._left & (1 << count) - 1

    def number(self) -> int:
        """Read a number of variable length, ue(v)."""
        zeros = 0
        while not self.read(1):
            zeros += 1
        return (1 << zeros) - 1 + self.read(zeros)

    def signed(self) -> int:
        """Read a number with a sign, se(v)."""
        number = self.number()
        return -(number // 2) if number % 2 == 0 else (number + 1) // 2
