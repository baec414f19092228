"""Classical filters that find small damage and fill it."""

from __future__ import annotations

import cv2
import numpy as np

from oldfilm.imaging.color import luma

MEDIAN_SIDES = (5, 11, 23)
"""Sides, in pixels, of the squares that `median_residual` takes medians of."""

_TELEA_RADIUS = 3


def median_residual(image: np.ndarray) -> np.ndarray:
    """Luma minus the median of its surroundings, at three scales: float32 [h, w, 3] in [-1, 1].

    Medians keep edges but drop what is thin or small: dust, hairs, scratches.

    image: float32 [h, w, 3], RGB, or [h, w, 1], in [0, 1].
    """
    plane = luma(image)
    codes = np.rint(np.clip(plane, 0, 1) * 255).astype(np.uint8)
    medians = np.stack([cv2.medianBlur(codes, side) for side in MEDIAN_SIDES], axis=2)
    return plane[..., None] - medians.astype(np.float32) / 255


def telea_inpaint(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Fill the masked parts of an image from their borders inward (Telea 2004).

    image: float32 [h, w, 3] or [h, w, 1] in [0, 1]. mask: float32 [h, w], above 0 where damaged.
    Returns an image that is bit-identical outside the mask.
    """
    if not mask.any():
        return image
    codes = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    filled = cv2.inpaint(codes, (mask > 0).astype(np.uint8), _TELEA_RADIUS, cv2.INPAINT_TELEA)
    filled = filled.reshape(image.shape).astype(np.float32) / 255
    return np.where(mask[..., None] > 0, filled, image)
