"""Where oldfilm keeps what it can make or fetch again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """`$OLDFILM_CACHE`, else `~/.cache/oldfilm`."""
    named = os.environ.get("OLDFILM_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "oldfilm"
