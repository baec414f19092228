"""Time stamps that vary around a constant rate: phones and capture cards note when a frame came."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np


@dataclass(frozen=True)
class Thresholds:
    """When time stamps count as those of a constant rate. Lengths are in frames.

    apart: how far a frame may be from its place, after the best shift. regular: how much an
    interval may differ from a frame to count as regular. pushed: how far a frame may be from its
    place if another one is already there.
    """

    apart: float = 0.49
    regular: float = 0.05
    pushed: float = 1.0


THRESHOLDS = Thresholds()
_REGULAR_SHARE = 0.05
"""The least share of regular intervals. Patterns of delays, such as telecine, have none."""
_IN_PHASE = 0.7
"""How much the places of frames must agree, from 0 to 1, to shift them all by what they share."""
_COMMON_RATES = tuple(
    [Fraction(n) for n in (15, 24, 25, 30, 48, 50, 60, 100, 120)]
    + [Fraction(n * 1000, 1001) for n in (15, 24, 30, 48, 60, 120)]
)
"""The rates of cameras; where two fit equally well, the whole one counts."""
_ALIKE = 0.01
"""How far a common rate may be from the measured one, as a share of it."""
_ALMOST = 0.05
"""How far the rate of a film that lacks frames may be from that of its shortest intervals."""
_STANDARD_ERRORS = 4.0
"""By how many standard errors a rate must differ from the measured one to be excluded."""


def jittered_rate(
    ticks: np.ndarray, tick: Fraction, usual: Sequence[Fraction], least: float
) -> Fraction | None:
    """Return the constant rate that time stamps vary around; None if they follow none.

    ticks: ascending. usual: the rates to try besides common ones and the measured one.
    least: how far time stamps may be off by rounding, in ticks.
    """
    line = _Line(ticks, np.arange(len(ticks)), tick)
    gapped = _with_gaps(ticks, tick, float(np.median(np.diff(ticks))))
    if gapped.numbers[-1] > line.numbers[-1] and gapped.spread < line.spread:
        return None
    return next((r for r in line.rates(usual) if line.is_regular(1 / float(r * tick), least)), None)


def rate_with_gaps(ticks: np.ndarray, tick: Fraction, near: Fraction) -> Fraction | None:
    """Return the rate of a film of which frames were dropped, even if others jitter; None if none.

    near: about how many frames a second it has where none was dropped.
    """
    line = _with_gaps(ticks, tick, 1 / float(near * tick))
    rates = (r for r in line.rates(()) if abs(r / near - 1) <= _ALMOST)
    return next((r for r in rates if line.fits(1 / float(r * tick))), None)


def _with_gaps(ticks: np.ndarray, tick: Fraction, frame: float) -> _Line:
    """Return time stamps with numbers that leave out dropped frames. frame: in ticks."""
    steps = np.maximum(1, np.rint(np.diff(ticks) / frame)).astype(np.int64)
    return _Line(ticks, np.concatenate([[0], np.cumsum(steps)]), tick)


@dataclass(frozen=True)
class _Line:
    """Time stamps, ascending, in units of `tick` seconds, over the numbers of their frames."""

    ticks: np.ndarray
    numbers: np.ndarray
    tick: Fraction

    def rates(self, usual: Sequence[Fraction]) -> Iterator[Fraction]:
        """Yield rates to try, the most plausible first; at last the slope of the line itself."""
        measured = 1 / (Fraction(self.slope) * self.tick)
        error = _STANDARD_ERRORS * self.noise(measured) / self._weight**0.5 / self.slope
        alike = [r for r in _COMMON_RATES if abs(r / measured - 1) <= max(_ALIKE, error)]
        enough = 1 + _STANDARD_ERRORS**2 / len(self.ticks)
        least = min((self.noise(r) for r in alike), default=0.0)
        good = [r for r in alike if self.noise(r) ** 2 <= least**2 * enough]
        yield from sorted(good, key=lambda r: (r.denominator > 1, self.noise(r)))
        yield from alike
        yield from sorted(usual, key=self.noise)
        yield measured.limit_denominator(1001)
        yield measured.limit_denominator(100_000)

    @property
    def slope(self) -> float:
        """How long a frame lasts, in ticks (least squares)."""
        return float((self._centered * self.ticks).sum()) / self._weight

    @property
    def spread(self) -> float:
        """The standard deviation from the slope, in frames."""
        return float(np.std(self.deviations(self.slope))) / self.slope

    @property
    def _centered(self) -> np.ndarray:
        return self.numbers - self.numbers.mean()

    @property
    def _weight(self) -> float:
        return float((self._centered**2).sum())

    def noise(self, rate: Fraction) -> float:
        """Return the standard deviation from a rate, in ticks, with that of rounding."""
        return float(np.hypot(np.std(self.deviations(1 / float(rate * self.tick))), 0.3))

    def deviations(self, frame: float) -> np.ndarray:
        """Return by how much time stamps differ from those `frame` ticks apart."""
        return self.ticks - self.numbers * frame

    def fits(self, frame: float) -> bool:
        """Return whether every frame is near its place."""
        return bool(np.ptp(self.deviations(frame)) <= 2 * THRESHOLDS.apart * frame)

    def is_regular(self, frame: float, least: float) -> bool:
        """Return whether time stamps vary around their places, without a pattern."""
        intervals = np.diff(self.ticks)
        regular = np.abs(intervals - frame) <= max(THRESHOLDS.regular * frame, least)
        share = regular.sum() / len(intervals)
        return self.fits(frame) and bool(share > 0 and share >= _REGULAR_SHARE)


def variation(ticks: np.ndarray, tick: Fraction, rate: Fraction) -> float:
    """Return by how many ticks time stamps differ from those of a rate at most."""
    return float(np.ptp(ticks - np.arange(len(ticks)) / float(rate * tick))) / 2


def place(ticks: np.ndarray, tick: Fraction, rate: Fraction) -> np.ndarray:
    """Return the numbers of frames of variable rate at a constant rate: int64, from 0.

    A frame whose place is taken gets the next one if that is near enough, so that jitter loses no
    frame; else it shares the place.
    """
    exact = ticks * float(rate * tick)
    turns = np.exp(2j * np.pi * exact).mean()
    if abs(turns) > _IN_PHASE:
        exact = exact - np.angle(turns) / (2 * np.pi)
    numbers = np.rint(exact).astype(np.int64)
    for i in range(1, len(numbers)):
        following = numbers[i - 1] + 1
        if numbers[i] < following:
            near = following - exact[i] <= THRESHOLDS.pushed
            numbers[i] = following if near else following - 1
    return numbers - numbers[0]
