"""Brings a published file to this machine: resumed, checked, by one process, all of it or nothing.

What has come of a file lies beside it as `.part`, with a note of the version that it is a part of
(`.part.json`), and goes on from there: later in the run, or in another one.
"""

from __future__ import annotations

import email.message
import http.client
import json
import logging
import os
import re
import socket
import ssl
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

from oldfilm import __version__
from oldfilm.errors import TransferError, WeightsError
from oldfilm.weights.first_use import sha256_of
from oldfilm.weights.load import is_web_page
from oldfilm.weights.lock import locked

logger = logging.getLogger(__name__)

Progress = Callable[[int, int | None], None]
"""Takes the bytes that are here, and how many there will be where the server says so."""

CONNECT_SECONDS = 5
"""How long `online` waits for a server."""
STALLED_SECONDS = 30
"""How long a server may be silent."""
RETRY_SECONDS = (1, 2, 4, 8)
"""Pauses before tries that bring nothing new; after the last one the next address has its turn."""

_BLOCK = 1 << 18
_LATER = {416, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Expected:
    """What is known of a file before it is here; None where nobody states it.

    inspect: called with the received file; raises WeightsError if its content cannot be.
    """

    bytes: int | None = None
    sha256: str | None = None
    inspect: Callable[[Path], Any] | None = None


class _Failed(Exception):
    """This address will not give the file."""


class _Dropped(Exception):
    """This address may give the rest of the file if it is asked again, after `wait` seconds."""

    def __init__(self, reason: str, wait: float = 0) -> None:
        super().__init__(reason)
        self.wait = wait


def offline() -> bool:
    """Whether $OLDFILM_OFFLINE forbids the network."""
    return os.environ.get("OLDFILM_OFFLINE", "") not in ("", "0")


def addresses(urls: Sequence[str]) -> list[str]:
    """Where files that are published at `urls` are asked for, in order: `$OLDFILM_MIRROR` first."""
    mirror = os.environ.get("OLDFILM_MIRROR", "").rstrip("/")
    names = [urlsplit(url).path.rpartition("/")[2] for url in urls]
    mirrored = [f"{mirror}/{name}" for name in names] if mirror else []
    return [*dict.fromkeys(mirrored), *urls]


_verdict: list[bool] = []
"""The answer of `online`, once it is known."""


def online(urls: Sequence[str]) -> bool:
    """Whether there is a network: the first address is asked, once in a run, for 5 seconds."""
    if offline():
        return False
    if not _verdict:
        _verdict.append(_answers(addresses(urls)[0]))
    return _verdict[0]


def _answers(url: str) -> bool:
    try:
        with _opened(url, {}, CONNECT_SECONDS, method="HEAD"):
            return True
    except HTTPError:
        return True  # An answer, too.
    except (OSError, http.client.HTTPException, _Failed) as error:
        logger.warning("there is no connection to %s (%s)", urlsplit(url).hostname, error)
        return False


def download(
    urls: Sequence[str], destination: Path, expected: Expected, progress: Progress | None = None
) -> None:
    """Bring the file that is published at `urls`, tried in order, to `destination`.

    Where another process is at the same file, wait for it and take what it brought. The addresses
    are tried after `$OLDFILM_MIRROR`, if that is set: a folder that has files of the same names.

    Raises:
        TransferError: no address gave the file, or it cannot be written here.
    """
    if offline():
        raise TransferError(
            f"{destination.name} is not here, and $OLDFILM_OFFLINE forbids to download it."
        )
    with locked(destination, lambda: logger.warning("waiting for another download of the file")):
        if destination.is_file():
            return
        part, reasons = _Part(destination), []
        for url in addresses(urls):
            try:
                _bring(url, part, expected, progress)
                return
            except _Failed as error:
                reasons.append(f"{url}: {error}")
                if not part.size:
                    part.discard()
            except OSError as error:
                raise TransferError(
                    f"{destination} cannot be written ({error.strerror})."
                ) from error
        raise TransferError(f"{destination.name} could not be downloaded ({'; '.join(reasons)}).")


class _Part:
    """What has come of a file, and of which version of it."""

    def __init__(self, destination: Path) -> None:
        self.destination = destination
        self.path = destination.with_name(destination.name + ".part")
        self._note = destination.with_name(destination.name + ".part.json")
        for path in (self.path, self._note):
            if path.is_symlink():  # Nothing is written to where it leads.
                path.unlink()

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def version(self, url: str) -> str | None:
        """The version of which this is a part, where that is known and from the same address."""
        if not self.size or not self._note.is_file():
            return None
        try:
            noted = json.loads(self._note.read_text(encoding="utf-8"))
        except ValueError:  # The machine stopped while it was written.
            return None
        return noted.get("version") if noted.get("url") == url else None

    def begin(self, url: str, version: str | None) -> None:
        """Drop what there is; what comes now is of this version."""
        self.discard()
        self._note.write_text(json.dumps({"url": url, "version": version}), encoding="utf-8")

    def discard(self) -> None:
        for path in (self.path, self._note):
            path.unlink(missing_ok=True)

    def finish(self) -> None:
        self.path.replace(self.destination)
        self._note.unlink(missing_ok=True)


def _bring(url: str, part: _Part, expected: Expected, progress: Progress | None) -> None:
    """Receive the whole file from one address, in as many tries as bring something new."""
    furthest, idle = part.size, 0
    while True:
        try:
            _receive(url, part, expected, progress)
            break
        except _Dropped as error:
            idle = 0 if part.size > furthest else idle + 1
            furthest = max(furthest, part.size)
            if idle > len(RETRY_SECONDS):
                raise _Failed(str(error)) from error
            logger.info("%s: %s; asking again", url, error)
            time.sleep(max(error.wait, RETRY_SECONDS[max(idle - 1, 0)]))
    try:
        _check(part.path, expected)
    except _Failed:
        part.discard()
        raise
    part.finish()


def _check(path: Path, expected: Expected) -> None:
    size = path.stat().st_size
    if expected.bytes is not None and size != expected.bytes:
        raise _Failed(f"it sent {size} bytes, not {expected.bytes}")
    if expected.sha256 is not None and (found := sha256_of(path)) != expected.sha256:
        raise _Failed(f"it sent another file (sha256 {found[:12]}, not {expected.sha256[:12]})")
    if expected.inspect is not None:
        try:
            expected.inspect(path)
        except WeightsError as error:
            raise _Failed(f"it sent what is no weights: {error}") from error


def _receive(url: str, part: _Part, expected: Expected, progress: Progress | None) -> None:
    """Receive the file, or the rest of it, until the server ends."""
    version = part.version(url)
    start = part.size if version else 0
    try:
        response = _opened(url, _range(start, version), STALLED_SECONDS)
    except HTTPError as error:
        if error.code == 416 and _total(error.headers) == start:
            return  # It was complete already.
        if error.code == 416:
            part.discard()
        raise _reason(error) from error
    except (OSError, http.client.HTTPException) as error:
        raise _reason(error) from error
    with response:
        if response.status != 206:
            start = 0
        elif _first(response.headers) != start:
            part.discard()
            raise _Dropped("it sent another part than it was asked for")
        total = _announced(response)
        _refuse(response.headers, total, expected)
        if not start:
            part.begin(url, _version(response.headers))
        with part.path.open("ab") as file:
            _copy(response, file, start, total, expected.bytes, progress)
    if part.size == 0:
        raise _Dropped("it sent nothing")
    if total is not None and part.size < total:
        raise _Dropped(f"it ended after {part.size} of {total} bytes")


def _range(start: int, version: str | None) -> dict[str, str]:
    """The headers that ask for the rest of a version, or for all of another."""
    return {"Range": f"bytes={start}-", "If-Range": str(version)} if start else {}


def _reason(error: Exception) -> _Failed | _Dropped:
    """What it means that a server did not begin to send."""
    if isinstance(error, HTTPError):
        told = f"HTTP {error.code} {error.reason}"
        return _Dropped(told, _pause(error.headers)) if error.code in _LATER else _Failed(told)
    cause = getattr(error, "reason", error)
    told = str(cause) or type(cause).__name__
    # No such host, or not the one that it says it is: asking again is of no use.
    final = isinstance(cause, (ssl.SSLCertVerificationError, socket.gaierror))
    return _Failed(told) if final else _Dropped(told)


def _copy(
    response: http.client.HTTPResponse,
    file: IO[bytes],
    done: int,
    total: int | None,
    most: int | None,
    progress: Progress | None,
) -> None:
    """most: bytes of the whole file, where that is known: a server may go on for ever."""
    while True:
        try:
            block = response.read1(_BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise _Dropped(str(error) or type(error).__name__) from error
        if not block:
            return
        if not done and is_web_page(block[:64]):
            raise _Failed("it answers with a web page in place of the file")
        done += len(block)
        if most is not None and done > most:
            raise _Failed(f"it sends more than {most} bytes")
        file.write(block)
        if progress is not None:
            progress(done, total)


def _refuse(headers: email.message.Message, total: int | None, expected: Expected) -> None:
    """Refuse what cannot be the file, before it is received."""
    if headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        raise _Failed("it answers with a web page in place of the file")
    coding = headers.get("Content-Encoding", "identity")
    if coding != "identity":
        raise _Failed(f"it sends the file coded as {coding}, which was not asked for")
    if total is not None and expected.bytes is not None and total != expected.bytes:
        raise _Failed(f"the file has {total} bytes there, not {expected.bytes}")


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follows no redirection that leaves https."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        _refuse_plain(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _refuse_plain(url: str) -> None:
    allowed = ("https", "http") if os.environ.get("OLDFILM_ALLOW_HTTP") == "1" else ("https",)
    if urlsplit(url).scheme not in allowed:
        raise _Failed(
            f"{url} is not https, so that anybody on the way could change what comes; "
            "OLDFILM_ALLOW_HTTP=1 takes it all the same"
        )


def _opened(
    url: str, headers: dict[str, str], seconds: float, method: str = "GET"
) -> http.client.HTTPResponse:
    _refuse_plain(url)
    stated = {"User-Agent": f"oldfilm/{__version__}", "Accept-Encoding": "identity", **headers}
    request = urllib.request.Request(url, headers=stated, method=method)
    return urllib.request.build_opener(_HttpsOnly).open(request, timeout=seconds)


def _pause(headers: email.message.Message) -> float:
    stated = headers.get("Retry-After", "")
    return min(float(stated), 60) if stated.isdigit() else 0


def _announced(response: http.client.HTTPResponse) -> int | None:
    """How many bytes the whole file has, as the server says."""
    if response.status == 206:
        return _total(response.headers)
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _version(headers: email.message.Message) -> str | None:
    """What the server calls this version of the file, so that no other one is added to its part."""
    tag = headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")


def _first(headers: email.message.Message) -> int | None:
    match = re.match(r"bytes (\d+)-", headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _total(headers: email.message.Message) -> int | None:
    match = re.match(r"bytes .*/(\d+)$", headers.get("Content-Range", ""))
    return int(match[1]) if match else None
