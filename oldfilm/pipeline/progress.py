"""Progress of a job on the standard error: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator

from tqdm import tqdm

from oldfilm.pipeline.report import JobProgress, Progress

LINE_SECONDS, LINE_SHARE = 10.0, 0.1
"""A plain line follows the last one after this time, or after this share of the frames."""

SHORTEST_SECONDS = 1.0
"""No plain line follows the last one sooner, however fast the work is."""


class ProgressBar:
    """A bar for each part of the work. leave: whether finished bars stay on the terminal."""

    def __init__(self, leave: bool = True) -> None:
        self._leave = leave
        self._part = ""
        self._bar: tqdm | None = None

    def __call__(self, progress: JobProgress) -> None:
        """Draw how far the job is."""
        if self._bar is None or progress.part != self._part:
            self._open(progress)
        bar = self._bar
        assert bar is not None
        bar.total = progress.total
        bar.set_postfix_str(speeds(progress), refresh=False)
        bar.update(progress.done - bar.n)

    def close(self) -> None:
        """End the bar; the next call opens another."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _open(self, progress: JobProgress) -> None:
        self.close()
        self._part = progress.part
        self._bar = tqdm(
            initial=0 if self._leave else progress.done,
            total=progress.total,
            desc=progress.part,
            unit="frame",
            file=sys.stderr,
            leave=self._leave,
        )


class ProgressLines:
    """A plain line now and then, for logs and pipes."""

    def __init__(self) -> None:
        self._written = time.monotonic()
        self._part = ""
        self._done = 0

    def __call__(self, progress: JobProgress) -> None:
        """Write a line if the last one is old enough."""
        if progress.part != self._part:
            self._part, self._done = progress.part, 0
        elapsed = time.monotonic() - self._written
        step = progress.done - self._done >= LINE_SHARE * progress.total
        if elapsed < (SHORTEST_SECONDS if step else LINE_SECONDS):
            return
        self._written, self._done = time.monotonic(), progress.done
        share = progress.done / max(progress.total, 1)
        line = f"{progress.part}: {progress.done} of {progress.total} frames ({share:.0%})"
        sys.stderr.write(", ".join(filter(None, [line, speeds(progress)])) + "\n")
        sys.stderr.flush()

    def close(self) -> None:
        """Do nothing: every line is complete."""


def progress_view(leave: bool = True) -> ProgressBar | ProgressLines:
    """Return the view that suits the standard error."""
    return ProgressBar(leave) if sys.stderr.isatty() else ProgressLines()


@contextlib.contextmanager
def reporting(progress: bool | Progress | None) -> Iterator[Progress | None]:
    """Resolve the argument `progress`: True becomes a bar or plain lines, False becomes None."""
    if progress is not True:
        yield progress or None
        return
    with contextlib.closing(progress_view()) as view:
        yield view


def speeds(progress: JobProgress) -> str:
    """Return the speed of each stage."""
    return ", ".join(f"{name} {speed:.1f}/s" for name, speed in progress.speeds.items())
