"""What was written is on the disk, also when the power fails."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path


def sync(path: Path) -> None:
    """Let what was written to a file, or the names in a folder, outlive a loss of power."""
    if path.is_dir() and sys.platform == "win32":  # where a folder cannot be opened
        return
    # Windows syncs only what is open for writing.
    handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network shares cannot
            raise
    finally:
        os.close(handle)
