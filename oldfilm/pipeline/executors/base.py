"""Restores single segments, wherever that is done: in this process, or in a worker's."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from oldfilm import media
from oldfilm.errors import NetworkError
from oldfilm.pipeline.chain import Chain
from oldfilm.pipeline.checkpoint import chain_fingerprint, diff
from oldfilm.pipeline.prefetch import AHEAD_BYTES, prefetch
from oldfilm.pipeline.resize import Resize
from oldfilm.pipeline.segments import Segment
from oldfilm.pipeline.windows import Span
from oldfilm.stage import FilmFacts, FilmInfo, FingerprintValue, Frame, Stage
from oldfilm.system.threads import pinned, threads

StageFactory = Callable[[], Sequence[Stage]]
"""Makes the stages of a chain in another process, which needs its own: it must pickle."""


@dataclass(frozen=True)
class JobSpec:
    """What every segment of a film needs, beside the stages.

    part: the source frames to restore. facts: of that part, its first frame at time 0. height:
    lines of the result, where they were asked for. destination: the result, whose suffix decides
    the codec. job: what decides the frames of the chain. threads: that networks compute in. memory:
    bytes that one segment takes. on_gpu: whether a stage wants one.
    """

    film: media.Film
    part: range
    facts: FilmFacts
    height: int | None
    settings: media.EncodeSettings
    destination: Path
    job: Mapping[str, FingerprintValue]
    threads: int
    memory: int
    on_gpu: bool

    def encoder(self, path: Path, info: FilmInfo) -> media.Encoder:
        """What writes a part of the result."""
        return media.Encoder(
            path,
            info,
            self.settings,
            color=self.film.color,
            bits=self.film.bits,
            destination=self.destination,
        )


@dataclass(frozen=True)
class Order:
    """A segment to restore, into the file `path`.

    pictures: where its frames are saved as well. ahead_bytes: of frames that may wait for the
    encoder; they cost memory, and change nothing else.
    """

    segment: Segment
    path: Path
    pictures: tuple[Path, ...] = ()
    ahead_bytes: int = AHEAD_BYTES


@dataclass(frozen=True)
class Made:
    """How far an order is.

    frames: of the result. work: frames and seconds of every stage, where another process did it.
    notes: plain sentences on how it went.
    """

    order: Order
    frames: int
    finished: bool = False
    work: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Executor(ABC):
    """Whoever restores segments, several at a time, in any order; a context manager.

    count: how many there are, at most. threads: that each computes in, as far as a job has not
    begun with another number.
    """

    count: int
    threads: int

    @abstractmethod
    def make(self, assignment: JobSpec, orders: Sequence[Order]) -> Generator[Made, None, None]:
        """Restore every order once.

        Yields how far each is; the last word on each is `finished`. Closing the generator stops
        what is still being made. Each of several threads may take what it asked for.

        Raises:
            OldfilmError: an order cannot be done.
        """

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *raised: Any) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027 (optional)
        """Stop all work; whoever waits for it gets a KeyboardInterrupt."""


class InProcessExecutor(Executor):
    """Restores one segment after the other in this process."""

    def __init__(self, chain: Chain) -> None:
        """chain: of the assignment, and analyzed."""
        self._chain = chain
        self.count = 1
        self.threads = threads()

    def make(self, assignment: JobSpec, orders: Iterable[Order]) -> Generator[Made, None, None]:
        """As `Executor.make`, in order."""
        with pinned(assignment.threads):
            for order in orders:
                yield from self._make(assignment, order)

    def _make(self, assignment: JobSpec, order: Order) -> Generator[Made, None, None]:
        count = 0
        frames = _restored(self._chain, assignment, order)
        encoder = assignment.encoder(order.path, self._chain.result)
        with encoder, contextlib.closing(frames):
            for frame in frames:
                encoder.write(frame.image)
                if order.pictures:
                    media.write_photograph(order.pictures[count], frame.image)
                count += 1
                yield Made(order, count)
        yield Made(order, count, finished=True)


def chain_of(stages: Sequence[Stage], assignment: JobSpec) -> Chain:
    """The chain of an assignment in another process.

    Raises:
        NetworkError: it would not give the same frames there.
    """
    info = replace(assignment.film.info, frames=len(assignment.part))
    chain = Chain(sized(stages, assignment.height), info)
    other = diff(assignment.job, chain_fingerprint(chain))
    if other:
        raise NetworkError(
            f"a worker would not give the same frames ({'; '.join(other)}): give all machines the "
            "same versions and weights."
        )
    chain.analyze(assignment.facts)
    return chain


def sized(stages: Sequence[Stage], height: int | None) -> Sequence[Stage]:
    """The stages, and the one that brings their result to `height` lines, where that is wanted."""
    return stages if height is None else [*stages, Resize(height)]


def _restored(chain: Chain, assignment: JobSpec, order: Order) -> Generator[Frame, None, None]:
    """The result's frames of a segment; times count from the first restored frame."""
    film, segment, start = assignment.film, order.segment, assignment.part.start
    decoded = media.decode(film, start + segment.first, start + segment.last)
    with contextlib.closing(decoded):
        source = (replace(frame, time=frame.time - start / film.rate) for frame in decoded)
        wanted = Span(segment.start / film.rate, segment.stop / film.rate)
        yield from prefetch(chain.run(source, wanted), order.ahead_bytes)
