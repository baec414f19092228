"""PP-MSVSR as published by PaddleGAN: networks that take a whole clip."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from oldfilm.apps.recurrent import RecurrentPredictor
from oldfilm.networks import propagation
from oldfilm.pipeline import PredictorNames
from oldfilm.stage import Tiling


class PublishedPredictor(RecurrentPredictor):
    """PP-MSVSR (Jiang et al., 2021)."""

    tiling = Tiling(max_pixels=20_000)
    exported_tiling = Tiling(max_pixels=40_000)
    features = 444  # 7 features of 32 channels, flow and deformable sampling (27 x 4) both ways

    def through_clip(self, frames: list[np.ndarray], core: slice) -> Iterator[np.ndarray]:
        """As `RecurrentPredictor.through_clip`."""
        return propagation.ppmsvsr(self.step, frames, core)


class PPMSVSRLargePredictor(PublishedPredictor):
    """PP-MSVSR-L: the same network with five times the weights."""

    name = "PPMSVSRLarge"
    result_names = PredictorNames("PPMSVSR-L")
    config = "ppmsvsr_large"
    exported_tiling = Tiling(max_pixels=26_000)
    features = 884  # 7 features of 64 channels, flow and deformable sampling (27 x 8) both ways
