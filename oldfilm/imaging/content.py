"""Distinguish pictures from flat frames: black, white or blank film, with or without grain."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from oldfilm.imaging.color import as_rgb
from oldfilm.imaging.resample import divided_size, fitted_size, resize


@dataclass(frozen=True)
class Thresholds:
    """When an image counts as flat.

    side: longer side, in pixels, of the copy that is measured. block: side of its blocks. dust:
    fraction of the darkest and of the brightest blocks that are ignored. grain: range of block
    means that grain causes, in standard deviations of these means. flat, picture: range of block
    means, in [0, 1], up to which an image is flat, and from which it is a picture. strongest_grain,
    pattern: standard deviations, in [0, 1], up to which fine detail may be grain, and from which
    it is a picture.
    """

    side: int = 256
    block: int = 8
    dust: float = 0.005
    grain: float = 6.0
    flat: float = 0.02
    picture: float = 0.12
    strongest_grain: float = 0.051
    pattern: float = 0.08


THRESHOLDS = Thresholds()


def content(image: np.ndarray) -> float:
    """Rate how much an image shows: 0 if it is flat, 1 if it is a picture.

    image: float32 [h, w, c] in [0, 1]. The value falls smoothly from 1 to 0 in the last frames of
    a fade to black, to white or to any other color.
    """
    return share_of(contrast(image), THRESHOLDS.picture)


def share_of(measured: float, picture: float) -> float:
    """Return 0 for a `contrast` that counts as flat, and 1 from `picture` on."""
    return _ramp(measured, THRESHOLDS.flat, picture)


def contrast(image: np.ndarray) -> float:
    """Measure the range of an image, float32 [h, w, c] in [0, 1], without its grain: in [0, 1]."""
    height, width = image.shape[:2]
    small = resize(image, fitted_size(width, height, THRESHOLDS.side), cv2.INTER_AREA)
    blocks = _reduced(small, THRESHOLDS.block)
    low, high = np.quantile(blocks, (THRESHOLDS.dust, 1 - THRESHOLDS.dust), axis=(0, 1))
    grain = _block_grain(small)
    coarse = float(np.max(high - low - THRESHOLDS.grain * grain))
    fine = float(_sigma(small).max())
    return max(coarse, _ramp(fine, THRESHOLDS.strongest_grain, THRESHOLDS.pattern), 0.0)


def is_flat(image: np.ndarray) -> bool:
    """Whether an image, float32 [h, w, c] in [0, 1], shows nothing."""
    return content(image) == 0


def blend_by_content(source: np.ndarray, result: np.ndarray, shown: float) -> np.ndarray:
    """Blend a restored image with its source, so that nothing appears in flat frames.

    source: float32 [h, w, 1 or 3]. result: the restored image, of any size and with as many
    channels or RGB. shown: the `content` of the source; 1 returns `result`, and 0 the source at the
    size of `result`.
    """
    if shown >= 1:
        return result
    resized = resize(source, result.shape[1::-1])
    if result.shape[2] != resized.shape[2]:
        resized = as_rgb(resized)
    return resized + np.float32(shown) * (result - resized)


def _block_grain(image: np.ndarray) -> np.ndarray:
    """Estimate the standard deviation that grain gives to the means of blocks: float [c].

    Fine grain is strongest at full size, coarse grain in smaller copies.
    """
    sigmas = [_sigma(_reduced(image, scale)) * scale / THRESHOLDS.block for scale in (1, 2, 4)]
    return np.max(sigmas, axis=0)


def _sigma(image: np.ndarray) -> np.ndarray:
    """Estimate the standard deviation of the finest detail of every channel: float [c]."""
    fine = image - cv2.blur(image, (3, 3)).reshape(image.shape)
    return 1.57 * np.median(np.abs(fine), axis=(0, 1))  # the blur contains a ninth of the detail


def _reduced(image: np.ndarray, divisor: int) -> np.ndarray:
    height, width = image.shape[:2]
    return resize(image, divided_size(width, height, divisor), cv2.INTER_AREA)


def _ramp(value: float, low: float, high: float) -> float:
    return min(max((value - low) / (high - low), 0.0), 1.0)
