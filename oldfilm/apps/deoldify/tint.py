"""The tint of a film: the chroma of tinted, toned or aged prints, as a function of luma."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from oldfilm.imaging import color

LEVELS = 16
"""Levels of luma at which a tint is measured."""

_LEAST = 0.01
"""Share of pixels at which a level has the same weight as the mean of all levels."""


def measure_tint(frames: Sequence[np.ndarray]) -> np.ndarray:
    """Measure the mean a* and b* at every level of luma: float32 [LEVELS, 2].

    frames: RGB, float32 [h, w, 3] in [0, 1], of one shot. A bath of dye colors the light areas, a
    toner the dark ones, so one mean for all would not do. Levels that hardly occur take the mean.
    """
    sums = np.zeros((LEVELS, 3))
    for frame in frames:
        luma = color.luma(frame).ravel()
        chroma = cv2.cvtColor(frame, cv2.COLOR_RGB2LAB)[..., 1:].reshape(-1, 2)
        low, share = _position(luma)
        for level, weight in ((low, 1 - share), (low + 1, share)):
            for column, values in enumerate((weight, weight * chroma[:, 0], weight * chroma[:, 1])):
                sums[:, column] += np.bincount(level, values, LEVELS)
    sums /= sums[:, 0].sum()
    means = (sums[:, 1:] + _LEAST * sums[:, 1:].sum(0)) / (sums[:, :1] + _LEAST)
    return means.astype(np.float32)


def tint_of(luma: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return the a* and b*, float32 [h, w, 2], that a tint has at luma [h, w].

    levels: as `measure_tint` returns them.
    """
    low, share = _position(luma)
    return levels[low] * (1 - share[..., None]) + levels[low + 1] * share[..., None]


def _position(luma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the level below each luma, and how much of the way to the next one it is."""
    position = np.clip(luma, 0, 1) * np.float32(LEVELS - 1)
    low = np.minimum(position.astype(np.int32), LEVELS - 2)
    return low, position - low
