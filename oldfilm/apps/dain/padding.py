"""The padding of DAIN's published code: repeated borders, up to multiples of 128."""

from __future__ import annotations

import numpy as np

MULTIPLE = 128
LEAST_MARGIN = 32
"""Pixels added at both ends of a side that is a multiple already."""


def pad(image: np.ndarray) -> np.ndarray:
    """Repeat the borders of [h, w, c], as the authors and PaddleGAN do."""
    return np.pad(image, (*map(_margins, image.shape[:2]), (0, 0)), mode="edge")


def inner(shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the rows and columns that an image of this shape has once it is padded."""
    rows, columns = (slice(_margins(side)[0], _margins(side)[0] + side) for side in shape[:2])
    return rows, columns


def _margins(side: int) -> tuple[int, int]:
    missing = -side % MULTIPLE
    return (missing // 2, missing - missing // 2) if missing else (LEAST_MARGIN, LEAST_MARGIN)
