"""RealSR and ESRGAN: four times the size, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from oldfilm.apps.base import Predictor, as_input, as_output
from oldfilm.stage import Tiling


class RealSRPredictor(Predictor):
    """Enlarges a film or a photograph four times, each frame for itself (Ji et al., 2020)."""

    name = "RealSR"
    config = "realsr"
    scale = 4
    tiling = Tiling(max_pixels=120_000, overlap=32)

    def restore(self, frames: np.ndarray, core: slice) -> Iterator[np.ndarray]:
        """As `Predictor.restore`; luma is enlarged as gray RGB, and comes back as luma."""
        network = self.graph(frame=(1, 3, None, None))
        for frame in frames[core]:
            (large,) = network(as_input(frame))
            yield as_output(large, frames.shape[3])


class ESRGANPredictor(RealSRPredictor):
    """Enlarges four times with ESRGAN's and Real-ESRGAN's weights, which are its variants."""

    name = "ESRGAN"
    config = "esrgan"
