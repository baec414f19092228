"""`--log FILE`: everything that a run reports, with times, in a file."""

from __future__ import annotations

import contextlib
import logging
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from oldfilm import __version__
from oldfilm.cli.options import in_flags
from oldfilm.errors import from_os

_records = logging.getLogger("oldfilm.log")
_records.propagate = False
_records.addHandler(logging.NullHandler())  # Without one, Python writes errors to stderr.
_records.setLevel(logging.INFO)


def record(text: str, level: int = logging.INFO) -> None:
    """Write a text to the log file, if there is one."""
    for line in text.splitlines():
        _records.log(level, "%s", line)


@contextlib.contextmanager
def log_file(path: Path | None) -> Iterator[logging.Handler | None]:
    """Open the log file, which is appended to. Yields a handler for messages, or None.

    Raises:
        MediaError, MachineError: the file cannot be written.
    """
    if path is None:
        yield None
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _LogFile(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise from_os(f"`log={path}`", error) from error
    handler.setFormatter(_InFlags("%(asctime)s %(levelname)s %(message)s"))
    _records.addHandler(handler)
    try:
        record(f"oldfilm {__version__}: {shlex.join(sys.argv)}")
        yield handler
    except BaseException as error:
        kind = type(error).__name__
        _records.error("ended by %s", kind, exc_info=isinstance(error, Exception))
        raise
    finally:
        _records.removeHandler(handler)
        handler.close()


class _InFlags(logging.Formatter):
    """Names options as the command line does."""

    def format(self, one: logging.LogRecord) -> str:
        return in_flags(super().format(one))


class _LogFile(logging.FileHandler):
    """A log file that does not stop the work when its disk is full."""

    def handleError(self, _: logging.LogRecord) -> None:  # noqa: N802 (the name of logging)
        """Do nothing."""
