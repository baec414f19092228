"""Restores a photograph: with a chain of stages, or with steps of the caller's own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from oldfilm import media
from oldfilm.errors import OptionError
from oldfilm.imaging.resample import resize
from oldfilm.pipeline.chain import Chain
from oldfilm.pipeline.completed_jobs import is_completed, remember
from oldfilm.pipeline.fingerprint import SourceFiles, job_fingerprint
from oldfilm.pipeline.options import RestoreOptions
from oldfilm.pipeline.report import UP_TO_DATE, Summary, stage_seconds
from oldfilm.pipeline.results import Results, claim, result_path
from oldfilm.pipeline.windows import Span
from oldfilm.stage import FilmFacts, FilmInfo, Frame, Stage
from oldfilm.system.files import remove_leftovers


class PhotoJob:
    """Reads one photograph and writes its result with the transparency, EXIF data and ICC profile.

    A caller with steps of its own restores `photograph.image` itself:

        job = PhotoJob(source, result, compare=True)
        job.claim(overwrite=False)
        notes = job.write(restore(job.photograph.image))

    `restore_photograph` does the same with a chain of stages.
    """

    def __init__(self, source: Path, result: Path, compare: bool = False) -> None:
        """compare: also write source and result side by side."""
        self.source = source
        self.result = result
        self.compare = result.with_name(f"{result.stem}_compare.png") if compare else None

    @cached_property
    def photograph(self) -> media.Photograph:
        """The photograph, read once.

        Raises:
            MediaError: it cannot be read.
        """
        return media.read_photograph(self.source)

    @property
    def targets(self) -> list[Path]:
        """The files that the job writes."""
        return [path for path in (self.result, self.compare) if path]

    def claim(self, overwrite: bool) -> None:
        """Make sure that the result may be written, see `results.claim`."""
        claim(self.targets, self.source, overwrite)
        for path in self.targets:
            remove_leftovers(path)

    def write(self, image: np.ndarray) -> list[str]:
        """Write the result and the comparison.

        image: float32 [h, w, 3] RGB or [h, w, 1] luma, in [0, 1], of any size. Returns notes for
        the user: damage of the source, and what the file format could not keep.

        Raises:
            MediaError: a file cannot be written.
        """
        original = self.photograph
        notes = media.write_photograph(
            self.result,
            image,
            alpha=_scaled_alpha(original.alpha, image),
            bits=original.bits,
            exif=original.exif,
            icc=original.icc,
        )
        if self.compare:
            both = media.side_by_side(original.image, image)
            media.write_photograph(self.compare, both, icc=original.icc)
        return [original.damage, *notes] if original.damage else notes

    def write_step(self, path: Path, image: np.ndarray) -> None:
        """Write an intermediate step with the ICC profile; overwrites a file of that name.

        Raises:
            MediaError: the file cannot be written.
        """
        claim([path], self.source, overwrite=True)
        media.write_photograph(path, image, icc=self.photograph.icc)


def restore_photograph(
    source: Path, stages: Sequence[Stage], output: Path | Results, options: RestoreOptions
) -> Summary:
    """Send a photograph through a chain of stages, as a film of one frame.

    Raises:
        MediaError: the photograph cannot be read, or the result cannot be written.
        OptionError: a stage is for films only.
    """
    started = time.monotonic()
    if any(stage.fields for stage in stages):
        raise OptionError(f"{source} is a photograph: leave out Deinterlace, which is for films.")
    if isinstance(output, Path):
        output = Results(result_path(source, stages, output, ".png", options.label))
    job = PhotoJob(source, output.path, options.compare)
    height, width, channels = job.photograph.image.shape
    chain = Chain(stages, FilmInfo(width, height, Fraction(1), 1, channels))
    for link in chain.links:
        if link.result.frames != 1:
            raise OptionError(
                f"{source} is a photograph: leave out {link.stage.name}, which creates new frames."
            )
    fingerprint = job_fingerprint(SourceFiles([source]), chain, options.deciding_frames())
    asks_again = options.overwrite or options.restart
    if not asks_again and is_completed(lambda: fingerprint, job.targets):
        return _summary(job, chain, started, [UP_TO_DATE])
    job.claim(options.overwrite or output.replaces)
    notes = job.write(_restored(chain, job.photograph.image))
    remember(fingerprint, job.targets)
    return _summary(job, chain, started, notes)


def _restored(chain: Chain, image: np.ndarray) -> np.ndarray:
    chain.analyze(FilmFacts())
    (restored,) = chain.run([Frame(image, Fraction(0))], Span(Fraction(0), Fraction(1)))
    return restored.image


def _scaled_alpha(alpha: np.ndarray | None, image: np.ndarray) -> np.ndarray | None:
    """Scale the transparency to the size of the restored picture."""
    return None if alpha is None else resize(alpha, image.shape[1::-1], cv2.INTER_LINEAR)


def _summary(job: PhotoJob, chain: Chain, started: float, notes: Sequence[str]) -> Summary:
    return Summary(
        source=job.source,
        path=job.result,
        before=chain.info,
        after=chain.result,
        seconds=time.monotonic() - started,
        stage_seconds=stage_seconds(chain),
        notes=tuple(notes),
        compare=job.compare,
    )
