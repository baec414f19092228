"""Frames at any time between two others: which times a film of another rate or speed needs."""

from __future__ import annotations

import bisect
import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from oldfilm.apps.base import Predictor
from oldfilm.errors import OptionError
from oldfilm.stage import FilmFacts, FilmInfo, FingerprintValue, Frame, Option, Window

TIME_STEP = Option(
    "time_step",
    Fraction,
    help="time between new frames, in source frames: 0.5 (the default) doubles the rate",
    metavar="T",
)
FPS = Option("fps", str, help="frame rate of the result, such as 60 or 24000/1001", metavar="RATE")
SLOW_MOTION = Option(
    "slow_motion",
    bool,
    False,
    "keep the frame rate and stretch time instead; the sound is left out",
)
REMOVE_DUPLICATES = Option(
    "remove_duplicates",
    bool,
    False,
    "replace repeated frames with interpolated ones",
    metavar="BOOL",
)

LONGEST_RUN = 4
"""More repeats of a picture than this in a row are a still, and are kept."""

_NTSC = [Fraction(rate * 1000, 1001) for rate in (24, 30, 48, 60, 120, 240)]


class Interpolator(Predictor):
    """Brings a film to another rate, or stretches its time.

    The new frames are on one grid for the whole film, n / rate, so it does not matter how the film
    is divided for the work. A frame at an input's own time is that input. The last frame of a shot
    is held: nothing is morphed over a cut, and N frames at time_step 1/k become exactly k N.

    A subclass writes `prepare` and `between`.
    """

    options = (*Predictor.options, TIME_STEP, FPS, SLOW_MOTION, REMOVE_DUPLICATES)

    def __init__(
        self,
        output: str = "output",
        weight_path: str | None = None,
        time_step: float | Fraction | None = None,
        use_gpu: bool = True,
        remove_duplicates: bool = False,
        *,
        fps: str | float | Fraction | None = None,
        slow_motion: bool = False,
        variant: str = "auto",
        device: str | None = None,
    ) -> None:
        """Besides `Predictor`'s arguments:

        time_step: a new frame at every such part of the way to the next; 1/k for a whole k. 0.5
        where neither it nor fps is given. use_gpu: False is device="cpu".
        remove_duplicates: put frames of real motion in the place of repeated frames.
        fps: the rate instead of a time_step: "60", "24000/1001", "59.94" (which is 60000/1001), ...
        slow_motion: show the frames at the film's own rate, so that it lasts longer.

        Raises:
            OptionError: both time_step and fps, or one that cannot be.
        """
        super().__init__(
            output, weight_path, variant=variant, device=device or (None if use_gpu else "cpu")
        )
        if time_step is not None and fps is not None:
            raise OptionError("`time_step` and `fps` both set the number of frames: give one.")
        self.fps = None if fps is None else _rate(fps)
        self.time_step = _time_step(Fraction(1, 2) if time_step is None else time_step)
        self.slow_motion = slow_motion
        self.remove_duplicates = remove_duplicates
        self._dropped: frozenset[Fraction] = frozenset()
        self._pair: tuple[np.ndarray, np.ndarray, Any] | None = None
        if remove_duplicates:
            self.window = Window(core=1, before=LONGEST_RUN, after=LONGEST_RUN + 1)
        else:
            self.window = Window(core=1, after=1)

    @abstractmethod
    def prepare(self, first: np.ndarray, second: np.ndarray) -> Any:
        """What all times between two frames share (flow, depth, ...); called once a pair.

        first, second: float32 [h, w, c], c 3 (RGB) or 1 (luma), in [0, 1].
        """

    @abstractmethod
    def between(self, prepared: Any, time: float) -> np.ndarray:
        """The frame at `time`, in (0, 1), between the two that `prepared` was made of.

        Returns float32 [h, w, c] in [0, 1], c as the two frames have it.
        """

    def fingerprint(self) -> Mapping[str, FingerprintValue]:
        """As `Predictor.fingerprint`."""
        return {
            **super().fingerprint(),
            "fps": str(self.fps) if self.fps else None,
            "time_step": None if self.fps else str(self.time_step),
            "slow_motion": self.slow_motion,
            "remove_duplicates": self.remove_duplicates,
        }

    def describe(self, info: FilmInfo) -> FilmInfo:
        """The same film with the frames of the new rate, or that much slower.

        Raises:
            OptionError: slow motion at less than the film's own rate.
        """
        made = self._made(info.rate)
        frames = math.ceil(info.frames * made / info.rate)
        if not self.slow_motion:
            return replace(info, rate=made, frames=frames)
        if made <= info.rate:
            raise OptionError(
                f"`slow_motion=True` slows a film of {info.rate} fps down only if `fps` is higher "
                "than that."
            )
        return replace(info, frames=frames, slowdown=info.slowdown * made / info.rate)

    def analyze(self, info: FilmInfo, facts: FilmFacts) -> None:
        """Take the film's rate, and its repeated frames."""
        self._interval = 1 / info.rate
        self._rate = self._made(info.rate)
        if self.remove_duplicates:
            self._dropped = _short_runs(facts.repeats, self._interval)

    def _made(self, rate: Fraction) -> Fraction:
        """How many frames are made of a second of the source."""
        return self.fps or rate / self.time_step

    def process(self, frames: Sequence[Frame], core: slice) -> Iterator[Frame]:
        """The frames of the new rate from each core frame's time until the next one's."""
        # Before the first frame of a shot there is nothing, so that one counts even as a repeat.
        known = [f for i, f in enumerate(frames) if i == 0 or f.time not in self._dropped]
        times = [frame.time for frame in known]
        for frame in frames[core]:
            number = math.ceil(frame.time * self._rate)
            while (time := number / self._rate) < frame.time + self._interval:
                at = bisect.bisect_right(times, time) - 1
                yield Frame(self._image(known[at : at + 2], time), time)
                number += 1

    def _image(self, around: Sequence[Frame], time: Fraction) -> np.ndarray:
        """The picture at `time`: around are the last known frame up to it, and the next, if any."""
        first = around[0]
        if time == first.time or len(around) == 1:
            return first.image
        second = around[1]
        way = (time - first.time) / (second.time - first.time)
        return self.between(self._prepared(first.image, second.image), float(way))

    def _prepared(self, first: np.ndarray, second: np.ndarray) -> Any:
        """What `prepare` says of two frames; the last two are remembered."""
        if self._pair is None or self._pair[0] is not first or self._pair[1] is not second:
            self._pair = None  # Two pairs at once may be more than memory holds.
            self._pair = (first, second, self.prepare(first, second))
        return self._pair[2]


def _time_step(time_step: float | Fraction) -> Fraction:
    """The nearest 1/k, k a whole number above 1."""
    steps = round(1 / time_step) if 0 < time_step < 1 else 0
    if not steps or abs(1 / time_step - steps) > 1e-6 * steps:
        raise OptionError(
            f"`time_step={float(time_step):g}`: must be 0.5, 0.25 or another 1/k below 1; for any "
            "other rate set `fps`."
        )
    return Fraction(1, steps)


def _rate(fps: str | float | Fraction) -> Fraction:
    """A rate as it is meant: 23.976, 29.97, 59.94, ... are roundings of NTSC's 24000/1001, ..."""
    text = str(fps)
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise OptionError(f"`fps={fps}`: must be a frame rate such as 60, 59.94 or 24000/1001")
    if "/" in text:
        return rate
    return next((ntsc for ntsc in _NTSC if abs(ntsc - rate) < Fraction(1, 200)), rate)


def _short_runs(repeats: frozenset[Fraction], interval: Fraction) -> frozenset[Fraction]:
    """The repeats that stand in runs of at most LONGEST_RUN."""
    dropped: list[Fraction] = []
    run: list[Fraction] = []
    for time in sorted(repeats):
        if run and time != run[-1] + interval:
            run = []
        run.append(time)
        if len(run) <= LONGEST_RUN:
            dropped.append(time)
        elif len(run) == LONGEST_RUN + 1:
            del dropped[-LONGEST_RUN:]
    return frozenset(dropped)
