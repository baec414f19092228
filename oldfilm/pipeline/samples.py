"""Restores short spans of a film with the whole chain, for previews and estimates."""

from __future__ import annotations

import contextlib
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from oldfilm import media
from oldfilm.errors import MediaError, OptionError
from oldfilm.pipeline.chain import Chain
from oldfilm.pipeline.checkpoint import Plan
from oldfilm.pipeline.executors.base import (
    Executor,
    InProcessExecutor,
    JobSpec,
    SegmentTask,
    sized,
)
from oldfilm.pipeline.film_job import FilmJob
from oldfilm.pipeline.options import RestoreOptions
from oldfilm.pipeline.report import Progress
from oldfilm.pipeline.segments import Segment, with_neighbors
from oldfilm.stage import FilmFacts, Stage
from oldfilm.system.threads import threads


@dataclass(frozen=True)
class Restored:
    """One restored span.

    segment: its source frames, with neighbors. pictures: its frames, if they were wanted. arrivals:
    seconds from the beginning to every restored frame. seconds: until its file was complete.
    bytes: of the file.
    """

    segment: Segment
    pictures: tuple[Path, ...]
    arrivals: tuple[float, ...]
    seconds: float
    bytes: int


def film_job(
    source: str | Path,
    stages: Sequence[Stage],
    output: str | Path,
    options: RestoreOptions,
    progress: Progress | None,
    executor: Executor | None,
) -> FilmJob:
    """Return the job whose film is sampled. The arguments are those of `restore`.

    Raises:
        OldfilmError: as `restore`; or the source is a photograph.
    """
    source = Path(source)
    if media.is_photograph(source):
        raise OptionError(f"{source} is a photograph: restore it, which takes no longer.")
    stages = sized(stages, options.height)
    return FilmJob(source, stages, Path(output), options, progress or (lambda _: None), executor)


class Samples:
    """Short spans of a film; only their surroundings are analyzed, however long the film is.

    chain: describes the part of the film that the job restores. part: its source frames.
    """

    def __init__(self, job: FilmJob, reach: int | None = None) -> None:
        """reach: the most frames on each side that a span may see, see `Chain`."""
        self.part = job.part_of(job.film.frames)
        self.chain = Chain(job.stages, replace(job.film.info, frames=len(self.part)), reach)
        self._job, self._reach = job, reach

    @property
    def step(self) -> int:
        """Source frames that become at least one frame of the result."""
        result = self.chain.result
        return max(1, math.ceil(self.chain.info.rate / (result.rate * result.slowdown)))

    def facts(self, spans: Sequence[range]) -> FilmFacts:
        """Analyze the spans, with the neighbors that the chain needs.

        The brightness of all other frames is interpolated.

        Raises:
            MediaError: not a single frame can be decoded.
        """
        film, start = self._job.film, self.part.start
        offset = start / film.rate
        cuts: set[Fraction] = set()
        repeats: set[Fraction] = set()
        brightness: dict[int, float] = {}
        for span in spans:
            first = max(0, span.start - self.chain.before)
            last = min(len(self.part), span.stop + self.chain.after)
            found = media.analyze_part(film, range(start + first, start + last))
            cuts |= {cut - offset for cut in found.cuts}
            repeats |= {repeat - offset for repeat in found.repeats}
            brightness |= dict(zip(range(first, last), found.brightness))
        if not brightness:
            raise MediaError(f"{film.path}: no frame can be decoded.")
        numbers = sorted(brightness)
        values = np.interp(range(len(self.part)), numbers, [brightness[n] for n in numbers])
        return FilmFacts(tuple(sorted(cuts)), frozenset(repeats), tuple(values.tolist()), offset)

    @contextlib.contextmanager
    def restored(
        self, spans: Sequence[range], facts: FilmFacts, pictures: bool = False
    ) -> Iterator[Iterator[Restored]]:
        """Restore spans, one after another; their files exist until the context ends.

        pictures: also write the frames as pictures.
        """
        job, chain = self._job, self.chain
        edges = self.edges(facts)
        segments = [
            with_neighbors(s.start, s.stop, edges, chain.before, chain.after) for s in spans
        ]
        executor = job.executor or InProcessExecutor(chain)
        if job.executor is None:
            chain.analyze(facts)
        per_network = job.executor.threads if job.executor else threads()
        plan = Plan(self.part, facts, tuple(segments), per_network)
        spec = replace(job.job_spec(chain, plan), reach=self._reach)
        with tempfile.TemporaryDirectory(prefix="oldfilm-") as folder:
            tasks = [self._task(segment, Path(folder), pictures) for segment in segments]
            yield (self._run(executor, spec, task) for task in tasks)

    def edges(self, facts: FilmFacts) -> list[int]:
        """Return the first frames of all known shots, and the end of the film."""
        cuts = [round(cut * self._job.film.rate) for cut in facts.cuts]
        return [0, *cuts, len(self.part)]

    def _task(self, segment: Segment, folder: Path, pictures: bool) -> SegmentTask:
        chain = self.chain
        count = chain.result_frames(segment.stop) - chain.result_frames(segment.start)
        names = [folder / f"{segment.start:08d}-{number}.png" for number in range(count)]
        path = folder / self._job.segment_name(segment)
        return SegmentTask(segment, path, tuple(names) if pictures else ())

    def _run(self, executor: Executor, spec: JobSpec, task: SegmentTask) -> Restored:
        began, arrivals = time.monotonic(), []
        for _, progress in executor.run(spec, [task]):
            self.chain.add(progress.work)
            if not progress.finished:
                arrivals.append(time.monotonic() - began)
        seconds = time.monotonic() - began
        size = task.path.stat().st_size
        return Restored(task.segment, task.pictures, tuple(arrivals), seconds, size)
