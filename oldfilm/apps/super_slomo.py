"""Super SloMo: interpolation of frames at any time between two others."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from oldfilm.apps.base import as_input, as_output
from oldfilm.apps.interpolator import Interpolator
from oldfilm.stage import SizeRequirement


class SuperSloMoPredictor(Interpolator):
    """Changes the frame rate of a film, or slows it down (Jiang et al., 2018).

    The published code resizes frames to multiples of 32. Here they are padded, which keeps them
    sharp.
    """

    name = "SuperSloMo"
    config = "super_slomo"
    size = SizeRequirement(minimum=32, multiple_of=32)

    def prepare(self, first: np.ndarray, second: np.ndarray) -> _Pair:
        """As `Interpolator.prepare`."""
        picture = (1, 3, None, None)
        frames = as_input(first), as_input(second)
        (flows,) = self.graph("flow", first=picture, second=picture)(*frames)
        return _Pair((*frames, flows), first.shape[2])

    def between(self, prepared: _Pair, time: float) -> np.ndarray:
        """As `Interpolator.between`."""
        picture = (1, 3, None, None)
        network = self.graph(
            "interpolation",
            first=picture,
            second=picture,
            flows=(1, 4, None, None),
            time=(1, 1, 1, 1),
        )
        (made,) = network(*prepared.inputs, np.full((1, 1, 1, 1), time, np.float32))
        return as_output(made, prepared.channels)


class _Pair(NamedTuple):
    """Two frames and the flow between them, as inputs of the network; channels: of the film."""

    inputs: tuple[np.ndarray, ...]
    channels: int
