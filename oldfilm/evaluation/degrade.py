"""Shrink ground truth as the benchmarks of super-resolution do."""

from __future__ import annotations

import functools

import numpy as np

from oldfilm.errors import OptionError
from oldfilm.imaging.resample import Border, matlab_bicubic, resample, resampling_matrix

_SIGMA = 1.6


def blur_down(image: np.ndarray) -> np.ndarray:
    """Shrink to a quarter by the "BD" degradation of BasicVSR, BasicVSR++ and PP-MSVSR.

    image: float32 [h, w, c], sides multiples of 4.

    Method: a Gaussian of 12 pixels, sigma 1.6, around the middle of every 4 x 4 pixels, with
    repeated borders. This is BD_degradation.m of BasicVSR, which made the Vimeo-90K, Vid4 and UDM10
    files of MMEditing and PaddleGAN.
    """
    return resample(image, functools.partial(_gaussian_matrix, first=-4, taps=12, border="edge"))


def blur_down_duf(image: np.ndarray) -> np.ndarray:
    """Shrink to a quarter by the "BD" degradation of DUF (Jo et al. 2018).

    image: float32 [h, w, c], sides multiples of 4.

    Method: a Gaussian of 13 pixels, sigma 1.6, around every fourth pixel, the first included, with
    reflected borders. The result is shifted 1.5 pixels up and to the left of `blur_down`'s: a model
    trained on one fails on the other.
    """
    return resample(image, functools.partial(_gaussian_matrix, first=-6, taps=13, border="reflect"))


_BLURS = {"bd": blur_down, "bd13": blur_down_duf}

DEGRADATIONS = ("bi", *_BLURS)
"""Bicubic, BasicVSR's blur, DUF's blur of 13 x 13 pixels."""


def degraded(image: np.ndarray, kind: str, scale: int) -> np.ndarray:
    """Shrink an image `scale` times and round it to 8 bits, as a file would be.

    image: uint8 [h, w, c], sides multiples of `scale`. kind: one of `DEGRADATIONS`.
    Returns uint8 [h / scale, w / scale, c].

    Raises:
        OptionError: this degradation is not defined at this scale.
    """
    if kind in _BLURS and scale != 4:
        raise OptionError(
            f"`degradation={kind}` shrinks by 4, but this chain enlarges by {scale}: "
            "use `degradation=bi`"
        )
    large = image.astype(np.float32) / 255
    return eight_bits(_BLURS[kind](large) if kind in _BLURS else matlab_bicubic(large, 1 / scale))


def eight_bits(image: np.ndarray) -> np.ndarray:
    """Round floats in [0, 1] to uint8."""
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


@functools.lru_cache(maxsize=8)
def _gaussian_matrix(size: int, first: int, taps: int, border: Border) -> np.ndarray:
    """float32 [size / 4, size]; first: the first tap, counted from the first pixel of a block."""
    reach = np.arange(taps)
    kernel = np.exp(-np.square((reach - (taps - 1) / 2) / _SIGMA) / 2)
    places = 4 * np.arange(size // 4)[:, None] + first + reach
    return resampling_matrix(size, places, np.broadcast_to(kernel, places.shape), border)
