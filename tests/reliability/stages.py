"""Stages without a network, for jobs that are interrupted."""

from dataclasses import replace

import numpy as np

from oldfilm.stage import Stage


class Darker(Stage):
    """Multiplies by a factor, counts its frames, and can interrupt the job at a frame."""

    name = "Darker"

    def __init__(self, factor=0.5, stop_at=None):
        self.factor = factor
        self.stop_at = stop_at
        self.count = 0

    def fingerprint(self):
        return {"factor": self.factor}

    def describe(self, info):
        return info

    def process(self, frames, core):
        for frame in frames[core]:
            if self.count == self.stop_at:
                raise KeyboardInterrupt
            self.count += 1
            yield replace(frame, image=frame.image * np.float32(self.factor))


class Meanwhile(Darker):
    """Calls a function before a frame, by default the 10th."""

    def __init__(self, do, at=9):
        super().__init__()
        self.do = do
        self.at = at

    def process(self, frames, core):
        if self.count == self.at:
            self.do()
        yield from super().process(frames, core)
