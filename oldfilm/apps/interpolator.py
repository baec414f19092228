"""Frame interpolation: change the frame rate or the speed of a film."""

from __future__ import annotations

import bisect
import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from oldfilm.apps.base import Predictor
from oldfilm.errors import OptionError, written
from oldfilm.imaging.content import blend_by_content, content
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
"""The most repeats in a row that are replaced; a longer run is a still, and is kept."""

_NTSC = [Fraction(rate * 1000, 1001) for rate in (24, 30, 48, 60, 120, 240)]


class Interpolator(Predictor):
    """Changes the frame rate of a film, or slows it down.

    The times of new frames are n / rate, counted from the start of the film, however the film is
    divided into segments. A new frame at the time of an input frame is that frame. The last frame
    of a shot is held, so that no frame mixes two shots: with `time_step` 1/k, N frames become
    exactly k N.

    time_step: time between new frames, in source frames: 1/k for a whole k. The default is 0.5
    unless fps is given. use_gpu: False is the same as device="cpu". remove_duplicates: replace
    repeated frames with interpolated ones. fps: the new frame rate, in place of time_step: "60",
    "24000/1001" or "59.94", which stands for 60000/1001. slow_motion: keep the frame rate, so that
    the film lasts longer.

    A subclass implements `prepare` and `between`.
    """

    options = (*Predictor.options, TIME_STEP, FPS, SLOW_MOTION, REMOVE_DUPLICATES)
    keeps_flat_frames = False  # New frames have no source; `_image` handles flat ones.

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
        network_engine: str = "auto",
    ) -> None:
        """As `Predictor`, with the arguments above.

        Raises:
            OptionError: time_step or fps is invalid, or both are given.
        """
        super().__init__(
            output,
            weight_path,
            variant=variant,
            device=device or (None if use_gpu else "cpu"),
            network_engine=network_engine,
        )
        if time_step is not None and fps is not None:
            raise OptionError("`time_step` and `fps` both set the number of frames: give one.")
        self.fps = None if fps is None else _rate(fps)
        self.time_step = _time_step(Fraction(1, 2) if time_step is None else time_step)
        self.slow_motion = slow_motion
        self.remove_duplicates = remove_duplicates
        self._dropped: frozenset[Fraction] = frozenset()
        self._pair: _Pair | None = None
        if remove_duplicates:
            self.window = Window(core=1, before=LONGEST_RUN, after=LONGEST_RUN + 1)
        else:
            self.window = Window(core=1, after=1)

    @abstractmethod
    def prepare(self, first: np.ndarray, second: np.ndarray) -> Any:
        """Compute what all frames between two others share, such as flow; called once per pair.

        first, second: float32 [h, w, c] in [0, 1]; c is 3 (RGB) or 1 (luma).
        """

    @abstractmethod
    def between(self, prepared: Any, time: float) -> np.ndarray:
        """Return the frame at `time`, in (0, 1), between two frames.

        prepared: the result of `prepare` for these frames. Returns float32 [h, w, c] in [0, 1],
        with as many channels as they have.
        """

    def fingerprint(self) -> Mapping[str, FingerprintValue]:
        """As `Predictor.fingerprint`, with the rate and the speed."""
        return {
            **super().fingerprint(),
            "fps": str(self.fps) if self.fps else None,
            "time_step": None if self.fps else str(self.time_step),
            "slow_motion": self.slow_motion,
            "remove_duplicates": self.remove_duplicates,
        }

    def describe(self, info: FilmInfo) -> FilmInfo:
        """Return the film's properties at the new rate or speed.

        Raises:
            OptionError: slow motion with a rate that is not above the film's own.
        """
        rate = self._new_rate(info.rate)
        frames = math.ceil(info.frames * rate / info.rate)
        if not self.slow_motion:
            return replace(info, rate=rate, frames=frames)
        if rate <= info.rate:
            raise OptionError(
                f"`slow_motion=True` slows a film of {written(info.rate)} fps down only if `fps` "
                "is higher than that."
            )
        return replace(info, frames=frames, slowdown=info.slowdown * rate / info.rate)

    def analyze(self, info: FilmInfo, facts: FilmFacts) -> None:
        """Take the film's rate and its repeated frames."""
        self._interval = 1 / info.rate
        self._rate = self._new_rate(info.rate)
        if self.remove_duplicates:
            self._dropped = _short_runs(facts.repeats, self._interval)

    def window_of_sample(self, info: FilmInfo, facts: FilmFacts) -> Window:
        """Return a window no wider than the runs of repeated frames in the sample."""
        if not self.remove_duplicates:
            return self.window
        interval = 1 / info.rate
        dropped = _short_runs(facts.repeats, interval)
        longest = 0
        while any(all(t + n * interval in dropped for n in range(longest + 1)) for t in dropped):
            longest += 1
        return Window(core=1, before=longest, after=longest + 1)

    def _new_rate(self, rate: Fraction) -> Fraction:
        """Frames of the result per second of a source with this rate."""
        return self.fps or rate / self.time_step

    def process(self, frames: Sequence[Frame], core: slice) -> Iterator[Frame]:
        """Yield the frames of the new rate, from each core frame's time to the next one's."""
        # The first frame of a shot has no frame before it, so it is kept even if it is a repeat.
        known = [f for i, f in enumerate(frames) if i == 0 or f.time not in self._dropped]
        times = [frame.time for frame in known]
        for frame in frames[core]:
            number = math.ceil(frame.time * self._rate)
            while (time := number / self._rate) < frame.time + self._interval:
                at = bisect.bisect_right(times, time) - 1
                yield Frame(self._image(known[at : at + 2], time), time)
                number += 1

    def _image(self, around: Sequence[Frame], time: Fraction) -> np.ndarray:
        """Return the image at `time`. around: the last frame up to it, and the next if any."""
        first = around[0]
        if time == first.time or len(around) == 1:
            return first.image
        second = around[1]
        position = (time - first.time) / (second.time - first.time)
        pair = self._prepared(first.image, second.image)
        made = self.between(pair.prepared, float(position))
        if pair.shown >= 1:
            return made
        mixed = first.image + np.float32(position) * (second.image - first.image)
        return blend_by_content(mixed, made, pair.shown)

    def _prepared(self, first: np.ndarray, second: np.ndarray) -> _Pair:
        """Return two frames and the result of `prepare`, kept until another pair is asked for."""
        if self._pair is None or self._pair.first is not first or self._pair.second is not second:
            self._pair = None  # Free the old pair first: memory may not hold two.
            shown = max(content(first), content(second))
            self._pair = _Pair(first, second, self.prepare(first, second), shown)
        return self._pair


class _Pair(NamedTuple):
    """Two frames, what `prepare` returns for them, and the larger of their `content`."""

    first: np.ndarray
    second: np.ndarray
    prepared: Any
    shown: float


def _time_step(time_step: float | Fraction) -> Fraction:
    """Return the exact 1/k that a time step stands for."""
    steps = round(1 / time_step) if 0 < time_step < 1 else 0
    if not steps or abs(1 / time_step - steps) > 1e-6 * steps:
        raise OptionError(
            f"`time_step={float(time_step):g}`: must be 0.5, 0.25 or another 1/k below 1; for any "
            "other rate set `fps`."
        )
    return Fraction(1, steps)


def _rate(fps: str | float | Fraction) -> Fraction:
    """Return an exact rate: 23.976, 29.97 and 59.94 stand for the rates of NTSC, 24000/1001 etc."""
    text = str(fps)
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise OptionError(
            f"`fps={written(fps)}`: must be a frame rate such as 60, 59.94 or 24000/1001"
        )
    if "/" in text:
        return rate
    return next((ntsc for ntsc in _NTSC if abs(ntsc - rate) < Fraction(1, 200)), rate)


def _short_runs(repeats: frozenset[Fraction], interval: Fraction) -> frozenset[Fraction]:
    """Return the repeats that are in runs of at most `LONGEST_RUN`."""
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
