"""Repair the clock of a film whose time stamps jump.

Files joined with `cat` or `copy /b`, DVDs and recordings store a clock that may restart midway.
All tracks restart with it, but not at the same place in the file. The picture sets the time:
after a jump, it continues with the next frame, and the other tracks move by the same amount.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from oldfilm.media.film import FOLDER_RATE, FilmClock, FrameTimes, TrackClock
from oldfilm.media.frame_rate import estimate_rate, untimed_rate
from oldfilm.media.packets import UNKNOWN, Packets

WRAPS = {"mpegts": 2**33, "mpeg": 2**33}
"""Ticks after which the clock of a broadcast or DVD wraps to 0: 26.5 hours."""

_INDEXED = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "mxf", "gif", "apng"})
"""Formats whose time stamps follow from an index of durations, so that they cannot jump."""

_ESTIMATED = frozenset({"gxf"})
"""Formats of which ffmpeg estimates when single frames are shown."""


@dataclass(frozen=True)
class _Thresholds:
    """When time stamps count as a jump, in seconds unless stated otherwise.

    reordered: one frame more than codecs reorder.
    fallen: frames by which time must fall back. Smaller steps are faults of single time stamps.
    hurried: if a key frame of a broadcast follows after fewer frames than this, it begins a new
    part. Telecine has steps of two fields among those of three.
    gap: the shortest gap in a broadcast that is noted, because its clock should run evenly.
    pause: a longer gap in all tracks of a broadcast is closed, as ffmpeg does.
    endless: the same for other formats, where a frame may stay on screen for long.
    apart: if the tracks differ by more than this after a jump, only the picture's clock jumped.
    near: how far apart in a file the tracks may reach the same jump.
    alike: jumps of two tracks that differ by less are the same jump.
    back: how far sound must fall back.
    uneven: by what share of a frame the steps of soft telecine differ from a frame, at least.
    """

    reordered: int = 17
    fallen: float = 1.5
    hurried: float = 0.6
    gap: float = 1.0
    pause: float = 10.0
    endless: float = 3600.0
    apart: float = 3.0
    near: float = 3.0
    alike: float = 1.0
    back: float = 0.1
    uneven: float = 0.1


_LIMITS = _Thresholds()
_LISTED = 5
"""How many jumps a note lists."""


@dataclass(frozen=True)
class _Jump:
    """A jump of the picture's clock.

    packet: the number of the first packet after it. shift: ticks to add to later time stamps.
    first: the earliest stored time after it, in ticks.
    """

    packet: int
    shift: int
    first: int


def repaired_clock(
    video: Packets,
    others: Mapping[int, Packets],
    form: str,
    hints: Sequence[Fraction | None],
) -> tuple[FilmClock | None, list[str]]:
    """Return the clock of a film whose stored clock jumps, and notes for the user.

    The clock is None if the stored one can be used as it is.

    video: the packets of the picture. others: those of the other tracks, by stream. form: ffmpeg's
    name of the format. hints: the frame rates that the file states; see `estimate_rate`.
    """
    if form in _INDEXED or len(video) < 2 or (video.pts == UNKNOWN).any():
        return None, []
    picture = _Picture.of(video, form)
    sounds = {i: _Sound.of(track, picture) for i, track in others.items() if len(track)}
    notes: list[str] = []
    counted = form in _ESTIMATED or picture.has_doubles()
    if counted:
        jumps = list(picture.candidates(exact=False))
        stated = next(filter(None, hints), FOLDER_RATE)
        picture = picture.counted(jumps, untimed_rate(video.durations, video.tick, stated))
    else:
        jumps, notes = _real_jumps(picture, hints, list(sounds.values()))
        picture = picture.closed(jumps, _constant_rate(picture, jumps, hints))
    tracks = {i: sound.placed(picture, jumps) for i, sound in sounds.items()}
    notes = [*_described(picture, jumps, tracks), *notes]
    if not jumps and not picture.wraps and not any(t.repaired for t in tracks.values()):
        return None, notes
    return _from_zero(picture, tracks, counted), notes


@dataclass(frozen=True)
class _Picture:
    """The video track while its clock is repaired; times in ticks.

    wrap: ticks after which the stored clock wraps to 0; 0 if it never does.
    decoding, showing: times of the packets, without wraps. step: the usual time between frames.
    shifts: ticks to add to the times. starts: presentation times at which the parts after a jump
    begin.
    """

    packets: Packets
    wrap: int
    decoding: np.ndarray
    showing: np.ndarray
    step: float
    shifts: np.ndarray
    starts: tuple[int, ...] = ()

    @classmethod
    def of(cls, packets: Packets, form: str) -> _Picture:
        wrap, shown = WRAPS.get(form, 0), packets.pts
        decoding, step = _decoding(packets, wrap)
        delays = shown - decoding
        if wrap:
            delays = (delays + wrap // 2) % wrap - wrap // 2
            delays = _without_strays(decoding, delays, _LIMITS.reordered * step)
        showing = decoding + delays
        # Where a part begins without a decoding time, ffmpeg continues that of the part before.
        late = packets.keys & (delays < 0)
        if late.any() and not late.all():
            usual = round(float(np.median(delays[~late])))
            decoding = np.where(late, showing - usual, decoding)
        return cls(packets, wrap, decoding, showing, step, np.zeros_like(shown))

    @property
    def tick(self) -> float:
        """Seconds in a tick."""
        return float(self.packets.tick)

    @property
    def frame(self) -> float:
        """The usual time between frames, in seconds."""
        return self.step * self.tick

    @property
    def wraps(self) -> bool:
        return len(np.unique(self.showing - self.packets.pts)) > 1

    @property
    def shown(self) -> np.ndarray:
        """The repaired presentation times of the packets."""
        return self.showing + self.shifts

    def clock_at(self, orders: np.ndarray) -> np.ndarray:
        """Return the repaired decoding time, in seconds, at places of the file."""
        times = self.decoding + self.shifts
        return times[self.packet_at(orders)] * self.tick

    def packet_at(self, orders: np.ndarray | int) -> np.ndarray:
        """Return the number of the video packet at places of the file, or of the one before."""
        return np.maximum(np.searchsorted(self.packets.orders, orders, side="right") - 1, 0)

    def first_after(self, packet: int) -> int:
        """Return the earliest time among a key frame and those stored after it but shown before."""
        first = key = int(self.showing[packet])
        for i in range(packet + 1, min(packet + _LIMITS.reordered, len(self.showing))):
            now = int(self.showing[i])
            if self.packets.keys[i] or not 0 < key - now < _LIMITS.reordered * self.step:
                break
            first = min(first, now)
        return first

    def candidates(self, exact: bool = True) -> Iterator[_Jump]:
        """Yield the places where time falls back, or skips more than a gap.

        exact: whether the times of single frames are exact.
        """
        gap = (_LIMITS.gap if self.wrap else _LIMITS.pause) / self.tick
        least = self._least_step() if exact else -_LIMITS.fallen
        if not self._jumps_at(np.maximum.accumulate(self.showing)[:-1], gap, least).any():
            return
        highest = self.showing[:1].copy()
        for i in range(1, len(self.showing)):
            if self._jumps_at(highest, gap, least, slice(i, i + 1))[0]:
                yield self._jump(i, int(highest[0]))
                highest[0] = self.showing[i]
            highest[0] = max(highest[0], self.showing[i])

    def _jumps_at(
        self, highest: np.ndarray, gap: float, least: float, places: slice = slice(1, None)
    ) -> np.ndarray:
        """Return the numbers of the packets at which time jumps.

        highest: the latest presentation time before each packet. gap: the longest gap that is not a
        jump, in ticks. least: the shortest step to a key frame that is not a jump, in frames.
        """
        before = slice(places.start - 1, places.stop and places.stop - 1)
        now, fallen = self.showing[places], highest - self.showing[places]
        # Everything stored before a key frame is shown before it.
        jumps = self.packets.keys[places] & (-fallen <= least * self.step)
        jumps |= fallen > _LIMITS.reordered * self.step
        jumps |= now - highest > self.step + gap
        if self.wrap:
            steps = self.decoding[places] - self.decoding[before][: len(now)]
            jumps |= steps < -_LIMITS.fallen * self.step
        return jumps

    def _jump(self, packet: int, highest: int) -> _Jump:
        """Return the jump at a packet. highest: the latest presentation time before it."""
        if self.packets.keys[packet]:
            first, due = self.first_after(packet), highest + round(self.step)
            return _Jump(packet, due - first, first)
        first = int(self.showing[packet])
        if self.wrap or first < highest:
            due = int(self.decoding[packet - 1]) + round(self.step)
            return _Jump(packet, due - int(self.decoding[packet]), first)
        return _Jump(
            packet, highest + round(self.step) - first, first
        )  # estimated, since it is not stored

    def _least_step(self) -> float:
        """Return the shortest step to a key frame that is not a jump, in frames."""
        return _LIMITS.hurried if self.wrap else 0.0

    def has_doubles(self) -> bool:
        """Return whether frames share a time though the clock does not fall back between them.

        Then the times are not exact, as in program streams with many frames to a packet.
        """
        jumps = [jump.packet for jump in self.candidates(exact=False)]
        bounds = [0, *jumps, len(self.showing)]
        parts = [self.showing[start:stop] for start, stop in zip(bounds, bounds[1:])]
        return any(len(np.unique(part)) < len(part) for part in parts)

    def counted(self, jumps: Sequence[_Jump], rate: Fraction) -> _Picture:
        """Return the track with the parts after jumps placed by counting frames."""
        shifts, starts = np.zeros_like(self.shifts), []
        for jump in jumps:
            elapsed = round(jump.packet / (rate * self.packets.tick))
            if self.packets.keys[jump.packet]:
                shift = self.first_after(0) + elapsed - jump.first
            else:
                shift = int(self.decoding[0]) + elapsed - int(self.decoding[jump.packet])
            shifts[jump.packet :] = shift
            starts.append(jump.first + shift)
        return replace(self, shifts=shifts, starts=tuple(starts))

    def closed(self, jumps: Sequence[_Jump], rate: Fraction | None) -> _Picture:
        """Return the track with each part after a jump moved to the end of the part before it.

        rate: the constant rate; parts begin at times of its frames. None if the rate varies.
        """
        shifts, starts, shift = np.zeros_like(self.shifts), [], 0
        begin = self.first_after(0)
        for jump in jumps:
            shift += jump.shift
            if rate:
                shift = begin + self._on_grid(jump.first + shift - begin, rate) - jump.first
            shifts[jump.packet :] = shift
            starts.append(jump.first + shift)
        return replace(self, shifts=shifts, starts=tuple(starts))

    def _on_grid(self, elapsed: int, rate: Fraction) -> int:
        """Return the time of the nearest frame of a constant rate.

        elapsed: since the first frame, if the frame before lasts as long as most do. Where frames
        are shown for two and three fields in turn (soft telecine), parts begin at whole fields.
        """
        ticks = 1 / (rate * self.packets.tick)
        frame = math.floor((elapsed - round(self.step)) / ticks + Fraction(3, 2))
        if abs(self.step / float(ticks) - 1) < _LIMITS.uneven:
            return round(frame * ticks)
        return round(frame * 5 // 2 * ticks * 2 / 5)


def _decoding(packets: Packets, wrap: int) -> tuple[np.ndarray, float]:
    """Return decoding times without gaps or wraps, and the usual time between them, in ticks."""
    known = packets.dts != UNKNOWN
    times = (packets.dts if known.any() else packets.pts).copy()
    steps = np.diff(_unwrapped(times[known] if known.any() else times, wrap))
    step = float(np.median(steps[steps > 0])) if (steps > 0).any() else 1.0
    if known.any():
        first = int(np.argmax(known))
        for i in range(first - 1, -1, -1):
            times[i] = times[i + 1] - round(step)
        for i in (int(n) + first for n in np.flatnonzero(~known[first:])):
            times[i] = times[i - 1] + round(step)
    return _unwrapped(times, wrap), step


def _without_strays(decoding: np.ndarray, delays: np.ndarray, far: float) -> np.ndarray:
    """Return the delays from decoding to showing, without single ones that cannot be.

    In program streams, ffmpeg may give the last frame of a part the time of the part after it.
    far: the longest delay, in ticks.
    """
    stray = np.abs(delays) > far
    stray[:-1] &= np.abs(decoding[1:] + delays[1:] - decoding[:-1]) <= far
    stray[-1:] = False
    usual = delays[~stray & (delays > 0)]
    return np.where(stray, round(float(np.median(usual))) if usual.size else 0, delays)


def _unwrapped(times: np.ndarray, wrap: int) -> np.ndarray:
    """Return times that continue where those in the file wrap to 0."""
    if not wrap:
        return times
    steps = (np.diff(times) + wrap // 2) % wrap - wrap // 2
    return np.concatenate([times[:1], times[0] + np.cumsum(steps)])


def _real_jumps(
    picture: _Picture, hints: Sequence[Fraction | None], sounds: Sequence[_Sound]
) -> tuple[list[_Jump], list[str]]:
    """Return the jumps to repair, and notes on gaps that stay."""
    candidates = list(picture.candidates())
    far = _LIMITS.reordered * picture.step
    if candidates and _is_even(picture, hints):  # Then only the flags of key frames are wrong.
        candidates = [jump for jump in candidates if abs(jump.shift) > far]
    jumps, notes = [], []
    for jump in candidates:
        seconds = -jump.shift * picture.tick
        if seconds < 0:
            jumps.append(jump)
            continue
        closes, note = _judged(picture, jump, seconds, sounds)
        if closes:
            jumps.append(jump)
        elif note:
            notes.append(note)
    return jumps, notes


def _is_even(picture: _Picture, hints: Sequence[Fraction | None]) -> bool:
    """Return whether all frames fit a constant rate without any repair."""
    stamps = np.sort(picture.showing)
    if (np.diff(stamps) == 0).any():
        return False
    rate, variable = estimate_rate(FrameTimes(stamps, stamps, picture.packets.tick), hints)
    return not variable and abs(picture.frame * float(rate) - 1) < 0.1


def _constant_rate(
    picture: _Picture, jumps: Sequence[_Jump], hints: Sequence[Fraction | None]
) -> Fraction | None:
    """Return the frame rate of the longest part, or None if it varies."""
    bounds = [0, *(jump.packet for jump in jumps), len(picture.showing)]
    length, start = max((b - a, a) for a, b in zip(bounds, bounds[1:]))
    stamps = np.unique(picture.showing[start : start + length])
    rate, variable = estimate_rate(FrameTimes(stamps, stamps, picture.packets.tick), hints)
    return None if variable else rate


def _judged(
    picture: _Picture, jump: _Jump, seconds: float, sounds: Sequence[_Sound]
) -> tuple[bool, str]:
    """Return whether to close a gap in the picture, and a note on one that stays."""
    found = {sound.during(picture, jump.packet, seconds) for sound in sounds} - {""}
    broadcast = bool(picture.wrap)
    at = float((jump.first + jump.shift - picture.first_after(0)) * picture.packets.tick)
    if "silent" in found or (broadcast and not found):
        if seconds > (_LIMITS.pause if broadcast else _LIMITS.endless):
            return True, ""
        missing = "picture and sound are" if found else "the picture is"
        return False, (
            f"{missing} missing for {seconds:.1f} seconds after {at:.1f} seconds: the frame before "
            "stays on screen"
        )
    if "apart" in found:
        return True, ""
    if broadcast and found:
        return False, (
            f"the picture is missing for {seconds:.1f} seconds after {at:.1f} seconds, while the "
            "sound continues: the frame before stays on screen"
        )
    return False, ""


@dataclass(frozen=True)
class _Sound:
    """Another track while the clock is repaired.

    stored: its times in ticks, without wraps. durations: in ticks.
    """

    packets: Packets
    wrap: int
    stored: np.ndarray
    durations: np.ndarray

    @classmethod
    def of(cls, packets: Packets, picture: _Picture) -> _Sound:
        known = packets.pts != UNKNOWN
        times = packets.pts.copy()
        durations = np.maximum(packets.durations, 0)
        steps = np.diff(times[known])
        usual = round(float(np.median(steps[steps > 0]))) if (steps > 0).any() else 1
        if not packets.sparse:
            durations = np.where(durations, durations, usual)
        for i in np.flatnonzero(~known):
            times[i] = times[i - 1] + durations[i - 1] if i else times[known][:1].sum()
        stored = _unwrapped(times, picture.wrap)
        if picture.wrap:
            near = picture.decoding[picture.packet_at(int(packets.orders[0]))]
            apart = (stored[0] - near + picture.wrap // 2) % picture.wrap - picture.wrap // 2
            stored = stored + (near + apart - stored[0])
        return cls(packets, picture.wrap, stored, durations)

    @property
    def tick(self) -> float:
        """Seconds in a tick."""
        return float(self.packets.tick)

    def during(self, picture: _Picture, packet: int, seconds: float) -> str:
        """Return what the track does where the picture has a gap of this length.

        "silent": it has the same gap. "apart": it continues as if there were none. "continues": it
        fills the gap. "": it has no packets there, or does not count.
        """
        orders, decoding = self.packets.orders, picture.decoding
        # Where decoding times are not stored, frames to reorder come before the gap.
        later = decoding[packet : packet + _LIMITS.reordered] - decoding[packet - 1]
        ends = [packet - 1, packet + int(np.argmax(later > seconds / 2 / picture.tick))]
        places = np.searchsorted(orders, picture.packets.orders[ends])
        before, after = int(places[0]) - 1, int(places[1])
        if self.packets.sparse or before < 0 or after == len(orders):
            return ""
        first, last = self._near(picture, packet)
        gaps = self._gaps()[min(first, before) : max(last - 1, after)] * self.tick
        if np.abs(gaps - seconds).min() < max(_LIMITS.alike, seconds / 10):
            return "silent"
        leads = decoding[ends] * picture.tick - self.stored[[before, after]] * self.tick
        apart = float(leads[1] - leads[0])
        return "apart" if apart > max(_LIMITS.apart, seconds / 2) else "continues"

    def _gaps(self) -> np.ndarray:
        """Return the time from the end of each packet to the next, in ticks."""
        return np.diff(self.stored) - self.durations[:-1]

    def _near(self, picture: _Picture, packet: int) -> tuple[int, int]:
        """Return a range of packets that are near a video packet in the file."""
        frames = max(1, round(_LIMITS.near / picture.frame))
        orders = picture.packets.orders
        low = orders[max(0, packet - frames)]
        high = orders[min(len(orders) - 1, packet + frames)]
        middle = int(np.searchsorted(self.packets.orders, orders[packet]))
        reach = max(
            2, round(_LIMITS.near / (max(1.0, float(np.median(self.durations))) * self.tick))
        )
        first = max(int(np.searchsorted(self.packets.orders, low)) - 1, middle - reach, 0)
        last = min(int(np.searchsorted(self.packets.orders, high)) + 1, middle + reach)
        return first, min(last, len(self.stored))

    def placed(self, picture: _Picture, jumps: Sequence[_Jump]) -> TrackClock:
        """Return the times of the track on the picture's repaired clock."""
        if self.packets.sparse:
            return self._nearest(picture, jumps)
        shifts = np.zeros_like(self.stored)
        dropped = np.zeros(len(self.stored), bool)
        met: list[int] = []
        before = late = 0.0
        for jump, start in zip(jumps, picture.starts):
            shift = int(picture.shifts[jump.packet]) * picture.tick
            moved, before = shift - before, shift
            place = self._meeting(picture, jump.packet, moved, met[-1] if met else 0)
            if place is None:
                continue
            met.append(place)
            shifts[place:] += round(moved / self.tick)
            if picture.packets.keys[jump.packet]:
                late = self._drop_overlap(dropped, shifts, place, start * picture.tick, late)
        alone = self._own_jumps(picture, shifts, met)
        times = self.stored + shifts
        changed = bool(alone) or len(np.unique(self.stored - self.packets.pts)) > 1
        return TrackClock(
            self.packets.tick, times, self.stored, self.wrap, dropped, changed, len(alone)
        )

    def _meeting(self, picture: _Picture, packet: int, moved: float, earliest: int) -> int | None:
        """Return this track's first packet after the picture's jump; None if it did not jump.

        moved: seconds by which the picture moves.
        """
        first, last = self._near(picture, packet)
        middle = int(np.searchsorted(self.packets.orders, picture.packets.orders[packet]))
        first = max(first, earliest)
        if last - first < 2 or not first < middle <= last:
            return max(middle, earliest)
        gaps = self._gaps()[first : last - 1] * self.tick
        gains = np.abs(gaps) - np.abs(gaps + moved)
        best = int(np.argmax(gains))
        if gains[best] > abs(moved) / 2:
            return first + best + 1
        if self._begins_after(picture, packet):
            return 0
        return None if abs(moved) > _LIMITS.alike else max(middle, earliest)

    def _begins_after(self, picture: _Picture, packet: int) -> bool:
        """Return whether the first packet, stored near a jump, belongs to the part after it."""
        if picture.packet_at(int(self.packets.orders[0])) < packet - _LIMITS.reordered:
            return False
        before, after = picture.decoding[packet - 1 : packet + 1] * picture.tick
        begin = self.stored[0] * self.tick
        return abs(begin - after) < abs(begin - before)

    def _drop_overlap(
        self, dropped: np.ndarray, shifts: np.ndarray, place: int, start: float, late: float
    ) -> float:
        """Drop packets that overlap the other part: late ones before a jump, early ones after it.

        place: the first packet of the part after. start: when its picture starts, in seconds.
        late: seconds by which the packets before, played without a break, fall behind their times;
        small overlaps at many jumps would add up. Returns the same for the packets after.
        """
        times = (self.stored + shifts) * self.tick
        middles = times + self.durations * self.tick / 2
        i = place - 1
        while i >= 0 and middles[i] >= start:
            dropped[i] = True
            i -= 1
        last = i
        end = middles[last] + late if last >= 0 else -np.inf
        i = place
        while i < len(times) and (middles[i] < start or times[i] < end):
            dropped[i] = True
            i += 1
        if last < 0 or i == len(times):
            return 0.0
        length = self.durations[last] * self.tick
        late += times[last] + length - times[i]
        return float(late) if late > -length else 0.0  # After a gap, sound begins on time.

    def _own_jumps(self, picture: _Picture, shifts: np.ndarray, met: Sequence[int]) -> list[int]:
        """Repair jumps of this track alone: add to the shifts, and return where it jumps."""
        gaps = (np.diff(self.stored + shifts) - self.durations[:-1]) * self.tick
        leads = picture.clock_at(self.packets.orders) - (self.stored + shifts) * self.tick
        found = []
        for i in np.flatnonzero((gaps < -_LIMITS.back) | (gaps > _LIMITS.apart)):
            place = int(i) + 1
            if any(abs(place - other) <= 1 for other in met):
                continue
            apart = leads[place] - leads[i]
            if gaps[i] < 0 or -apart > gaps[i] / 2:
                shifts[place:] -= round(gaps[i] / self.tick)
                found.append(place)
        return found

    def _nearest(self, picture: _Picture, jumps: Sequence[_Jump]) -> TrackClock:
        """Assign each packet to the part whose picture is nearest in time."""
        numbers = [jump.packet for jump in jumps]
        parts = np.array([0, *(picture.shifts[n] for n in numbers)]) * picture.tick
        own = np.searchsorted(numbers, picture.packet_at(self.packets.orders), side="right")
        here = picture.clock_at(self.packets.orders)
        stored = self.stored * self.tick
        best, least = own, np.abs(stored + parts[own] - here)
        for other in (np.maximum(own - 1, 0), np.minimum(own + 1, len(parts) - 1)):
            apart = np.abs(stored + parts[other] - here)
            better = apart < least - _LIMITS.alike / 2
            best, least = np.where(better, other, best), np.where(better, apart, least)
        times = self.stored + np.rint(parts[best] / self.tick).astype(np.int64)
        nothing = np.zeros(len(times), bool)
        return TrackClock(self.packets.tick, times, self.stored, self.wrap, nothing, False, 0)


def _described(
    picture: _Picture, jumps: Sequence[_Jump], tracks: Mapping[int, TrackClock]
) -> list[str]:
    """Describe the jumps that were repaired."""
    notes, tick = [], picture.packets.tick
    begin = picture.first_after(0)
    if jumps:
        places = [
            f"after {float((start - begin) * tick):.1f} seconds by {float(-j.shift * tick):+.1f}"
            for j, start in zip(jumps, picture.starts)
        ]
        listed = ", ".join(places[:_LISTED]) + (", …" if len(places) > _LISTED else "")
        times = f"{len(jumps)} times" if len(jumps) > 1 else "once"
        notes.append(
            f"the clock of the file jumps {times} ({listed} seconds): the parts before and "
            "after were joined without a gap"
        )
    if any(track.jumps for track in tracks.values()):
        notes.append("the clock of the sound jumps: it was joined without a gap")
    return notes


def _from_zero(picture: _Picture, tracks: Mapping[int, TrackClock], counted: bool) -> FilmClock:
    """Return the clock with all times moved so that no decoding time is negative."""
    tick, shown = picture.packets.tick, picture.shown
    kept = [int(t.times[~t.dropped].min()) * t.tick for t in tracks.values() if not t.dropped.all()]
    earliest = min([int(shown.min()) * tick, *kept])
    base = 1 + round(_LIMITS.reordered * picture.step) * tick - earliest
    moved = {
        i: replace(track, times=track.times + round(base / track.tick))
        for i, track in tracks.items()
    }
    order = np.argsort(shown, kind="stable")
    ordered = shown[order] - np.arange(len(shown))
    unique = np.empty_like(shown)
    unique[order] = np.maximum.accumulate(ordered) + np.arange(len(shown))
    packets = picture.packets
    return FilmClock(
        stamps=unique + round(base / tick),
        keys=np.flatnonzero(packets.keys),
        positions=packets.positions,
        tick=tick,
        origin=earliest + base,
        counted=counted,
        tracks=moved,
    )
