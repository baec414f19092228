"""Groups the frames of a film into windows that never cross a cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple

from oldfilm.stage import Frame, Window


class Span(NamedTuple):
    """A span of the source's time line, in seconds. `stop` is excluded."""

    start: Fraction
    stop: Fraction

    def holds(self, frame: Frame) -> bool:
        """Whether the frame is in this span."""
        return self.start <= frame.time < self.stop


def windows(
    frames: Iterable[Frame], window: Window, wanted: Span
) -> Iterator[tuple[list[Frame], slice]]:
    """Group frames into windows whose cores cover the span `wanted` once, in order.

    Yields the frames of each window, including neighbors, and the slice that is its core. Holds at
    most `before + core + after` frames.
    """
    shot = _Shot(window, wanted)
    for frame in frames:
        if frame.starts_shot:
            yield from shot.finish()
            shot = _Shot(window, wanted)
        yield from shot.add(frame)
    yield from shot.finish()


class _Shot:
    """The frames of one shot that a later window may need."""

    def __init__(self, window: Window, wanted: Span) -> None:
        self._window = window
        self._wanted = wanted
        self._past: list[Frame] = []
        self._ahead: list[Frame] = []

    def add(self, frame: Frame) -> Iterator[tuple[list[Frame], slice]]:
        if not self._ahead and frame.time < self._wanted.start:
            self._remember([frame])
            return
        self._ahead.append(frame)
        if len(self._ahead) == self._window.core + self._window.after:
            yield from self._emit()

    def finish(self) -> Iterator[tuple[list[Frame], slice]]:
        while self._ahead:
            yield from self._emit()

    def _emit(self) -> Iterator[tuple[list[Frame], slice]]:
        core = [f for f in self._ahead[: self._window.core] if self._wanted.holds(f)]
        if not core:
            self._ahead.clear()
            return
        count, seen = len(core), len(self._past)
        neighbors = self._ahead[count : count + self._window.after]
        yield self._past + core + neighbors, slice(seen, seen + count)
        self._remember(core)
        del self._ahead[:count]

    def _remember(self, frames: list[Frame]) -> None:
        joined = self._past + frames
        self._past = joined[len(joined) - min(len(joined), self._window.before) :]
