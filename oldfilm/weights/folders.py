"""Folders that are searched for weights, and those that new weights are written to."""

from __future__ import annotations

import os
from pathlib import Path

from oldfilm.system.paths import cache_folder
from oldfilm.weights.registry import data_folder


def download_folder() -> Path:
    """Return the folder for downloads, in the cache."""
    return cache_folder() / "weights"


def converted_folder() -> Path:
    """Return the folder for converted weights: `$OLDFILM_WEIGHTS`, or the download folder."""
    named = os.environ.get("OLDFILM_WEIGHTS")
    return Path(named).expanduser() if named else download_folder()


def search_folders() -> list[Path]:
    """Return the folders to search, in order; the last is PaddleGAN's cache, which is only read."""
    paddlegan = Path.home() / ".cache" / "ppgan"
    ours = [data_folder("weights"), converted_folder(), download_folder(), paddlegan]
    return list(dict.fromkeys(ours))
