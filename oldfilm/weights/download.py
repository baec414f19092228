"""Download published files: resumable, verified, atomic, and by one process at a time.

An unfinished download is kept next to its destination as `.part`, with a note of the server's
version of the file (`.part.json`). The next attempt resumes it, in this run or in a later one.
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
from oldfilm.system.files import sha256_of_file, sync
from oldfilm.system.locks import locked
from oldfilm.weights.archives import LARGEST
from oldfilm.weights.formats import is_web_page
from oldfilm.weights.packages import PackageError, receive
from oldfilm.weights.registry import Address

logger = logging.getLogger(__name__)

Progress = Callable[[int, int | None], None]
"""Receives the number of bytes so far, and the total if the server states it."""

CONNECT_SECONDS = 5
"""Timeout of `online`."""
STALLED_SECONDS = 30
"""How long a server may send nothing before the connection is dropped."""
RETRY_SECONDS = (1, 2, 4, 8)
"""Pauses before retries that receive no new bytes; after the last, the next address is tried."""

_BLOCK = 1 << 18
_LATER = {416, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Expected:
    """Known properties of a published file; None where unknown.

    inspect: called with the path of the received file; raises WeightsError if the content is wrong.
    """

    bytes: int | None = None
    sha256: str | None = None
    inspect: Callable[[Path], Any] | None = None


class _Failed(Exception):
    """This address cannot provide the file."""


class _Dropped(Exception):
    """The transfer was interrupted; this address may resume it after `wait` seconds."""

    def __init__(self, reason: str, wait: float = 0) -> None:
        super().__init__(reason)
        self.wait = wait


def offline() -> bool:
    """Return whether `$OLDFILM_OFFLINE` forbids network access."""
    return os.environ.get("OLDFILM_OFFLINE", "") not in ("", "0")


def addresses(urls: Sequence[str]) -> list[str]:
    """Return the addresses to try for files published at `urls`: `$OLDFILM_MIRROR` first."""
    return [url for url, _ in mirrored([Address(url) for url in urls])]


def mirrored(published: Sequence[Address]) -> list[tuple[str, Address]]:
    """Return the addresses to try, each with the published one that has the same file.

    `$OLDFILM_MIRROR`, the address of a folder with files of the same names, comes first.
    """
    mirror = os.environ.get("OLDFILM_MIRROR", "").rstrip("/")
    copies = [(f"{mirror}/{address.name}", address) for address in published] if mirror else []
    own = [(address.url, address) for address in published]
    return [*dict.fromkeys(copies), *own]


connected: bool | None = None
"""The result of `online` in this process; None until it has asked."""


def online(urls: Sequence[str]) -> bool:
    """Return whether there is a network connection.

    The first web address is asked once in a process, with a timeout of 5 seconds.
    """
    global connected
    if offline():
        return False
    if connected is None:
        asked = [url for url in addresses(urls) if Address(url).package is None]
        if not asked:
            return True  # Packages come from an index or a folder that only pip knows.
        connected = _answers(asked[0])
    return connected


def _answers(url: str) -> bool:
    try:
        with _opened(url, {}, CONNECT_SECONDS, method="HEAD"):
            return True
    except HTTPError:
        return True  # The server answered.
    except _Failed as error:
        logger.warning("%s", error)
    except (OSError, http.client.HTTPException) as error:
        logger.warning("no connection to %s (%s)", urlsplit(url).hostname, error)
    return False


@dataclass(frozen=True)
class Source:
    """An address, the path to download it to, and the known properties of its file."""

    url: str
    destination: Path
    expected: Expected


def download(
    urls: Sequence[str], destination: Path, expected: Expected, progress: Progress | None = None
) -> None:
    """Download the file that is published at `urls` to `destination`.

    The addresses are tried in order, after `$OLDFILM_MIRROR`, the address of a folder with files
    of the same names. If another process is downloading the file, wait for it and use its result.

    Raises:
        TransferError: no address provided the file, or it cannot be written.
    """
    download_first([Source(url, destination, expected) for url in addresses(urls)], progress)


def download_first(sources: Sequence[Source], progress: Progress | None = None) -> Path:
    """Download from the first source that provides its file, and return the file's path.

    Raises:
        TransferError: no source provided its file, or it cannot be written.
    """
    name = sources[0].destination.name
    if offline():
        raise TransferError(
            f"{name} is not on this machine, and $OLDFILM_OFFLINE forbids its download."
        )
    reasons = []
    for source in sources:
        try:
            with locked(source.destination, _log_waiting):
                if not source.destination.is_file():
                    _download_or_clean_up(source, progress)
            return source.destination
        except _Failed as error:
            reasons.append(f"{source.url}: {error}")
        except OSError as error:
            raise TransferError(
                f"{source.destination} cannot be written ({error.strerror}): free some space, or "
                "set $OLDFILM_CACHE to another folder."
            ) from error
    raise TransferError(f"{name} cannot be downloaded ({'; '.join(reasons)}).")


def _log_waiting() -> None:
    logger.warning("waiting for another download of the file")


def _download_or_clean_up(source: Source, progress: Progress | None) -> None:
    part = _Part(source.destination)
    try:
        _download_from(source.url, part, source.expected, progress)
    except _Failed:
        if not part.size:
            part.discard()
        raise


class _Part:
    """An unfinished download, and the version of the file that it is a part of."""

    def __init__(self, destination: Path) -> None:
        self.destination = destination
        self.path = destination.with_name(destination.name + ".part")
        self._note = destination.with_name(destination.name + ".part.json")
        for path in (self.path, self._note):
            if path.is_symlink():  # Writing must not follow a link out of the cache.
                path.unlink()

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def version(self, url: str) -> str | None:
        """Return the version of this part if it is known and from the same address."""
        if not self.size or not self._note.is_file():
            return None
        try:
            noted = json.loads(self._note.read_text(encoding="utf-8"))
        except ValueError:  # The machine stopped while the note was being written.
            return None
        return noted.get("version") if noted.get("url") == url else None

    def begin(self, url: str, version: str | None) -> None:
        """Start over with this version."""
        self.discard()
        self._note.write_text(json.dumps({"url": url, "version": version}), encoding="utf-8")

    def discard(self) -> None:
        for path in (self.path, self._note):
            path.unlink(missing_ok=True)

    def finish(self) -> None:
        sync(self.path)
        self.path.replace(self.destination)
        sync(self.destination.parent)
        self._note.unlink(missing_ok=True)


def _download_from(url: str, part: _Part, expected: Expected, progress: Progress | None) -> None:
    """Download the file from one address; retry as long as retries receive new bytes."""
    if (package := Address(url).package) is not None:
        part.discard()
        try:
            receive(package, part.path, expected.bytes or LARGEST, progress)
        except PackageError as error:
            raise _Failed(str(error)) from error
        _finish(part, expected)
        return
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
            logger.info("%s: %s; trying again", url, error)
            time.sleep(max(error.wait, RETRY_SECONDS[max(idle - 1, 0)]))
    _finish(part, expected)


def _finish(part: _Part, expected: Expected) -> None:
    """Check the whole file, and give it its name."""
    try:
        _check(part.path, expected)
    except _Failed:
        part.discard()
        raise
    part.finish()


def _check(path: Path, expected: Expected) -> None:
    size = path.stat().st_size
    if expected.bytes is not None and size != expected.bytes:
        raise _Failed(f"the file there has {size} bytes, not {expected.bytes}")
    if expected.sha256 is not None and (found := sha256_of_file(path)) != expected.sha256:
        raise _Failed(
            f"the address has another file (sha256 {found[:12]}, not {expected.sha256[:12]})"
        )
    if expected.inspect is not None:
        try:
            expected.inspect(path)
        except WeightsError as error:
            reason = str(error).removeprefix(f"{path} ").removesuffix(".")
            raise _Failed(f"something other than weights is there, which {reason}") from error


def _receive(url: str, part: _Part, expected: Expected, progress: Progress | None) -> None:
    """Receive the file, or the rest of it, until the server closes the connection."""
    version = part.version(url)
    start = part.size if version else 0
    try:
        response = _opened(url, _range(start, version), STALLED_SECONDS)
    except HTTPError as error:
        if error.code == 416 and _total(error.headers) == start:
            return  # The part is already complete.
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
            raise _Dropped("the server sent another range than requested")
        total = _announced(response)
        _check_headers(response.headers, total, expected)
        if not start:
            part.begin(url, _version(response.headers))
        with part.path.open("ab") as file:
            _copy(response, file, start, total, expected.bytes, progress)
    if part.size == 0:
        raise _Dropped("the server sent nothing")
    if total is not None and part.size < total:
        raise _Dropped(f"the connection ended after {part.size} of {total} bytes")


def _range(start: int, version: str | None) -> dict[str, str]:
    """Return headers that request the rest of this version, or all of a newer one."""
    return {"Range": f"bytes={start}-", "If-Range": str(version)} if start else {}


def _reason(error: Exception) -> _Failed | _Dropped:
    """Return the meaning of an error before the first byte: final, or worth a retry."""
    if isinstance(error, HTTPError):
        reason = f"HTTP {error.code} {error.reason}"
        return _Dropped(reason, _pause(error.headers)) if error.code in _LATER else _Failed(reason)
    cause = getattr(error, "reason", error)
    reason = str(cause) or type(cause).__name__
    # An unknown host or a wrong certificate does not change with a retry.
    final = isinstance(cause, (ssl.SSLCertVerificationError, socket.gaierror))
    return _Failed(reason) if final else _Dropped(reason)


def _copy(
    response: http.client.HTTPResponse,
    file: IO[bytes],
    done: int,
    total: int | None,
    most: int | None,
    progress: Progress | None,
) -> None:
    """Append the response to `file`; refuse more than `most` bytes, where the size is known."""
    while True:
        try:
            block = response.read1(_BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise _Dropped(str(error) or type(error).__name__) from error
        if not block:
            return
        if not done and is_web_page(block[:64]):
            raise _Failed("the server sent a web page in place of the file")
        done += len(block)
        if most is not None and done > most:
            raise _Failed(f"the server sent more than {most} bytes")
        file.write(block)
        if progress is not None:
            progress(done, total)


def _check_headers(headers: email.message.Message, total: int | None, expected: Expected) -> None:
    """Refuse a response that cannot be the file, before receiving it."""
    if headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        raise _Failed("the server sent a web page in place of the file")
    coding = headers.get("Content-Encoding", "identity")
    if coding != "identity":
        raise _Failed(f"the server sent the file encoded as {coding}, which was not requested")
    if total is not None and expected.bytes is not None and total != expected.bytes:
        raise _Failed(f"the file there has {total} bytes, not {expected.bytes}")


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follow redirections only to https."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        _refuse_plain(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _refuse_plain(url: str) -> None:
    allowed = ("https", "http") if os.environ.get("OLDFILM_ALLOW_HTTP") == "1" else ("https",)
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise _Failed(f"{url} is not an address ({error})") from error
    if parts.scheme not in allowed:
        raise _Failed(
            f"{url} is not https, so the file could be changed on the way; set "
            "$OLDFILM_ALLOW_HTTP to 1 to use it anyway"
        )


def _opened(
    url: str, headers: dict[str, str], seconds: float, method: str = "GET"
) -> http.client.HTTPResponse:
    _refuse_plain(url)
    stated = {"User-Agent": f"oldfilm/{__version__}", "Accept-Encoding": "identity", **headers}
    request = urllib.request.Request(url, headers=stated, method=method)
    try:
        return urllib.request.build_opener(_HttpsOnly).open(request, timeout=seconds)
    except ValueError as error:  # of an address that only looks like one, or of a redirection to it
        raise _Failed(f"{url} leads to what is not an address ({error})") from error


def _pause(headers: email.message.Message) -> float:
    stated = headers.get("Retry-After", "")
    return min(float(stated), 60) if stated.isdigit() else 0


def _announced(response: http.client.HTTPResponse) -> int | None:
    """Return the size of the whole file, if the server states it."""
    if response.status == 206:
        return _total(response.headers)
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _version(headers: email.message.Message) -> str | None:
    """Return the server's identifier of this version, so that versions are never mixed."""
    tag = headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")


def _first(headers: email.message.Message) -> int | None:
    match = re.match(r"bytes (\d+)-", headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _total(headers: email.message.Message) -> int | None:
    match = re.match(r"bytes .*/(\d+)$", headers.get("Content-Range", ""))
    return int(match[1]) if match else None
