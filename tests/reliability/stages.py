"""Stages without a network for jobs that are stopped."""

from dataclasses import replace

import numpy as np

from oldfilm.stage import Stage


class Darker(Stage):
    """Multiplies; is interrupted at a frame, if asked; counts what it has made."""

    name = "Darker"

    def __init__(self, factor=0.5, stop_at=None):
        self.factor = factor
        self.stop_at = stop_at
        self.made = 0

    def identity(self):
        return {"factor": self.factor}

    def describe(self, info):
        return info

    def process(self, frames, core):
        for frame in frames[core]:
            if self.made == self.stop_at:
                raise KeyboardInterrupt
            self.made += 1
            yield replace(frame, image=frame.image * np.float32(self.factor))


class Meanwhile(Darker):
    """Does something when it makes its 10th frame."""

    def __init__(self, do):
        super().__init__()
        self.do = do

    def process(self, frames, core):
        if self.made == 9:
            self.do()
        yield from super().process(frames, core)
