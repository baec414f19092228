"""Deblur: restores the fine detail that a soft lens, defocus or motion took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from oldfilm.apps.base import Predictor, as_planes
from oldfilm.imaging.color import luma
from oldfilm.stage import SHARPNESS, FilmInfo, FingerprintValue, SizeRequirement, Tiling


class DeblurPredictor(Predictor):
    """Adds to every frame the detail that a small network finds missing in its luma.

    It removes no grain, and leaves sharp frames nearly as they are.
    """

    name = "Deblur"
    config = "deblur"
    options = (*Predictor.options, SHARPNESS)
    size = SizeRequirement(minimum=8, multiple_of=8)
    tiling = Tiling(max_pixels=1_000_000, overlap=96)

    def __init__(
        self,
        output: str = "output",
        weight_path: str | None = None,
        *,
        sharpness: float = 1.0,
        variant: str = "auto",
        device: str | None = None,
        network_engine: str = "auto",
    ) -> None:
        """As `Predictor`. sharpness: how many times to add the detail.

        Raises:
            OptionError: sharpness is below 0.
        """
        self.sharpness = SHARPNESS.check(sharpness)
        super().__init__(
            output, weight_path, variant=variant, device=device, network_engine=network_engine
        )

    def fingerprint(self) -> Mapping[str, FingerprintValue]:
        """As `Predictor.fingerprint`."""
        return {**super().fingerprint(), "sharpness": self.sharpness}

    def bytes_per_frame(self, info: FilmInfo) -> int:
        """Return the memory of one more frame in the window: the frame."""
        return 4 * info.channels * info.width * info.height

    def restore(self, frames: np.ndarray, core: slice) -> Iterator[np.ndarray]:
        """Deblur the core frame by frame; all channels change by as much as the luma."""
        network = self.graph(luma=(1, 1, None, None))
        for frame in frames[core]:
            (detail,) = network(as_planes(luma(frame)[..., None]))
            yield np.clip(frame + self.sharpness * detail[0, 0, ..., None], 0, 1)
