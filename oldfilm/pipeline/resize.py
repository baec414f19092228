"""A stage that scales the result to a given height."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import cv2

from oldfilm.errors import OptionError
from oldfilm.imaging.resample import resize
from oldfilm.stage import FilmInfo, Frame, Stage


class Resize(Stage):
    """Scales frames to a given height. The width follows, rounded to an even number."""

    name = "Resize"

    def __init__(self, height: int) -> None:
        """height: of the result in pixels, even and at least 2."""
        if height < 2 or height % 2:
            raise OptionError(f"`height={height}`: must be even and at least 2, such as 2160")
        self._height = height

    def describe(self, info: FilmInfo) -> FilmInfo:
        """Return the same film at the new size."""
        return replace(info, width=self._width(info.width, info.height), height=self._height)

    def process(self, frames: Sequence[Frame], core: slice) -> Iterable[Frame]:
        """Shrink by area averaging, or enlarge by Lanczos interpolation."""
        return [self._resized(frame) for frame in frames[core]]

    def _resized(self, frame: Frame) -> Frame:
        height, width = frame.image.shape[:2]
        method = cv2.INTER_AREA if self._height < height else cv2.INTER_LANCZOS4
        size = (self._width(width, height), self._height)
        return replace(frame, image=resize(frame.image, size, method).clip(0, 1))

    def _width(self, width: int, height: int) -> int:
        return max(2, round(width * self._height / height / 2) * 2)
