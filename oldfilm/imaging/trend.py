"""What changes slowly along a shot, what only shakes, and how far a shot can be followed."""

from __future__ import annotations

import cv2
import numpy as np


def trend_weights(before: int, after: int, reach: int) -> np.ndarray:
    """Weights, float64 [before + 1 + after], that give the trend of a series at one of its values.

    before, after: how many values there are on either side of it; reach: on either side in the
    middle of a shot. What is straight over time is its own trend, also where one side is missing.

    Method: local linear regression (Fan 1993), Epanechnikov's kernel.
    """
    distance = np.arange(-before, after + 1, dtype=np.float64)
    kernel = 1 - np.square(distance / (reach + 1))
    first, second = (kernel * distance).sum(), (kernel * np.square(distance)).sum()
    if before + after < 2:  # two values lie on a line whatever they are
        return kernel / kernel.sum()
    weights = kernel * (second - distance * first)
    return weights / weights.sum()


def unsteadiness(series: np.ndarray) -> np.ndarray:
    """Whether a series goes up and down, 1, or one way only, as in a fade, 0.

    series: [n, ...], n in time. Returns float64 [...] in [0, 1]: less than 1 where more than half
    of all change goes one way.
    """
    travelled = np.abs(np.diff(series, axis=0)).sum(axis=0)
    gone = np.abs(series[-1] - series[0])
    return np.clip(2 * (1 - gone / np.maximum(travelled, 1e-9)), 0, 1)


def alike(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two frames, one warped to the other, show the same thing, whatever their exposure.

    a, b: luma, float32 [h, w] in [0, 1], of the same size, a few hundred pixels at most. Frames
    without detail are like any other. Detail stays correlated where regions flicker: above 0.86
    between neighbors in natural clips, below 0.45 across cuts.
    """
    details = [cv2.GaussianBlur(x, (0, 0), 1) - cv2.blur(x, (25, 25)) for x in (a, b)]
    if min(detail.std() for detail in details) < 0.01:
        return True
    return float(np.corrcoef(details[0].ravel(), details[1].ravel())[0, 1]) > 0.7
