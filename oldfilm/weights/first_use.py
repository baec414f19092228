"""Is a file what it should be: by the published sha256, or by what it was when first used."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

from oldfilm.errors import TransferError, WeightsError
from oldfilm.weights.folders import download_folder
from oldfilm.weights.lock import locked

logger = logging.getLogger(__name__)

_BLOCK = 1 << 20


def sha256_of(path: Path) -> str:
    """The sha256 of a file; of a folder, of its files and their names."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_dir():
            continue
        if file != path:
            digest.update(f"{file.relative_to(path).as_posix()}\0".encode())
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()


def record_path() -> Path:
    """The JSON that holds the hashes of files whose authors publish none, by their paths."""
    return download_folder() / "first-use.json"


def checked_against_first_use(path: Path) -> str:
    """The file's sha256, which is noted at its first use and the same ever after.

    Raises:
        WeightsError: the file is not what it was.
    """
    found = sha256_of(path)
    known = _recorded().get(str(path.resolve()), found)
    if known != found:
        raise WeightsError(
            f"{path} is not what it was when it was first used (sha256 {found[:12]}, then "
            f"{known[:12]}): it is damaged, or was replaced. Delete it and fetch it again, or take "
            f"its line out of {record_path()} if the new one is right."
        )
    remember(path, found)
    return found


def remember(path: Path, sha256: str) -> None:
    """From now on the file at `path` has this sha256; where it cannot be noted, that is told."""
    record, place = record_path(), str(path.resolve())
    if _recorded().get(place) == sha256:
        return
    try:
        with locked(record):
            beside = record.with_name(record.name + ".new")
            beside.unlink(missing_ok=True)  # It may be a link to elsewhere.
            known = {**_recorded(), place: sha256}
            beside.write_text(json.dumps(known, indent=1, sort_keys=True), encoding="utf-8")
            beside.replace(record)
    except (OSError, TransferError) as error:
        logger.warning("the sha256 of %s is not remembered: %s", path, error)


def _recorded() -> dict[str, str]:
    record = record_path()
    try:
        return json.loads(record.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise WeightsError(f"{record} cannot be read ({error}): delete it.") from error
