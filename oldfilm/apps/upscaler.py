"""Upscalers without memory of other frames: one frame in, one enlarged frame out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from oldfilm.apps.base import Predictor, as_input, as_output
from oldfilm.pipeline import PredictorNames
from oldfilm.stage import Tiling


class Upscaler(Predictor):
    """Enlarges every frame by itself.

    The network maps RGB float32 [1, 3, h, w] in [0, 1] to [1, 3, scale * h, scale * w]. A new
    upscaler needs a row in `oldfilm.apps.PREDICTORS` and a config; `scale`, `size` and `tiling`
    are set under `predictor:` in the config.
    """

    scale = 4
    tiling = Tiling(max_pixels=120_000, overlap=32)

    def restore(self, frames: np.ndarray, core: slice) -> Iterator[np.ndarray]:
        """Enlarge the core frame by frame; luma is enlarged as gray RGB and returned as luma."""
        network = self.graph(frame=(1, 3, None, None))
        for frame in frames[core]:
            (large,) = network(as_input(frame))
            yield as_output(large, frames.shape[3])


class RealSRPredictor(Upscaler):
    """RealSR (Ji et al., CVPRW 2020)."""

    name = "RealSR"
    config = "realsr"
    result_names = PredictorNames("RealSR", "{base}/{base}_realsr_out")
