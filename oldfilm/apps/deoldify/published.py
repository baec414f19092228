"""DeOldify as published by jantic and by PaddleGAN."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from oldfilm.apps.deoldify.smoothing import ShotColor
from oldfilm.engine import Graph
from oldfilm.imaging.color import in_gamut, with_luma, without_luma

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)


class PublishedColorizer:
    """Colors with the published networks, in float32 throughout.

    The input is resized to a square. Of the RGB output only the chroma is used, enlarged without a
    guide. PaddleGAN swaps red and blue at this point, which changes the luma by 0.185 times their
    difference; this class keeps the luma, as jantic's code does.
    """

    reach = 3

    def __init__(self, graph: Callable[..., Graph], render_factor: int) -> None:
        """graph: `Predictor.graph` of the network. render_factor: the input's side over 16."""
        self._graph = graph
        self._side = 16 * render_factor

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return the network's input size, (width, height)."""
        return self._side, self._side

    def reduced(self, luma: np.ndarray) -> np.ndarray:
        """Resize luma [h, w] to the network's input size."""
        return _resized(luma, self._side, self._side)

    def chroma(self, luma: np.ndarray) -> np.ndarray:
        """Return RGB minus its luma, float32 [h, w, 3], for luma [h, w]."""
        image = (luma[..., None] - IMAGENET_MEAN) / IMAGENET_DEVIATION
        network = self._graph(image=(1, 3, None, None))
        (colored,) = network(np.ascontiguousarray(image.transpose(2, 0, 1)[None]))
        color = colored[0].transpose(1, 2, 0) * IMAGENET_DEVIATION + IMAGENET_MEAN
        return without_luma(np.clip(color, 0, 1))

    def balanced(self, chroma: np.ndarray, shot: ShotColor) -> np.ndarray:
        """Return the chroma as the networks choose it."""
        return chroma

    def from_lab(self, luma: np.ndarray, chroma: np.ndarray) -> np.ndarray:
        """Return RGB minus its luma, float32 [h, w, 3], of luma [h, w] and a* and b*."""
        return without_luma(with_luma(luma, chroma))

    def recombine(self, luma: np.ndarray, small: np.ndarray, chroma: np.ndarray) -> np.ndarray:
        """Return RGB [H, W, 3] from luma [H, W] and the chroma of reduced luma."""
        height, width = luma.shape
        planes = [_resized(plane, width, height) for plane in chroma.transpose(2, 0, 1)]
        return in_gamut(luma, np.stack(planes, 2))


def _resized(plane: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resize float32 [h, w] as PIL does: bilinear, with averaging where it shrinks."""
    image = Image.fromarray(np.ascontiguousarray(plane, np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
