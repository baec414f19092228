"""Sharpen: make edges crisper, without halos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np

from oldfilm.pipeline import RunnableStage
from oldfilm.stage import SHARPNESS, Frame

RADIUS = 1.0
"""Sigma, in pixels, of the blur to undo, in a frame of up to 720 lines; it grows with the lines."""


class Sharpen(RunnableStage):
    """Strengthens fine detail; no pixel becomes brighter or darker than its surroundings."""

    name = "Sharpen"
    options = (SHARPNESS,)

    def __init__(self, output: str = "output", *, sharpness: float = 1.0) -> None:
        """output: folder that `run` writes to. sharpness: how many times to add fine detail.

        Raises:
            OptionError: sharpness is below 0.
        """
        super().__init__(output)
        self.sharpness = SHARPNESS.check(sharpness)

    def process(self, frames: Sequence[Frame], core: slice) -> Iterator[Frame]:
        """Sharpen the core's frames."""
        for frame in frames[core]:
            yield replace(frame, image=sharpened(frame.image, self.sharpness))


def sharpened(image: np.ndarray, sharpness: float) -> np.ndarray:
    """Sharpen an image: float32 [h, w, c] in [0, 1].

    Method: three steps of van Cittert's deconvolution (1931) on luma, clamped to the range of the
    surrounding 5 x 5 pixels: edges become steeper, without halos. Detail as faint as the frame's
    noise is left alone.
    """
    luma = np.ascontiguousarray(image.mean(axis=2))
    detail, finer = np.zeros_like(luma), luma
    for _ in range(3):
        finer = finer - cv2.GaussianBlur(finer, (0, 0), RADIUS * max(1.0, len(luma) / 720))
        detail += finer
    noise = 1.2 * float(np.median(np.abs(detail)))
    detail = detail * detail**4 / (detail**4 + noise**4 + 1e-24)
    square = np.ones((5, 5), np.uint8)
    darkest, brightest = cv2.erode(luma, square), cv2.dilate(luma, square)
    crisp = np.clip(luma + sharpness * detail, darkest, brightest)
    return np.clip(image + (crisp - luma)[..., None], 0, 1).astype(np.float32)
