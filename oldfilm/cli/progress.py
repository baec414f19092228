"""Progress on the terminal: one view, however many films are worked on at the same time."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from tqdm import tqdm

from oldfilm import media, pipeline


class Display:
    """What all inputs show together, and what is printed beside it, from any thread.

    A single input has a bar for each part of its work; several have one, of the frames of all that
    have been analyzed.
    """

    def __init__(self, quiet: bool, inputs: int) -> None:
        self._quiet = quiet
        self._inputs = inputs
        self._ended = 0
        self._stopped = False
        self._reports: dict[View, pipeline.JobProgress] = {}
        self._bar: tqdm | None = None
        self._part = ""
        self._one_at_a_time = threading.RLock()

    def view(self) -> View:
        """The part of one input."""
        return View(self)

    def stop(self) -> None:
        """Whoever reports from now on gets a KeyboardInterrupt."""
        self._stopped = True

    def show(self, view: View, report: pipeline.JobProgress) -> None:
        """Take over how far an input is."""
        with self._one_at_a_time:
            if self._stopped:
                raise KeyboardInterrupt
            self._reports[view] = report
            if not self._quiet:
                self._draw(report if self._inputs == 1 else self._all(report))

    def print(self, text: str, stream: IO[str]) -> None:
        """Print a text in the place of the bar, which comes again."""
        with self._one_at_a_time:
            self.close()
            stream.write(f"{text}\n")
            stream.flush()

    def end(self) -> None:
        """An input is done, or will not be."""
        with self._one_at_a_time:
            self._ended += 1

    def close(self) -> None:
        """Leave the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _all(self, last: pipeline.JobProgress) -> pipeline.JobProgress:
        known = [report for report in self._reports.values() if report.part != pipeline.ANALYZING]
        done = sum(r.total if r.part == pipeline.JOINING else r.done for r in known)
        part = f"{self._ended} of {self._inputs} done"
        return pipeline.JobProgress(part, done, sum(r.total for r in known), last.speeds)

    def _draw(self, report: pipeline.JobProgress) -> None:
        if self._bar is None or report.part != self._part:
            self.close()
            self._part = report.part
            self._bar = tqdm(
                initial=0 if self._inputs == 1 else report.done,
                total=report.total,
                desc=report.part,
                unit="frame",
                file=sys.stderr,
                leave=self._inputs == 1,
            )
        self._bar.total = report.total
        speeds = [f"{name} {speed:.1f}/s" for name, speed in report.speeds.items()]
        self._bar.set_postfix_str(", ".join(speeds), refresh=False)
        self._bar.update(report.done - self._bar.n)


class View:
    """What one input shows. started: whether the restoration of its frames has begun."""

    def __init__(self, display: Display) -> None:
        self.started = False
        self._display = display

    def show(self, report: pipeline.JobProgress) -> None:
        """As `pipeline.Progress`."""
        self.started = self.started or report.part == pipeline.RESTORING
        self._display.show(self, report)


def together(
    inputs: Sequence[Path],
    restore: Callable[[Path], int],
    workers: pipeline.Executor,
    display: Display,
) -> list[int]:
    """Restore inputs at the same time, so that no worker waits for the end of one of them.

    restore: returns the exit status of one. Films are begun in order, one more than there are
    workers; photographs are restored here meanwhile, one after the other.
    """
    with ThreadPoolExecutor(workers.count + 1, "oldfilm-film") as films:
        begun = {p: films.submit(restore, p) for p in inputs if not media.is_photograph(p)}
        try:
            done = {path: restore(path) for path in inputs if path not in begun}
            return [done[path] if path in done else begun[path].result() for path in inputs]
        except BaseException:
            for film in begun.values():
                film.cancel()
            display.stop()
            workers.close()
            raise
