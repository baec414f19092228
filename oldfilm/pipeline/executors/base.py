"""The interface of executors, and the executor that restores segments in this process."""

from __future__ import annotations

import contextlib
import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from oldfilm import media
from oldfilm.errors import NetworkError
from oldfilm.pipeline.alpha_channel import AlphaChannel
from oldfilm.pipeline.chain import Chain, Repairs
from oldfilm.pipeline.fingerprint import chain_fingerprint, diff
from oldfilm.pipeline.prefetch import AHEAD_BYTES, prefetch
from oldfilm.pipeline.resize import Resize
from oldfilm.pipeline.segments import Segment
from oldfilm.pipeline.windows import Span
from oldfilm.stage import FilmFacts, FilmInfo, FingerprintValue, Frame, Stage
from oldfilm.system.threads import pinned, threads

StageFactory = Callable[[], Sequence[Stage]]
"""Builds the stages of a chain. Each worker process calls it once, so it must be picklable."""


@dataclass(frozen=True)
class JobSpec:
    """Everything, except the stages, that a worker needs to restore any segment of a film.

    part: source frames to restore. facts: analysis of that part, whose first frame is at time 0.
    height: height of the result in pixels, or None to leave it. destination: path of the result,
    whose suffix selects the codec. fingerprint: of the chain, see `chain_fingerprint`. threads:
    threads per network. memory: estimated bytes per segment. on_gpu: whether a stage uses a GPU.
    reach: of the chain, see `Chain`.
    """

    film: media.Film
    part: range
    facts: FilmFacts
    height: int | None
    settings: media.EncodeSettings
    destination: Path
    fingerprint: Mapping[str, FingerprintValue]
    threads: int
    memory: int
    on_gpu: bool
    reach: int | None = None

    def encoder(self, path: Path, info: FilmInfo) -> media.Encoder:
        """Create the encoder that writes one segment of the result to `path`."""
        return media.Encoder(
            path,
            info,
            self.settings,
            color=self.film.color,
            bits=self.film.bits,
            hdr10=self.film.hdr10,
            alpha=self.film.alpha,
            destination=self.destination,
        )


@dataclass(frozen=True)
class SegmentTask:
    """A segment to restore into the file `path`.

    pictures: files for the individual frames, if they are saved as well. ahead_bytes: frames that
    may wait for the encoder, in bytes; affects memory only, never the result.
    """

    segment: Segment
    path: Path
    pictures: tuple[Path, ...] = ()
    ahead_bytes: int = AHEAD_BYTES


@dataclass(frozen=True)
class TaskProgress:
    """Progress of one segment task.

    frames: frames of the result written so far. finished: true in the last progress of a task.
    work: frames and seconds that each stage spent since the last progress, if another process did
    the work. notes: sentences for the summary, such as that a worker was lost. repairs: what stages
    repaired in the segment, in the last progress.
    """

    frames: int
    finished: bool = False
    work: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    repairs: Repairs = field(default_factory=dict)


TaskUpdates = Generator[tuple[SegmentTask, TaskProgress], None, None]
"""Tasks with their progress, as it happens."""


class Executor(ABC):
    """Restores segments, possibly in parallel and out of order. A context manager.

    count: maximum number of segments at a time. threads: threads per network for a new job; a
    resumed job keeps the number that it began with.
    """

    count: int
    threads: int

    @abstractmethod
    def run(self, job: JobSpec, tasks: Sequence[SegmentTask]) -> TaskUpdates:
        """Restore every task once.

        Yields each task with its progress; the last progress of a task is `finished`. Closing the
        generator cancels unfinished tasks. Several threads may call this method at the same time.

        Raises:
            OldfilmError: a task failed.
        """

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *raised: Any) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027 (optional)
        """Stop all work. Threads that wait for a task get a KeyboardInterrupt."""


class InProcessExecutor(Executor):
    """Restores one segment after another in this process."""

    def __init__(self, chain: Chain) -> None:
        """Use `chain`, which must describe the job's film and have been given its facts."""
        self._chain = chain
        self.count = 1
        self.threads = threads()

    def run(self, job: JobSpec, tasks: Iterable[SegmentTask]) -> TaskUpdates:
        """Restore the tasks in order, see `Executor.run`."""
        with pinned(job.threads):
            for task in tasks:
                yield from self._run_task(job, task)

    def _run_task(self, job: JobSpec, task: SegmentTask) -> TaskUpdates:
        count = 0
        frames = _restored_frames(self._chain, job, task)
        encoder = job.encoder(task.path, self._chain.result)
        alphas = _alphas(job, task) if encoder.alpha else None
        with encoder, contextlib.closing(frames), contextlib.closing(alphas or frames):
            for frame in frames:
                alpha = alphas.of(frame) if alphas else None
                encoder.write(frame.image, alpha)
                if task.pictures:
                    media.write_photograph(task.pictures[count], frame.image, alpha=alpha)
                count += 1
                yield task, TaskProgress(count)
        repairs = self._chain.take_repairs(_span(job, task.segment))
        yield task, TaskProgress(count, finished=True, repairs=repairs)


def build_chain(stages: Sequence[Stage], job: JobSpec) -> Chain:
    """Build the chain of a job in a worker.

    Raises:
        NetworkError: the worker would not produce the same frames as its parent.
    """
    info = replace(job.film.info, frames=len(job.part))
    chain = Chain(sized(stages, job.height), info, job.reach)
    different = diff(job.fingerprint, chain_fingerprint(chain))
    if different:
        raise NetworkError(
            f"a worker would not produce the same frames ({'; '.join(different)}): install the "
            "same versions and weights on all machines."
        )
    chain.analyze(job.facts)
    return chain


def sized(stages: Sequence[Stage], height: int | None) -> Sequence[Stage]:
    """Append a `Resize` stage if a height is given."""
    return stages if height is None else [*stages, Resize(height)]


def _alphas(job: JobSpec, task: SegmentTask) -> AlphaChannel:
    """The alpha channel of a segment and of the frame after it."""
    film, start = job.film, job.part.start
    stop = min(task.segment.stop + 1, len(job.part))
    decoded = media.decode_alpha(film, start + task.segment.start, start + stop)
    return AlphaChannel(decoded, start / film.rate, job.facts.cuts)


def _restored_frames(chain: Chain, job: JobSpec, task: SegmentTask) -> Generator[Frame, None, None]:
    """Decode and restore a segment. Times are relative to the first restored frame of the film."""
    chain.study(functools.partial(_source_frames, job))
    segment = task.segment
    decoded = _decoded(job, segment.first, segment.last)
    with contextlib.closing(decoded):
        yield from prefetch(chain.run(decoded, _span(job, segment)), task.ahead_bytes)


def _span(job: JobSpec, segment: Segment) -> Span:
    return Span(segment.start / job.film.rate, segment.stop / job.film.rate)


def _decoded(job: JobSpec, first: int, last: int) -> Generator[Frame, None, None]:
    """Decode frames of the part to restore, by their numbers in it."""
    film, start = job.film, job.part.start
    decoded = media.decode(film, start + first, start + last)
    with contextlib.closing(decoded):
        for frame in decoded:
            yield replace(frame, time=frame.time - start / film.rate)


def _source_frames(job: JobSpec, span: Span) -> Iterator[Frame]:
    """Decode the frames in a span, see `Chain.study`."""
    first, last = (math.ceil(time * job.film.rate) for time in span)
    first = min(max(first, 0), len(job.part) - 1)
    last = min(max(last, first + 1), len(job.part))
    with contextlib.closing(_decoded(job, first, last)) as decoded:
        yield from decoded
