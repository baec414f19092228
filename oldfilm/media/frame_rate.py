"""Estimate a film's exact frame rate from its time stamps, and whether the rate is constant."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from oldfilm.errors import written
from oldfilm.media.film import FOLDER_RATE, FrameTimes, Places
from oldfilm.media.jitter import jittered_rate, place, rate_with_gaps, variation

MATROSKA_TICK = Fraction(1, 1000)
"""Matroska rounds time stamps to milliseconds."""

_USUAL_RATES = (
    *(Fraction(n) for n in range(1, 121)),
    *(Fraction(n, 2) for n in range(1, 120, 2)),
    *(Fraction(n * 1000, 1001) for n in (12, 15, 24, 30, 48, 60, 120)),
)
_FASTEST_ANIMATION, _MOST_REPEATED = 50, 20
"""The highest rate of an animation with exact delays, and how often it may show a frame, on
average."""
_LESS_THAN_HALF = 0.49
_NTSC_FILM_RATE = Fraction(24000, 1001)
_PULLDOWN = 0.05
"""By how many fields the mean duration of frames may differ from that of soft telecine."""
_TWO_FIELDS, _EMPTY = 1.4, 0.1
"""By which factor intervals of one cluster differ from its middle, and by which share of it those
of another cluster are apart from them."""
_SUSTAINED = 12
"""How many intervals in a row have a rate of their own; jitter cancels out over them."""
_SAME = 1.06
"""By which factor such rates differ if they are the same but for jitter."""
_FASTEST, _SLOWEST = 120.0, 1.0
"""Limits of the constant rate that a film of variable rate is decoded at."""


def estimate_rate(
    times: FrameTimes, hints: Sequence[Fraction | None], *, jitter: bool = True
) -> tuple[Fraction, bool]:
    """Return the frame rate, and whether it is variable.

    The rate is constant if a grid of this rate fits all time stamps to within a tick, or within one
    of Matroska's ticks, since a copy from Matroska keeps its rounding, and to within half a frame,
    so that no two frames share a place; or if they vary around such a grid, see `jittered_rate`.
    For a variable rate, the result is the constant rate to decode at.

    hints: the rates that the container states, most reliable first. They may be rounded, so that
    usual rates near a hint or near the measured rate are tried first. jitter: whether time stamps
    may vary by more than they are rounded.
    """
    ticks = times.stamps - times.stamps[0]
    if len(ticks) == 1:
        plausible = (h for h in hints if h and h <= _FASTEST)  # Some are ticks per second.
        return nearest_usual_rate(next(plausible, FOLDER_RATE)), False
    stated = [Fraction(h) for h in hints if h]
    steps = np.unique(np.diff(ticks))
    even = 1 / (int(steps[0]) * times.tick)
    if len(steps) == 1 and even in stated:
        return even, False
    measured = (len(ticks) - 1) / (int(ticks[-1]) * times.tick)
    near = sorted(_USUAL_RATES, key=lambda r: abs(r - measured))[:2]
    tolerance = _tolerance(times.tick)
    usual = [h for h in stated if h in _USUAL_RATES]
    for rate in [*usual, *near, *stated, _simplified(measured)]:
        frame = 1 / float(rate * times.tick)
        apart = np.abs(ticks - np.arange(len(ticks)) * frame).max()
        if apart <= min(tolerance, _LESS_THAN_HALF * frame):
            return rate, False
    if _is_soft_telecine(ticks, times.tick, tolerance):
        return _NTSC_FILM_RATE, False
    if jitter and (around := jittered_rate(ticks, times.tick, [*usual, *near, *stated], tolerance)):
        return around, False
    return _decoding_rate(ticks, times.tick, stated), True


def animation_rate(times: FrameTimes, last: Fraction) -> tuple[Fraction, bool]:
    """Return the frame rate of an animation, and whether it is variable.

    last: how long the last frame is shown, in seconds. A variable rate becomes one at which all
    delays are exact, if that repeats no frame too often.
    """
    rate, variable = estimate_rate(times, (), jitter=False)
    if not variable and (len(times.stamps) == 1 or round(last * rate) <= 1):
        return (rate if len(times.stamps) > 1 or not last else 1 / last), False
    delays = [int(ticks) for ticks in np.diff(times.stamps)] + [round(last / times.tick)]
    common = times.tick * math.gcd(*delays)
    repeated = (int(np.ptp(times.stamps)) * times.tick + last) / common / len(delays)
    exact = common and 1 / common <= _FASTEST_ANIMATION and repeated <= _MOST_REPEATED
    return (1 / common if exact else rate), True


def placed(times: FrameTimes, rate: Fraction, variable: bool) -> tuple[FrameTimes, list[str]]:
    """Return the times with the places of uneven frames at a rate, and notes for the user.

    rate, variable: as `estimate_rate` returns them.
    """
    ticks, count = times.stamps - times.stamps[0], len(times.stamps)
    if variable:
        return _placed_at_variable_rate(times, ticks, rate)
    spread, tolerance = variation(ticks, times.tick, rate), _tolerance(times.tick)
    if spread <= tolerance or _is_soft_telecine(ticks, times.tick, tolerance):
        return times, []
    milliseconds = spread * float(times.tick) * 1000
    note = (
        f"its time stamps vary by up to {milliseconds:.1f} ms around {written(rate)} frames per "
        "second: every frame is shown once, evenly"
    )
    return replace(times, places=Places(np.arange(count), rate)), [note]


def _placed_at_variable_rate(
    times: FrameTimes, ticks: np.ndarray, rate: Fraction
) -> tuple[FrameTimes, list[str]]:
    nearest = np.rint(ticks * float(rate * times.tick))
    if len(np.unique(nearest)) == len(ticks):
        return times, []
    numbers = place(ticks, times.tick, rate)
    lost = len(ticks) - len(np.unique(numbers))
    note = (
        f"its frame rate varies: at {written(rate)} frames per second, {lost} of {len(ticks)} "
        "frames have no place of their own and are left out"
    )
    return replace(times, places=Places(numbers, rate)), [note] if lost else []


def nearest_usual_rate(rate: Fraction) -> Fraction:
    """Return the usual rate within one percent, or the rate itself if there is none."""
    if rate in _USUAL_RATES:
        return Fraction(rate)
    nearest = min(_USUAL_RATES, key=lambda r: abs(r - rate))
    return nearest if abs(nearest - rate) <= rate / 100 else _simplified(rate)


def untimed_rate(durations: np.ndarray, tick: Fraction, stated: Fraction) -> Fraction:
    """Return the frame rate of a film without time stamps.

    durations: of its frames, in ticks; 0 if unknown. stated: the rate that the file states, which
    is that of video in films with soft telecine.
    """
    field = float(2 / (5 * _NTSC_FILM_RATE * tick))
    fields = durations / field
    whole = np.clip(np.rint(fields), 2, 3)
    even = whole.size and (np.abs(fields - whole) < 0.1).all()
    if even and abs(whole.mean() - 2.5) < _PULLDOWN:
        return _NTSC_FILM_RATE
    return nearest_usual_rate(stated)


def _tolerance(tick: Fraction) -> float:
    """Return by how many ticks a time stamp may be off, at a constant rate, by rounding."""
    return 1.01 * max(1.0, float((MATROSKA_TICK + tick) / tick))


def _is_soft_telecine(ticks: np.ndarray, tick: Fraction, tolerance: float) -> bool:
    """Whether progressive frames of 24000/1001 fps are shown for two and three fields in turn.

    DVDs store films this way. A cut may interrupt the pattern, provided that no frame is off by
    more than one field.
    """
    field = float(2 / (5 * _NTSC_FILM_RATE * tick))
    if tolerance > field / 4:
        return False  # The clock is too coarse for the pattern to show.
    even = np.abs(ticks - np.arange(len(ticks)) * 2.5 * field)
    fields = np.diff(ticks) / field
    near = np.abs(fields - np.clip(np.rint(fields), 2, 3)) <= 2 * tolerance / field
    return bool(near.all() and even.max() <= field + tolerance)


def _decoding_rate(ticks: np.ndarray, tick: Fraction, stated: Sequence[Fraction]) -> Fraction:
    """Return the rate of the fastest stretches, at which no frame is dropped.

    The shortest twentieth of the intervals is treated as jitter.
    """
    intervals = np.diff(ticks) * float(tick)
    fastest = Fraction(min(_FASTEST, max(_SLOWEST, 1 / _shortest(intervals, float(tick)))))
    if found := rate_with_gaps(ticks, tick, fastest):
        return found
    near = [rate for rate in stated if abs(rate - fastest) <= rate / 100]
    return near[0] if near else nearest_usual_rate(fastest)


def _shortest(intervals: np.ndarray, tick: float) -> float:
    """Return the mean of the shortest cluster of intervals; both in seconds."""
    # Less than three fields, where some frames are shown for two.
    middle = np.median(intervals[intervals <= _TWO_FIELDS * np.percentile(intervals, 5)])
    near = (intervals > middle / _TWO_FIELDS) & (intervals <= _TWO_FIELDS * middle)
    cluster = intervals[near]
    values = np.unique(cluster)
    for end in values[:-1][np.diff(values) > max(_EMPTY * middle, 2 * tick)]:
        if (cluster <= end).sum() >= len(intervals) / 20:
            return float(cluster[cluster <= end].mean())
    if len(cluster) < 2 * _SUSTAINED:
        return float(cluster.mean())
    sustained = np.convolve(cluster, np.ones(_SUSTAINED) / _SUSTAINED, "valid")
    return float(np.median(sustained[sustained <= _SAME * np.percentile(sustained, 5)]))


def _simplified(rate: Fraction) -> Fraction:
    return Fraction(rate).limit_denominator(1001) or Fraction(rate)
