"""The ffmpeg that imageio-ffmpeg installs, as a child process: argument lists, never a shell."""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

from oldfilm.errors import MediaError

_PREFIX = re.compile(r"^(\[[^\]]*\] ?)+")
_NO_NEWS = ("Error opening output files", "Conversion failed", "Task finished with", "Svt[info]")


def executable() -> str:
    """Path of ffmpeg; `IMAGEIO_FFMPEG_EXE` in the environment names another one."""
    import imageio_ffmpeg

    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise MediaError(
            "no ffmpeg was found: install imageio-ffmpeg again, or let IMAGEIO_FFMPEG_EXE name one"
        ) from error


@lru_cache(maxsize=8)
def has_filter(name: str) -> bool:
    """Whether this ffmpeg has a filter."""
    asked = [executable(), "-hide_banner", "-h", f"filter={name}"]
    answer = subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True)
    return b"Unknown filter" not in answer.stdout + answer.stderr


def url(path: Path) -> str:
    """A file name that ffmpeg takes literally, whatever characters are in it."""
    return f"file:{path.absolute()}"


def reading(path: Path, *options: str) -> list[str]:
    """The arguments that read one file, and forbid reading any other kind of address."""
    return ["-protocol_whitelist", "file,pipe", *options, "-i", url(path)]


def seconds(time: Fraction) -> str:
    """A time as ffmpeg takes it, to the microsecond."""
    return f"{float(time):.6f}"


class Child:
    """A running ffmpeg.

    Its messages are read all the time, so that it never stops on a full pipe, and the last of them
    are kept for `complaint`. `listener` is called with every line, from another thread, and returns
    whether it has dealt with it.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.DEVNULL,
        listener: Callable[[str], bool] | None = None,
    ) -> None:
        self._process: subprocess.Popen[bytes] = subprocess.Popen(
            [executable(), "-hide_banner", "-nostats", *arguments],
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            # A Ctrl-C in the terminal is for us, who end the child ourselves.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        self.stdin: Any = self._process.stdin
        self.stdout: Any = self._process.stdout
        self._stderr: Any = self._process.stderr
        self._lines: deque[str] = deque(maxlen=20)
        self._reader = threading.Thread(target=self._listen, args=(listener,), daemon=True)
        self._reader.start()

    def _listen(self, listener: Callable[[str], bool] | None) -> None:
        for raw in self._stderr:
            line = raw.decode("utf-8", "replace").strip()
            if line and not (listener and listener(line)):
                self._lines.append(line)

    def complaint(self) -> str:
        """What ffmpeg said, the first of its last words, without the addresses of its own parts."""
        lines = [_PREFIX.sub("", line) for line in self._lines]
        if any("No space left on device" in line for line in lines):
            return "the disk is full"
        told = [line for line in lines if not line.startswith(_NO_NEWS)]
        return "; ".join(dict.fromkeys(told[:3])) or f"exit status {self._process.poll()}"

    def wait(self) -> int:
        """Exit status, when it has ended by itself."""
        status = self._process.wait()
        self._reader.join()
        return status

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it, whether it was done or not."""
        if self._process.poll() is None:
            self._process.kill()
        for pipe in (self.stdin, self.stdout):
            if pipe:
                with contextlib.suppress(OSError):  # what it had not read yet goes nowhere
                    pipe.close()
        self.wait()
        self._stderr.close()


def run(arguments: Sequence[str], purpose: str, data: bytes | None = None) -> None:
    """Run ffmpeg to its end; `data` is what it reads from its standard input.

    Raises:
        MediaError: it failed; the message begins with `purpose` and ends with ffmpeg's own words.
    """
    stdin = subprocess.DEVNULL if data is None else subprocess.PIPE
    with Child(["-loglevel", "error", "-y", *arguments], stdin=stdin) as child:
        if data is not None:
            with contextlib.suppress(OSError):  # it ended early: its status says why
                child.stdin.write(data)
                child.stdin.close()
        if child.wait():
            raise MediaError(f"{purpose}: {child.complaint()}")
