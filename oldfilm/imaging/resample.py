"""Resize and pad images.

Sizes are (width, height), as in OpenCV. Images are float32 or uint8 [h, w, c] or [h, w]; the
number of dimensions is kept.
"""

from __future__ import annotations

import math

import cv2
import numpy as np


def resize(image: np.ndarray, size: tuple[int, int], method: int | None = None) -> np.ndarray:
    """Resize an image; one that has this size already is returned as it is.

    method: OpenCV's interpolation flag; by default area averaging for a smaller image,
    bilinear for a larger one.
    """
    if size == image.shape[1::-1]:
        return image
    if method is None:
        smaller = math.prod(size) < math.prod(image.shape[:2])
        method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    # OpenCV drops the last axis of an image with one channel.
    return cv2.resize(image, size, interpolation=method).reshape(*size[::-1], *image.shape[2:])


def fitted_size(width: int, height: int, longest: float) -> tuple[int, int]:
    """The size whose longer side is at most `longest`; smaller images keep theirs."""
    return scaled_size(width, height, min(1.0, longest / max(width, height)))


def scaled_size(width: int, height: int, scale: float) -> tuple[int, int]:
    """A size times `scale`, rounded, at least one pixel a side."""
    return max(1, round(width * scale)), max(1, round(height * scale))


def pad_to_multiple(image: np.ndarray, multiple: int, minimum: int = 1) -> np.ndarray:
    """Reflect an image at its right and lower border until both sides are multiples."""
    height, width = image.shape[:2]
    below, right = (padded_side(s, multiple, minimum) - s for s in (height, width))
    if not (below or right):
        return image
    sides = ((0, below), (0, right), *((0, 0),) * (image.ndim - 2))
    return np.pad(image, sides, mode="reflect")


def padded_side(side: int, multiple: int, minimum: int = 1) -> int:
    """The smallest multiple that is at least `side` and at least `minimum`."""
    return -(-max(side, minimum) // multiple) * multiple
