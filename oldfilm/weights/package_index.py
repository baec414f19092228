"""List the files of a Python package, in the indexes and folders that pip is configured for.

pip itself downloads wheels. It can also download a source archive, but it runs the archive's
`setup.py` to do so; this module finds such archives without running them.
"""

from __future__ import annotations

import ast
import base64
import http.client
import json
import netrc
import os
import re
import ssl
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from oldfilm import __version__

ARCHIVES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
"""Suffixes of source archives."""

_ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"
_LARGEST_PAGE = 64 << 20
_SECONDS = 30

RunPip = Callable[..., "list[str]"]
"""Runs pip with arguments, and returns the lines of its output."""


class NoIndex(Exception):
    """No index or folder can be read, or pip's configuration cannot."""


@dataclass(frozen=True)
class PackageFile:
    """A file of a package. url: https, or `file:`. sha256: as the index states it."""

    name: str
    url: str
    sha256: str | None = None

    @property
    def is_wheel(self) -> bool:
        return self.name.endswith(".whl")


class PipSettings:
    """The part of pip's configuration that decides where packages are."""

    def __init__(self, run_pip: RunPip) -> None:
        """Read the configuration; `pip --help` states the default index."""
        stated: dict[str, str] = {}
        lines = run_pip("config", "list")
        for section in ("global.", "download.", ":env:."):  # in ascending priority
            for line in lines:
                key, _, value = line.partition("=")
                if key.startswith(section) and value:
                    stated[key[len(section) :]] = str(ast.literal_eval(value))
        self.indexes: list[str] = []
        if stated.get("no-index", "").lower() not in ("1", "true", "yes", "on", "y", "t"):
            own = stated.get("index-url") or _default_index(run_pip("download", "--help"))
            self.indexes = [own, *stated.get("extra-index-url", "").split()]
        self.links = stated.get("find-links", "").split()
        self.proxy = stated.get("proxy")
        self.certificates = stated.get("cert")
        self.client_certificate = stated.get("client-cert")
        self.trusted = {host.lower() for host in stated.get("trusted-host", "").split()}

    def files(self, name: str, version: str) -> list[PackageFile]:
        """Return the files of one version of a package, wheels for any machine first.

        Raises:
            NoIndex: nothing could be read.
        """
        places = [f"{index.rstrip('/')}/{_plain(name)}/" for index in self.indexes]
        found: dict[str, PackageFile] = {}
        problems = []
        for place in [*places, *self.links]:
            try:
                for file in self._listed(place):
                    if _is_of(file.name, name, version):
                        found.setdefault(file.name, file)
            except (OSError, ValueError, http.client.HTTPException) as error:
                problems.append(f"{_without_password(place)}: {error}")
        if not found and problems:
            raise NoIndex("; ".join(problems))
        return sorted(
            found.values(), key=lambda file: (not file.is_wheel, "-any." not in file.name)
        )

    def _listed(self, place: str) -> Iterable[PackageFile]:
        """Return the files that a page or a folder lists."""
        folder = _folder(place)
        if folder is not None and (folder / "index.html").is_file():
            return _links(
                (folder / "index.html").read_text(encoding="utf-8"), folder.as_uri() + "/"
            )
        if folder is not None:
            paths = sorted(folder.iterdir()) if folder.is_dir() else []
            return [PackageFile(path.name, path.resolve().as_uri()) for path in paths]
        with self.opened(place, {"Accept": _ACCEPT}) as response:
            page = response.read(_LARGEST_PAGE).decode("utf-8", "replace")
            final, kind = response.geturl(), response.headers.get_content_type()
        return _entries(json.loads(page), final) if "json" in kind else _links(page, final)

    def opened(self, url: str, headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
        """Open an address as pip would: with its proxy, certificates, and passwords.

        Raises:
            OSError: it cannot be opened.
            ValueError: it is neither https, nor of a host that pip trusts.
        """
        self._check(url)
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        plain = parts._replace(netloc=host).geturl()
        request = urllib.request.Request(plain, headers=headers or {})
        request.add_header("User-Agent", f"oldfilm/{__version__}")
        request.add_header("Accept-Encoding", "identity")
        if login := self._login(url):
            # Not added to redirected requests, which may go to another host.
            request.add_unredirected_header("Authorization", login)
        proxies = {"http": self.proxy, "https": self.proxy} if self.proxy else None
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler(proxies),
            urllib.request.HTTPSHandler(context=self._context(parts.hostname or "")),
            _CheckedRedirects(self._check),
        )
        return opener.open(request, timeout=_SECONDS)

    def _check(self, url: str) -> None:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        safe = {*self.trusted, "localhost", "127.0.0.1", "::1"}
        trusted = {host, f"{host}:{parts.port}"} & safe or os.environ.get(
            "OLDFILM_ALLOW_HTTP"
        ) == "1"
        if parts.scheme not in ("https", "file") and not (parts.scheme == "http" and trusted):
            raise ValueError("it is not https, and pip does not trust the host")

    def _context(self, host: str) -> ssl.SSLContext:
        named = self.certificates or os.environ.get("REQUESTS_CA_BUNDLE")
        named = named or os.environ.get("CURL_CA_BUNDLE")
        as_folder = bool(named and Path(named).is_dir())
        context = ssl.create_default_context(
            cafile=None if as_folder else named, capath=named if as_folder else None
        )
        if self.client_certificate:
            context.load_cert_chain(self.client_certificate)
        if host.lower() in self.trusted:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _login(self, url: str) -> str | None:
        """Return the header for the user and password of an address, of an index, or of netrc."""
        host = urlsplit(url).netloc.rpartition("@")[2]
        for known in (url, *self.indexes, *self.links):
            user, found, own = urlsplit(known).netloc.rpartition("@")
            if found and own == host:
                name, _, password = user.partition(":")
                return _basic(unquote(name), unquote(password))
        try:
            entry = netrc.netrc().authenticators(host.partition(":")[0])
        except (OSError, netrc.NetrcParseError):
            return None
        return _basic(entry[0], entry[2]) if entry else None


def _basic(name: str, password: str | None) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password or ''}".encode()).decode()


class _CheckedRedirects(urllib.request.HTTPRedirectHandler):
    def __init__(self, check: Callable[[str], None]) -> None:
        self._check = check

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        self._check(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _default_index(help_lines: list[str]) -> str:
    """Return the default index, which pip states in the help of `--index-url`."""
    text = " ".join(" ".join(help_lines).split())
    match = re.search(r"--index-url.*?\(default:? *(\S+?)\)", text)
    if match is None:
        raise NoIndex("pip does not state its index: set it with `pip config`")
    return match[1]


def _folder(place: str) -> Path | None:
    """Return the folder of a `file:` address or of a path; None for an address of the web."""
    parts = urlsplit(place)
    if parts.scheme == "file":
        return Path(urllib.request.url2pathname(parts.path))
    return None if parts.scheme in ("http", "https") else Path(place).expanduser()


def _entries(page: Any, base: str) -> Iterable[PackageFile]:
    """Return the files of a page in JSON (PEP 691)."""
    if not isinstance(page, dict) or not isinstance(page.get("files"), list):
        raise ValueError("it is not a page of an index")
    for entry in page["files"]:
        name, url, hashes = entry.get("filename"), entry.get("url"), entry.get("hashes", {})
        if isinstance(name, str) and isinstance(url, str) and isinstance(hashes, dict):
            yield PackageFile(name, urljoin(base, url), hashes.get("sha256"))


def _links(page: str, base: str) -> list[PackageFile]:
    """Return the files that a page in HTML links to (PEP 503)."""
    found = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            target = dict(attributes).get("href")
            if tag == "a" and target:
                url, fragment = urldefrag(urljoin(base, target))
                name = unquote(urlsplit(url).path.rpartition("/")[2])
                match = re.search(r"sha256=([0-9a-f]{64})", fragment)
                found.append(PackageFile(name, url, match[1] if match else None))

    Parser().feed(page)
    return found


def _is_of(file: str, name: str, version: str) -> bool:
    """Return whether a file belongs to this version of the package, by its name."""
    if file.endswith(".whl"):
        parts = file[: -len(".whl")].split("-")
        return len(parts) >= 5 and [_plain(part) for part in parts[:2]] == [
            _plain(name),
            _plain(version),
        ]
    suffix = next((suffix for suffix in ARCHIVES if file.endswith(suffix)), None)
    return suffix is not None and _plain(file[: -len(suffix)]) == _plain(f"{name}-{version}")


def _plain(name: str) -> str:
    """Normalize a name as PEP 503 does."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _without_password(place: str) -> str:
    return re.sub(r"//[^@/]*@", "//", place)
