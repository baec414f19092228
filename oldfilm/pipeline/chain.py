"""Stages one after the other, as nested generators over one span of a film."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from oldfilm.errors import OptionError
from oldfilm.pipeline.tiles import process_window
from oldfilm.pipeline.windows import Span, windows
from oldfilm.stage import FilmFacts, FilmInfo, Frame, Stage, Window

ARRAY_RATE = Fraction(25)
"""Frames a second of frames that come without a film."""

WINDOW_BYTES = 2 << 30
"""Memory that the frames of one window may take: a constant, so that no machine changes a frame."""

PROCESS_BYTES = 700 << 20
"""Memory of a process with its libraries, a small network, and frames that wait to be encoded."""

ENCODER_BYTES = 550
"""What ffmpeg takes for a pixel of the result, with x264."""


@dataclass
class Link:
    """A stage at its place in a chain, and what it has done so far.

    info: the film that goes in. window: the stage's own, shortened to what memory allows. lead,
    trail: seconds before and after a span that the stages behind this one must see.
    """

    stage: Stage
    info: FilmInfo
    result: FilmInfo
    window: Window
    lead: Fraction
    trail: Fraction
    frames: int = 0
    seconds: float = 0.0


class Chain:
    """The stages that a film goes through."""

    def __init__(self, stages: Sequence[Stage], info: FilmInfo) -> None:
        """Describe the film that comes out.

        Raises:
            OptionError: a stage cannot work on what the one before it gives.
        """
        names = [stage.name for stage in stages]
        if not stages or len(set(names)) < len(names):
            raise OptionError(f"a chain takes each stage once; this one is: {' '.join(names)}")
        self.info = info
        self.links: list[Link] = []
        self._cuts: Sequence[Fraction] = ()
        for stage in stages:
            result = stage.describe(info)
            window = _fitted(stage, info)
            self.links.append(Link(stage, info, result, window, Fraction(0), Fraction(0)))
            info = result
        self.result = info
        self._look_around()

    def _look_around(self) -> None:
        lead = trail = Fraction(0)
        for link in reversed(self.links):
            link.lead, link.trail = lead, trail
            # Whole frames: a stage gives all that follows from a frame, or nothing of it.
            lead = _up(lead + link.window.before / link.info.rate, link.info.rate)
            trail = _up(trail + link.window.after / link.info.rate, link.info.rate)
        self.before = math.ceil(lead * self.info.rate)
        self.after = math.ceil(trail * self.info.rate)

    def made_of(self, frames: int) -> int:
        """How many frames of the result are made of the first `frames` of the source.

        Those of the result lie on one grid of the source's time line, from its beginning on.
        """
        return math.ceil(frames / self.info.rate * self.result.rate * self.result.slowdown)

    @property
    def memory(self) -> int:
        """Bytes that restoring one segment takes, at a guess, with what runs beside the stages."""
        return PROCESS_BYTES + ENCODER_BYTES * _pixels(self.result) + sum(map(_memory, self.links))

    @property
    def on_gpu(self) -> bool:
        """Whether a stage wants a GPU."""
        return any(link.stage.device != "cpu" for link in self.links)

    @property
    def work(self) -> dict[str, tuple[int, float]]:
        """Frames and seconds of every stage so far."""
        return {link.stage.name: (link.frames, link.seconds) for link in self.links}

    def add(self, work: Mapping[str, tuple[int, float]]) -> None:
        """Count what the same chain did elsewhere, as `work` says it."""
        for link in self.links:
            frames, seconds = work.get(link.stage.name, (0, 0.0))
            link.frames += frames
            link.seconds += seconds

    def analyze(self, facts: FilmFacts) -> None:
        """Give every stage the facts of the analysis pass."""
        self._cuts = facts.cuts
        for link in self.links:
            link.stage.analyze(link.info, facts)

    def run(self, frames: Iterable[Frame], wanted: Span) -> Iterator[Frame]:
        """Restore the span `wanted`.

        frames: of the source; all of `wanted`, and `before` and `after` more where the shot has
        them.
        """
        for link in self.links:
            span = Span(wanted.start - link.lead, wanted.stop + link.trail)
            frames = _run(link, _marked(frames, self._cuts), span)
        return iter(frames)


def restore_frames(
    stages: Sequence[Stage], frames: np.ndarray, rate: Fraction = ARRAY_RATE
) -> list[np.ndarray]:
    """Send the frames of one shot through a chain, without files.

    frames: float32 [t, h, w, c], RGB or luma, in [0, 1]. Returns the images that come out.
    """
    count, height, width, channels = frames.shape
    chain = Chain(stages, FilmInfo(width, height, rate, count, channels))
    chain.analyze(FilmFacts())
    source = [Frame(image, index / rate) for index, image in enumerate(frames)]
    return [frame.image for frame in chain.run(source, Span(Fraction(0), count / rate))]


def _run(link: Link, frames: Iterable[Frame], span: Span) -> Iterator[Frame]:
    for window, core in windows(frames, link.window, span):
        restored = process_window(link.stage, window, core)
        while (frame := _timed_next(link, restored)) is not None:
            link.frames += 1
            if span.holds(frame):
                yield frame


def _timed_next(link: Link, restored: Iterator[Frame]) -> Frame | None:
    started = time.perf_counter()
    frame = next(restored, None)
    link.seconds += time.perf_counter() - started
    return frame


def _marked(frames: Iterable[Frame], cuts: Sequence[Fraction]) -> Iterator[Frame]:
    """Mark the first frame after every cut, whatever rate the frames have by now."""
    last: Fraction | None = None
    for frame in frames:
        starts = last is not None and any(last < cut <= frame.time for cut in cuts)
        yield replace(frame, starts_shot=starts) if starts != frame.starts_shot else frame
        last = frame.time


def _fitted(stage: Stage, info: FilmInfo) -> Window:
    """The stage's window, with as many frames as `WINDOW_BYTES` hold."""
    window, each = stage.window, stage.bytes_per_frame(info)
    if not each:
        return window
    room = WINDOW_BYTES // each - window.before - window.after
    return replace(window, core=max(1, min(window.core, room)))


def _memory(link: Link) -> int:
    """What a stage keeps for its window, and works with: ten frames of its input and result."""
    window = link.window
    frames = window.before + window.core + window.after
    each = 4 * 3 * (_pixels(link.info) + _pixels(link.result))
    return frames * link.stage.bytes_per_frame(link.info) + 10 * each


def _pixels(info: FilmInfo) -> int:
    return info.width * info.height


def _up(seconds: Fraction, rate: Fraction) -> Fraction:
    return math.ceil(seconds * rate) / rate
