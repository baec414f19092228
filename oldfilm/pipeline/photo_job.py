"""Restores a photograph: with a chain of stages, or with steps of the caller's own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from oldfilm import media
from oldfilm.errors import OptionError
from oldfilm.imaging.resample import resize_alpha
from oldfilm.pipeline.chain import Chain
from oldfilm.pipeline.completed_jobs import is_completed, mark_as_results, remember
from oldfilm.pipeline.fingerprint import SourceFiles, job_fingerprint
from oldfilm.pipeline.options import RestoreOptions
from oldfilm.pipeline.report import UP_TO_DATE, Summary, stage_seconds
from oldfilm.pipeline.results import Results, claim, claim_extras, result_path
from oldfilm.pipeline.windows import Span
from oldfilm.stage import FilmFacts, FilmInfo, FingerprintValue, Frame, Stage
from oldfilm.system.files import remove_leftovers
from oldfilm.system.locks import exclusive


class PhotoJob:
    """Reads one photograph and writes its result with the transparency and all metadata.

    A caller with steps of its own restores the pages itself:

        job = PhotoJob(source, result, compare=True)
        job.claim(overwrite=False)
        notes = job.write([restore(page.image) for page in job.pages()])

    `restore_photograph` does the same with a chain of stages.
    """

    def __init__(
        self,
        source: Path,
        result: Path,
        compare: bool = False,
        photograph: media.Photograph | None = None,
    ) -> None:
        """compare: also write source and result side by side. photograph: the source, if read."""
        self.source = source
        self.result = result
        self._photograph = photograph
        self.compare = result.with_name(f"{result.stem}_compare.png") if compare else None

    @property
    def photograph(self) -> media.Photograph:
        """The photograph, or the first of its pages, read once.

        Raises:
            MediaError: it cannot be read.
        """
        if self._photograph is None:
            self._photograph = media.read_photograph(self.source)
        return self._photograph

    def pages(self) -> Iterator[media.Photograph]:
        """Yield all pages that the result can hold; most photographs have one.

        Raises:
            MediaError: a page cannot be read.
        """
        yield self.photograph
        if media.keeps_pages(self.result):
            for number in range(1, self.photograph.pages):
                yield media.read_photograph(self.source, number)

    @property
    def targets(self) -> list[Path]:
        """The files that the job writes."""
        return [path for path in (self.result, self.compare) if path]

    def claim(self, overwrite: bool) -> None:
        """Make sure that the result may be written, see `results.claim`."""
        claim(self.targets, self.source, overwrite)
        for path in self.targets:
            remove_leftovers(path)

    def write(self, images: Sequence[np.ndarray]) -> list[str]:
        """Write the result and the comparison.

        images: the restored pages, float32 [h, w, 3] RGB or [h, w, 1] luma, in [0, 1], of any
        size. Returns notes for the user: damage of the source, and what could not be kept.

        Raises:
            MediaError: a file cannot be written.
        """
        originals = list(self.pages()) if len(images) > 1 else [self.photograph]
        notes = media.write_pages(
            self.result, [_in_place(old, new) for old, new in zip(originals, images)]
        )
        if self.compare:
            both = media.side_by_side(self.photograph.image, images[0])
            media.write_photograph(self.compare, both, icc=self.photograph.icc)
        mark_as_results(self.targets)
        lost = self.photograph.pages - len(images)
        if lost:
            kind = self.result.suffix[1:]
            notes.append(f"{self.source.name}: {lost} more pages were left out: {kind} holds one")
        read = [f"{self.source.name}: {note}" for old in originals for note in old.notes]
        damage = [old.damage for old in originals if old.damage]
        return [*damage, *dict.fromkeys(read), *notes]

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
    photograph = media.read_photograph(source)
    if isinstance(output, Path):
        suffix = ".tif" if photograph.pages > 1 else ".png"
        output = Results(result_path(source, stages, output, suffix, options))
    job = PhotoJob(source, output.path, options.compare, photograph)
    with exclusive(output.path):
        return _restore(job, stages, options, output.replaces, started)


def _restore(
    job: PhotoJob,
    stages: Sequence[Stage],
    options: RestoreOptions,
    replaces: bool,
    started: float,
) -> Summary:
    chain, source = _chain_for(job.photograph, stages), job.source
    for link in chain.links:
        if link.result.frames != 1:
            raise OptionError(
                f"{source} is a photograph: leave out {link.stage.name}, which creates new frames."
            )
    claim_extras(options, job.targets, source)
    fingerprint = job_fingerprint(SourceFiles([source]), chain, options.deciding_frames())
    asks_again = options.overwrite or options.restart
    if not asks_again and is_completed(lambda: fingerprint, job.targets):
        return _summary(job, chain, started, [UP_TO_DATE], fingerprint)
    job.claim(options.overwrite or replaces)
    notes = job.write([_restored(chain, stages, page) for page in job.pages()])
    remember(fingerprint, job.targets)
    return _summary(job, chain, started, notes, fingerprint)


def _chain_for(photograph: media.Photograph, stages: Sequence[Stage]) -> Chain:
    height, width, channels = photograph.image.shape
    return Chain(stages, FilmInfo(width, height, Fraction(1), 1, channels))


def _restored(job: Chain, stages: Sequence[Stage], page: media.Photograph) -> np.ndarray:
    """Restore a page, and add the work to the chain of the job."""
    chain, frame = _chain_for(page, stages), Frame(page.image, Fraction(0))
    chain.analyze(FilmFacts())
    chain.study(lambda span: [frame])
    (restored,) = chain.run([frame], Span(Fraction(0), Fraction(1)))
    job.add(chain.work)
    return restored.image


def _in_place(original: media.Photograph, image: np.ndarray) -> media.Photograph:
    """Return a restored page with everything of the original, scaled to its size."""
    size = image.shape[1::-1]
    alpha, extra = original.alpha, original.extra
    if alpha is not None:
        alpha = resize_alpha(alpha, size)
    if extra is not None:
        parts = np.moveaxis(extra, 2, 0)
        scaled = [resize_alpha(np.ascontiguousarray(part), size) for part in parts]
        extra = np.stack(scaled, axis=2)
    return replace(original, image=image, alpha=alpha, extra=extra)


def _summary(
    job: PhotoJob,
    chain: Chain,
    started: float,
    notes: Sequence[str],
    fingerprint: Mapping[str, FingerprintValue],
) -> Summary:
    return Summary(
        source=job.source,
        path=job.result,
        before=chain.info,
        after=chain.result,
        seconds=time.monotonic() - started,
        stage_seconds=stage_seconds(chain),
        notes=tuple(notes),
        compare=job.compare,
        job=fingerprint,
    )
