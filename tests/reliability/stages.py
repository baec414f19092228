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

    def fingerprint(self):
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
    """Does something when it makes a frame; by default its 10th."""

    def __init__(self, do, at=9):
        super().__init__()
        self.do = do
        self.at = at

    def process(self, frames, core):
        if self.made == self.at:
            self.do()
        yield from super().process(frames, core)
