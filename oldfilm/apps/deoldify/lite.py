"""DeOldify lite: a small chroma image, enlarged along the edges of luma."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from oldfilm.apps.deoldify.smoothing import OFFSETS, ShotColor
from oldfilm.engine import Graph
from oldfilm.imaging.color import with_luma

MULTIPLE = 32
"""Sides of the network's input are multiples of this."""

AB_SCALE = 110.0
"""The network returns a* and b* divided by this."""

LEVELS = (0.5, 99.5)
"""Percentiles of luma that become black and white for one of the network's two looks."""

GREATEST_STRETCH = 4.0

TYPICAL_STRENGTH = 12.0
"""Root mean square of a* and b* below which a shot counts as pale: half of all photographs'."""

LIFT = 0.75
"""Share of the distance to `TYPICAL_STRENGTH`, as logarithms, that a pale shot is lifted by."""

GREATEST_LIFT = 2.5

DARK, DARK_SHARE = 0.45, 0.7
"""Below this luma, with stretched levels, colors fade to this share of their strength in black: of
photographs that it has not seen, the network colors the dark parts too strongly."""

MEAN_SHARE = 0.75
"""Share of a picture's mean color that is kept. What the network is unsure about takes the hue of
the whole picture, which looks like sepia."""

STRONG_MEAN = 9.0
"""Length of a shot's mean a* and b* that is too strong: what exceeds it is taken away. In clips
with so strong a mean, the truth had 0.65 of it. Photographs keep theirs: many show a single
subject."""

DOUBTFUL_MEAN, DOUBT = 14.0, 0.8
"""From this length of the mean on, this share of what exceeds it is taken away as well. The network
then sees nothing but one color, as in a dark room, and is often wrong."""


class LiteColorizer:
    """Colors with `DeOldifyLite`, in CIE Lab."""

    reach = OFFSETS[-1]

    def __init__(
        self, graph: Callable[..., Graph], render_factor: int, saturation: float = 1.0
    ) -> None:
        """graph: `Predictor.graph` of `DeOldifyLite`. render_factor: the shorter side of the
        network's input, divided by 16, before it is rounded. saturation: factor of a* and b*.
        """
        self._graph = graph
        self._render_factor = render_factor
        self._saturation = saturation

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return the network's input size, (width, height): the nearest multiples of `MULTIPLE`."""
        scale = 16 * self._render_factor / MULTIPLE / min(height, width)
        across, down = (max(1, round(side * scale)) for side in (width, height))
        return MULTIPLE * across, MULTIPLE * down

    def reduced(self, luma: np.ndarray) -> np.ndarray:
        """Resize luma [h, w] to the network's input size."""
        return cv2.resize(luma, self.size(*luma.shape), interpolation=cv2.INTER_AREA)

    def chroma(self, luma: np.ndarray) -> np.ndarray:
        """Return a* and b*, float32 [h, w, 2], of luma [h, w].

        The mean of two looks at the picture: as it is, and mirrored with stretched levels. That
        comes closer to the truth than either, most of all where film has faded. Dark parts are less
        saturated, and so is the mean color.
        """
        stretched = stretched_levels(luma)
        mirrored = self._look(stretched[:, ::-1])[:, ::-1]
        share = DARK_SHARE + (1 - DARK_SHARE) * np.minimum(stretched / DARK, 1)
        strength = share * np.float32(AB_SCALE * self._saturation / 2)
        chroma = (self._look(luma) + mirrored) * strength[..., None].astype(np.float32)
        return chroma - np.float32(1 - MEAN_SHARE) * chroma.mean((0, 1))

    def _look(self, luma: np.ndarray) -> np.ndarray:
        network = self._graph(luma=(1, 1, None, None))
        (chroma,) = network(np.ascontiguousarray(luma[None, None]))
        return chroma[0].transpose(1, 2, 0)

    def balanced(self, chroma: np.ndarray, shot: ShotColor) -> np.ndarray:
        """Return the chroma of a frame, of which a pale shot has more, and a tinted shot less.

        Where the network is uncertain, as on film of low contrast, the mean of its choices is paler
        than any of them. Where all its choices are alike, as in a dark room, it is too sure.
        """
        length = float(np.hypot(*shot.mean))
        if shot.frames > 1 and length > STRONG_MEAN:
            excess = length - STRONG_MEAN + DOUBT * max(0.0, length - DOUBTFUL_MEAN)
            chroma = reduced_along(shot.mean / np.float32(length), chroma, excess)
        pale = (TYPICAL_STRENGTH / max(shot.strength, 1e-6)) ** LIFT
        return chroma * np.float32(np.clip(pale, 1, GREATEST_LIFT))

    def from_lab(self, luma: np.ndarray, chroma: np.ndarray) -> np.ndarray:
        """Return a* and b* as they are: `chroma` returns the same."""
        return chroma

    def recombine(self, luma: np.ndarray, small: np.ndarray, chroma: np.ndarray) -> np.ndarray:
        """Return RGB [H, W, 3] from luma [H, W], reduced luma [h, w] and its a* and b*."""
        return with_luma(luma, guided_upsampling(chroma, small, luma))


def reduced_along(hue: np.ndarray, chroma: np.ndarray, amount: float) -> np.ndarray:
    """Return a* and b*, float32 [h, w, 2], with less of a hue, where there is any of it.

    hue: a* and b* of length 1. Neutral surfaces do not take the opposite color.
    """
    part = chroma @ hue
    less = np.minimum(np.maximum(part, 0), np.float32(amount))
    return chroma - less[..., None] * hue


def stretched_levels(luma: np.ndarray) -> np.ndarray:
    """Stretch luma, float32, so that its dark and light percentiles become black and white.

    Flat pictures are stretched by `GREATEST_STRETCH` at most.
    """
    dark, light = np.percentile(luma, LEVELS)
    middle, span = (dark + light) / 2, max(light - dark, 1 / GREATEST_STRETCH)
    return np.clip((luma - middle) / span + 0.5, 0, 1).astype(np.float32)


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
