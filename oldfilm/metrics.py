"""How close a picture is to another, and how steady a film."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def luma(image: np.ndarray) -> np.ndarray:
    """BT.601 luma in studio range, as super-resolution is judged: float [..., h, w, 1] in [0, 1].

    image: [..., h, w, 3], RGB in [0, 1]. This is the Y of Matlab's rgb2ycbcr: 16 to 235 of 255.
    """
    weights = np.array([[65.481], [128.553], [24.966]], np.float32)
    return (image @ weights + 16) / 255


def psnr(image: np.ndarray, truth: np.ndarray, *, crop: int = 0) -> float:
    """Peak signal to noise ratio, in dB; infinite where both are equal.

    image, truth: [..., h, w, c] in [0, 1]. crop: pixels left out along every border.
    """
    inner = slice(crop, -crop or None)
    difference = np.subtract(image, truth, dtype=np.float64)[..., inner, inner, :]
    error = np.square(difference).mean()
    return float("inf") if error == 0 else float(-10 * np.log10(error))


def interpolation_error(image: np.ndarray, truth: np.ndarray) -> float:
    """Root mean square difference in steps of 255, as the Middlebury benchmark states it.

    image, truth: [..., h, w, c] in [0, 1].
    """
    difference = np.subtract(image, truth, dtype=np.float64)
    return float(255 * np.sqrt(np.square(difference).mean()))


def flicker(frames: Sequence[np.ndarray]) -> float:
    """How much brightness jumps: root mean square of its second difference along time.

    frames: [h, w, c] each, in [0, 1]; at least three. The second difference leaves fades out.
    """
    brightness = np.array([np.mean(frame, dtype=np.float64) for frame in frames])
    return float(np.sqrt(np.square(np.diff(brightness, 2)).mean()))
