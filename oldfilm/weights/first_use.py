"""Hash weight files, and remember the hashes of those whose authors publish none."""

from __future__ import annotations

import functools
import json
import logging
from pathlib import Path

import msgspec

from oldfilm.errors import WeightsError
from oldfilm.system.files import replacing, sha256_of_file, sha256_of_files
from oldfilm.system.locks import locked
from oldfilm.weights.folders import download_folder

logger = logging.getLogger(__name__)


def weights_sha256(path: Path) -> str:
    """Return the sha256 of a weight file, or one sha256 for all files of a folder.

    A file is hashed once in a process, and again only if its size or modification time changes.

    Raises:
        WeightsError: the file cannot be read.
    """
    try:
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.is_file())
        else:
            files = [path]
        states = [(file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        return _hashed(path.is_dir(), tuple(files), tuple(states))
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}).") from error


@functools.lru_cache(maxsize=256)
def _hashed(is_folder: bool, files: tuple[Path, ...], states: tuple[tuple[int, int], ...]) -> str:
    return sha256_of_files(files) if is_folder else sha256_of_file(files[0])


def record_path() -> Path:
    """Return the JSON file that maps paths to the hashes of their first use."""
    return download_folder() / "first-use.json"


def check_against_first_use(path: Path) -> str:
    """Return the sha256 of a file, which must be the same as at its first use.

    Raises:
        WeightsError: the file has changed since its first use.
    """
    found = weights_sha256(path)
    known = _recorded().get(str(path.resolve()), found)
    if known != found:
        raise WeightsError(
            f"{path} has changed since its first use (sha256 {found[:12]}, then {known[:12]}): it "
            "is damaged or was replaced. Delete it and fetch it again; if the new file is right, "
            f"delete its line in {record_path()}."
        )
    remember(path, found)
    return found


def remember(path: Path, sha256: str) -> None:
    """Record the sha256 of a file; log a warning where the record cannot be written."""
    record, place = record_path(), str(path.resolve())
    if _recorded().get(place) == sha256:
        return
    try:
        with locked(record), replacing(record) as unfinished:
            known = {**_recorded(), place: sha256}
            unfinished.write_text(json.dumps(known, indent=1, sort_keys=True), encoding="utf-8")
    except OSError as error:
        logger.warning("the sha256 of %s cannot be recorded: %s", path, error)


def _recorded() -> dict[str, str]:
    record = record_path()
    try:
        return msgspec.json.decode(record.read_bytes(), type=dict[str, str])
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise WeightsError(f"{record} cannot be read ({error}): delete it.") from error
