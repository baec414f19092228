"""Chains stages as nested generators over a span of a film."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from oldfilm.errors import OptionError
from oldfilm.imaging.content import blend_by_content, content
from oldfilm.pipeline.tiles import process_window
from oldfilm.pipeline.windows import Span, windows
from oldfilm.stage import FilmFacts, FilmInfo, Frame, Stage, Window
from oldfilm.system.stopping import next_step

ARRAY_RATE = Fraction(25)
"""Frame rate of frames that do not come from a film."""

WINDOW_BYTES = 2 << 30
"""Bytes that the frames of one window may take. A constant, so that every machine uses the same
windows and restores the same frames."""

PROCESS_BYTES = 700 << 20
"""Estimated bytes of a process: libraries, a small network, and frames waiting for the encoder."""

ENCODER_BYTES = 550
"""Estimated bytes that ffmpeg takes per pixel of the result, with x264."""


Repairs = Mapping[str, tuple[tuple[float, float], ...]]
"""Seconds, and the share of the picture that was repaired then, by the name of the stage."""

LEAST_CHANGE = 1 / 255
"""Smaller changes of a pixel do not count as a repair."""

REPAIR_POINTS = 25
"""Points per segment that are kept of `Repairs`."""


@dataclass
class Link:
    """A stage in a chain, and the work it has done.

    info: the film that the stage gets. result: the film that it returns. window: the stage's
    window, shortened to `WINDOW_BYTES`. lead, trail: seconds before and after a span that later
    stages need to see. frames, seconds: returned so far, and the time that took. repaired: the
    share of each frame, by time, that a stage changed which `counts_repairs`.
    """

    stage: Stage
    info: FilmInfo
    result: FilmInfo
    window: Window
    lead: Fraction
    trail: Fraction
    frames: int = 0
    seconds: float = 0.0
    repaired: dict[Fraction, float] = field(default_factory=dict)


class Chain:
    """The stages of a job, in order."""

    def __init__(self, stages: Sequence[Stage], info: FilmInfo, reach: int | None = None) -> None:
        """Describe the result, stage by stage.

        info: the source. reach: for samples, the most source frames on each side that a restored
        span may see; by default as many as the stages ask for.

        Raises:
            OptionError: a stage is in the chain twice, or does not suit the film that it gets.
        """
        names = [stage.name for stage in stages]
        if not stages or len(set(names)) < len(names):
            raise OptionError(f"a chain can have each stage once; this one is: {' '.join(names)}")
        self.info = info
        self._reach = reach
        self.links: list[Link] = []
        self._cuts: Sequence[Fraction] = ()
        self._studied = False
        for stage in stages:
            result = stage.describe(info)
            window = _fit_window(stage, info, stage.window_for(info))
            self.links.append(Link(stage, info, result, window, Fraction(0), Fraction(0)))
            info = result
        self.result = info
        self._collect_neighbors()

    def _collect_neighbors(self) -> None:
        """Add up the neighbors that the stages need, from the last stage to the first."""
        lead = trail = Fraction(0)
        for link in reversed(self.links):
            link.lead, link.trail = lead, trail
            # Round up to whole frames: a stage cannot process a part of one.
            lead = _round_up(lead + link.window.before / link.info.rate, link.info.rate)
            trail = _round_up(trail + link.window.after / link.info.rate, link.info.rate)
        self.before = self._within_reach(lead)
        self.after = self._within_reach(trail)

    def _within_reach(self, seconds: Fraction) -> int:
        frames = math.ceil(seconds * self.info.rate)
        return frames if self._reach is None else min(frames, self._reach)

    def result_frames(self, frames: int) -> int:
        """Return how many frames of the result the first `frames` source frames become.

        Frames of the result are on a regular grid of the source's time line that starts at 0.
        """
        return math.ceil(frames / self.info.rate * self.result.rate * self.result.slowdown)

    @property
    def memory(self) -> int:
        """Estimated bytes for restoring one segment, including the process and its encoder."""
        return PROCESS_BYTES + ENCODER_BYTES * _pixels(self.result) + sum(map(_memory, self.links))

    @property
    def on_gpu(self) -> bool:
        """Whether any stage computes on a GPU."""
        return any(link.stage.device != "cpu" for link in self.links)

    @property
    def work(self) -> dict[str, tuple[int, float]]:
        """Frames and seconds of each stage so far, by name."""
        return {link.stage.name: (link.frames, link.seconds) for link in self.links}

    def add(self, work: Mapping[str, tuple[int, float]]) -> None:
        """Add the work that an equal chain did in another process."""
        for link in self.links:
            frames, seconds = work.get(link.stage.name, (0, 0.0))
            link.frames += frames
            link.seconds += seconds

    def take_repairs(self, wanted: Span) -> Repairs:
        """Return what stages repaired in a span, and forget all that was counted."""
        found = {}
        for link in self.links:
            if link.stage.counts_repairs:
                counted = sorted(link.repaired.items())
                inside = [one for one in counted if wanted.start <= one[0] < wanted.stop]
                found[link.stage.name] = _averaged(inside)
                link.repaired.clear()
        return found

    def analyze(self, facts: FilmFacts) -> None:
        """Pass the result of the analysis to every stage; call once, before `run`."""
        self._cuts = facts.cuts
        for link in self.links:
            link.stage.analyze(link.info, facts)
        if self._reach is not None:
            for link in self.links:
                window = link.stage.window_of_sample(link.info, facts)
                link.window = _fit_window(link.stage, link.info, window)
            self._collect_neighbors()

    def study(self, read: Callable[[Span], Iterable[Frame]]) -> None:
        """Show every stage the frames of its `key_times`; call before `run`. Works once.

        read: returns the source frames in a span, as much of it as the film has.
        """
        if self._studied:
            return
        self._studied = True
        for number, link in enumerate(self.links):
            frames = [self._frame_before(number, time, read) for time in link.stage.key_times()]
            if frames:
                link.stage.study(frames)

    def _frame_before(
        self, number: int, time: Fraction, read: Callable[[Span], Iterable[Frame]]
    ) -> Frame:
        """Return the frame that stage `number` receives at a time."""
        step = 1 / self.info.rate
        wanted = Span(time // step * step, (time // step + 1) * step)
        if not number:
            return next(iter(read(wanted)))
        earlier = Chain([link.stage for link in self.links[:number]], self.info)
        earlier._cuts = self._cuts
        first = max(Fraction(0), wanted.start - earlier.before * step)
        found = earlier.run(read(Span(first, wanted.stop + earlier.after * step)), wanted)
        return [frame for frame in found if frame.time <= time][-1]

    def run(self, frames: Iterable[Frame], wanted: Span) -> Iterator[Frame]:
        """Restore the span `wanted`.

        frames: source frames of the span, plus up to `before` and `after` neighbors of its first
        and last shot.
        """
        for link in self.links:
            span = Span(wanted.start - link.lead, wanted.stop + link.trail)
            frames = _run(link, _mark_shots(frames, self._cuts), span)
        return iter(frames)


def restore_frames(
    stages: Sequence[Stage], frames: np.ndarray, rate: Fraction = ARRAY_RATE
) -> list[np.ndarray]:
    """Send the frames of one shot through a chain, without files.

    frames: float32 [t, h, w, c], RGB or luma, in [0, 1]. rate: frames per second. Returns the
    images of the result.
    """
    count, height, width, channels = frames.shape
    chain = Chain(stages, FilmInfo(width, height, rate, count, channels))
    chain.analyze(FilmFacts())
    source = [Frame(image, index / rate) for index, image in enumerate(frames)]
    chain.study(lambda span: [frame for frame in source if span.holds(frame)])
    return [frame.image for frame in chain.run(source, Span(Fraction(0), count / rate))]


def _run(link: Link, frames: Iterable[Frame], span: Span) -> Iterator[Frame]:
    for window, core in windows(frames, link.window, span):
        restored = process_window(link.stage, window, core)
        if link.stage.keeps_flat_frames:
            restored = _keep_flat_frames(window[core], restored)
        if link.stage.counts_repairs:
            restored = _counting_repairs(link, window[core], restored)
        while (frame := _timed_next(link, restored)) is not None:
            link.frames += 1
            if span.holds(frame):
                yield frame


def _keep_flat_frames(sources: Sequence[Frame], restored: Iterator[Frame]) -> Iterator[Frame]:
    for source, frame in zip(sources, restored):
        image = blend_by_content(source.image, frame.image, content(source.image))
        yield replace(frame, image=image)


def _counting_repairs(
    link: Link, sources: Sequence[Frame], restored: Iterator[Frame]
) -> Iterator[Frame]:
    for frame, source in zip(restored, sources):
        changes = np.abs(frame.image - source.image).max(axis=2)
        link.repaired[frame.time] = float(np.mean(changes > LEAST_CHANGE))
        yield frame


def _averaged(repairs: Sequence[tuple[Fraction, float]]) -> tuple[tuple[float, float], ...]:
    """Average neighboring frames, so that at most `REPAIR_POINTS` points are left."""
    step = max(1, math.ceil(len(repairs) / REPAIR_POINTS))
    parts = [repairs[i : i + step] for i in range(0, len(repairs), step)]
    return tuple(
        (round(float(part[0][0]), 3), round(float(np.mean([share for _, share in part])), 6))
        for part in parts
    )


def _timed_next(link: Link, restored: Iterator[Frame]) -> Frame | None:
    next_step()
    started = time.perf_counter()
    frame = next(restored, None)
    link.seconds += time.perf_counter() - started
    return frame


def _mark_shots(frames: Iterable[Frame], cuts: Sequence[Fraction]) -> Iterator[Frame]:
    """Mark the first frame after every cut. Works at any frame rate, since cuts are times."""
    last: Fraction | None = None
    for frame in frames:
        starts = last is not None and any(last < cut <= frame.time for cut in cuts)
        yield replace(frame, starts_shot=starts) if starts != frame.starts_shot else frame
        last = frame.time


def _fit_window(stage: Stage, info: FilmInfo, window: Window) -> Window:
    """Return a stage's window, shortened to the frames that `WINDOW_BYTES` holds."""
    each = stage.bytes_per_frame(info)
    if not each:
        return window
    room = WINDOW_BYTES // each - window.before - window.after
    return replace(window, core=max(1, min(window.core, room)))


def _memory(link: Link) -> int:
    """Estimated bytes of a stage: its window, and ten frames of its input and result."""
    window = link.window
    frames = window.before + window.core + window.after
    each = 4 * 3 * (_pixels(link.info) + _pixels(link.result))
    return frames * link.stage.bytes_per_frame(link.info) + 10 * each


def _pixels(info: FilmInfo) -> int:
    return info.width * info.height


def _round_up(seconds: Fraction, rate: Fraction) -> Fraction:
    return math.ceil(seconds * rate) / rate
