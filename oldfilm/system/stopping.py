"""Stop the work of a thread between its steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_check: ContextVar[Callable[[], object] | None] = ContextVar("check", default=None)


@contextmanager
def stoppable(check: Callable[[], object]) -> Iterator[None]:
    """Call `check` before every step of the work in this context; what it raises ends the work.

    Only steps of this thread count.
    """
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


def next_step() -> None:
    """Begin a step, such as a run of a network or a frame of a stage."""
    if check := _check.get():
        check()
