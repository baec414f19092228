"""Fingerprints: everything that determines the frames of a job, so that a change is noticed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import imageio_ffmpeg

from oldfilm import __version__
from oldfilm.errors import MediaError
from oldfilm.pipeline.chain import Chain
from oldfilm.stage import FingerprintValue
from oldfilm.system.files import sha256_of_file, sha256_of_files

SOURCE_TIME, _SOURCE_SHA256 = "time of the source", "sha256 of the source"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class SourceFiles:
    """The files that a job reads, and their sizes and times when it started."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """paths: the film, or the pictures of a folder."""
        self._states = {path: path.stat() for path in paths}

    @property
    def bytes(self) -> int:
        return sum(state.st_size for state in self._states.values())

    @property
    def modified(self) -> str:
        """The latest modification time, as a date."""
        newest = max(state.st_mtime_ns for state in self._states.values())
        return str(_EPOCH + timedelta(microseconds=newest // 1000))

    @cached_property
    def sha256(self) -> str:
        return self._hash()

    def _hash(self) -> str:
        first, *more = self._states
        return sha256_of_files(self._states) if more else sha256_of_file(first)

    def check(self) -> None:
        """Make sure that the files have not changed. A new modification time alone does not count.

        Raises:
            MediaError: a file was changed, or was still being written.
        """
        is_touched = False
        for path, before in self._states.items():
            now = path.stat()
            if now.st_size != before.st_size:
                raise MediaError(
                    f"{path} changed while it was read (from {before.st_size} bytes to "
                    f"{now.st_size}): start again when it is complete."
                )
            is_touched = is_touched or now.st_mtime_ns != before.st_mtime_ns
        if not is_touched:
            return
        if self._hash() != self.sha256:
            raise MediaError(f"{next(iter(self._states))} changed while it was read.")
        self._states = {path: path.stat() for path in self._states}


def job_fingerprint(
    source: SourceFiles, chain: Chain, settings: Mapping[str, Any]
) -> Mapping[str, FingerprintValue]:
    """Collect everything that determines the frames of a job, by names fit for a message.

    settings: options of the job by name.
    """
    values: dict[str, FingerprintValue] = {
        "bytes of the source": source.bytes,
        SOURCE_TIME: source.modified,
        _SOURCE_SHA256: source.sha256,
        **chain_fingerprint(chain),
    }
    for name, value in settings.items():
        is_plain = isinstance(value, (str, int, type(None)))
        values[name] = value if is_plain else str(value)
    return values


def chain_fingerprint(chain: Chain) -> dict[str, FingerprintValue]:
    """Collect everything that determines the frames of a chain, on any machine."""
    info = chain.info
    values: dict[str, FingerprintValue] = {
        "film": f"{info.width}x{info.height} at {info.rate}",
        "stages": " ".join(link.stage.name for link in chain.links),
        "oldfilm": __version__,
        "ffmpeg": imageio_ffmpeg.get_ffmpeg_version(),
        "opencv": cv2.__version__,
    }
    for link in chain.links:
        window = f"{link.window.before}+{link.window.core}+{link.window.after}"
        of_stage = {"window": window, **link.stage.fingerprint()}
        values.update({f"{link.stage.name} {name}": value for name, value in of_stage.items()})
    return values


def diff(then: Mapping[str, FingerprintValue], now: Mapping[str, FingerprintValue]) -> list[str]:
    """Describe the differences of two fingerprints, such as "crf was 17, is 20".

    A source with another time but the same content was copied or touched, and counts as the same.
    """
    changed = [key for key in {**then, **now} if then.get(key) != now.get(key)]
    if _SOURCE_SHA256 not in changed:
        changed = [key for key in changed if key != SOURCE_TIME]
    return [f"{key} was {_short(then.get(key))}, is {_short(now.get(key))}" for key in changed]


def _short(value: FingerprintValue) -> str:
    text = "not given" if value is None else str(value)
    is_hash = len(text) == 64 and set(text) <= set("0123456789abcdef")
    return text[:12] if is_hash else text
