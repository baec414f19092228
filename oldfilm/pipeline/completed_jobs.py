"""Records in the cache which job made which results, so that no job is done twice."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from oldfilm.pipeline.checkpoint import decode_fraction
from oldfilm.pipeline.fingerprint import SOURCE_TIME
from oldfilm.pipeline.report import Restoration
from oldfilm.stage import FingerprintValue
from oldfilm.system.paths import cache_folder

logger = logging.getLogger(__name__)

_HOW, _EXTRA = "restoration", {"extra": True}


def remember(
    fingerprint: Mapping[str, FingerprintValue],
    results: Sequence[Path],
    restoration: Restoration | None = None,
) -> None:
    """Record that a job made these results, and how. It is found by the path of the first one."""
    mark_as_results(results[1:])
    how = {} if restoration is None else {_HOW: msgspec.to_builtins(restoration, enc_hook=str)}
    _write(_record_path(results[0]), json.dumps({**_record(fingerprint, results), **how}))


def recall(result: Path) -> Restoration | None:
    """Return how a job made a result; None if nothing is recorded."""
    try:
        return msgspec.convert(_recorded(result)[_HOW], Restoration, dec_hook=decode_fraction)
    except (KeyError, msgspec.MsgspecError):
        return None


def mark_as_results(paths: Sequence[Path]) -> None:
    """Record that these files are results, so that a later run does not take them for sources."""
    for path in paths:
        _write(_record_path(path), json.dumps(_record({}, [path])))


def mark_as_extras(paths: Sequence[Path]) -> None:
    """Record that these files are about a result, so that a later run may replace them."""
    for path in paths:
        _write(_record_path(path), json.dumps(_record(_EXTRA, [path])))


def is_result(path: Path) -> bool:
    """Whether a job made this file, and it has not changed since then."""
    try:
        return _recorded(path)["results"][0] == _state(path)
    except (OSError, LookupError, TypeError):
        return False


def is_extra(path: Path) -> bool:
    """Whether a job made this file about a result, and it has not changed since then."""
    return is_result(path) and _recorded(path).get("job") == _EXTRA


def _write(path: Path, record: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(record, encoding="ascii")
    except OSError as error:  # The next run then finds existing results that it does not know.
        logger.warning("%s: cannot be written: %s", path, error.strerror)


def is_completed(
    fingerprint: Callable[[], Mapping[str, FingerprintValue]], results: Sequence[Path]
) -> bool:
    """Whether all results exist and are still those of this job.

    fingerprint: called only if there is a record, since hashing a large source takes long.
    """
    recorded = _recorded(results[0])
    if not recorded or not all(result.exists() for result in results):
        return False
    known = {name: recorded.get(name) for name in ("job", "results")}
    return known == _record(fingerprint(), results)


def _recorded(result: Path) -> Mapping[str, Any]:
    """Return what is recorded of a file; nothing if the record is missing or damaged."""
    try:
        found = json.loads(_record_path(result).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _record_path(result: Path) -> Path:
    name = hashlib.sha256(os.fsencode(result.absolute())).hexdigest()[:24]
    return cache_folder() / "done" / f"{name}.json"


def _state(path: Path) -> list[int]:
    state = path.stat()
    return [state.st_size, state.st_mtime_ns]


def _record(
    fingerprint: Mapping[str, FingerprintValue], results: Sequence[Path]
) -> dict[str, object]:
    files = [_state(result) for result in results]
    job = {name: value for name, value in fingerprint.items() if name != SOURCE_TIME}
    return {"job": job, "results": files}
