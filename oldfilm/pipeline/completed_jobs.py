"""Remembers which results are whose, so that a job that is asked for again is known to be done."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from oldfilm.stage import FingerprintValue
from oldfilm.system.paths import cache_folder

logger = logging.getLogger(__name__)


def remember(job: Mapping[str, FingerprintValue], results: Sequence[Path]) -> None:
    """Note in the cache that these results, the first of which names them, are those of a job."""
    path = _record(results[0])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_state(job, results), encoding="ascii")
    except OSError as error:  # the next run will ask before it replaces them, that is all
        logger.warning("%s: cannot be written: %s", path, error.strerror)


def is_done(job: Callable[[], Mapping[str, FingerprintValue]], results: Sequence[Path]) -> bool:
    """Whether the results are there, and still those of this job.

    job: only asked where something is known of the results; a large source takes long to read.
    """
    path = _record(results[0])
    if not all(result.exists() for result in results) or not path.is_file():
        return False
    return path.read_bytes() == _state(job(), results).encode()


def _record(result: Path) -> Path:
    name = hashlib.sha256(os.fsencode(result.absolute())).hexdigest()[:24]
    return cache_folder() / "done" / f"{name}.json"


def _state(job: Mapping[str, FingerprintValue], results: Sequence[Path]) -> str:
    states = [result.stat() for result in results]
    files = [(state.st_size, state.st_mtime_ns) for state in states]
    kept = {name: fact for name, fact in job.items() if name != "time of the source"}
    return json.dumps({"job": kept, "results": files}, sort_keys=True)
