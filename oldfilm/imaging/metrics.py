"""Measures of fidelity, colorfulness and flicker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from oldfilm.errors import OptionError
from oldfilm.imaging.color import LUMA_WEIGHTS
from oldfilm.imaging.flow import consistency, flow, warp

SSIM_WINDOW = 11
"""Side, in pixels, of SSIM's Gaussian window; its standard deviation is 1.5."""


def psnr(image: np.ndarray, truth: np.ndarray, *, crop: int = 0) -> float:
    """Peak signal-to-noise ratio, in dB; infinite for equal images.

    image, truth: [..., h, w, c] in [0, 1]. crop: pixels to leave out along every border.
    """
    inner = slice(crop, -crop or None)
    difference = np.subtract(image, truth, dtype=np.float64)[..., inner, inner, :]
    error = np.square(difference).mean()
    return float("inf") if error == 0 else float(-10 * np.log10(error))


def ssim(image: np.ndarray, truth: np.ndarray, *, crop: int = 0) -> float:
    """Structural similarity, averaged over channels and pixels; 1 for equal images.

    image, truth: [h, w, c] in [0, 1]. crop: pixels to leave out along every border.

    Method: Wang et al. 2004, as in their Matlab code: a Gaussian window of 11 x 11 pixels, sigma
    1.5, constants 0.01 and 0.03, and only windows that are inside the image.

    Raises:
        OptionError: the cropped image is smaller than the window.
    """
    inner = slice(crop, -crop or None)
    a, b = (picture[inner, inner].astype(np.float64) for picture in (image, truth))
    if min(a.shape[:2]) < SSIM_WINDOW:
        raise OptionError(
            f"an image of {a.shape[1]}x{a.shape[0]} pixels is too small for SSIM: "
            f"it needs at least {SSIM_WINDOW}x{SSIM_WINDOW}"
        )
    mean_a, mean_b = _windowed(a), _windowed(b)
    variance_a = _windowed(a * a) - mean_a * mean_a
    variance_b = _windowed(b * b) - mean_b * mean_b
    covariance = _windowed(a * b) - mean_a * mean_b
    numerator = (2 * mean_a * mean_b + 0.01**2) * (2 * covariance + 0.03**2)
    denominator = (mean_a**2 + mean_b**2 + 0.01**2) * (variance_a + variance_b + 0.03**2)
    return float((numerator / denominator).mean())


def _windowed(image: np.ndarray) -> np.ndarray:
    """Weighted means over SSIM's window at every place where it fits."""
    inner = slice(SSIM_WINDOW // 2, -(SSIM_WINDOW // 2))
    return cv2.GaussianBlur(image, (SSIM_WINDOW, SSIM_WINDOW), 1.5)[inner, inner]


def interpolation_error(image: np.ndarray, truth: np.ndarray) -> float:
    """Root mean square difference over pixels and channels, on a scale of 0 to 255.

    image, truth: [..., h, w, c] in [0, 1].

    The Middlebury benchmark (Baker et al. 2011) sums the squares of the three channels instead of
    averaging them: its figures are sqrt(3) times these. See `absolute_error` for another "IE".
    """
    difference = np.subtract(image, truth, dtype=np.float64)
    return float(255 * np.sqrt(np.square(difference).mean()))


def absolute_error(image: np.ndarray, truth: np.ndarray) -> float:
    """Mean absolute difference over pixels and channels, on a scale of 0 to 255.

    image, truth: [..., h, w, c] in [0, 1].

    The code of DAIN, RIFE and their contemporaries prints it as "IE".
    """
    return float(255 * np.abs(np.subtract(image, truth, dtype=np.float64)).mean())


def colorfulness(image: np.ndarray) -> float:
    """Perceived colorfulness: 0 not, 15 slightly, 45 averagely, 109 extremely colorful.

    image: [h, w, 3], RGB in [0, 1].

    Method: M3 of Hasler and Suesstrunk, "Measuring colorfulness in natural images", 2003.
    """
    red, green, blue = np.moveaxis(255 * image.astype(np.float64), 2, 0)
    opponents = np.stack([red - green, (red + green) / 2 - blue])
    spread = np.sqrt(opponents.var(axis=(1, 2)).sum())
    return float(spread + 0.3 * np.sqrt(np.square(opponents.mean(axis=(1, 2))).sum()))


def chroma_error(image: np.ndarray, truth: np.ndarray) -> float:
    """Root mean square difference of a* and b* in CIE Lab.

    image, truth: [h, w, 3], RGB in [0, 1].
    """
    difference = _lab(image)[..., 1:] - _lab(truth)[..., 1:]
    return float(np.sqrt(np.square(difference, dtype=np.float64).mean()))


def _lab(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2LAB)


def flicker(frames: Sequence[np.ndarray]) -> float:
    """Root mean square of the second difference of mean brightness along time.

    frames: [h, w, c] each, in [0, 1]; at least three. A steady fade has a flicker of 0.
    """
    brightness = np.array([np.mean(frame, dtype=np.float64) for frame in frames])
    return float(np.sqrt(np.square(np.diff(brightness, 2)).mean()))


class Change(NamedTuple):
    """Mean change from one frame to the next along the motion.

    luma: on a scale of 0 to 255. chroma: in units of a* and b* in CIE Lab.
    """

    luma: float
    chroma: float


def change_along_motion(
    first: np.ndarray, second: np.ndarray, guides: tuple[np.ndarray, np.ndarray]
) -> Change:
    """Mean absolute difference of two consecutive frames along the motion: mostly flicker.

    first, second: RGB [h, w, 3] in [0, 1]. guides: the same two frames of the ground truth or the
    source, [h, w, c] of the same size. Motion is computed on them, so that it is the same for all
    methods. Pixels are weighted by the consistency of their motion. Luma is BT.601's.
    """
    forward = flow(*guides)
    confidence = consistency(forward, flow(*guides[::-1]))
    moved = warp(np.ascontiguousarray(second, np.float32), forward)
    luma_change = np.abs((moved - first) @ LUMA_WEIGHTS)
    chroma_change = np.abs(_lab(moved) - _lab(first))[..., 1:].mean(axis=2)
    weights = confidence / max(float(confidence.sum(dtype=np.float64)), 1e-6)
    return Change(
        255 * float((weights * luma_change).sum(dtype=np.float64)),
        float((weights * chroma_change).sum(dtype=np.float64)),
    )
