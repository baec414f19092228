"""Stages without a network, whose results tests can predict exactly."""

from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np

from oldfilm.stage import FilmInfo, Frame, SizeRequirement, Stage, Tiling, Window


def film(lengths, rate=Fraction(16), size=(4, 6)):
    """Return frames that hold their own index, in shots of these lengths, and the cut times."""
    total = sum(lengths)
    frames = [
        Frame(np.full((*size, 3), index / 1000, np.float32), index / rate) for index in range(total)
    ]
    starts = np.cumsum(lengths)[:-1]
    return frames, tuple(Fraction(int(start)) / rate for start in starts)


def numbers(frames):
    """Return the indices that `film` stored in the frames."""
    return [round(float(frame.image.mean()) * 1000) for frame in frames]


ONE_FRAME = Window()


class Recorder(Stage):
    """Returns its core unchanged, and records every window as (numbers, core)."""

    name = "Recorder"

    def __init__(self, window=ONE_FRAME, name="Recorder"):
        self.window = window
        self.name = name
        self.seen = []

    def describe(self, info):
        return info

    def process(self, frames, core):
        self.seen.append((numbers(frames), core))
        return frames[core]


class Doubler(Stage):
    """Doubles the frame rate by repeating every frame."""

    name = "Doubler"
    window = Window(core=1, before=0, after=1)

    def describe(self, info):
        self._rate = info.rate
        return replace(info, rate=info.rate * 2, frames=info.frames * 2)

    def process(self, frames, core):
        for frame in frames[core]:
            yield frame
            yield replace(frame, time=frame.time + 1 / self._rate / 2)


class Blur(Stage):
    """Applies a 9x9 box blur and enlarges: like a network with a small receptive field."""

    name = "Blur"

    def __init__(self, scale=2, multiple_of=1, minimum=1, max_pixels=None):
        self.scale = scale
        self.size = SizeRequirement(minimum, multiple_of)
        self.tiling = Tiling(max_pixels, overlap=24) if max_pixels else None
        self.sizes = set()

    def describe(self, info):
        return replace(info, width=info.width * self.scale, height=info.height * self.scale)

    def process(self, frames, core):
        for frame in frames[core]:
            self.sizes.add(frame.image.shape[:2])
            blurred = cv2.blur(frame.image, (9, 9)).reshape(frame.image.shape)
            yield replace(frame, image=blurred.repeat(self.scale, 0).repeat(self.scale, 1))


def info(frames, rate=Fraction(16), size=(4, 6)):
    return FilmInfo(size[1], size[0], rate, frames)
