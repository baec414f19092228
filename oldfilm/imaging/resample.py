"""Resize and pad images.

Sizes are (width, height), as in OpenCV. Images are float32 or uint8 [h, w, c] or [h, w]; the
number of dimensions is kept.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np

Border = Literal["edge", "reflect", "symmetric"]
"""A mode of `np.pad`: what pixels outside an image look like."""


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


def resize_alpha(alpha: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize an alpha channel, or another that is not a color: [h, w], bilinear."""
    return resize(alpha, size, cv2.INTER_LINEAR)


def fitted_size(width: int, height: int, longest: float) -> tuple[int, int]:
    """The size whose longer side is at most `longest`; smaller images keep theirs."""
    return scaled_size(width, height, min(1.0, longest / max(width, height)))


def scaled_size(width: int, height: int, scale: float) -> tuple[int, int]:
    """A size times `scale`, rounded, at least one pixel a side."""
    return max(1, round(width * scale)), max(1, round(height * scale))


def divided_size(width: int, height: int, divisor: int) -> tuple[int, int]:
    """A size divided by an integer, rounded down, at least one pixel a side."""
    return max(1, width // divisor), max(1, height // divisor)


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


def matlab_bicubic(image: np.ndarray, scale: float) -> np.ndarray:
    """Resize as Matlab's `imresize` does: the bicubic of super-resolution benchmarks ("BI").

    image: float32 [h, w, c]. scale: of both sides; 1 / 4 shrinks to a quarter.
    Returns float32, not clipped.

    Cubic convolution (Keys 1981, a = -0.5) with mirrored borders. Unlike OpenCV's bicubic, it
    widens the kernel when it shrinks, so that fine detail does not alias.
    """
    return resample(image, functools.partial(_bicubic_matrix, scale=scale))


@functools.lru_cache(maxsize=8)
def _bicubic_matrix(size: int, scale: float) -> np.ndarray:
    """float32 [round(size * scale), size]."""
    widen = max(1.0, 1 / scale)
    centers = (np.arange(round(size * scale)) + 0.5) / scale - 0.5
    reach = np.arange(np.ceil(4 * widen) + 2) - np.ceil(2 * widen)
    taps = (np.floor(centers)[:, None] + reach).astype(int)
    return resampling_matrix(size, taps, _cubic((taps - centers[:, None]) / widen), "symmetric")


def _cubic(distance: np.ndarray) -> np.ndarray:
    distance = np.abs(distance)
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0))


def resample(image: np.ndarray, matrix: Callable[[int], np.ndarray]) -> np.ndarray:
    """Resize float32 [h, w, c] by a weighted sum along the columns and one along the rows.

    matrix: makes the weights of a side, float32 [new side, side], as `resampling_matrix` does.
    """
    height, width, channels = image.shape
    rows = (matrix(height) @ image.reshape(height, -1)).reshape(-1, width, channels)
    return np.matmul(matrix(width), rows)


def resampling_matrix(
    size: int, taps: np.ndarray, weights: np.ndarray, border: Border
) -> np.ndarray:
    """The matrix of a weighted sum along one side of an image: float32 [n, size].

    taps: int [n, k], the pixels that each of n new pixels is summed from; they may be outside
    the image. weights: [n, k]; every row is scaled to a sum of 1.
    """
    before, after = max(0, -int(taps.min())), max(0, int(taps.max()) - size + 1)
    inside = np.pad(np.arange(size), (before, after), mode=border)[taps + before]
    matrix = np.zeros((len(taps), size), np.float32)
    rows = np.arange(len(taps))[:, None]
    np.add.at(matrix, (rows, inside), weights / weights.sum(axis=1, keepdims=True))
    return matrix
