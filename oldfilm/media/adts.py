"""AAC in a transport stream, whose every packet says its rate and channels, which may change.

Other containers say them once for a whole track, so that a copy stops playing where they change.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from oldfilm.media.contents import Track
from oldfilm.media.opening import opened

_FORMATS = frozenset({"mpegts", "aac"})


def changing_sound(path: Path, tracks: tuple[Track, ...]) -> list[Track]:
    """Return the AAC tracks whose rate or number of channels changes midway.

    Raises:
        MediaError: the file cannot be read.
    """
    import av

    chosen = {track.index: track for track in tracks if track.codec == "aac"}
    found: dict[int, set[tuple[int, int]]] = {index: set() for index in chosen}
    with opened(path) as container:
        if not chosen or container.format.name not in _FORMATS:
            return []
        with contextlib.suppress(av.error.FFmpegError):  # The file is damaged from here on.
            for packet in container.demux([container.streams[index] for index in chosen]):
                if header := _header(bytes(packet)):
                    found[packet.stream.index].add(header)
    return [chosen[index] for index, headers in found.items() if len(headers) > 1]


def _header(data: bytes) -> tuple[int, int] | None:
    """Return the index of the sampling rate and the channel configuration (ISO 13818-7, 6.2)."""
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xF6 != 0xF0:
        return None
    return data[2] >> 2 & 0xF, (data[2] & 1) << 2 | data[3] >> 6
