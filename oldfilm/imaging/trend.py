"""Separate slow changes along a shot from flicker and shake."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import cv2
import numpy as np

Step = TypeVar("Step")


def trend_weights(before: int, after: int, reach: int) -> np.ndarray:
    """Weights that give the trend of a series at one of its values.

    before, after: number of values on either side of that one. reach: the same in the middle of a
    shot, where neither side is short. Returns float64 [before + 1 + after], with a sum of 1.

    A straight line is its own trend, even where one side is missing.

    Method: local linear regression (Fan 1993) with Epanechnikov's kernel.
    """
    distance = np.arange(-before, after + 1, dtype=np.float64)
    kernel = 1 - np.square(distance / (reach + 1))
    first, second = (kernel * distance).sum(), (kernel * np.square(distance)).sum()
    if before + after < 2:  # any two values are on a straight line
        return kernel / kernel.sum()
    weights = kernel * (second - distance * first)
    return weights / weights.sum()


def unsteadiness(series: np.ndarray) -> np.ndarray:
    """Rate how much a series goes up and down: 1 for flicker, 0 for a fade.

    series: [n, ...], n in time. Returns float64 [...] in [0, 1]; below 1 where more than half of
    all change goes one way.
    """
    travelled = np.abs(np.diff(series, axis=0)).sum(axis=0)
    net = np.abs(series[-1] - series[0])
    return np.clip(2 * (1 - net / np.maximum(travelled, 1e-9)), 0, 1)


def changes_between(
    images: Sequence[np.ndarray],
    flat: Sequence[bool],
    measure: Callable[[np.ndarray, np.ndarray], Step | None],
    unchanged: Step,
) -> list[Step | None]:
    """Measure the changes from each image to the next.

    flat: which images show nothing, such as a flash. The change to one of them is `unchanged`, and
    the next picture is compared with the last one before it. measure: returns the change from one
    image to another, or None if they show different scenes.
    """
    changes: list[Step | None] = []
    last: np.ndarray | None = None
    for image, shows_nothing in zip(images, flat):
        if last is None or shows_nothing:
            changes.append(unchanged)
        else:
            changes.append(measure(last, image))
        last = last if shows_nothing else image
    return changes[1:]


def before_cut(steps: Iterable[Step | None]) -> Iterator[Step]:
    """Yield the changes from frame to frame up to the first None, where the scene changes."""
    for step in steps:
        if step is None:
            return
        yield step


def same_scene(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two frames, one warped onto the other, show the same scene at any exposure.

    a, b: luma, float32 [h, w] in [0, 1], of the same size, a few hundred pixels at most.

    Fine detail is compared, which flicker leaves correlated: above 0.86 between neighbors in
    natural clips, below 0.45 across cuts. A frame without detail matches any other.
    """
    details = [cv2.GaussianBlur(x, (0, 0), 1) - cv2.blur(x, (25, 25)) for x in (a, b)]
    if min(detail.std() for detail in details) < 0.01:
        return True
    return float(np.corrcoef(details[0].ravel(), details[1].ravel())[0, 1]) > 0.7
