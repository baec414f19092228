"""Progress of a job on the standard error: a bar on a terminal, plain lines elsewhere, or JSON."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oldfilm.errors import OptionError
from oldfilm.pipeline.report import JobProgress, Progress
from oldfilm.system.notebook import in_notebook

if TYPE_CHECKING:
    from tqdm import tqdm

KINDS = ("bar", "lines", "json")
"""How progress can be shown."""

LINE_SECONDS, LINE_SHARE = 10.0, 0.1
"""A plain line follows the last one after this time, or after this share of the frames."""

SHORTEST_SECONDS = 1.0
"""No plain line follows the last one sooner, however fast the work is."""

JSON_SECONDS = 0.25
"""A JSON object follows the last one after this time; the first and last of a part always come."""

NOTEBOOK_SECONDS = 0.5
"""A notebook's line is replaced after this time."""

SURE_FRAMES, SURE_SHARE = 60, 0.1
"""The time left is known after this many frames, or this share of all: windows of frames come at
once, after a long wait."""


class Pace:
    """Speed and time left in the current part of a job, from the frames done since it began.

    part: the current one. seconds: since it began.
    """

    def __init__(self) -> None:
        self.part, self.seconds = "", 0.0
        self._first = self._began = 0.0

    def update(self, progress: JobProgress) -> tuple[float | None, float | None]:
        """Return frames per second and the seconds left; None where nothing is known yet.

        Frames that an earlier run has restored do not count.
        """
        now = time.monotonic()
        if progress.part != self.part:
            self.part, self._first, self._began = progress.part, progress.done, now
        frames, seconds = progress.done - self._first, now - self._began
        self.seconds = seconds
        if progress.done >= progress.total:
            return (frames / seconds if frames and seconds else None), 0.0
        if not frames or not seconds:
            return None, None
        speed = frames / seconds
        if frames < min(SURE_FRAMES, SURE_SHARE * progress.total):
            return speed, None
        return speed, (progress.total - progress.done) / speed


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
        self._bar = _tqdm()(
            initial=0 if self._leave else progress.done,
            total=progress.total,
            desc=progress.part,
            unit="frame",
            file=sys.stderr,
            leave=self._leave,
        )


class ProgressLines:
    """A plain line now and then, for logs and pipes. write: takes each line. unit: what counts."""

    def __init__(self, write: Callable[[str], Any] | None = None, unit: str = "frames") -> None:
        self._write, self._unit = write or _write_line, unit
        self._written = time.monotonic()
        self._pace = Pace()
        self._done = 0

    def __call__(self, progress: JobProgress) -> None:
        """Write a line if the last one is old enough."""
        if progress.part != self._pace.part:
            self._done = 0
        left = self._pace.update(progress)[1]
        if not self._is_due(progress, time.monotonic() - self._written):
            return
        self._written, self._done = time.monotonic(), progress.done
        share = progress.done / max(progress.total, 1)
        line = f"{progress.part}: {progress.done} of {progress.total} {self._unit} ({share:.0%})"
        remaining = f"about {about(left)} left" if left else ""
        self._write(", ".join(filter(None, [line, speeds(progress), remaining])))

    def _is_due(self, progress: JobProgress, elapsed: float) -> bool:
        step = progress.done - self._done >= LINE_SHARE * progress.total
        return elapsed >= (SHORTEST_SECONDS if step else LINE_SECONDS)

    def close(self) -> None:
        """Do nothing: every line is complete."""


class ProgressInPlace(ProgressLines):
    """One line that replaces itself, for notebooks without ipywidgets.

    A bar of characters would show again at every step where a notebook is executed as a whole.
    """

    def __init__(self) -> None:
        super().__init__(self._show)
        self._handle: Any = None

    def _is_due(self, progress: JobProgress, elapsed: float) -> bool:
        return progress.done in (0, progress.total) or elapsed >= NOTEBOOK_SECONDS

    def _show(self, line: str) -> None:
        from IPython.display import display

        content = {"text/plain": line}
        if self._handle is None:
            self._handle = display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)


class ProgressObjects:
    """JSON objects, one a line, for other programs.

    stage: the part of the work, "analyzing", "restoring" or "joining". frame, of: frames of it.
    speed: frames per second. left: seconds until the part ends. speed and left are null until they
    are known. speeds: frames per second of each stage of the chain. source: the input.
    """

    def __init__(self, source: Path | None = None) -> None:
        self.source = source
        self._pace = Pace()
        self._written = 0.0

    def __call__(self, progress: JobProgress) -> None:
        """Write an object if the last one is old enough."""
        begins = progress.part != self._pace.part
        speed, left = self._pace.update(progress)
        ends = progress.done >= progress.total
        if not (begins or ends) and time.monotonic() - self._written < JSON_SECONDS:
            return
        self._written = time.monotonic()
        found = {
            "stage": progress.part.lower(),
            "frame": progress.done,
            "of": progress.total,
            "speed": speed and round(speed, 3),
            "left": left and round(left, 1),
            "speeds": {name: round(each, 3) for name, each in progress.speeds.items()},
        }
        if self.source is not None:
            found["source"] = str(self.source)
        _write_line(json.dumps(found))

    def close(self) -> None:
        """Do nothing: every line is complete."""


ProgressView = ProgressBar | ProgressLines | ProgressObjects


def progress_view(leave: bool = True, kind: str | None = None) -> ProgressView:
    """Return a view.

    kind: one of `KINDS`; by default what suits the standard error: a bar on a terminal and in a
    notebook, else lines. In a notebook without ipywidgets, a bar is one line of text.

    Raises:
        OptionError: this kind does not exist.
    """
    if kind is None:
        kind = "bar" if sys.stderr.isatty() or in_notebook() else "lines"
    if kind not in KINDS:
        raise OptionError(f"`progress={kind}`: choose from {', '.join(KINDS)}")
    if kind == "json":
        return ProgressObjects()
    if kind == "bar" and in_notebook() and find_spec("ipywidgets") is None:
        return ProgressInPlace()
    return ProgressBar(leave) if kind == "bar" else ProgressLines()


@contextlib.contextmanager
def reporting(progress: bool | str | Progress | None) -> Iterator[Progress | None]:
    """Resolve the argument `progress`.

    True shows it here, False does not, one of `KINDS` shows it in that way, a function gets it.
    """
    if progress is not True and not isinstance(progress, str):
        yield progress or None
        return
    kind = progress if isinstance(progress, str) else None
    with contextlib.closing(progress_view(kind=kind)) as view:
        yield view


def _write_line(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _tqdm() -> type[tqdm]:
    """Import the bar, which every worker process would otherwise import too."""
    if not in_notebook():
        from tqdm import tqdm

        return tqdm
    from tqdm.notebook import tqdm as bar_of_widgets

    return bar_of_widgets


def speeds(progress: JobProgress) -> str:
    """Return the speed of each stage: frames per second, or seconds per frame if it is slow."""
    return ", ".join(f"{name} {_pace_of(speed)}" for name, speed in progress.speeds.items())


def _pace_of(speed: float) -> str:
    return f"{speed:.1f}/s" if speed >= 1 or not speed else f"{1 / speed:.1f} s/frame"


def about(seconds: float) -> str:
    """Return a duration as people say it, such as "2 h 10 min"."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
