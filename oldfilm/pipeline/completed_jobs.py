"""Records in the cache which job made which results, so that no job is done twice."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from oldfilm.pipeline.fingerprint import SOURCE_TIME
from oldfilm.stage import FingerprintValue
from oldfilm.system.paths import cache_folder

logger = logging.getLogger(__name__)


def remember(fingerprint: Mapping[str, FingerprintValue], results: Sequence[Path]) -> None:
    """Record that a job made these results. The record is found by the path of the first one."""
    path = _record_path(results[0])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_record(fingerprint, results), encoding="ascii")
    except OSError as error:  # The next run then finds existing results that it does not know.
        logger.warning("%s: cannot be written: %s", path, error.strerror)


def is_completed(
    fingerprint: Callable[[], Mapping[str, FingerprintValue]], results: Sequence[Path]
) -> bool:
    """Whether all results exist and are still those of this job.

    fingerprint: called only if there is a record, since hashing a large source takes long.
    """
    path = _record_path(results[0])
    if not all(result.exists() for result in results) or not path.is_file():
        return False
    return path.read_bytes() == _record(fingerprint(), results).encode()


def _record_path(result: Path) -> Path:
    name = hashlib.sha256(os.fsencode(result.absolute())).hexdigest()[:24]
    return cache_folder() / "done" / f"{name}.json"


def _record(fingerprint: Mapping[str, FingerprintValue], results: Sequence[Path]) -> str:
    states = [result.stat() for result in results]
    files = [(state.st_size, state.st_mtime_ns) for state in states]
    job = {name: value for name, value in fingerprint.items() if name != SOURCE_TIME}
    return json.dumps({"job": job, "results": files}, sort_keys=True)
