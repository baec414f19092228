"""DeOldify lite: a small chroma image, enlarged along the edges of luma."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from oldfilm.engine import Graph
from oldfilm.imaging.color import with_luma

AB_SCALE = 110.0
"""The network returns a* and b* divided by this."""


class LiteColorizer:
    """Colors with `DeOldifyLite`, in CIE Lab."""

    def __init__(
        self, graph: Callable[..., Graph], render_factor: int, saturation: float = 1.0
    ) -> None:
        """graph: `Predictor.graph` of `DeOldifyLite`. render_factor: the shorter side of the
        network's input, divided by 16. saturation: factor of a* and b*.
        """
        self._graph = graph
        self._render_factor = render_factor
        self._saturation = saturation

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return the network's input size, (width, height), in multiples of 16."""
        scale = self._render_factor / min(height, width)
        return 16 * max(1, round(width * scale)), 16 * max(1, round(height * scale))

    def reduced(self, luma: np.ndarray) -> np.ndarray:
        """Resize luma [h, w] to the network's input size."""
        return cv2.resize(luma, self.size(*luma.shape), interpolation=cv2.INTER_AREA)

    def chroma(self, luma: np.ndarray) -> np.ndarray:
        """Return a* and b*, float32 [h, w, 2], of luma [h, w]."""
        (chroma,) = self._graph(luma=(1, 1, None, None))(luma[None, None])
        return chroma[0].transpose(1, 2, 0) * np.float32(AB_SCALE * self._saturation)

    def recombine(self, luma: np.ndarray, small: np.ndarray, chroma: np.ndarray) -> np.ndarray:
        """Return RGB [H, W, 3] from luma [H, W], reduced luma [h, w] and its a* and b*."""
        return with_luma(luma, guided_upsampling(chroma, small, luma))


def guided_upsampling(
    chroma: np.ndarray, small: np.ndarray, luma: np.ndarray, radius: int = 2, epsilon: float = 4e-3
) -> np.ndarray:
    """Enlarge chroma so that its edges follow those of luma.

    chroma: float32 [h, w, 2]. small: luma [h, w]. luma: [H, W]. Returns [H, W, 2].
    Method: the fast guided filter (He and Sun, 2015). Around every small pixel, chroma is a linear
    function of luma; its coefficients are enlarged and applied to the large luma.
    """
    box = (2 * radius + 1, 2 * radius + 1)
    mean = cv2.blur(small, box)[..., None]
    mean_chroma = cv2.blur(chroma, box)
    variance = cv2.blur(small * small, box)[..., None] - mean * mean
    covariance = cv2.blur(small[..., None] * chroma, box) - mean * mean_chroma
    slope = covariance / (variance + epsilon)
    lines = np.concatenate([slope, mean_chroma - slope * mean], axis=2)
    lines = cv2.resize(cv2.blur(lines, box), luma.shape[::-1], interpolation=cv2.INTER_LINEAR)
    # Blur the guide: grain does not have edges of color.
    guide = cv2.GaussianBlur(luma, (0, 0), 1.0)[..., None]
    return lines[..., :2] * guide + lines[..., 2:]
