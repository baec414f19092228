"""The program `oldfilm`: its sub-commands, exit codes, signals, and errors in one line."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from tqdm import tqdm

from oldfilm import __version__
from oldfilm.cli.log import log_file, record
from oldfilm.cli.options import in_flags
from oldfilm.errors import MachineError, OldfilmError, TransferError, did_you_mean

FAILED_WORK, WRONG_INPUT, INTERRUPTED = 1, 2, 130

COMMANDS = {
    "enhance": "restore films and photographs with a chain of stages (the default)",
    "photo": "restore old photographs: fading, grain, scratches, faces",
    "weights": "list, download, check and convert weights",
    "evaluate": "measure a chain against ground truth",
    "app": "serve a page on which films are restored in a browser",
    "doctor": "check this installation, and say what to do",
    "completion": "print a script with which a shell completes options",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns 0, 1 (the work failed), 2 (wrong input) or 130 (stopped)."""
    with lasting_streams():
        return _command(list(sys.argv[1:] if argv is None else argv))


def _command(arguments: Sequence[str]) -> int:
    first = arguments[0] if arguments else "--help"
    if first in COMMANDS:
        return import_module(f"oldfilm.cli.{first}").main(arguments[1:])
    if first in ("-h", "--help"):
        print(overview("oldfilm", "Restore old films and photographs.", COMMANDS))
        return 0 if arguments else WRONG_INPUT
    if first == "--version":
        print(f"oldfilm {__version__}")
        return 0
    if first.startswith("-"):  # without a sub-command, `oldfilm` is `oldfilm enhance`
        return import_module("oldfilm.cli.enhance").main(arguments)
    return unknown_command("oldfilm", first, COMMANDS)


def overview(program: str, description: str, commands: Mapping[str, str]) -> str:
    """Return the help of a program that has sub-commands."""
    width = max(map(len, commands))
    return "\n".join(
        [
            f"usage: {program} COMMAND ...",
            "",
            description,
            "",
            *(f"  {name.ljust(width)}  {about}" for name, about in commands.items()),
            "",
            f"{program} COMMAND --help lists the options of a command.",
        ]
    )


def unknown_command(program: str, name: str, commands: Mapping[str, str]) -> int:
    """Report a sub-command that does not exist."""
    hint = f"; for a file, `{program} --input {name}`" if Path(name).exists() else ""
    close = did_you_mean(name, commands) or hint
    print(f"usage: {program} {'|'.join(commands)} ...", file=sys.stderr)
    print(f"oldfilm: unknown command {name}{close}", file=sys.stderr)
    return WRONG_INPUT


def execute(
    parse: Callable[[Sequence[str]], argparse.Namespace],
    run: Callable[[argparse.Namespace], int],
    argv: Sequence[str] | None,
    stopped: str = "",
) -> int:
    """Run a sub-command; returns the exit status.

    parse: returns the arguments; `quiet` among them leaves out our notes, and `log` is a file that
    gets them. stopped: what becomes of the work when the user stops it.
    """
    with _interrupted_by_sigterm(), lasting_streams():
        try:
            arguments = parse(sys.argv[1:] if argv is None else argv)
            with log_file(getattr(arguments, "log", None)) as log:
                quiet = getattr(arguments, "quiet", False)
                return _run(run, arguments, quiet, log, stopped)
        except OldfilmError as error:
            print(error_line(error), file=sys.stderr)
            return status_of(error)


def _run(
    run: Callable[[argparse.Namespace], int],
    arguments: argparse.Namespace,
    quiet: bool,
    log: logging.Handler | None,
    stopped: str,
) -> int:
    """Run a sub-command and report how it ends; returns the exit status."""
    try:
        with notes_on_stderr(quiet, log):
            status = run(arguments)
    except OldfilmError as error:
        report = error_line(error)
        status = status_of(error)
    except KeyboardInterrupt:
        report = " ".join(filter(None, ["Stopped.", stopped]))
        status = INTERRUPTED
    else:
        record(f"exit status {status}")
        return status
    print(report, file=sys.stderr)
    record(report, logging.ERROR)
    record(f"exit status {status}")
    return status


@contextlib.contextmanager
def lasting_streams() -> Iterator[None]:
    """Keep working whatever happens to the standard streams.

    Characters that an encoding lacks are written as escapes. Output to a closed stream, or to a
    pipe whose reader has exited, is discarded.
    """
    _occupy_closed_descriptors()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_lasting(stream) for stream in before)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        if not any(getattr(stream, "is_broken", False) for stream in (sys.stdout, sys.stderr)):
            sys.stdout, sys.stderr = before  # Python flushes broken streams when it ends.


def _occupy_closed_descriptors() -> None:
    """Open os.devnull in place of closed streams, so that no file gets one of their numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number


def _lasting(stream: Any) -> Any:
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 (stays open)
    if isinstance(stream, _LastingStream):
        return stream
    if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
        stream.reconfigure(errors="backslashreplace")
    return _LastingStream(stream)


class _LastingStream:
    """A text stream that discards what it can no longer write."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.is_broken = False

    def write(self, text: str) -> int:
        return self._unless_broken(lambda: self._stream.write(text)) or len(text)

    def flush(self) -> None:
        self._unless_broken(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _unless_broken(self, action: Callable[[], Any]) -> Any:
        if self.is_broken:
            return None
        try:
            return action()
        except OSError:  # A pipe without a reader, a closed terminal, a full disk.
            self.is_broken = True
            with contextlib.suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())  # takes what the buffer still holds
                os.close(nowhere)
            return None


def error_line(error: OldfilmError | str) -> str:
    """Return an error as one line, with options named by their flags."""
    return f"oldfilm: {in_flags(str(error))}"


def status_of(error: OldfilmError) -> int:
    """Return the exit status for an error: 1 if the machine or the network failed, else 2."""
    return FAILED_WORK if isinstance(error, (MachineError, TransferError)) else WRONG_INPUT


@contextlib.contextmanager
def notes_on_stderr(quiet: bool, log: logging.Handler | None = None) -> Iterator[None]:
    """Write what our loggers report to the standard error, and nothing of other packages.

    The handler is not the root logger's, which Paddle configures when it is imported. log: also
    gets everything, even when quiet.
    """
    logger, handler, nowhere = logging.getLogger("oldfilm"), _AboveTheBar(), logging.NullHandler()
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logging.getLogger().addHandler(nowhere)  # without one, Python writes warnings to stderr
    handler.setLevel(logging.ERROR if quiet else logging.WARNING)
    logger.setLevel(logging.INFO if log else handler.level)
    logger.propagate = False
    if log is not None:
        logger.addHandler(log)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        if log is not None:
            logger.removeHandler(log)
        logging.getLogger().removeHandler(nowhere)
        logger.setLevel(before[0])
        logger.propagate = before[1]


class _AboveTheBar(logging.Handler):
    """Writes messages above the progress bar, if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(in_flags(record.getMessage()), file=sys.stderr)


@contextlib.contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """Clean up after SIGTERM as after Ctrl-C while the body runs.

    Only the main thread may change signal handlers; another thread leaves them as they are.
    """

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
