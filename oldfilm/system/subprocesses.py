"""Child processes that end when this process ends, however it ends."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

_Child = TypeVar("_Child", bound="ChildProcess")
_GUARD = Path(__file__).with_name("child_guard.py")
_LAST_LINES = 20
"""How many lines of a child's messages are kept."""


class ChildProcess:
    """A running program; a context manager that kills it on exit if it still runs.

    `stdin` and `stdout` are binary streams where they were opened as pipes. A child that reads its
    input from this process sees it end and stops by itself; any other is started through
    `child_guard`. A thread reads the child's messages, so that it never blocks on a full pipe.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.DEVNULL,
        listener: Callable[[str], bool] | None = None,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start a program.

        stdin, stdout: subprocess.PIPE or subprocess.DEVNULL. listener: called from another thread
        with every line of the child's messages; returns whether to discard the line. folder,
        environment: the child's working folder and environment; by default those of this process.
        """
        self._guarded = stdin == subprocess.DEVNULL
        guard = [sys.executable, "-I", "-S", str(_GUARD)] if self._guarded else []
        self._process: subprocess.Popen[bytes] = subprocess.Popen(
            [*guard, *command],
            stdin=subprocess.PIPE if self._guarded else stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=environment,
            # Ctrl-C in the terminal reaches this process only, which then ends the child.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        self.stdin: Any = self._process.stdin
        self.stdout: Any = self._process.stdout
        self._stderr: Any = self._process.stderr
        self._lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._reader = threading.Thread(target=self._read_messages, args=(listener,), daemon=True)
        self._reader.start()

    def _read_messages(self, listener: Callable[[str], bool] | None) -> None:
        for raw in self._stderr:
            line = raw.decode("utf-8", "replace").strip()
            if line and not (listener and listener(line)):
                self._lines.append(line)

    @property
    def messages(self) -> list[str]:
        """The last lines that the child wrote to its standard error, discarded ones excepted."""
        return list(self._lines)

    @property
    def status(self) -> int | None:
        """The exit status, negative for the signal that killed it; None while the child runs."""
        return self._process.poll()

    def wait(self) -> int:
        """Wait until the child has ended and its messages are read; return its exit status."""
        status = self._process.wait()
        self._reader.join()
        return status

    def __enter__(self: _Child) -> _Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None and not self._guarded:
            self._process.kill()
        for pipe in (self.stdin, self.stdout):  # closing the guard's input kills a guarded child
            if pipe:
                with contextlib.suppress(OSError):  # discard input that the child has not read
                    pipe.close()
        self.wait()
        self._stderr.close()
