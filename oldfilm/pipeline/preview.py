"""A few frames of a film through the whole chain, before and after, in one picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from oldfilm import media
from oldfilm.errors import OptionError
from oldfilm.media import html
from oldfilm.pipeline.completed_jobs import is_extra, mark_as_extras
from oldfilm.pipeline.executors.base import Executor
from oldfilm.pipeline.film_job import FilmJob
from oldfilm.pipeline.options import RestoreOptions
from oldfilm.pipeline.report import JobProgress, Progress
from oldfilm.pipeline.results import claim
from oldfilm.pipeline.samples import Restored, Samples, film_job
from oldfilm.stage import Stage

PREVIEWING = "Previewing"

REACH = 6
"""Frames on each side that a previewed frame sees. The neighbors that the stages of a long chain
ask for add up to 78: those further away hardly change a frame, but take most of the time."""


@dataclass(frozen=True)
class Preview:
    """A preview of a film.

    path: a picture with a row for each frame, the original on the left. times: of the frames, in
    seconds of the source. pairs: each frame before and after, float32 [h, w, c], RGB or luma, in
    [0, 1].
    """

    source: Path
    path: Path
    times: tuple[Fraction, ...]
    pairs: tuple[tuple[np.ndarray, np.ndarray], ...] = field(default=(), repr=False)

    def _repr_html_(self) -> str:
        return html.fragment(html.player(self.path))


def preview(
    source: str | Path,
    stages: Sequence[Stage],
    output: str | Path,
    options: RestoreOptions,
    frames: int,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> Preview:
    """Restore frames that are spread evenly over a film, and show them next to the originals.

    Only these frames and `REACH` neighbors on each side are read, so the time does not depend on
    the film's length. Brightness elsewhere in the film is interpolated. So stages that follow the
    film, such as Deflicker, come close to the result of the whole job. frames: how many. The other
    arguments are those of `restore`. The picture is next to the result and is called
    `<result>_preview.png`; it replaces an earlier preview.

    Raises:
        OldfilmError: as `restore`; or the source is a photograph.
    """
    if frames < 1:
        raise OptionError(f"`preview={frames}`: must be at least 1")
    plain = replace(options, save_frames=False, compare=False)
    job = film_job(source, stages, output, plain, progress, executor)
    path = job.path.with_name(f"{job.path.stem}_preview.png")
    claim([path], job.source, options.overwrite or is_extra(path))
    samples, rows = Samples(job, REACH), []
    spans = spread(len(samples.part), frames, samples.step)
    job.progress(JobProgress(PREVIEWING, 0, len(spans)))
    with samples.restored(spans, samples.facts(spans), pictures=True) as restored:
        for number, one in enumerate(restored, 1):
            rows.append((_time_of(samples, one), *_pair(job, samples, one)))
            job.progress(JobProgress(PREVIEWING, number, len(spans)))
    captions = [(html.moment(float(time)), before, after) for time, before, after in rows]
    sheet = media.contact_sheet(captions, samples.chain.result.sample_aspect)
    media.write_photograph(path, sheet)
    mark_as_extras([path])
    pairs = tuple((before, after) for _, before, after in rows)
    return Preview(job.source, path, tuple(time for time, _, _ in rows), pairs)


def spread(length: int, count: int, step: int = 1) -> list[range]:
    """Return spans of `step` frames in the middle of `count` equal parts of a film."""
    last = max(0, length - step)
    starts = {min(last, (2 * part + 1) * length // (2 * count)) for part in range(count)}
    return [range(start, min(length, start + step)) for start in sorted(starts)]


def _time_of(samples: Samples, one: Restored) -> Fraction:
    """The time in the source of the first restored frame of a span."""
    chain = samples.chain
    number = chain.result_frames(one.segment.start)
    offset = samples.part.start / chain.info.rate
    return offset + number / (chain.result.rate * chain.result.slowdown)


def _pair(job: FilmJob, samples: Samples, one: Restored) -> tuple[np.ndarray, np.ndarray]:
    index = math.floor(_time_of(samples, one) * job.film.rate)
    original = next(media.decode(job.film, index, index + 1))
    return original.image, media.read_photograph(one.pictures[0]).image
