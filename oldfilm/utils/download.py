"""`ppgan.utils.download`: published files, in PaddleGAN's cache or ours."""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

from oldfilm.errors import TransferError
from oldfilm.system.files import replacing
from oldfilm.weights.download import Expected, download
from oldfilm.weights.folders import download_folder, search_folders
from oldfilm.weights.progress import DownloadProgress


def is_url(path: str) -> bool:
    """Whether a path is an address."""
    return path.startswith(("http://", "https://"))


def get_path_from_url(url: str, md5sum: str | None = None, check_exist: bool = True) -> str:
    """Return the path of a published file; download it unless it is on this machine.

    Downloads are resumed, and obey `$OLDFILM_MIRROR`, `$OLDFILM_OFFLINE` and `$OLDFILM_CACHE`. A
    tar or zip archive is unpacked, and its folder returned.

    md5sum: of the file, if it is known. check_exist: False downloads it in any case.

    Raises:
        TransferError: it cannot be downloaded or unpacked, or has another md5sum.
    """
    if not is_url(url):
        raise TransferError(f"{url} is not an address: it must begin with https:// or http://.")
    try:
        written = urlsplit(url).path.rpartition("/")[2]
    except ValueError as error:
        raise TransferError(f"{url} is not an address ({error}).") from error
    name = unquote(written)
    names = dict.fromkeys((name, written))
    known = [folder / each for folder in search_folders() for each in names]
    path = next((file for file in known if check_exist and _is_intact(file, md5sum)), None)
    if path is None:
        path = download_folder() / name
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        download([url], path, Expected(), DownloadProgress(name))
        if not _is_intact(path, md5sum):
            path.unlink()
            raise TransferError(f"{url}: the file does not have the md5sum {md5sum}.")
    is_archive = path.is_file() and (tarfile.is_tarfile(path) or zipfile.is_zipfile(path))
    return str(_unpacked(path) if is_archive else path)


def _is_intact(path: Path, md5sum: str | None) -> bool:
    if not path.is_file():
        return False
    return md5sum is None or hashlib.md5(path.read_bytes()).hexdigest() == md5sum


def _unpacked(archive: Path) -> Path:
    """Unpack an archive into a folder of its name in our cache, unless that exists."""
    folder = download_folder() / archive.name.partition(".")[0]
    if folder.is_dir():
        return folder
    try:
        with replacing(folder) as unfinished:
            unfinished.mkdir(parents=True)
            _extract(archive, unfinished)
            inner = list(unfinished.iterdir())
            if len(inner) == 1 and inner[0].is_dir():
                for file in inner[0].iterdir():
                    file.rename(unfinished / file.name)
                inner[0].rmdir()
    except (OSError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise TransferError(f"{archive} cannot be unpacked ({error}): delete it.") from error
    return folder


def _extract(archive: Path, folder: Path) -> None:
    """Extract files and folders; members that lead out of the folder are an error."""
    if not tarfile.is_tarfile(archive):
        with zipfile.ZipFile(archive) as opened:  # drops ".." and absolute paths
            opened.extractall(folder)
    elif hasattr(tarfile, "data_filter"):
        with tarfile.open(archive) as opened:
            opened.extractall(folder, filter="data")
    else:
        raise TransferError(f"{archive}: update Python, which cannot unpack it safely.")
