"""Progress of downloads: a bar in a terminal or a notebook, lines in a log."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from oldfilm.system.notebook import in_notebook

if TYPE_CHECKING:
    from tqdm import tqdm

logger = logging.getLogger(__name__)


class DownloadProgress:
    """Says how much is downloaded, then how far it is."""

    def __init__(self, name: str) -> None:
        """name: of the file or model, for messages."""
        self._name = name
        self._bar: tqdm | None = None
        self._begun = False
        self._tenths = 0

    def __call__(self, done: int, total: int | None) -> None:
        """Report the bytes so far, and all bytes if the server states them."""
        if not self._begun:
            self._begun = True
            size = f"{total / 1e6:.0f} MB" if total else "a file of unknown size"
            logger.warning("%s: downloading %s.", self._name, size)
            if sys.stderr.isatty() or in_notebook():
                from tqdm import tqdm

                self._bar = tqdm(
                    total=total, desc=self._name, unit="B", unit_scale=True, file=sys.stderr
                )
        if self._bar is not None:
            self._bar.update(done - self._bar.n)
            if done == total:
                self._bar.close()
        elif total and done * 10 // total > self._tenths:
            self._tenths = done * 10 // total
            logger.warning("%s: %d %% of %.0f MB", self._name, self._tenths * 10, total / 1e6)
