"""Temporal smoothing of chroma."""

from __future__ import annotations

import cv2
import numpy as np

from oldfilm.imaging.flow import flow, warp

REACH = 3
"""Frames on either side that a frame's chroma is averaged with."""

_LUMA_TOLERANCE = 0.06
"""Difference of luma at which a neighbor's weight falls to 1/e."""

_GAIN_RANGE = (0.85, 1.18)
"""Changes of brightness between frames that count as flicker and are compensated."""


def temporally_smoothed(
    lumas: list[np.ndarray], chromas: list[np.ndarray], shown: list[float], index: int
) -> np.ndarray:
    """Average the chroma of one frame with that of its neighbors along their motion.

    lumas: float32 [h, w] each, in [0, 1]. chromas: float32 [h, w, c] each. shown: `content` of each
    frame. A neighbor counts where its warped luma matches that of the frame; a flat one does not
    count, since its chroma is invented.
    """
    luma = lumas[index]
    total, weight = chromas[index].copy(), np.ones((*luma.shape, 1), np.float32)
    for other in range(max(index - REACH, 0), min(index + REACH + 1, len(lumas))):
        if other == index or not shown[other]:
            continue
        motion = flow(luma[..., None], lumas[other][..., None])
        gain = np.clip(luma.mean() / max(lumas[other].mean(), 1e-3), *_GAIN_RANGE)
        difference = cv2.blur(warp(lumas[other], motion) * gain - luma, (3, 3))
        confidence = np.exp(-np.square(difference / _LUMA_TOLERANCE))[..., None]
        confidence *= np.float32(shown[other])
        total += confidence * warp(chromas[other], motion)
        weight += confidence
    return total / weight
