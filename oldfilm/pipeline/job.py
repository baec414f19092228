"""One job: a film or a photograph, a chain of stages, and a result."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2

from oldfilm import media
from oldfilm.errors import MachineError, from_os
from oldfilm.pipeline.completed_jobs import mark_as_extras
from oldfilm.pipeline.excerpt import check_excerpt, write_excerpt
from oldfilm.pipeline.executors.base import Executor, sized
from oldfilm.pipeline.film_job import FilmJob
from oldfilm.pipeline.options import RestoreOptions
from oldfilm.pipeline.page import write_page
from oldfilm.pipeline.photo_job import restore_photograph
from oldfilm.pipeline.report import JobProgress, Progress, Summary
from oldfilm.pipeline.results import Results
from oldfilm.stage import Stage
from oldfilm.system.memory import is_out_of_memory


def restore(
    source: str | Path,
    stages: Sequence[Stage],
    output: str | Path | Results = "output",
    options: RestoreOptions | None = None,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> Summary:
    """Send a film or a photograph through a chain of stages.

    Nothing is written under the result's name before the result is complete. If an earlier run of
    the same job was stopped, its finished segments are used, and the result is the same.

    source: a film, a photograph, or a folder of numbered frames. stages: with an executor, they
    describe the film and run in its workers only, which build their own. output: a folder, or the
    path of the result if it ends in the suffix of a film, picture or GIF; `folder/%08d.png` for a
    folder of numbered pictures; or the `Results` that a predictor names. executor: restores the
    segments of a film; by default this process, one after another. It changes no frame.

    Raises:
        MediaError: the source cannot be read, or the result cannot be written.
        MachineError: the disk is full, memory is short, or a process was killed.
        OptionError: the options do not suit the source, or differ from those of the earlier run.
    """
    source, options = Path(source), options or RestoreOptions()
    output = output if isinstance(output, Results) else Path(output)
    stages = sized(stages, options.height)
    with _machine_errors(source, output.path if isinstance(output, Results) else output):
        check_excerpt(source, options)
        if media.is_photograph(source):
            summary = restore_photograph(source, stages, output, options)
        else:
            job = FilmJob(source, stages, output, options, progress or _ignore, executor)
            summary = job.restore()
        _write_extras(summary, stages, options)
        return summary


def _write_extras(summary: Summary, stages: Sequence[Stage], options: RestoreOptions) -> None:
    if options.report is not None:
        write_page(options.report, summary, stages)
    if options.excerpt is not None:
        write_excerpt(summary, options)
    mark_as_extras(list(options.extras.values()))


@contextlib.contextmanager
def _machine_errors(source: Path, output: Path) -> Iterator[None]:
    """Raise the errors of the operating system and of short memory as our own."""
    try:
        yield
    except OSError as error:
        raise from_os(str(error.filename or output), error) from error
    except (MemoryError, RuntimeError, cv2.error) as error:
        if not is_out_of_memory(error):
            raise
        raise MachineError(
            f"{source}: this machine has too little memory for its frames."
        ) from error


def _ignore(progress: JobProgress) -> None:
    pass
