"""Runs the jobs of all visitors, one after another, and previews next to them."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import ImageColor

from oldfilm import media, pipeline
from oldfilm.api import Job
from oldfilm.app.workspace import (
    DONE,
    FAILED,
    STOPPED,
    WAITING,
    ColorHint,
    Comparison,
    Project,
    RefusedError,
    Settings,
    Workspace,
)
from oldfilm.errors import OldfilmError
from oldfilm.imaging.color import as_rgb
from oldfilm.imaging.resample import resize
from oldfilm.media import html
from oldfilm.pipeline import JobProgress
from oldfilm.pipeline.page import pairs
from oldfilm.pipeline.progress import Pace
from oldfilm.system.files import remove
from oldfilm.system.stopping import stoppable

logger = logging.getLogger(__name__)

RUNNING = "running"

COMPARED = 3
"""How many frames of a film are shown before and after."""

_CLEANING_SECONDS = 600.0


@dataclass(frozen=True)
class Status:
    """The state of a project's job.

    state: as in its record, or RUNNING. ahead: jobs that run before a waiting one. progress, left:
    how far a running one is, and the seconds until this part of it ends; None while unknown.
    """

    state: str
    ahead: int = 0
    progress: JobProgress | None = None
    left: float | None = None


class _Run:
    """A job or preview that is running: its progress, and how to stop it."""

    def __init__(self, report: pipeline.Progress | None = None) -> None:
        self.progress: JobProgress | None = None
        self.left: float | None = None
        self._pace, self._report = Pace(), report
        self._executor: pipeline.Executor | None = None
        self._stopped = False

    def __call__(self, progress: JobProgress) -> None:
        self.check()
        self.left = self._pace.update(progress)[1]
        self.progress = progress
        if self._report:
            self._report(progress)

    def check(self) -> None:
        """Raise KeyboardInterrupt once it is stopped."""
        if self._stopped:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def executor(self, job: Job) -> Iterator[pipeline.Executor]:
        """Open the executor of a job, which `stop` closes."""
        with job.open_executor() as executor:
            self._executor = executor
            self.check()
            with stoppable(self.check):  # A photograph is restored in this thread.
                yield executor

    def stop(self) -> None:
        """Stop it now; finished segments are kept."""
        self._stopped = True
        if self._executor is not None:
            self._executor.close()


class JobQueue:
    """Jobs of all visitors. They survive the server: `start` resumes what it had not finished."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._changed = threading.Condition()
        self._waiting: deque[Path] = deque()
        self._running: dict[Path, _Run] = {}
        self._previews: dict[Path, _Run] = {}
        self._closed = False
        self._threads = [
            threading.Thread(target=work, name="oldfilm-app", daemon=True)
            for work in (self._work, self._clean)
        ]

    def start(self) -> None:
        """Remove what an earlier server left, and resume its jobs."""
        self.workspace.clean(starting=True)
        self._waiting.extend(project.folder for project in self.workspace.unfinished())
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop all work. The next server resumes unfinished jobs."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            for run in [*self._running.values(), *self._previews.values()]:
                run.stop()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def submit(self, project: Project, settings: Settings) -> None:
        """Put a job at the end of the queue. A stopped one with the same settings resumes.

        Raises:
            RefusedError: the project's job runs already, or too many jobs wait.
            OldfilmError: the settings do not fit.
        """
        settings.make_job()  # Wrong settings fail now, not at the end of the queue.
        with self._changed:
            if self.status(project).state in (WAITING, RUNNING):
                raise RefusedError("This film is being restored: cancel first.", "busy")
            if len(self._waiting) >= self.workspace.limits.waiting:
                raise RefusedError("Too many films wait: try again later.", "full")
            if project.record.settings != settings:
                for unfinished in project.results.glob(".*.oldfilm"):
                    remove(unfinished)
            record = project.record
            record.settings, record.state, record.error = settings, WAITING, ""
            record.asked = time.time()
            project.save()
            self._waiting.append(project.folder)
            self._changed.notify_all()

    def cancel(self, project: Project) -> None:
        """Stop a job, or take it from the queue. Also stops a preview."""
        with self._changed:
            if project.folder in self._waiting:
                self._waiting.remove(project.folder)
                project.record.state = STOPPED
                project.save()
            runs = (self._running.get(project.folder), self._previews.get(project.folder))
        for run in filter(None, runs):
            run.stop()

    def remove(self, project: Project) -> None:
        """Stop a project's job, and delete the project."""
        self.cancel(project)
        with self._changed:
            both = (self._running, self._previews)
            self._changed.wait_for(lambda: not any(project.folder in runs for runs in both))
        project.remove()

    def status(self, project: Project) -> Status:
        """Return the state of a project's job."""
        with self._changed:
            if run := self._running.get(project.folder):
                return Status(RUNNING, progress=run.progress, left=run.left)
            if project.folder in self._waiting:
                ahead = len(self._running) + self._waiting.index(project.folder)
                return Status(WAITING, ahead=ahead)
        return Status(project.record.state)

    def preview(
        self,
        project: Project,
        settings: Settings,
        frames: int = COMPARED,
        progress: pipeline.Progress | None = None,
    ) -> list[Comparison]:
        """Restore a few frames of a film; returns them before and after.

        Raises:
            OldfilmError: as `pipeline.preview`, or the preview was canceled.
        """
        run = _Run(progress)
        with self._changed:
            if project.folder in self._previews:
                raise RefusedError("This film is being restored: cancel first.", "busy")
            self._previews[project.folder] = run
        try:
            job = settings.make_job(overwrite=True)
            target = project.pictures / "preview.mp4"
            with run.executor(job) as executor:
                seen = pipeline.preview(
                    project.source, job.stages, target, job.options, frames, run, executor
                )
            rows = zip(seen.times, seen.pairs)
            shown = [(html.moment(float(time)), *pair) for time, pair in rows]
            return _written(project, "preview", shown)
        except KeyboardInterrupt:
            raise RefusedError("The preview was canceled.", "canceled") from None
        finally:
            with self._changed:
                del self._previews[project.folder]
                self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._waiting)
                if self._closed:
                    return
                folder = self._waiting.popleft()
                run = self._running[folder] = _Run()
            try:
                if project := Project.read(folder):
                    self._restore(project, run)
            except OSError as error:  # The record cannot be written: the disk is full.
                logger.error("%s: %s", folder, error)
            finally:
                with self._changed:
                    del self._running[folder]
                    self._changed.notify_all()

    def _restore(self, project: Project, run: _Run) -> None:
        """Run a job and record how it ended."""
        record = project.record
        try:
            self._run(project, run)
            record.state, record.error = DONE, ""
        except KeyboardInterrupt:
            if self._closed:
                return  # The next server resumes it.
            record.state = STOPPED
        except OldfilmError as error:
            record.state = FAILED
            record.error = str(error).replace(f"{project.folder}/", "")
        except Exception as error:
            logger.exception("%s", project.folder)
            record.state, record.error = FAILED, f"{type(error).__name__}: {error}"
        if project.folder.is_dir():
            project.save()

    def _run(self, project: Project, run: _Run) -> None:
        record = project.record
        assert record.settings is not None
        report = project.results / f"{Path(record.name).stem}_report.html"
        job = record.settings.make_job(overwrite=True, report=report)
        with run.executor(job) as executor:
            summary = job.run(project.source, project.results, run, executor)
        record.result, record.report = summary.path.name, report.name
        record.notes = summary.notes
        record.comparisons = tuple(_written(project, "result", pairs(summary, COMPARED)))
        for other in project.results.iterdir():
            if other.name not in (record.result, record.report):
                remove(other)

    def _clean(self) -> None:
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._closed, _CLEANING_SECONDS):
                    return
            try:
                self.workspace.clean()
            except OSError as error:
                logger.error("%s: %s", self.workspace.folder, error)


def _written(
    project: Project, name: str, shown: Iterable[tuple[str, np.ndarray, np.ndarray]]
) -> list[Comparison]:
    """Write frames before and after as pictures of one size, in place of earlier ones."""
    with contextlib.suppress(OSError):
        for old in project.pictures.glob(f"{name}-*.png"):
            old.unlink()
    project.pictures.mkdir(parents=True, exist_ok=True)
    written = []
    stamp = f"{name}-{time.time_ns()}"  # A browser would show an old picture of the same name.
    for number, (caption, before, after) in enumerate(shown):
        size = html.fitted(after.shape[1], after.shape[0])
        names = f"{stamp}-{number}-before.png", f"{stamp}-{number}-after.png"
        for file, image in zip(names, (before, after)):
            media.write_photograph(project.pictures / file, as_rgb(resize(image, size)))
        written.append(Comparison(caption, *names))
    return written


def frame_at(project: Project, seconds: float) -> np.ndarray:
    """Return a frame of a film, or the photograph: uint8 [h, w, 3], at most 960 pixels wide.

    Raises:
        MediaError: it cannot be read.
    """
    if project.record.is_photograph:
        image = media.read_photograph(project.source).image
    else:
        film = media.Film.open(project.source)
        index = min(max(0, int(seconds * film.rate)), max(0, film.frames - 1))
        decoded = media.decode(film, index, index + 1)
        with contextlib.closing(decoded):
            image = next(decoded).image
    size = html.fitted(image.shape[1], image.shape[0])
    return np.rint(np.clip(as_rgb(resize(image, size)), 0, 1) * 255).astype(np.uint8)


def with_hints(image: np.ndarray, hints: Iterable[ColorHint], seconds: float) -> np.ndarray:
    """Return a frame with a dot at each hint for this moment. image: as `frame_at` returns it."""
    marked = image.copy()
    height, width = image.shape[:2]
    radius = max(5, width // 60)
    for hint in hints:
        if hint.at == seconds:
            center = int(hint.x / 100 * width), int(hint.y / 100 * height)
            cv2.circle(marked, center, radius, (255, 255, 255), -1)
            cv2.circle(marked, center, radius - 2, ImageColor.getrgb(hint.color), -1)
    return marked
