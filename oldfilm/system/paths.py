"""Where oldfilm keeps files that it can create or download again."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Return `$OLDFILM_CACHE`, or else the platform's cache folder for oldfilm.

    That is `$XDG_CACHE_HOME/oldfilm` or `~/.cache/oldfilm` on Linux. If it does not exist, but
    `~/.cache/oldfilm` does, then that one is used, on any platform.
    """
    if named := os.environ.get("OLDFILM_CACHE"):
        return Path(named).expanduser()
    folder = platformdirs.user_cache_path("oldfilm", appauthor=False)
    earlier = Path.home() / ".cache" / "oldfilm"
    return earlier if earlier.is_dir() and not folder.exists() else folder
