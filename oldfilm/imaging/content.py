"""Distinguish pictures from flat frames: black, white or blank film, with or without grain."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np

from oldfilm.imaging.color import as_rgb
from oldfilm.imaging.resample import divided_size, fitted_size, resize


@dataclass(frozen=True)
class Thresholds:
    """When an image counts as flat.

    side: longer side, in pixels, of the copy that is measured. blocks: blocks along it. block:
    side, in pixels, of the largest blocks. dust: fraction of the darkest and of the brightest
    blocks that are ignored. flat, picture: range of block means, in [0, 1], up to which an image is
    flat, and from which it is a picture. light, shape: part of the range that remains after uneven
    light is taken out, up to which the image shows uneven light only, and from which it is a
    picture. fall: the largest fall of light from the center to the corners, as part of the mean.
    aside: the steepest slope of light, as part of its fall. smallest: longer side from which uneven
    light is recognized. grain: range of block means that grain causes, in standard deviations of
    these means.
    coarsest: standard deviation of the coarsest grain, in multiples of its finest detail; a soft
    picture has less fine detail. strongest: largest standard deviation of block means due to grain.
    fine_grain, pattern: standard deviations, in [0, 1], up to which fine detail may be grain, and
    from which it is a picture.
    """

    side: int = 256
    blocks: int = 32
    block: int = 4
    dust: float = 0.005
    flat: float = 0.02
    picture: float = 0.13
    light: float = 0.1
    shape: float = 0.2
    fall: float = 0.7
    aside: float = 0.5
    smallest: int = 48
    grain: float = 6.6
    coarsest: float = 3.7
    strongest: float = 0.05
    fine_grain: float = 0.1
    pattern: float = 0.16


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
    """Measure the range of an image, float32 [h, w, c] in [0, 1], in [0, 1].

    Grain and uneven light do not count.
    """
    height, width = image.shape[:2]
    small = resize(image, fitted_size(width, height, THRESHOLDS.side), cv2.INTER_AREA)
    block = min(max(1, max(small.shape[:2]) // THRESHOLDS.blocks), THRESHOLDS.block)
    blocks = _reduced(small, block)
    fine = _sigma(small)
    grain = _block_grain(small, fine, block)
    coarse = _range(blocks, grain)
    if coarse > 0 and max(height, width) >= THRESHOLDS.smallest:
        shape = _range(blocks - _uneven_light(blocks), grain)
        coarse = max(shape, coarse * _ramp(shape / coarse, THRESHOLDS.light, THRESHOLDS.shape))
    return max(coarse, _ramp(float(fine.max()), THRESHOLDS.fine_grain, THRESHOLDS.pattern))


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


def _range(blocks: np.ndarray, grain: np.ndarray) -> float:
    """Return the largest range of a channel of blocks, float32 [h, w, c], less that of grain."""
    low, high = np.quantile(blocks, (THRESHOLDS.dust, 1 - THRESHOLDS.dust), axis=(0, 1))
    return max(float(np.max(high - low - THRESHOLDS.grain * grain)), 0.0)


def _block_grain(image: np.ndarray, fine: np.ndarray, block: int) -> np.ndarray:
    """Estimate the standard deviation that grain gives to the means of blocks: float [c].

    Fine grain is strongest at full size, coarse grain in smaller copies. fine: the standard
    deviation of the finest detail. block: side of the blocks in pixels.
    """
    found = [_sigma(_reduced(image, scale)) * min(scale / block, 1) for scale in (1, 2, 4)]
    coarsest = THRESHOLDS.coarsest * fine / np.hypot(1, block / 4)
    return np.minimum(np.minimum(np.max(found, axis=0), coarsest), THRESHOLDS.strongest)


def _uneven_light(blocks: np.ndarray) -> np.ndarray:
    """Fit the light that a lens or a lamp spreads over a flat frame: float32 [h, w, c].

    It falls off smoothly from a place near the center, equally in all channels.
    """
    height, width, channels = blocks.shape
    pixels = blocks.reshape(-1, channels)
    gray = pixels.mean(axis=1)
    mean = float(gray.mean())
    shapes, inverse = _light_shapes(height, width)
    weights = inverse @ (gray - mean)
    corner = -float(weights[2:].sum())
    fall = min(max(corner, 0.0), THRESHOLDS.fall * mean)
    if not fall:
        return np.broadcast_to(pixels.mean(axis=0), blocks.shape)
    aside = THRESHOLDS.aside * fall
    weights[:2] = np.clip(weights[:2], -aside, aside)
    weights[2:] *= fall / corner
    light = shapes @ weights
    tint = pixels.mean(axis=0) / mean
    return ((mean + light)[:, None] * tint).reshape(blocks.shape)


@functools.lru_cache(maxsize=8)
def _light_shapes(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two slopes and three falls from the center, [h w, 5], and the matrix to fit them."""
    y = ((np.arange(height, dtype=np.float32) * 2 + 1) / height - 1)[:, None]
    x = ((np.arange(width, dtype=np.float32) * 2 + 1) / width - 1)[None]
    terms = np.broadcast_arrays(x, y, x * x, y * y, (x * x + y * y) ** 2 / 4)
    shapes = np.stack([(term - term.mean()).ravel() for term in terms], axis=1)
    return shapes, np.linalg.pinv(shapes)


def _sigma(image: np.ndarray) -> np.ndarray:
    """Estimate the standard deviation of the finest detail of every channel: float [c]."""
    fine = image - cv2.blur(image, (3, 3)).reshape(image.shape)
    return 1.57 * np.median(np.abs(fine), axis=(0, 1))  # the blur contains a ninth of the detail


def _reduced(image: np.ndarray, divisor: int) -> np.ndarray:
    height, width = image.shape[:2]
    return resize(image, divided_size(width, height, divisor), cv2.INTER_AREA)


def _ramp(value: float, low: float, high: float) -> float:
    return min(max((value - low) / (high - low), 0.0), 1.0)
