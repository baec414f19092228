"""BasicVSR, IconVSR and BasicVSR++: recurrent networks that enlarge a clip at a time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from oldfilm.apps.base import Predictor, as_output
from oldfilm.imaging.color import as_rgb
from oldfilm.networks import propagation
from oldfilm.pipeline import PredictorNames
from oldfilm.stage import FilmFacts, FilmInfo, Frame, Option, SizeRequirement, Tiling, Window

NUM_FRAMES = Option(
    "num_frames",
    int,
    None,
    "frames restored together; by default 10, lite 24 to 64; fewer if memory is short",
    minimum=1,
    metavar="N",
)


class RecurrentPredictor(Predictor):
    """Enlarges a film or a photograph with a network that takes a whole clip.

    The network maps RGB [1, t, 3, h, w] in [0, 1] to [1, t, 3, scale * h, scale * w]; if it returns
    several clips, the last one is used. PaddleGAN cuts a film into separate clips. Here a window
    also includes neighbors on both sides, which makes the seams nearly invisible.
    """

    options = (*Predictor.options, NUM_FRAMES)
    scale = 4
    window = Window(core=10, before=3, after=3)
    size = SizeRequirement(minimum=64)
    tiling = Tiling(max_pixels=60_000)

    exported_tiling: Tiling | None = None
    """Replaces `tiling` with exported graphs, which need less memory."""

    features = 64
    """Values per pixel that the network keeps of every frame until the clip is done."""

    def __init__(
        self,
        output: str = "output",
        weight_path: str | None = None,
        num_frames: int | None = None,
        *,
        variant: str = "auto",
        device: str | None = None,
        network_engine: str = "auto",
    ) -> None:
        """As `Predictor`. num_frames: frames enlarged together, fewer if memory is short; by
        default 10, and with the lite weights 24 to 64, more of small frames.

        Raises:
            OptionError: num_frames is below 1.
        """
        NUM_FRAMES.check(num_frames)
        super().__init__(
            output, weight_path, variant=variant, device=device, network_engine=network_engine
        )
        self.window = replace(self.window, core=num_frames or self.window.core)
        self.num_frames = self.window.core
        self.window_is_given = num_frames is not None
        if self.exports and "tiling" not in self.settings:
            self.tiling = self.exported_tiling or self.tiling

    def bytes_per_frame(self, info: FilmInfo) -> int:
        """Return the memory of one more frame in the window, in float32 values.

        Of the whole frame: the input, unpadded and padded (3 values a pixel each), and with tiles,
        the core's result that the tiles are written to. Of a tile: the network's input, twice, its
        `features`, and its result, twice.
        """
        pixels = info.width * info.height
        largest = self.tiling.max_pixels if self.tiling else pixels
        large = 3 * self.scale**2
        whole = 6 + (large * self.window.core_share if pixels > largest else 0)
        tile = 6 + self.features + 2 * large
        return int(4 * (whole * pixels + tile * min(pixels, largest)))

    def restore(self, frames: np.ndarray, core: slice) -> Iterator[np.ndarray]:
        """Enlarge the core; luma is enlarged as gray RGB and returned as luma."""
        clip = np.ascontiguousarray(as_rgb(frames).transpose(0, 3, 1, 2)[None], np.float32)
        for image in self.enlarge(clip, core):
            yield as_output(image, frames.shape[3])

    def enlarge(self, clip: np.ndarray, core: slice) -> Iterator[np.ndarray]:
        """Run the network on a clip: on a CPU step by step, with exported graphs.

        clip: float32 [1, t, 3, h, w]. core: the frames to enlarge.
        Yields [1, 3, scale * h, scale * w], not clipped.
        """
        if self.exports:
            yield from self.through_clip(list(clip.swapaxes(0, 1)), core)
        else:
            yield from self.at_once(clip)[:, core].swapaxes(0, 1)

    def at_once(self, clip: np.ndarray) -> np.ndarray:
        """Run the whole network on a clip, on Paddle; as `enlarge`, but the result is one array."""
        return self.graph(export=False)(clip)[-1]

    @abstractmethod
    def through_clip(self, frames: list[np.ndarray], core: slice) -> Iterator[np.ndarray]:
        """Yield the enlarged frames of the core, made with `step`.

        frames: float32 [1, 3, h, w]. Yields [1, 3, scale * h, scale * w], not clipped.
        """


class BasicVSRPredictor(RecurrentPredictor):
    """BasicVSR (Chan et al., CVPR 2021)."""

    name = "BasicVSR"
    result_names = PredictorNames("BasiVSR")
    config = "basicvsr"

    @property
    def channels(self) -> int:
        """Channels of the features that propagate."""
        return self.weights.variant.settings.get("mid_channels", 64)

    def through_clip(self, frames: list[np.ndarray], core: slice) -> Iterator[np.ndarray]:
        """As `RecurrentPredictor.through_clip`."""
        nothing = np.zeros((1, self.channels, *frames[0].shape[2:]), np.float32)
        return propagation.basicvsr(self.step, frames, nothing, core)


class BasicVSRPlusPlusPredictor(RecurrentPredictor):
    """BasicVSR++ (Chan et al., CVPR 2022)."""

    name = "BasicVSRPlusPlus"
    result_names = PredictorNames("BasiVSR_PP")
    config = "basicvsr_plus_plus"
    features = 5 * 64 + 2 * 2  # the frame's own and four branches'; flow both ways

    def through_clip(self, frames: list[np.ndarray], core: slice) -> Iterator[np.ndarray]:
        """As `RecurrentPredictor.through_clip`."""
        return propagation.basicvsr_plus_plus(self.step, frames, core)


BasiVSRPlusPlusPredictor = BasicVSRPlusPlusPredictor
"""PaddleGAN's spelling."""


class IconVSRPredictor(RecurrentPredictor):
    """IconVSR (Chan et al., CVPR 2021).

    Keyframes are counted from the first frame of the shot, so that they do not depend on where
    windows begin. The first and last frame of a window are keyframes too, like those of a clip in
    the published code.
    """

    name = "IconVSR"
    config = "iconvsr"
    size = SizeRequirement(minimum=64, multiple_of=4)
    features = 64 + 64 // 4  # and a keyframe's: every fifth frame, and two more

    first_number: int
    """Number in its shot of the first frame of the current window."""

    def analyze(self, info: FilmInfo, facts: FilmFacts) -> None:
        """Remember the cuts and the number of frames per second of the source."""
        self._rate = info.rate * info.slowdown
        self._starts = (Fraction(0), *facts.cuts)

    def process(self, frames: Sequence[Frame], core: slice) -> Iterator[Frame]:
        """As `Predictor.process`; counts the frames of the shot before these."""
        first = frames[0].time
        start = max(start for start in self._starts if start <= first)
        self.first_number = round((first - start) * self._rate)
        return super().process(frames, core)

    def at_once(self, clip: np.ndarray) -> np.ndarray:
        """As `RecurrentPredictor.at_once`."""
        return self.graph(export=False)(clip, np.array(self.first_number))[-1]

    def through_clip(self, frames: list[np.ndarray], core: slice) -> Iterator[np.ndarray]:
        """As `RecurrentPredictor.through_clip`."""
        settings = self.weights.variant.settings
        stride = settings.get("keyframe_stride", 5)
        keyframes = propagation.keyframes_of(len(frames), self.first_number, stride)
        reach = settings.get("padding", 2)
        return propagation.iconvsr(self.step, frames, keyframes, reach, core)
