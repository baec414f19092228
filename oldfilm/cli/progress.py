"""Progress and messages on the terminal, however many inputs are restored at the same time."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from oldfilm import media, pipeline
from oldfilm.cli.log import record
from oldfilm.pipeline import JobProgress
from oldfilm.pipeline.progress import Pace, ProgressLines, ProgressObjects, about, progress_view

STOPPABLE = "Ctrl-C stops it; what is finished is kept, and the same command resumes."

LONG_RUN, SURE_AFTER = 600.0, 20.0
"""Seconds: a longer run is announced, once it has been measured for this long."""


class Display:
    """The progress of all inputs, and the messages printed above it, from any thread.

    A single input has a bar for each part of its work. Several share one, which counts the frames
    of all inputs that have been analyzed. As JSON, every input has its own.
    """

    def __init__(self, quiet: bool, inputs: int, kind: str | None = None) -> None:
        """kind: how progress is shown, see `progress_view`; if given, also when quiet."""
        self._shows = kind is not None or not quiet
        self._separately = kind == "json"
        self._inputs = inputs
        self._ended = 0
        self._stopped = False
        self._progress: dict[InputProgress, JobProgress] = {}
        self._view = progress_view(inputs == 1, kind)
        self._lock = threading.RLock()

    def stop(self) -> None:
        """Raise KeyboardInterrupt in every thread that reports from now on."""
        self._stopped = True

    def show(self, one: InputProgress, progress: JobProgress) -> None:
        """Show how far one input is."""
        with self._lock:
            if self._stopped:
                raise KeyboardInterrupt
            self._progress[one] = progress
            if self._separately:
                one.objects(progress)
            elif self._shows:
                self._view(progress if self._inputs == 1 else self._overall(progress))
                one.announce(progress)
            one.recorded(progress)

    def print(self, text: str, stream: IO[str]) -> None:
        """Print a text above the bar, and record it."""
        record(text)
        with self._lock:
            self._view.close()
            stream.write(f"{text}\n")
            stream.flush()

    def end(self) -> None:
        """Count an input that has ended, restored or not."""
        with self._lock:
            self._ended += 1

    def close(self) -> None:
        """End the bar."""
        self._view.close()

    def _overall(self, latest: JobProgress) -> JobProgress:
        known = [one for one in self._progress.values() if one.part != pipeline.ANALYZING]
        done = sum(one.total if one.part == pipeline.JOINING else one.done for one in known)
        part = f"{self._ended} of {self._inputs} done"
        return JobProgress(part, done, sum(one.total for one in known), latest.speeds)


class InputProgress:
    """The progress of one input. started: whether its frames are being restored.

    objects: shows it as JSON. recorded: writes it to the log file.
    """

    def __init__(
        self,
        display: Display,
        source: Path,
        long_run: float = LONG_RUN,
        sure_after: float = SURE_AFTER,
    ) -> None:
        """long_run, sure_after: see `LONG_RUN`."""
        self._long_run, self._sure_after = long_run, sure_after
        self.started = False
        self._source, self._display = source, display
        self._pace, self._announced = Pace(), False
        self.objects = ProgressObjects(source)
        self.recorded = ProgressLines(lambda line: record(f"{source}: {line}"))

    def announce(self, progress: JobProgress) -> None:
        """Print once what a long run takes, from its first frames."""
        left = self._pace.update(progress)[1]
        if self._announced or progress.part != pipeline.RESTORING or left is None:
            return
        if self._pace.seconds >= self._sure_after:
            self._announced = True
            if left > self._long_run:
                line = f"{self._source}: about {about(left)} left. {STOPPABLE}"
                needs = f"\n{_needed(progress.needs)}" if progress.needs else ""
                self._display.print(f"{line}{needs}", sys.stderr)

    def __call__(self, progress: JobProgress) -> None:
        """Show how far the input is."""
        self.started = self.started or progress.part == pipeline.RESTORING
        self._display.show(self, progress)


def _needed(needs: pipeline.Needs) -> str:
    """Return what a job takes, in a line."""
    disk = f"about {size(needs.disk)} of disk while it runs ({size(needs.free)} free)"
    return f"      {disk}, {gib_of_memory(needs.memory, needs.available)}"


def gib_of_memory(count: float, available: int | None) -> str:
    """Return how much memory work takes, and how much there is."""
    there = "" if available is None else f" ({available / 2**30:.1f} GiB available)"
    return f"{count / 2**30:.1f} GiB of memory{there}"


def size(count: float) -> str:
    """Return bytes in a unit that suits them."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def restore_in_parallel(
    inputs: Sequence[Path],
    restore: Callable[[Path], int],
    executor: pipeline.Executor,
    display: Display,
) -> list[int]:
    """Restore several inputs at the same time, so that no worker is idle while one of them ends.

    restore: returns the exit status of one. Films start in order, one more than there are workers;
    photographs are restored in this thread meanwhile, one after the other.
    """
    with ThreadPoolExecutor(executor.count + 1, "oldfilm-film") as films:
        started = {p: films.submit(restore, p) for p in inputs if not media.is_photograph(p)}
        try:
            done = {path: restore(path) for path in inputs if path not in started}
            return [done[path] if path in done else started[path].result() for path in inputs]
        except BaseException:
            for film in started.values():
                film.cancel()
            display.stop()
            executor.close()
            raise
