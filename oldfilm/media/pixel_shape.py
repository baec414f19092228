"""Find where the shape of a film's pixels changes, as between programs of a broadcast."""

from __future__ import annotations

import contextlib
import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from oldfilm.media.film import Film
from oldfilm.media.opening import opened
from oldfilm.media.packets import demuxed

if TYPE_CHECKING:
    from av.packet import Packet

_HEADERS = {
    "mpeg1video": re.compile(rb"\x00\x00\x01\xb3(.{8})", re.DOTALL),
    "mpeg2video": re.compile(rb"\x00\x00\x01\xb3(.{4})", re.DOTALL),
    "h264": re.compile(rb"\x00\x00\x01[\x07\x27\x47\x67](.*?)(?:\x00\x00\x01|$)", re.DOTALL),
    "dvvideo": re.compile(rb"\A.{455}(.)", re.DOTALL),  # the pack "VAUX source control"
    "hevc": re.compile(rb"\x00\x00\x01\x42\x01(.*?)(?:\x00\x00\x01|$)", re.DOTALL),
}
"""The headers of a stream that repeat before its key frames, in packets of broadcasts."""
_FORMATS = frozenset({"mpeg", "mpegts", "mpegvideo", "h264", "hevc", "dv", "avi", "mxf"})
_MOST = 16
"""How many different headers to look at."""


def changed_shapes(film: Film) -> list[Fraction]:
    """Return the shapes of pixels (width by height) that a film changes to, other than its first.

    Only broadcasts, DVDs, tapes (DV) and their like change it.
    """
    import av

    video, found = film.contents.video, dict[bytes, Fraction | None]()
    pattern = _HEADERS.get(video.codec) if video else None
    if pattern is None or video is None:
        return []
    with contextlib.suppress(av.error.FFmpegError), opened(film.path) as container:
        if container.format.name not in _FORMATS:
            return []
        for packet in demuxed(container, [container.streams[film.stream]]):
            header = pattern.search(bytes(packet)) if packet.is_keyframe else None
            if header and header.group(1) not in found and len(found) < _MOST:
                found[header.group(1)] = _shape(video.codec, packet)
    shapes = dict.fromkeys(shape for shape in found.values() if shape)
    return [shape for shape in shapes if shape != film.sample_aspect]


def _shape(codec: str, packet: Packet) -> Fraction | None:
    """Return the shape of the pixels of a key frame; None if it cannot be decoded."""
    import av

    context: Any = av.CodecContext.create(codec, "r")
    with contextlib.suppress(av.error.FFmpegError):
        alone = av.Packet(bytes(packet))
        frames = [*context.decode(alone), *context.decode(None)]
        aspect = context.sample_aspect_ratio
        return Fraction(aspect) if frames and aspect else None
    return None
