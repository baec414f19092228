"""Makes pictures smaller as the benchmarks of super-resolution do, and larger as a baseline.

All of them are one weighted sum along the rows and one along the columns, so each is a matrix.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from oldfilm.errors import OptionError

_SIGMA = 1.6


def bicubic(image: np.ndarray, scale: float) -> np.ndarray:
    """Resize as Matlab's imresize does: "BI" where it makes smaller.

    image: float32 [h, w, c]. scale: of both sides. Cubic convolution (Keys 1981, a = -0.5), whose
    kernel is widened where the picture becomes smaller; borders are mirrored. Not clipped.
    """
    return _resampled(image, functools.partial(_bicubic_matrix, scale=scale))


def blur_down(image: np.ndarray) -> np.ndarray:
    """A quarter of the size by the "BD" degradation of BasicVSR, BasicVSR++ and PP-MSVSR.

    image: float32 [h, w, c], sides multiples of 4. A Gaussian of 12 pixels, sigma 1.6, around the
    middle of every 4 x 4 pixels; borders are repeated. Method: BD_degradation.m of BasicVSR, which
    made the Vimeo-90K, Vid4 and UDM10 files of MMEditing and PaddleGAN.
    """
    return _resampled(image, functools.partial(_gaussian_matrix, first=-4, taps=12, border="edge"))


def blur_down_duf(image: np.ndarray) -> np.ndarray:
    """A quarter of the size by the "BD" degradation of DUF (Jo et al. 2018).

    image: float32 [h, w, c], sides multiples of 4. A Gaussian of 13 pixels, sigma 1.6, around every
    fourth pixel, the first included; borders are reflected. The result lies 1.5 pixels up and to
    the left of what `blur_down` gives, so a model that was trained on the one fails on the other.
    """
    return _resampled(
        image, functools.partial(_gaussian_matrix, first=-6, taps=13, border="reflect")
    )


_BLURS = {"bd": blur_down, "bd13": blur_down_duf}

DEGRADATIONS = ("bi", *_BLURS)
"""By the names of the command line: bicubic, BasicVSR's blur, DUF's blur of 13 x 13 pixels."""


def degraded(image: np.ndarray, kind: str, scale: int) -> np.ndarray:
    """A picture `scale` times smaller, rounded to 8 bits as a file would be.

    image: uint8 [h, w, c], sides multiples of `scale`. kind: one of `DEGRADATIONS`.
    Returns uint8 [h / scale, w / scale, c].

    Raises:
        OptionError: the degradation is not made at this scale.
    """
    if kind in _BLURS and scale != 4:
        raise OptionError(f"the degradation {kind} makes pictures 4 times smaller, not {scale}.")
    large = image.astype(np.float32) / 255
    return eight_bits(_BLURS[kind](large) if kind in _BLURS else bicubic(large, 1 / scale))


def eight_bits(image: np.ndarray) -> np.ndarray:
    """uint8 in [0, 255] of floats in [0, 1], rounded."""
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def _resampled(image: np.ndarray, matrix: Callable[[int], np.ndarray]) -> np.ndarray:
    height, width, channels = image.shape
    rows = (matrix(height) @ image.reshape(height, -1)).reshape(-1, width, channels)
    return np.matmul(matrix(width), rows)


@functools.lru_cache(maxsize=8)
def _bicubic_matrix(size: int, scale: float) -> np.ndarray:
    """float32 [round(size * scale), size]."""
    widen = max(1.0, 1 / scale)
    centers = (np.arange(round(size * scale)) + 0.5) / scale - 0.5
    reach = np.arange(np.ceil(4 * widen) + 2) - np.ceil(2 * widen)
    taps = (np.floor(centers)[:, None] + reach).astype(int)
    return _matrix(size, taps, _cubic((taps - centers[:, None]) / widen), "symmetric")


def _cubic(distance: np.ndarray) -> np.ndarray:
    distance = np.abs(distance)
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0))


@functools.lru_cache(maxsize=8)
def _gaussian_matrix(size: int, first: int, taps: int, border: Any) -> np.ndarray:
    """float32 [size / 4, size]; first: the first tap's place, from the first pixel of a block."""
    reach = np.arange(taps)
    kernel = np.exp(-np.square((reach - (taps - 1) / 2) / _SIGMA) / 2)
    places = 4 * np.arange(size // 4)[:, None] + first + reach
    return _matrix(size, places, np.broadcast_to(kernel, places.shape), border)


def _matrix(size: int, taps: np.ndarray, weights: np.ndarray, border: Any) -> np.ndarray:
    """float32 [n, size] out of taps and weights, [n, k].

    border: the mode of np.pad that says what lies outside.
    """
    before, after = max(0, -int(taps.min())), max(0, int(taps.max()) - size + 1)
    inside = np.pad(np.arange(size), (before, after), mode=border)[taps + before]
    matrix = np.zeros((len(taps), size), np.float32)
    rows = np.arange(len(taps))[:, None]
    np.add.at(matrix, (rows, inside), weights / weights.sum(axis=1, keepdims=True))
    return matrix
