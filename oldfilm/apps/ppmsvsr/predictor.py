"""PP-MSVSR: enlarge a film four times; the lite variant also removes wear."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

import numpy as np

from oldfilm.apps.base import LITE
from oldfilm.apps.ppmsvsr.lite import LiteEnlarger
from oldfilm.apps.ppmsvsr.published import PublishedPredictor
from oldfilm.stage import FilmInfo, Window

LONGEST_CORE = 64
"""Frames of a window of small frames; longer ones save little, and results come later."""

LITE_WINDOW_BYTES = 1 << 30
"""What a longer window may take."""


class PPMSVSRPredictor(PublishedPredictor):
    """Enlarges a film or a photograph four times, recurrently in both directions of time.

    The published variants are one network that takes a whole clip. `lite` is a pair of cells that
    run frame by frame on DIS flow, in the memory of one frame.
    """

    name = "PPMSVSR"
    config = "ppmsvsr"

    @cached_property
    def _lite(self) -> LiteEnlarger | None:
        if self.implementation != LITE:
            return None
        return LiteEnlarger(self.graph, self.weights.variant.settings["channels"])

    def bytes_per_frame(self, info: FilmInfo) -> int:
        """As `RecurrentPredictor.bytes_per_frame`."""
        if self._lite is None:
            return super().bytes_per_frame(info)
        tiled = self.tiling is not None and info.width * info.height > self.tiling.max_pixels
        return self._lite.bytes_per_frame(info, self.scale if tiled else 0)

    def window_for(self, info: FilmInfo) -> Window:
        """Return a longer window for small frames: neighbors cost time in every window."""
        if self._lite is None or self.window_is_given:
            return self.window
        neighbors = self.window.before + self.window.after
        held = LITE_WINDOW_BYTES // self.bytes_per_frame(info) - neighbors
        return replace(self.window, core=max(self.window.core, min(held, LONGEST_CORE)))

    def restore(self, frames: np.ndarray, core: slice) -> Iterator[np.ndarray]:
        """Enlarge the core; luma is enlarged as gray RGB and returned as luma."""
        return self._lite.restore(frames, core) if self._lite else super().restore(frames, core)
