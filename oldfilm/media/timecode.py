"""Timecodes (SMPTE ST 12-1): the hours, minutes, seconds and frames that number a film's frames."""

from __future__ import annotations

import re
from fractions import Fraction

_FORM = re.compile(r"(\d{1,2}):(\d\d):(\d\d)([:;.])(\d{1,3})")
_NTSC = 30000, 60000
"""Numerators of the rates over 1001 at which drop-frame timecode exists."""


def shifted(timecode: str, rate: Fraction, start: Fraction, new_rate: Fraction) -> str | None:
    """Return the timecode of the first frame of a result; None if the given one is not valid.

    timecode: of the source's first frame, such as "10:20:30:05", or "10:20:30;05" for drop-frame
    timecode. rate: of the source. start: time of the result's first frame in the source, in
    seconds. new_rate: of the result.
    """
    found = _FORM.fullmatch(timecode.strip())
    if not found:
        return None
    hours, minutes, seconds, frames = (int(found.group(i)) for i in (1, 2, 3, 5))
    if minutes > 59 or seconds > 59:
        return None
    drops = found.group(4) != ":"
    count = _count(hours * 60 + minutes, seconds, frames, rate, drops and _may_drop(rate))
    count += round(start * rate)
    if rate != new_rate:  # The same fraction of the second, and the same time of day.
        count = round(count * new_rate / rate)
    return _text(count, new_rate, drops and _may_drop(new_rate))


def _may_drop(rate: Fraction) -> bool:
    return rate.denominator == 1001 and rate.numerator in _NTSC


def _dropped(rate: Fraction) -> int:
    """Return how many numbers drop-frame timecode leaves out per minute, but for each tenth."""
    return round(rate) // 15


def _count(minutes: int, seconds: int, frames: int, rate: Fraction, drops: bool) -> int:
    """Return the number of a frame, counted from timecode 0."""
    count = (minutes * 60 + seconds) * round(rate) + frames
    return count - _dropped(rate) * (minutes - minutes // 10) if drops else count


def _text(count: int, rate: Fraction, drops: bool) -> str:
    """Format the number of a frame, which is counted from timecode 0."""
    whole = round(rate)
    if drops:
        skipped = _dropped(rate)
        per_minute, per_ten = whole * 60 - skipped, whole * 600 - skipped * 9
        tens, rest = divmod(count, per_ten)
        count += skipped * 9 * tens
        if rest >= whole * 60:
            count += skipped * (1 + (rest - whole * 60) // per_minute)
    seconds, frames = divmod(count, whole)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    mark = ";" if drops else ":"
    return f"{hours % 24:02d}:{minutes:02d}:{seconds:02d}{mark}{frames:02d}"
