"""Luma, CIE Lab, and keeping colors inside RGB.

Images are float32 [h, w, 3], RGB, or [h, w, 1], luma, in [0, 1].
"""

from __future__ import annotations

import cv2
import numpy as np

LUMA_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)
"""BT.601: how much red, green and blue contribute to luma."""


def luma(image: np.ndarray) -> np.ndarray:
    """BT.601 luma of an RGB image, or the only channel of a gray one.

    image: float32 or uint8 [h, w, 3] or [h, w, 1]. Returns [h, w] of the same type.
    """
    if image.shape[2] == 1:
        return np.ascontiguousarray(image[..., 0])
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def studio_luma(image: np.ndarray) -> np.ndarray:
    """BT.601 luma in studio range, the Y of Matlab's `rgb2ycbcr`: float [..., h, w, 1].

    Super-resolution papers compute PSNR and SSIM on it.

    image: [..., h, w, 3], RGB in [0, 1]. Returns values from 16 / 255 to 235 / 255.
    """
    weights = np.array([[65.481], [128.553], [24.966]], np.float32)
    return (image @ weights + 16) / 255


def channel_mean(image: np.ndarray) -> np.ndarray:
    """The mean of the channels of float32 [h, w, c]: [h, w].

    Grain and damage are equally strong in all channels: this mean shows them better than luma.
    """
    channels = image.shape[2]
    if channels == 1:
        return np.ascontiguousarray(image[..., 0])
    return cv2.transform(image, np.full((1, channels), 1 / channels, np.float32))


def as_rgb(image: np.ndarray) -> np.ndarray:
    """[..., h, w, 3] of [..., h, w, c]: gray repeated three times, RGB as it is. A view."""
    return np.broadcast_to(image, (*image.shape[:-1], 3))


def without_luma(rgb: np.ndarray) -> np.ndarray:
    """RGB [h, w, 3] minus its luma: the difference from gray."""
    return rgb - (rgb @ LUMA_WEIGHTS)[..., None]


def with_luma(luma: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """Combine luma and the a* and b* of CIE Lab, keeping exactly this luma.

    luma: float32 [h, w] in [0, 1], BT.601. chroma: [h, w, 2]. Colors outside RGB are
    desaturated until they fit. Returns float32 [h, w, 3] in [0, 1].
    """
    lightness = cv2.cvtColor(cv2.merge([luma] * 3), cv2.COLOR_RGB2LAB)[..., :1]
    lab = np.concatenate([lightness, chroma], axis=2)
    color = cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB)
    return in_gamut(luma, without_luma(color))


def in_gamut(luma: np.ndarray, difference: np.ndarray) -> np.ndarray:
    """Add a difference from gray to luma, scaled down where the sum would leave RGB.

    luma: float32 [h, w] in [0, 1]. difference: [h, w, 3], whose own luma is 0.
    Returns float32 [h, w, 3] in [0, 1] with exactly this luma.
    """
    luma = luma[..., None]
    room = np.where(difference > 0, 1 - luma, luma) / np.maximum(np.abs(difference), 1e-6)
    return luma + difference * np.minimum(room.min(axis=2, keepdims=True), 1)


_D50 = np.array([0.96422, 1, 0.82521], np.float32)
_SRGB_FROM_D50 = np.array(
    [
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ],
    np.float32,
)
"""From XYZ under D50 to linear sRGB, adapted by Bradford's method (Lindbloom)."""


def srgb_from_lab(lab: np.ndarray) -> np.ndarray:
    """Convert CIE Lab under D50, as pictures store it, to sRGB.

    lab: float32 [h, w, 3], L* in [0, 100]. Returns float32 [h, w, 3] in [0, 1], clipped.
    """
    y = (lab[..., 0] + 16) / 116
    roots = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    bend = 6 / 29
    xyz = np.where(roots > bend, roots**3, 3 * bend**2 * (roots - 4 / 29)) * _D50
    return srgb_from_linear(np.clip(xyz @ _SRGB_FROM_D50.T, 0, 1))


def srgb_from_linear(light: np.ndarray) -> np.ndarray:
    """Apply the sRGB curve (IEC 61966-2-1) to linear light in [0, 1]: float32, the same shape."""
    light = np.asarray(light, np.float32)
    bright = np.float32(1.055) * np.power(light, np.float32(1 / 2.4)) - np.float32(0.055)
    return np.where(light <= 0.0031308, 12.92 * light, bright).astype(np.float32)
