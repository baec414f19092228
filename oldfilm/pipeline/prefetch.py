"""Computes frames ahead of whoever takes them, by a bounded number of bytes."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterable, Iterator

from oldfilm.stage import Frame

AHEAD_BYTES = 64 << 20
"""How much may wait to be taken: a 4K frame, some of 1080p, dozens of small ones."""


def prefetch(frames: Iterable[Frame], ahead_bytes: int = AHEAD_BYTES) -> Iterator[Frame]:
    """The same frames, made in another thread while the taker is busy (encoding, say).

    At least one frame is always let through. An error in `frames` is raised where the frame would
    have come; when the taker stops early, the maker stops too before this generator closes.
    """
    shelf = _Shelf(ahead_bytes)
    maker = threading.Thread(
        target=shelf.fill, args=(frames,), name="oldfilm-prefetch", daemon=True
    )
    try:
        maker.start()
        yield from shelf.empty()
    finally:
        shelf.close()
        with contextlib.suppress(RuntimeError):  # stopped before it was started
            maker.join()


class _Shelf:
    def __init__(self, room: int) -> None:
        self._room = room
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._finished = False
        self._closed = False
        self._error: BaseException | None = None

    def fill(self, frames: Iterable[Frame]) -> None:
        iterator = iter(frames)
        try:
            for frame in iterator:
                if not self._put(frame):
                    break
        except BaseException as error:  # handed over, and raised again in the taker's thread
            self._error = error
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()
            with self._changed:
                self._finished = True
                self._changed.notify_all()

    def empty(self) -> Iterator[Frame]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._frames or self._finished)
                if not self._frames:
                    break
                frame = self._frames.popleft()
                self._bytes -= frame.image.nbytes
                self._changed.notify_all()
            yield frame
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _put(self, frame: Frame) -> bool:
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or not self._frames or self._bytes < self._room
            )
            if self._closed:
                return False
            self._frames.append(frame)
            self._bytes += frame.image.nbytes
            self._changed.notify_all()
            return True
