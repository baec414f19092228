"""DeOldify: color for gray film and photographs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image

from oldfilm.apps.base import Predictor
from oldfilm.engine import Graph
from oldfilm.errors import OptionError
from oldfilm.imaging.flow import flow, warp
from oldfilm.stage import FilmInfo, FingerprintValue, Option, Window

ARTISTIC = Option("artistic", bool, False, "use the weights with more vivid colors")
RENDER_FACTOR = Option(
    "render_factor",
    int,
    None,
    "color at 16 N pixels; the default suits the variant (published weights: 32)",
    minimum=1,
    metavar="N",
)
STEADY = Option("steady", bool, True, "do not smooth the colors over time", flag="--no-steady")

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""BT.601, as DeOldify has it."""

AB_SCALE = 110.0
"""The lite network's chroma is a* and b* over this."""

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)

REACH = 3
"""Frames on either side whose chroma a frame is steadied with."""


class DeOldifyPredictor(Predictor):
    """Gives a film or a photograph colors; its luma stays what it was, to the last bit of float32.

    What is already in color is colored anew, from its luma, as in PaddleGAN.
    """

    name = "DeOldify"
    config = "deoldify"
    options = (*Predictor.options, ARTISTIC, RENDER_FACTOR, STEADY)

    def __init__(
        self,
        output: str = "output",
        weight_path: str | None = None,
        artistic: bool = False,
        render_factor: int | None = None,
        *,
        steady: bool = True,
        variant: str = "auto",
        device: str | None = None,
    ) -> None:
        """As `Predictor`.

        artistic: stronger colors: the variant `artistic`, or more of lite's. render_factor: the
        network sees the picture with a side of 16 times this (the published ones a square, lite the
        shorter side); more finds smaller things, less is calmer; by default the variant's own.
        steady: average the chroma of a film along its motion, so that colors do not flicker.

        Raises:
            OptionError: render_factor is below 1; artistic together with the calm weights.
        """
        RENDER_FACTOR.check(render_factor)
        if artistic:
            self.published = "artistic"
            variant = "artistic" if variant == "full" else variant
            _check_vivid(variant, "auto")
        super().__init__(output, weight_path, variant=variant, device=device)
        if artistic:
            _check_vivid(self.variant)
        self.render_factor = render_factor or self.settings["render_factor"]
        self._colors: LiteColors | PublishedColors
        if self.variant == "lite":
            saturation = self.settings["artistic_saturation"] if artistic else 1.0
            self._colors = LiteColors(self.graph, self.render_factor, saturation)
        else:
            self._colors = PublishedColors(self.graph, self.render_factor)
        self.steady = steady
        self.artistic = artistic
        self.window = Window(core=8, before=REACH, after=REACH) if steady else Window()

    def fingerprint(self) -> Mapping[str, FingerprintValue]:
        """As `Predictor.fingerprint`."""
        return {
            **super().fingerprint(),
            "artistic": self.artistic,
            "render_factor": self.render_factor,
            "steady": self.steady,
        }

    def describe(self, info: FilmInfo) -> FilmInfo:
        """The same film, in color."""
        return replace(info, channels=3)

    def bytes_per_frame(self, info: FilmInfo) -> int:
        """The frame, its luma and its result, and luma and chroma as small as the network's."""
        width, height = self._colors.size(info.height, info.width)
        return 4 * (info.width * info.height * (3 + 1 + 3) + width * height * (1 + 3))

    def restore(self, frames: np.ndarray, core: slice) -> np.ndarray:
        """As `Predictor.restore`; the result is RGB."""
        lumas = frames[..., 0] if frames.shape[3] == 1 else frames @ LUMA
        small = [self._colors.reduced(luma) for luma in lumas]
        chromas = [self._colors.chroma(luma) for luma in small]
        restored = np.empty((core.stop - core.start, *frames.shape[1:3], 3), np.float32)
        for result, i in zip(restored, range(core.start, core.stop)):
            chroma = steadied(small, chromas, i) if self.steady else chromas[i]
            result[:] = self._colors.joined(lumas[i], small[i], chroma)
        return restored


def _check_vivid(variant: str, *more: str) -> None:
    if variant not in ("artistic", "lite", *more):
        raise OptionError(
            f"`artistic=True` uses the variant artistic; it cannot be combined with "
            f"`variant={variant}`."
        )


class LiteColors:
    """How the lite network colors: a* and b*, small, then enlarged along the edges of luma."""

    def __init__(
        self, graph: Callable[..., Graph], render_factor: int, saturation: float = 1.0
    ) -> None:
        self._graph = graph
        self._render_factor = render_factor
        self._saturation = saturation

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(width, height) that the network sees: aspect kept, as far as multiples of 16 allow."""
        scale = self._render_factor / min(height, width)
        return 16 * max(1, round(width * scale)), 16 * max(1, round(height * scale))

    def reduced(self, luma: np.ndarray) -> np.ndarray:
        """Luma [H, W] at the network's size."""
        return cv2.resize(luma, self.size(*luma.shape), interpolation=cv2.INTER_AREA)

    def chroma(self, luma: np.ndarray) -> np.ndarray:
        """a* and b*, float32 [h, w, 2], of luma [h, w]."""
        (chroma,) = self._graph(luma=(1, 1, None, None))(luma[None, None])
        return chroma[0].transpose(1, 2, 0) * np.float32(AB_SCALE * self._saturation)

    def joined(self, luma: np.ndarray, small: np.ndarray, chroma: np.ndarray) -> np.ndarray:
        """RGB [H, W, 3] of luma [H, W] and the chroma of `small`."""
        return with_luma(luma, upsampled(chroma, small, luma))


class PublishedColors:
    """How DeOldify and PaddleGAN color, in their steps, but in float32 throughout.

    The network sees the picture as a square, and gives one in RGB; of that only the chroma is
    taken, enlarged as it is. PaddleGAN takes red for blue there, and so changes the luma by 0.185
    times their difference; jantic's code and this keep it.
    """

    def __init__(self, graph: Callable[..., Graph], render_factor: int) -> None:
        self._graph = graph
        self._side = 16 * render_factor
        # Windows share neighbors, and the network takes seconds.
        self._chroma_of = lru_cache(2 * REACH)(self._colored)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(width, height) that the network sees."""
        return self._side, self._side

    def reduced(self, luma: np.ndarray) -> np.ndarray:
        """Luma [H, W] at the network's size."""
        return _resized(luma, self._side, self._side)

    def chroma(self, luma: np.ndarray) -> np.ndarray:
        """RGB less its luma, float32 [h, w, 3], of luma [h, w]."""
        return self._chroma_of(luma.tobytes())

    def _colored(self, luma_bytes: bytes) -> np.ndarray:
        luma = np.frombuffer(luma_bytes, np.float32).reshape(self._side, self._side)
        image = (luma[..., None] - IMAGENET_MEAN) / IMAGENET_DEVIATION
        network = self._graph(image=(1, 3, None, None))
        (colored,) = network(np.ascontiguousarray(image.transpose(2, 0, 1)[None]))
        color = colored[0].transpose(1, 2, 0) * IMAGENET_DEVIATION + IMAGENET_MEAN
        return less_luma(np.clip(color, 0, 1))

    def joined(self, luma: np.ndarray, small: np.ndarray, chroma: np.ndarray) -> np.ndarray:
        """RGB [H, W, 3] of luma [H, W] and the chroma of `small`."""
        height, width = luma.shape
        planes = [_resized(plane, width, height) for plane in chroma.transpose(2, 0, 1)]
        return in_gamut(luma, np.stack(planes, 2))


def _resized(plane: np.ndarray, width: int, height: int) -> np.ndarray:
    """float32 [h, w] at another size: bilinear, and an average where it becomes smaller."""
    image = Image.fromarray(np.ascontiguousarray(plane, np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def steadied(lumas: list[np.ndarray], chromas: list[np.ndarray], index: int) -> np.ndarray:
    """The chroma of one frame, averaged with that of its neighbors along their motion.

    lumas: float32 [h, w] each, in [0, 1]. chromas: float32 [h, w, c] each. A neighbor counts where
    it shows, once warped, the luma that the frame has.
    """
    luma = lumas[index]
    total, weight = chromas[index].copy(), np.ones((*luma.shape, 1), np.float32)
    for other in range(max(index - REACH, 0), min(index + REACH + 1, len(lumas))):
        if other == index:
            continue
        motion = flow(luma[..., None], lumas[other][..., None])
        # Flicker changes all of a frame a little, and is no sign of another thing.
        gain = np.clip(luma.mean() / max(lumas[other].mean(), 1e-3), 0.85, 1.18)
        difference = cv2.blur(warp(lumas[other], motion) * gain - luma, (3, 3))
        sure = np.exp(-np.square(difference / 0.06))[..., None]
        total += sure * warp(chromas[other], motion)
        weight += sure
    return total / weight


def upsampled(
    chroma: np.ndarray, small: np.ndarray, luma: np.ndarray, radius: int = 2, epsilon: float = 4e-3
) -> np.ndarray:
    """Chroma at the size of `luma`, with edges where luma has them.

    chroma: float32 [h, w, 2]; small: luma [h, w] of the same size; luma: [H, W].
    Method: the fast guided filter (He and Sun, 2015): around every small pixel chroma is a line in
    luma; the lines' coefficients are enlarged, and read with the large luma.
    """
    box = (2 * radius + 1, 2 * radius + 1)
    mean = cv2.blur(small, box)[..., None]
    mean_chroma = cv2.blur(chroma, box)
    variance = cv2.blur(small * small, box)[..., None] - mean * mean
    covariance = cv2.blur(small[..., None] * chroma, box) - mean * mean_chroma
    slope = covariance / (variance + epsilon)
    lines = np.concatenate([slope, mean_chroma - slope * mean], axis=2)
    lines = cv2.resize(cv2.blur(lines, box), luma.shape[::-1], interpolation=cv2.INTER_LINEAR)
    # Grain is no edge.
    guide = cv2.GaussianBlur(luma, (0, 0), 1.0)[..., None]
    return lines[..., :2] * guide + lines[..., 2:]


def with_luma(luma: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """RGB float32 [h, w, 3] in [0, 1] with exactly this luma, and as much of the chroma as fits.

    luma: BT.601, [h, w] in [0, 1]. chroma: a* and b*, [h, w, 2].
    """
    lightness = cv2.cvtColor(cv2.merge([luma] * 3), cv2.COLOR_RGB2LAB)[..., :1]
    lab = np.concatenate([lightness, chroma], axis=2)
    color = cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB)
    return in_gamut(luma, less_luma(color))


def less_luma(color: np.ndarray) -> np.ndarray:
    """RGB [h, w, 3] less its luma: how far it is from gray."""
    return color - (color @ LUMA)[..., None]


def in_gamut(luma: np.ndarray, difference: np.ndarray) -> np.ndarray:
    """RGB in [0, 1] with exactly this luma, and as much of the difference from gray as fits.

    luma: [h, w] in [0, 1]. difference: [h, w, 3], whose own luma is 0.
    """
    luma = luma[..., None]
    room = np.where(difference > 0, 1 - luma, luma) / np.maximum(np.abs(difference), 1e-6)
    return luma + difference * np.minimum(room.min(axis=2, keepdims=True), 1)
