"""Sharpen: crisper edges, without halos."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np

from oldfilm.pipeline import RunnableStage
from oldfilm.stage import FilmInfo, FingerprintValue, Frame, Option

RADIUS = 1.0
"""Sigma of the blur that is undone, in pixels of a frame of 720 lines or fewer."""

SHARPNESS = Option(
    "sharpness", float, 1.0, "how many times to add fine detail", minimum=0, metavar="X"
)


class Sharpen(RunnableStage):
    """Makes fine detail stronger, but nothing brighter or darker than what is beside it."""

    name = "Sharpen"
    options = (SHARPNESS,)

    def __init__(self, output: str = "output", *, sharpness: float = 1.0) -> None:
        """As `RunnableStage`.

        sharpness: how many times fine detail is added to the picture, 0 for none.

        Raises:
            OptionError: sharpness is below 0.
        """
        super().__init__(output)
        self.sharpness = SHARPNESS.check(sharpness)

    def fingerprint(self) -> Mapping[str, FingerprintValue]:
        """The option."""
        return {"sharpness": self.sharpness}

    def describe(self, info: FilmInfo) -> FilmInfo:
        """The same film."""
        return info

    def process(self, frames: Sequence[Frame], core: slice) -> Iterator[Frame]:
        """Sharpen the core's frames."""
        for frame in frames[core]:
            yield replace(frame, image=sharpened(frame.image, self.sharpness))


def sharpened(image: np.ndarray, sharpness: float) -> np.ndarray:
    """`image` with stronger detail: float32 [h, w, c] in [0, 1].

    Method: luma deblurred in three steps (van Cittert 1931), held between the least and the
    greatest luma of the 5 x 5 pixels around, so that an edge becomes steeper and throws no halo.
    Detail as faint as the frame's noise stays as it is.
    """
    luma = np.ascontiguousarray(image.mean(axis=2))
    detail, finer = np.zeros_like(luma), luma
    for _ in range(3):
        finer = finer - cv2.GaussianBlur(finer, (0, 0), RADIUS * max(1.0, len(luma) / 720))
        detail += finer
    noise = 1.2 * float(np.median(np.abs(detail)))
    detail = detail * detail**4 / (detail**4 + noise**4 + 1e-24)
    square = np.ones((5, 5), np.uint8)
    least, most = cv2.erode(luma, square), cv2.dilate(luma, square)
    crisp = np.clip(luma + sharpness * detail, least, most)
    return np.clip(image + (crisp - luma)[..., None], 0, 1).astype(np.float32)
