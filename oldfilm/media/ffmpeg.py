"""Run the ffmpeg that imageio-ffmpeg installs, as a child process and never through a shell."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING

from oldfilm.errors import MachineError, MediaError
from oldfilm.media.chained_ogg import chain
from oldfilm.system.subprocesses import ChildProcess

if TYPE_CHECKING:
    from av.container import InputContainer

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
"""The formats that may be read: self-contained films, sound files and images.

Lists (HLS, DASH, concat, SDP, IMF, AviSynth, VobSub, numbered images) are left out, since with
them ffmpeg would read files other than the given one.
"""

_PREFIX = re.compile(r"^(\[[^\]]*\] ?)+")
_CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)
"""Signals by which ffmpeg ends because of its input, not because of the machine."""

_SHORTAGES = {
    "No space left on device": "the disk is full",
    "Disk quota exceeded": "this user's disk quota is used up",
    "File too large": "the file is larger than the disk, or a limit, allows",
    "Cannot allocate memory": "memory is short",
}
_UNINFORMATIVE = (
    "Error opening output file",  # also "files"
    "Error selecting an encoder",
    "Conversion failed",
    "Task finished with",
    "Svt[info]",
)


def executable() -> str:
    """Return the path of ffmpeg; the environment variable `IMAGEIO_FFMPEG_EXE` overrides it.

    Raises:
        MediaError: ffmpeg is missing.
    """
    import imageio_ffmpeg

    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise MediaError(
            "ffmpeg was not found: reinstall imageio-ffmpeg, or set IMAGEIO_FFMPEG_EXE"
        ) from error


def version() -> str:
    """Return the version of ffmpeg, such as "7.0.2-static".

    Raises:
        MediaError: ffmpeg is missing.
        OSError: it cannot be run.
    """
    command = [executable(), "-hide_banner", "-version"]
    answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    words = answer.stdout.split()
    return words[2] if len(words) > 2 else "unknown version"


@lru_cache(maxsize=8)
def has_filter(name: str) -> bool:
    """Return whether this ffmpeg has a filter."""
    command = [executable(), "-hide_banner", "-h", f"filter={name}"]
    answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    return b"Unknown filter" not in answer.stdout + answer.stderr


@lru_cache(maxsize=8)
def encoder_formats(name: str) -> tuple[str, ...]:
    """Return the pixel formats of one of ffmpeg's encoders, by name; none if it does not say."""
    command = [executable(), "-hide_banner", "-h", f"encoder={name}"]
    answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    found = re.search(rb"Supported pixel formats: (.*)", answer.stdout)
    return tuple(found.group(1).decode().split()) if found else ()


def url(path: Path) -> str:
    """Return a file name that ffmpeg takes literally, whatever characters it has."""
    return f"file:{path.absolute()}"


def reading(path: Path, *options: str) -> list[str]:
    """Return the arguments that read one file and prevent ffmpeg from reading any other."""
    only = ["-protocol_whitelist", "file,pipe", "-format_whitelist", FORMATS]
    name, listed = source_url(path)
    for key, value in listed.items():
        only += [f"-{key}", value]
    form = ["-f", "concat"] if listed else []
    return [*only, *options, *form, "-i", name]


def source_url(path: Path) -> tuple[str, dict[str, str]]:
    """Return the name by which ffmpeg reads a file, and options for the format "concat", if any.

    The links of chained Ogg are read as a list of pieces of the file.
    """
    links = chain(path)
    if not links:
        return url(path), {}
    lines = ["ffconcat version 1.0"]
    for link in links:
        lines.append(f"file {quoted(f'subfile,,start,{link.begin},end,{link.end},,:{url(path)}')}")
        if link.seconds is not None:
            lines.append(f"duration {float(link.seconds):.6f}")
    data = base64.b64encode(os.fsencode("\n".join(lines) + "\n")).decode()
    options = {"protocol_whitelist": "file,subfile,data", "safe": "0"}
    options["format_whitelist"] = "concat,ogg"
    return f"data:text/plain;base64,{data}", options


def quoted(name: str) -> str:
    """Quote a name for the list that the concat demuxer reads."""
    return "'" + name.replace("'", "'\\''") + "'"


NUT = (
    *("-map_metadata", "-1", "-map_chapters", "-1"),
    *("-f", "nut", "-write_index", "0", "-syncpoints", "none", "-strict", "experimental"),
)
"""Arguments that write frames and their times only, without an index, which would grow with them.
"""

_PIPE_BYTES = 2**16
"""As much as a pipe usually holds."""


_UNPROBED = {"probesize": "32", "analyzeduration": "0", "fpsprobesize": "0"}
"""Options without which PyAV reads megabytes ahead, to find out what the header says."""


class _InParts:
    """A pipe that PyAV reads in small parts: asked for a whole frame, it would copy one more."""

    def __init__(self, pipe: BufferedReader) -> None:
        self._pipe = pipe

    def read(self, size: int) -> bytes:
        return self._pipe.read1(min(size, _PIPE_BYTES))


def open_nut(pipe: BufferedReader) -> InputContainer:
    """Open what ffmpeg writes to a pipe as `NUT`; a context manager.

    Raises:
        av.error.FFmpegError: ffmpeg ended before the first frame.
    """
    import av

    return av.open(_InParts(pipe), "r", format="nut", options=_UNPROBED)


def seconds(time: Fraction) -> str:
    """Format a time for ffmpeg, to the microsecond."""
    return f"{float(time):.6f}"


class FFmpeg(ChildProcess):
    """A running ffmpeg."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.DEVNULL,
        listener: Callable[[str], bool] | None = None,
    ) -> None:
        """Start ffmpeg; see `ChildProcess`."""
        command = [executable(), "-hide_banner", "-nostats", *arguments]
        super().__init__(command, stdin=stdin, stdout=stdout, listener=listener)

    def complaint(self) -> str:
        """Summarize its last messages, or its exit status if there are none."""
        lines = [_PREFIX.sub("", line) for line in self.messages]
        reasons = [line for line in lines if not line.startswith(_UNINFORMATIVE)]
        status = self.status or 0
        how = f"exit status {status}" if status >= 0 else f"it crashed (signal {-status})"
        return "; ".join(dict.fromkeys(reasons[:3])) or how

    def finish(self, purpose: str = "") -> int:
        """Wait until it has ended by itself, and return its exit status.

        Raises:
            MachineError: it was killed, or ran out of disk space or memory. The message begins with
                `purpose`.
        """
        status = self.wait()
        if status:
            said = "\n".join(self.messages)
            reason = next((reason for text, reason in _SHORTAGES.items() if text in said), None)
            if status < 0 and -status not in _CRASHES:
                reason = reason or f"ffmpeg was killed (signal {-status})"
            if reason:
                raise MachineError(": ".join(filter(None, [purpose, reason])))
        return status


def run(arguments: Sequence[str], purpose: str, data: bytes | None = None) -> None:
    """Run ffmpeg to its end. data: its standard input.

    Raises:
        MediaError: it failed. The message begins with `purpose` and ends with ffmpeg's own words.
        MachineError: as `FFmpeg.finish`.
    """
    stdin = subprocess.DEVNULL if data is None else subprocess.PIPE
    with FFmpeg(["-loglevel", "error", "-y", *arguments], stdin=stdin) as child:
        if data is not None:
            with contextlib.suppress(OSError):  # It ended early; its status says why.
                child.stdin.write(data)
                child.stdin.close()
        if child.finish(purpose):
            raise MediaError(f"{purpose}: {child.complaint()}")
