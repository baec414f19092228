"""Sound whose rate or channels change midway: AAC of transport streams, and DV.

There, every packet states its rate and channels. Other containers state them once for a whole
track, so that a copy stops playing where they change, or plays at the wrong speed.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from oldfilm.media.contents import Track
from oldfilm.media.opening import opened
from oldfilm.media.packets import demuxed

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet

_DV_RATES = (32000, 44100, 48000)
_DV_SAMPLE = 4
"""Bytes of a sample of DV as ffmpeg reads it: two channels of 16 bits."""


def changing_sound(path: Path, tracks: tuple[Track, ...]) -> list[Track]:
    """Return the tracks whose rate or number of channels changes midway.

    Raises:
        MediaError: the file cannot be read.
    """
    import av

    with opened(path) as container:
        kind = _codec(container)
        chosen = {track.index: track for track in tracks if track.codec == kind}
        found: dict[int, set[tuple[int, int]]] = {index: set() for index in chosen}
        if not chosen:
            return []
        describe = _adts_header if kind == "aac" else _dv_rate
        with contextlib.suppress(av.error.FFmpegError):  # The rest of the file is damaged.
            for packet in demuxed(container, [container.streams[index] for index in chosen]):
                if described := describe(packet):
                    found[packet.stream.index].add(described)
    return [chosen[index] for index, each in found.items() if len(each) > 1]


def _codec(container: InputContainer) -> str | None:
    """Return the codec of sound that may change in a container; None if none does."""
    if container.format.name in ("mpegts", "aac"):
        return "aac"
    video = container.streams.video[0].codec_context.name if container.streams.video else ""
    return "pcm_s16le" if container.format.name in ("dv", "avi") and video == "dvvideo" else None


def _adts_header(packet: Packet) -> tuple[int, int] | None:
    """Return the index of the sampling rate and the channel configuration (ISO 13818-7, 6.2)."""
    data = bytes(packet)[:4]
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xF6 != 0xF0:
        return None
    return data[2] >> 2 & 0xF, (data[2] & 1) << 2 | data[3] >> 6


def _dv_rate(packet: Packet) -> tuple[int, int] | None:
    """Return the sampling rate of a frame of DV, and 2 channels."""
    if not packet.size or not packet.duration or not packet.time_base:
        return None
    rate = packet.size / _DV_SAMPLE / float(packet.duration * packet.time_base)
    return min(_DV_RATES, key=lambda usual: abs(usual - rate)), 2
