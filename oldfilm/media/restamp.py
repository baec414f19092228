"""Give ffmpeg the packets of a film at the times of its repaired clock."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import threading
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from oldfilm.errors import MediaError
from oldfilm.media.ffmpeg import FFmpeg, reading, seconds
from oldfilm.media.film import Film, FilmClock, TrackClock
from oldfilm.media.opening import opened
from oldfilm.media.packets import UNKNOWN, demuxed, whole_frames

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.stream import Stream

_FROM_ANY_BYTE = frozenset({"mpegts", "mpeg"})
"""Formats that can be read from any byte on."""

_LEAD = 2
"""How many key frames earlier to begin reading, since parsers count on what they have read."""


class PictureInput(contextlib.AbstractContextManager):
    """The picture of a film as ffmpeg's only input.

    A film whose clock is repaired goes through standard input, packet by packet. The input must be
    left after ffmpeg has ended.

    arguments: those with which ffmpeg reads it. stdin: how to open ffmpeg's standard input.
    filters: those that come first.
    """

    def __init__(self, film: Film, begin: Fraction | None = None) -> None:
        """begin: where to begin, in seconds: at the last key frame by then."""
        self._film, self._begin = film, begin
        self._sender: threading.Thread | None = None
        if film.clock:
            self.stdin = subprocess.PIPE
            only = ["-protocol_whitelist", "pipe", "-format_whitelist", "nut", "-f", "nut"]
            self.arguments = [*only, "-i", "pipe:0", "-map", "0:0"]
            self.filters = f"settb={film.clock.tick},"  # NUT may divide ticks.
            return
        self.stdin, self.filters = subprocess.DEVNULL, ""
        seek = ["-noaccurate_seek", "-seek_timestamp", "1", "-ss"]
        seek = [] if begin is None else [*seek, seconds(begin)]
        self.arguments = [*reading(film.path, *seek), "-map", f"0:{film.stream}"]

    def feed(self, child: FFmpeg) -> None:
        """Begin to write the picture to a running ffmpeg, if it goes through standard input."""
        if self._film.clock:
            arguments = (self._film, self._film.clock, child.stdin, self._begin)
            self._sender = threading.Thread(target=_send, args=arguments, daemon=True)
            self._sender.start()

    def __exit__(self, *_: object) -> None:
        if self._sender:
            self._sender.join()


def _send(film: Film, clock: FilmClock, pipe: Any, begin: Fraction | None) -> None:
    """Write the picture's packets in NUT, which has exact times, until film or reader end."""
    import av

    first, decoding = 0, _decoding_times(clock.stamps)
    if begin is not None:
        times = clock.stamps[clock.keys]
        place = int(np.searchsorted(times, round(begin / clock.tick), side="right"))
        first = int(clock.keys[max(0, place - 1)])
    ended = (OSError, ValueError, MediaError, av.error.FFmpegError)
    with (
        contextlib.suppress(*ended),
        contextlib.closing(pipe),
        opened(film.path) as container,
        av.open(pipe, "w", format="nut", options={"write_index": "0"}) as nut,
    ):
        stream = container.streams[film.stream]
        sent = _add_like(nut, stream)
        for number, packet in _packets_from(container, stream, clock, first):
            packet.stream = sent
            packet.pts, packet.dts = int(clock.stamps[number]), int(decoding[number])
            packet.time_base = clock.tick
            nut.mux_one(packet)


def _decoding_times(stamps: np.ndarray) -> np.ndarray:
    """Return decoding times that ascend and do not exceed the presentation times."""
    ascending = np.sort(stamps)
    return ascending - (ascending - stamps).max()


def _add_like(output: OutputContainer, stream: Stream) -> Stream:
    if hasattr(output, "add_stream_from_template"):
        sent = output.add_stream_from_template(stream, opaque=True)
    else:  # PyAV 12 and 13
        sent = cast(Any, output).add_stream(template=stream)
    sent.time_base = stream.time_base
    return sent


def _packets_from(
    container: InputContainer, stream: Stream, clock: FilmClock, first: int
) -> Iterator[tuple[int, Packet]]:
    """Return the packets of the picture from one on, with their numbers."""
    numbers = range(first, len(clock.stamps))
    place = clock.positions[first]
    if first and place != UNKNOWN and container.format.name in _FROM_ANY_BYTE:
        earlier = clock.keys[(clock.keys < first) & (clock.positions[clock.keys] != UNKNOWN)]
        begin = clock.positions[earlier[-_LEAD:]].min() if len(earlier) else 0
        container.seek(int(begin), unsupported_byte_offset=True)
        found = itertools.dropwhile(lambda p: p.pos != place, demuxed(container, [stream]))
        key = next(found, None)
        if key is not None:
            return zip(numbers, whole_frames(itertools.chain([key], found), stream))
        container.seek(0, unsupported_byte_offset=True)
    packets = whole_frames(demuxed(container, [stream]), stream)
    return zip(numbers, itertools.islice(packets, first, None))


def restamped(clock: FilmClock, begin: Fraction, length: Fraction | None = None) -> list[str]:
    """Return the options that give the other tracks of a film's file their repaired times.

    begin: the time on the repaired clock that becomes 0, in seconds. length: what to keep from
    then on, in seconds; None for everything, even what is earlier.
    """
    options: list[str] = []
    if not any(_wraps(track) for track in clock.tracks.values()):
        # ffmpeg takes a jump back by hours for a wrap, and the next jump forward for an error.
        options = ["-correct_ts_overflow", "0"]
    for index, track in clock.tracks.items():
        times = track.times - round(begin / track.tick)
        dropped = track.dropped
        if length is not None:
            dropped = dropped | (times < 0) | (times >= float(length / track.tick))
        filters = f"setts=ts='{_times_by_number(track, times)}'"
        if dropped.any():
            bounds = _changes(dropped.astype(int))
            filters += (
                f",noise=drop='{_by_number([(i, str(int(dropped[i]))) for i in bounds], 'n')}'"
            )
        options += [f"-bsf:{index}", filters]
    return options


def _wraps(track: TrackClock) -> bool:
    """Return whether the stored clock of a track reaches its end and starts again from 0."""
    return bool(track.stored.min(initial=0) < 0 or track.stored.max(initial=0) >= track.wrap > 0)


def _times_by_number(track: TrackClock, times: np.ndarray) -> str:
    """Return the expression that makes these times of the stored ones, by the packet's number."""
    shifts, half = times - track.stored, track.wrap // 2
    if not track.wrap:
        return _by_number([(i, f"TS{shifts[i]:+d}") for i in _changes(shifts)], "N")
    # ffmpeg adds or subtracts a whole wrap where it sees fit.
    bounds = _changes(np.stack([shifts, track.stored // (half // 2)]))
    values = [
        f"mod(TS{half - track.stored[i]:+d},{track.wrap}){times[i] - half:+d}" for i in bounds
    ]
    return _by_number(list(zip(bounds, values)), "N")


def _changes(values: np.ndarray) -> list[int]:
    """Return 0, and at which numbers (of the last axis) values change."""
    changes = np.diff(np.atleast_2d(values)).any(axis=0)
    return [0, *(int(i) for i in np.flatnonzero(changes) + 1)]


def _by_number(cases: list[tuple[int, str]], name: str) -> str:
    """Return an ffmpeg expression that takes the value of the last case whose number is reached.

    It is a balanced tree, since ffmpeg limits how deep expressions nest.
    """
    if len(cases) == 1:
        return cases[0][1]
    middle = len(cases) // 2
    before, after = _by_number(cases[:middle], name), _by_number(cases[middle:], name)
    return f"if(lt({name},{cases[middle][0]}),{before},{after})"
