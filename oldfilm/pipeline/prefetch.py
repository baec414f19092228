"""Computes frames in a background thread, ahead of their consumer, within a number of bytes."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterable, Iterator

from oldfilm.stage import Frame

AHEAD_BYTES = 64 << 20
"""Bytes of frames that may wait: one 4K frame, a few of 1080p, dozens of small ones."""


def prefetch(frames: Iterable[Frame], ahead_bytes: int = AHEAD_BYTES) -> Iterator[Frame]:
    """Yield the same frames, computed in another thread while the consumer is busy.

    At least one frame may wait, whatever its size. An exception in `frames` is raised where the
    frame would have been. Closing this generator stops the thread and closes `frames`.
    """
    queue = _FrameQueue(ahead_bytes)
    producer = threading.Thread(
        target=queue.fill, args=(frames,), name="oldfilm-prefetch", daemon=True
    )
    try:
        producer.start()
        yield from queue.take()
    finally:
        queue.close()
        with contextlib.suppress(RuntimeError):  # The thread was never started.
            producer.join()


class _FrameQueue:
    """A queue of frames that holds a number of bytes."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
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
        except BaseException as error:  # Raised again in the consumer's thread.
            self._error = error
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()
            with self._changed:
                self._finished = True
                self._changed.notify_all()

    def take(self) -> Iterator[Frame]:
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
        """Wait for room and add a frame; False if the queue was closed."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or not self._frames or self._bytes < self._capacity
            )
            if self._closed:
                return False
            self._frames.append(frame)
            self._bytes += frame.image.nbytes
            self._changed.notify_all()
            return True
