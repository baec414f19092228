"""The folders in which weights are looked for, and the one that new ones are written to."""

from __future__ import annotations

import os
from pathlib import Path

from oldfilm.system.paths import cache_folder
from oldfilm.weights.registry import data_folder


def download_folder() -> Path:
    """Where downloads go."""
    return cache_folder() / "weights"


def converted_folder() -> Path:
    """Where converted weights go: `$OLDFILM_WEIGHTS`, or the cache."""
    named = os.environ.get("OLDFILM_WEIGHTS")
    return Path(named).expanduser() if named else download_folder()


def search_folders() -> list[Path]:
    """Where weights are looked for, in order; PaddleGAN's own cache is read, never written."""
    paddlegan = Path.home() / ".cache" / "ppgan"
    ours = [data_folder("weights"), converted_folder(), download_folder(), paddlegan]
    return list(dict.fromkeys(ours))
