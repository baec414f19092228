"""First guesses about damage, by classical filters: where it is, and what was there."""

from __future__ import annotations

import cv2
import numpy as np

SIZES = (5, 11, 23)
"""Sides of the squares, in pixels, whose medians a pixel is held against."""

REACH = 3
"""Pixels around each one that it is filled from."""


def departures(image: np.ndarray) -> np.ndarray:
    """How far the luma of each pixel lies from the medians around it: float32 [h, w, 3] in [-1, 1].

    A median goes along with edges, not with what is thin or small: dust, hairs, scratches.

    image: float32 [h, w, 3], RGB, or [h, w, 1], in [0, 1].
    """
    luma = image[..., 0] if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    codes = np.rint(np.clip(luma, 0, 1) * 255).astype(np.uint8)
    medians = np.stack([cv2.medianBlur(codes, size) for size in SIZES], axis=2)
    return luma[..., None] - medians.astype(np.float32) / 255


def filled(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A picture with what is masked filled from its borders inwards (Telea, 2004).

    image: float32 [h, w, 3] or [h, w, 1] in [0, 1]. mask: float32 [h, w], 1 where it is damaged,
    else 0. Returns the same picture elsewhere, to the last bit.
    """
    if not mask.any():
        return image
    codes = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    guess = cv2.inpaint(codes, (mask > 0).astype(np.uint8), REACH, cv2.INPAINT_TELEA)
    guess = guess.reshape(image.shape).astype(np.float32) / 255
    return np.where(mask[..., None] > 0, guess, image)
