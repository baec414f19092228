"""How long a job will take, and how much disk and memory, from a few frames that are measured."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from oldfilm.pipeline.executors.base import Executor
from oldfilm.pipeline.free_space import COPIES, LOSSLESS, free_bytes
from oldfilm.pipeline.options import RestoreOptions
from oldfilm.pipeline.report import JobProgress, Progress
from oldfilm.pipeline.samples import Restored, Samples, film_job
from oldfilm.pipeline.segments import segments
from oldfilm.stage import FilmFacts, FilmInfo, Stage
from oldfilm.system.memory import available_memory

MEASURING = "Measuring"

ANALYZED_FRAMES = 500
"""Films up to this length are analyzed completely, so that their cuts are known."""

LONG_SECONDS, SHORT_SECONDS = 20.0, 8.0
"""If the first window takes longer, or shorter, fewer or more frames are measured."""

FAST_FRAMES = 72
"""How many frames are measured if the first window is fast. Encoders hold back up to 60."""


@dataclass(frozen=True)
class Estimate:
    """What a job will take.

    frames: of the source, to restore. result: the film that comes out. seconds: of the whole run.
    result_bytes: of the result. disk_bytes: the most that the run takes on the disk at a time.
    memory_bytes: of all workers with their encoders. free_bytes: on the disk of the result now.
    available_bytes: memory that is available now, or None if unknown.
    """

    source: Path
    frames: int
    result: FilmInfo
    seconds: float
    result_bytes: float
    disk_bytes: float
    memory_bytes: float
    free_bytes: int
    available_bytes: int | None


def estimate(
    source: str | Path,
    stages: Sequence[Stage],
    output: str | Path,
    options: RestoreOptions,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> Estimate:
    """Measure a few frames of a film, and estimate what restoring all of it takes.

    Two or three windows from the middle of the film go through decoder, chain and encoder, after
    one from its beginning, so that loading the networks is measured separately. The arguments are
    those of `restore`. Nothing is kept.

    Raises:
        OldfilmError: as `restore`; or the source is a photograph.
    """
    began = time.monotonic()
    job = film_job(source, stages, output, options, progress, executor)
    samples = Samples(job)
    opening = time.monotonic() - began
    analysis, restoration, size = _measured(samples, job.progress, options.segment_frames)
    length = len(samples.part)
    workers = min(executor.count if executor else 1, math.ceil(length / options.segment_frames))
    return Estimate(
        source=job.source,
        frames=length,
        result=samples.chain.result,
        seconds=opening + analysis + restoration / workers,
        result_bytes=size,
        disk_bytes=COPIES * size + _pictures_bytes(samples, options),
        memory_bytes=samples.chain.memory * workers,
        free_bytes=free_bytes(options.work_dir or job.path.parent),
        available_bytes=available_memory(),
    )


def _measured(
    samples: Samples, progress: Progress, segment_frames: int
) -> tuple[float, float, float]:
    """Measure two spans; return seconds of analysis and of restoration, and the result's bytes."""
    length, core = len(samples.part), _core(samples)
    first = range(0, min(core, length))
    total = len(first) + min(length, 3 * core)
    progress(JobProgress(MEASURING, 0, total))
    facts, analysis = _analyzed(samples, first)
    warm_up = _restored(samples, first, facts)
    count = min(length, _count(core, warm_up.seconds))
    total = len(first) + count
    progress(JobProgress(MEASURING, len(first), total))
    begin = (length - count) // 2
    middle = range(begin, begin + count)
    if length > ANALYZED_FRAMES:
        facts = samples.facts([middle])
    restored = _restored(samples, middle, facts)
    progress(JobProgress(MEASURING, total, total))
    seconds = _Pace(samples, warm_up, restored, core).seconds(facts, segment_frames)
    return analysis, seconds, restored.bytes / count * length


class _Pace:
    """How the time of a segment grows with its length, from two spans.

    start: seconds until the first worker can begin. neighbors: seconds for the neighbors of a
    segment in the middle of a shot. each: seconds a source frame. closing: seconds that the encoder
    takes after the last frame of a segment.
    """

    def __init__(self, samples: Samples, warm_up: Restored, measured: Restored, core: int) -> None:
        self._samples = samples
        segment, last = measured.segment, measured.arrivals[-1]
        count = segment.stop - segment.start
        windows = _arrival(samples, measured, core)
        self.closing = measured.seconds - last
        self.each, self.neighbors = last / count, 0.0
        if count > core:
            self.each = (last - windows) / (count - core)
            share = self._share(segment)
            self.neighbors = max(0.0, windows - core * self.each) / share if share else 0.0
        first = warm_up.segment
        needed = (first.stop - first.start) * self.each + self._share(first) * self.neighbors
        self.start = max(0.0, warm_up.arrivals[-1] - needed)

    def _share(self, segment: Sequence[int]) -> float:
        """The share of its possible neighbors that a segment has, in [0, 1]."""
        start, stop, first, last = segment
        most = self._samples.chain.before + self._samples.chain.after
        return (start - first + last - stop) / most if most else 0.0

    def seconds(self, facts: FilmFacts, segment_frames: int) -> float:
        """Return the seconds for all segments of the film."""
        chain, edges = self._samples.chain, self._samples.edges(facts)
        divided = segments(edges[-1], edges[1:-1], chain.before, chain.after, segment_frames)
        neighbors = sum(self._share(segment) for segment in divided) * self.neighbors
        closing = len(divided) * self.closing
        return self.start + edges[-1] * self.each + neighbors + closing


def _count(core: int, seconds: float) -> int:
    """How many frames to measure, after a window of `core` frames took `seconds`."""
    if seconds > LONG_SECONDS:
        return 2 * core
    return max(3 * core, FAST_FRAMES if seconds < SHORT_SECONDS else 0)


def _arrival(samples: Samples, one: Restored, frames: int) -> float:
    """Seconds until the first `frames` source frames of a span were restored."""
    start = one.segment.start
    count = samples.chain.result_frames(start + frames) - samples.chain.result_frames(start)
    return one.arrivals[min(count, len(one.arrivals)) - 1]


def _core(samples: Samples) -> int:
    """How many frames of the source the longest window of the chain restores."""
    rate = samples.chain.info.rate
    cores = [link.window.core * rate / link.info.rate for link in samples.chain.links]
    return max(4, samples.step, *map(math.ceil, cores))


def _analyzed(samples: Samples, first: range) -> tuple[FilmFacts, float]:
    """Analyze a short film, or a part of a long one; return facts, and seconds for all of it."""
    length = len(samples.part)
    began = time.monotonic()
    whole = length <= ANALYZED_FRAMES
    span = range(0, length if whole else max(ANALYZED_FRAMES // 4, len(first)))
    facts = samples.facts([span])
    return facts, (time.monotonic() - began) * length / len(span)


def _restored(samples: Samples, span: range, facts: FilmFacts) -> Restored:
    with samples.restored([span], facts) as restored:
        return next(restored)


def _pictures_bytes(samples: Samples, options: RestoreOptions) -> float:
    result = samples.chain.result
    pixels = result.width * result.height * result.frames
    return LOSSLESS.usual * pixels if options.save_frames else 0.0
