"""The ffmpeg that imageio-ffmpeg installs, as a child process: argument lists, never a shell."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

from oldfilm.errors import MachineError, MediaError

FORMATS = ",".join(
    (
        "3gp,apng,asf,asf_o,av1,avi,cavsvideo,cine,dirac,dnxhd,dv,flic,flv,gif,gxf,h261,h263,h264",
        "hevc,ivf,m4v,matroska,mjpeg,mov,mpeg,mpegts,mpegvideo,mtv,mxf,nut,nuv,obu,ogg,rm,roq,swf",
        "ty,vc1,vvc,webm,webp_anim,wtv,yuv4mpegpipe",
        "aac,ac3,aiff,amr,ape,au,caf,dsf,dts,dtshd,eac3,flac,mlp,mp3,mpc,mpc8,shn,tak,truehd,tta",
        "voc,w64,wav,wv",
        "bmp_pipe,gif_pipe,jpeg_pipe,png_pipe,tiff_pipe,webp_pipe",
    )
)
"""The kinds of file that are read: films, sound, pictures, which hold all that they show.

Lists (HLS, DASH, concat, SDP, IMF, AviSynth, VobSub, numbered pictures) would make ffmpeg read
other files than the one it was given.
"""

_PREFIX = re.compile(r"^(\[[^\]]*\] ?)+")
_GUARD = Path(__file__).parents[1] / "system" / "child_guard.py"
_CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)
"""How a program ends by its own fault, on what it was given."""

_SHORT = {
    "No space left on device": "the disk is full",
    "Disk quota exceeded": "the disk is full, as far as this user may fill it",
    "File too large": "the file is larger than this disk, or a limit, allows",
    "Cannot allocate memory": "memory is short",
}
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
    """The arguments that read one file, and forbid reading any other."""
    only = ["-protocol_whitelist", "file,pipe", "-format_whitelist", FORMATS]
    return [*only, *options, "-i", url(path)]


def seconds(time: Fraction) -> str:
    """A time as ffmpeg takes it, to the microsecond."""
    return f"{float(time):.6f}"


class Child:
    """A running ffmpeg.

    It ends with this process, however this one ends: `guard.py` sees to that where it does not read
    its input from us. Its messages are read all the time, so that it never stops on a full pipe,
    and the last of them are kept for `complaint`. `listener` is called with every line, from
    another thread, and returns whether it has dealt with it.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.DEVNULL,
        listener: Callable[[str], bool] | None = None,
    ) -> None:
        self._guarded = stdin == subprocess.DEVNULL
        guard = [sys.executable, "-I", "-S", str(_GUARD)] if self._guarded else []
        self._process: subprocess.Popen[bytes] = subprocess.Popen(
            [*guard, executable(), "-hide_banner", "-nostats", *arguments],
            stdin=subprocess.PIPE if self._guarded else stdin,
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

    @property
    def has_complained(self) -> bool:
        """Whether there are messages that nobody has dealt with."""
        return bool(self._lines)

    def complaint(self) -> str:
        """What ffmpeg said, the first of its last words, without the addresses of its own parts."""
        lines = [_PREFIX.sub("", line) for line in self._lines]
        told = [line for line in lines if not line.startswith(_NO_NEWS)]
        status = self._process.poll() or 0
        how = f"exit status {status}" if status >= 0 else f"it crashed (signal {-status})"
        return "; ".join(dict.fromkeys(told[:3])) or how

    def wait(self, purpose: str = "") -> int:
        """Exit status, when it has ended by itself.

        Raises:
            MachineError: it was killed, or had no room on the disk or in memory; the message
                begins with `purpose`.
        """
        status = self._ended()
        if status:
            reason = next((told for sign, told in _SHORT.items() if self._has_said(sign)), None)
            if status < 0 and -status not in _CRASHES:
                reason = reason or f"ffmpeg was killed (signal {-status})"
            if reason:
                raise MachineError(": ".join(filter(None, [purpose, reason])))
        return status

    def _has_said(self, words: str) -> bool:
        return any(words in line for line in self._lines)

    def _ended(self) -> int:
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
        if self._process.poll() is None and not self._guarded:
            self._process.kill()
        for pipe in (self.stdin, self.stdout):
            if pipe:
                with contextlib.suppress(OSError):  # what it had not read yet goes nowhere
                    pipe.close()
        self._ended()
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
        if child.wait(purpose):
            raise MediaError(f"{purpose}: {child.complaint()}")
