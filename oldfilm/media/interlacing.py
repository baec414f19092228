"""Detect interlaced films from their frames rather than from their flags."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from oldfilm.errors import OptionError
from oldfilm.media.deinterlacer import CYCLE, Deinterlacer
from oldfilm.media.ffmpeg import FFmpeg, reading, seconds
from oldfilm.media.film import Film

DEINTERLACING = ("auto", "on", "off", "double")
"""As it is measured; in any case; in no case; in any case, with a frame of every field."""

_PLACES, _FRAMES = 8, 40
"""How many places of a film are looked at, and frames in each."""

_COLUMNS = 512
"""Columns in the middle of the frame that are looked at."""

_MOVED, _MOVED_PART = 12, 0.002
"""A pixel moves if it changes by more code values; a frame, if this part of its pixels does."""

_COMBED = 1.1
"""Where a combed frame moves, it is rougher by this factor from line to line than in each field."""

_VISIBLE = 1.0
"""Code values by which it is so on average; less is the noise of compression."""

_ENOUGH = 10
"""Frames with motion that are enough to decide."""

_COMBED_PART, _COMBED_PART_IF_FLAGGED = 0.3, 0.1
"""Of the frames of an interlaced film in which something moves, at least so many are combed."""

_CADENCE = 4 * CYCLE
"""Frames in which the cycles of telecine are not expected to be broken off."""

_TELECINE_RATES = (Fraction(30000, 1001), Fraction(30))
_TELECINE_PIXELS = re.compile(r"yuv4(20|22|44)p\d*(le)?")
"""What fieldmatch takes; it has no full range."""

_FLAG = re.compile(r"showinfo\S* .* i:([TBP])")
_ORDER = re.compile(r"idet\.single\.current_frame=(\w)")


@dataclass(frozen=True)
class _Look:
    """At one frame. flag: "T", "B" (interlaced, that field first) or "P". order: what the pictures
    show, "t", "b", "p" or "u" (undetermined). combed: None where nothing moves.
    """

    flag: str
    order: str
    combed: bool | None


def deinterlaced(film: Film, choice: str = "auto") -> tuple[Film, list[str]]:
    """The film with whole frames, and what is to be said of it, each in one plain sentence.

    choice: one of DEINTERLACING. Telecine is undone, unless it is to be doubled.

    Raises:
        OptionError: no such choice; or none for this film.
    """
    if choice not in DEINTERLACING:
        raise OptionError(f"`deinterlace={choice}`: choose from {', '.join(DEINTERLACING)}")
    if choice == "off":
        return film, []
    if film.numbered or film.rotation:
        if choice == "auto":
            return film, []
        raise OptionError(
            f"`deinterlace={choice}`: {film.path} has no fields; "
            "numbered frames and rotated films never do"
        )
    if choice == "double" and film.variable_rate:
        raise OptionError(f"`deinterlace=double`: {film.path} has a variable frame rate")
    fields, note = _decide(film, choice)
    if fields is None:
        return film, [note] if note else []
    whole = replace(
        film,
        deinterlacer=fields,
        rate=film.rate * fields.rate_factor,
        frames=fields.output_frames(film.frames),
        declared_frames=fields.output_frames(film.declared_frames),
    )
    return whole, [note]


def _decide(film: Film, choice: str) -> tuple[Deinterlacer | None, str]:
    places = [_look(film, begin, frames) for begin, frames in _places(film)]
    looks = [look for place in places for look in place]
    moving = [look for look in looks if look.combed is not None]
    combed = [look for look in moving if look.combed]
    flagged = sum(look.flag != "P" for look in looks) > len(looks) / 2
    top_first = _top_first(looks, combed)
    counts = f"{len(combed)} of {len(moving)} moving frames that were looked at are combed"
    if choice == "double":
        fields = Deinterlacer(top_first, doubled=True)
        return fields, f"every field was made a frame ({fields}; {counts})"
    if film.rate in _TELECINE_RATES and _is_telecined(film, places):
        fields = Deinterlacer(top_first, telecine=True)
        return fields, f"telecine was undone ({fields}; {counts}); `deinterlace=off` turns this off"
    least = _COMBED_PART_IF_FLAGGED if flagged else _COMBED_PART
    measured = len(combed) >= least * len(moving) if len(moving) >= _ENOUGH else flagged
    if measured or choice == "on":
        fields = Deinterlacer(top_first)
        return (
            fields,
            f"the film was deinterlaced ({fields}; {counts}); `deinterlace=off` turns this off",
        )
    if flagged:
        return None, f"the film says that it is interlaced, but {counts}: it was left as it is"
    if len(combed) >= _COMBED_PART_IF_FLAGGED * len(looks):
        return None, f"{counts}: `deinterlace=on` deinterlaces it"
    return None, ""


def _places(film: Film) -> list[tuple[Fraction | None, int]]:
    """Times to look at, on the file's clock (None: the beginning), and frames there."""
    if film.times is None or film.frames <= _PLACES * _FRAMES:
        return [(None, _PLACES * _FRAMES)]
    stamps = film.times.stamps
    middles = [len(stamps) * (2 * i + 1) // (2 * _PLACES) for i in range(_PLACES)]
    return [(int(stamps[middle]) * film.times.tick, _FRAMES) for middle in middles]


def _look(film: Film, begin: Fraction | None, frames: int) -> list[_Look]:
    """Look at the frames from a time on."""
    flags: list[str] = []
    orders: list[str] = []

    def listener(line: str) -> bool:
        for pattern, found in ((_FLAG, flags), (_ORDER, orders)):
            if match := pattern.search(line):
                found.append(match.group(1))
        return "[info]" in line or "[warning]" in line

    seek: list[str] = []
    if begin is not None:
        seek = ["-noaccurate_seek", "-seek_timestamp", "1", "-ss", seconds(begin)]
    width, height = min(film.width, _COLUMNS), film.height
    looked_at = f"format=gray,crop={width}:{height},showinfo=checksum=0"
    detector = "idet,metadata=print:key=lavfi.idet.single.current_frame"
    arguments = ["-nostdin", "-loglevel", "level+info", *reading(film.path, *seek)]
    arguments += ["-map", f"0:{film.stream}", "-fps_mode", "passthrough"]
    arguments += ["-vf", f"{looked_at},{detector}", "-frames:v", str(frames), "-f", "rawvideo", "-"]
    combed: list[bool | None] = []
    before = None
    with FFmpeg(arguments, stdout=subprocess.PIPE, listener=listener) as child:
        while len(raw := child.stdout.read(width * height)) == width * height:
            luma = np.frombuffer(raw, np.uint8).reshape(height, width).astype(np.int16)
            combed.append(None if before is None else _is_combed(before, luma))
            before = luma
        child.finish()
    return [_Look(*facts) for facts in zip(flags, orders, combed)]


def _is_combed(before: np.ndarray, luma: np.ndarray) -> bool | None:
    """Whether two fields show where a frame moves; None: nothing does. Both: int16 [h, w]."""
    moves = np.abs(luma - before)[2:-2] > _MOVED
    if not moves.any() or moves.mean() < _MOVED_PART:
        return None
    twice = 2 * luma[2:-2]
    in_frame = np.abs(luma[1:-3] + luma[3:-1] - twice)[moves].sum()
    in_field = np.abs(luma[:-4] + luma[4:] - twice)[moves].sum()
    return bool(in_frame > _COMBED * in_field + _VISIBLE * moves.sum())


def _top_first(looks: Sequence[_Look], combed: Sequence[_Look]) -> bool:
    """The order that combed frames show; where they do not, the one that the film says."""
    orders = Counter(look.order for look in combed)
    if orders["t"] != orders["b"]:
        return orders["t"] > orders["b"]
    flags = Counter(look.flag for look in looks)
    return flags["T"] >= flags["B"]


def _is_telecined(film: Film, places: Sequence[Sequence[_Look]]) -> bool:
    """Whether two frames of every five are combed, one after the other, and the others are not."""
    if film.gray or film.rgb or not _TELECINE_PIXELS.fullmatch(film.pixel_format):
        return False
    combed, whole = [], []
    for place in places:
        for start in range(0, len(place), _CADENCE):
            looks = place[start : start + _CADENCE]
            counts = [_of_cycle(looks, (n, n + 1)).count(True) for n in range(CYCLE)]
            first = counts.index(max(counts))
            combed += _of_cycle(looks, (first, first + 1))
            whole += _of_cycle(looks, (first + 2, first + 3, first + 4))
    return (
        len(combed) >= _ENOUGH
        and combed.count(True) >= len(combed) / 2
        and whole.count(True) <= len(whole) / 8
    )


def _of_cycle(looks: Sequence[_Look], numbers: Sequence[int]) -> list[bool]:
    """Of the frames with these numbers in every cycle, where something moves: which are combed."""
    wanted = {number % CYCLE for number in numbers}
    chosen = [look.combed for i, look in enumerate(looks) if i % CYCLE in wanted]
    return [combed for combed in chosen if combed is not None]
