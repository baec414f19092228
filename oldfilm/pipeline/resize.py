"""Brings a result to a number of lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import cv2
import numpy as np

from oldfilm.errors import OptionError
from oldfilm.stage import FilmInfo, Frame, Stage


class Resize(Stage):
    """Scales frames to `height` lines; the width follows, to the nearest even number."""

    name = "Resize"

    def __init__(self, height: int) -> None:
        """height: lines of the result, an even number of at least 2."""
        if height < 2 or height % 2:
            raise OptionError(f"--height {height}: give an even number of lines, such as 2160.")
        self._height = height

    def describe(self, info: FilmInfo) -> FilmInfo:
        """The same film with `height` lines."""
        return replace(info, width=self._width(info.width, info.height), height=self._height)

    def process(self, frames: Sequence[Frame], core: slice) -> Iterable[Frame]:
        """Area averaging downwards, Lanczos upwards."""
        return [replace(frame, image=self._resize(frame)) for frame in frames[core]]

    def _resize(self, frame: Frame) -> np.ndarray:
        height, width, channels = frame.image.shape
        size = (self._width(width, height), self._height)
        method = cv2.INTER_AREA if self._height < height else cv2.INTER_LANCZOS4
        resized = cv2.resize(frame.image, size, interpolation=method)
        return resized.reshape(size[1], size[0], channels).clip(0, 1)

    def _width(self, width: int, height: int) -> int:
        return max(2, round(width * self._height / height / 2) * 2)
