"""The packets of a file's tracks, in the order of the file."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from oldfilm.media.fields import SecondFields

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream

UNKNOWN = int(np.iinfo(np.int64).min)
"""Stands for a time or position that a packet does not have."""


@dataclass(frozen=True)
class Packets:
    """The packets of one track; one int64 or bool each, in the order of the file.

    Two that hold the fields of one frame count as one.

    pts, dts: presentation and decoding times, in ticks of `tick` seconds, or UNKNOWN.
    durations: in ticks, 0 if unknown. keys: whether decoding can begin here.
    orders: the packet's number among those of all tracks. positions: in bytes, or UNKNOWN.
    sparse: whether times without a packet are usual, as in subtitles. second_fields: how many
    packets were counted with the one before.
    """

    tick: Fraction
    pts: np.ndarray
    dts: np.ndarray
    durations: np.ndarray
    keys: np.ndarray
    orders: np.ndarray
    positions: np.ndarray
    sparse: bool = False
    second_fields: int = 0

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


def whole_frames(packets: Iterable[Packet], stream: Stream) -> Iterator[Packet]:
    """Yield the packets of a video track, those of two fields of one frame as one."""
    import av

    is_second, frame = SecondFields(stream), None
    for packet in packets:
        if not is_second(packet) or frame is None:
            if frame is not None:
                yield frame
            frame = packet
            continue
        whole = av.Packet(bytes(frame) + bytes(packet))
        whole.pts, whole.dts, whole.time_base = frame.pts, frame.dts, frame.time_base
        whole.is_keyframe, frame = frame.is_keyframe, whole
    if frame is not None:
        yield frame


def read_packets(container: InputContainer, streams: Sequence[Stream]) -> dict[int, Packets]:
    """Return the packets of some streams, by the index of the stream.

    Where a file is truncated or damaged, they end.
    """
    import av

    columns = {stream.index: tuple(array("q") for _ in range(6)) for stream in streams}
    seconds = {stream.index: SecondFields(stream) for stream in streams}
    joined = dict.fromkeys(columns, 0)
    order = 0
    try:
        for packet in demuxed(container, streams):
            index = packet.stream.index
            if seconds[index](packet):
                columns[index][2][-1] += packet.duration or 0
                joined[index] += 1
                continue
            position = UNKNOWN if packet.pos is None else packet.pos
            values = (
                *(UNKNOWN if time is None else time for time in (packet.pts, packet.dts)),
                *(packet.duration or 0, packet.is_keyframe, order, position),
            )
            for column, value in zip(columns[index], values):
                column.append(value)
            order += 1
    except av.error.FFmpegError:
        pass
    return {s.index: _packets(s, columns[s.index], joined[s.index]) for s in streams}


def _packets(stream: Stream, columns: Sequence[array], second_fields: int) -> Packets:
    pts, dts, durations, keys, orders, positions = (np.array(c, np.int64) for c in columns)
    tick, sparse = stream.time_base or Fraction(1, 1000), stream.type != "audio"
    keys = keys.astype(bool)
    return Packets(tick, pts, dts, durations, keys, orders, positions, sparse, second_fields)
