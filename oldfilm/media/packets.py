"""The packets of a file's tracks, in the order of the file."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream

UNKNOWN = int(np.iinfo(np.int64).min)
"""Stands for a time or position that a packet does not have."""


@dataclass(frozen=True)
class Packets:
    """The packets of one track; one int64 or bool each, in the order of the file.

    pts, dts: presentation and decoding times, in ticks of `tick` seconds, or UNKNOWN.
    durations: in ticks, 0 if unknown. keys: whether decoding can begin here.
    orders: the packet's number among those of all tracks. positions: in bytes, or UNKNOWN.
    sparse: whether times without a packet are usual, as in subtitles.
    """

    tick: Fraction
    pts: np.ndarray
    dts: np.ndarray
    durations: np.ndarray
    keys: np.ndarray
    orders: np.ndarray
    positions: np.ndarray
    sparse: bool = False

    def __len__(self) -> int:
        return len(self.pts)


def counts(packet: Packet) -> bool:
    """Return whether a packet counts: those at the end of a file and discarded ones do not."""
    return packet.size > 0 and not packet.is_discard


def demuxed(container: InputContainer, streams: Sequence[Stream]) -> Iterator[Packet]:
    """Yield the packets of some streams that count.

    PyAV fails at the first packet of a stream that only begins there; it reads on if it is asked.
    """
    while True:
        try:
            yield from filter(counts, container.demux(list(streams)))
        except IndexError:
            continue
        return


def read_packets(container: InputContainer, streams: Sequence[Stream]) -> dict[int, Packets]:
    """Return the packets of some streams, by the index of the stream.

    Where a file is truncated or damaged, they end.
    """
    import av

    columns = {stream.index: tuple(array("q") for _ in range(6)) for stream in streams}
    order = 0
    try:
        for packet in demuxed(container, streams):
            position = UNKNOWN if packet.pos is None else packet.pos
            values = (
                *(UNKNOWN if time is None else time for time in (packet.pts, packet.dts)),
                *(packet.duration or 0, packet.is_keyframe, order, position),
            )
            for column, value in zip(columns[packet.stream.index], values):
                column.append(value)
            order += 1
    except av.error.FFmpegError:
        pass
    return {stream.index: _packets(stream, columns[stream.index]) for stream in streams}


def _packets(stream: Stream, columns: Sequence[array]) -> Packets:
    pts, dts, durations, keys, orders, positions = (np.array(c, np.int64) for c in columns)
    tick, sparse = stream.time_base or Fraction(1, 1000), stream.type != "audio"
    return Packets(tick, pts, dts, durations, keys.astype(bool), orders, positions, sparse)
