"""The recurrent networks that enlarge film four times, a clip at a time: BasicVSR and its heirs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from oldfilm.apps.base import Predictor, as_output
from oldfilm.stage import FilmFacts, FilmInfo, Frame, Option, SizeRequirement, Tiling, Window

NUM_FRAMES = Option(
    "num_frames",
    int,
    10,
    "frames restored together; fewer if memory is short",
    minimum=1,
    metavar="N",
)


class RecurrentPredictor(Predictor):
    """Enlarges a film or a photograph four times, with a network that sees a whole clip at once.

    A window is one clip: [1, t, 3, h, w] goes in, [1, t, 3, 4h, 4w] comes out, RGB in [0, 1]; of a
    network with several results the last one is taken. PaddleGAN cuts a film into clips that know
    nothing of each other; here a window also sees its neighbors, so that hardly a seam is left.
    """

    options = (*Predictor.options, NUM_FRAMES)
    scale = 4
    window = Window(core=10, before=3, after=3)
    size = SizeRequirement(minimum=64)
    tiling: Tiling = Tiling(max_pixels=60_000)

    kept = 64
    """Features that the network keeps of every frame until the clip is done, for each pixel."""

    def __init__(
        self,
        output: str = "output",
        weight_path: str | None = None,
        num_frames: int = 10,
        *,
        variant: str = "auto",
        device: str | None = None,
    ) -> None:
        """As `Predictor`; num_frames: how many frames are enlarged at once, memory allowing.

        Raises:
            OptionError: num_frames is below 1.
        """
        self.num_frames = NUM_FRAMES.check(num_frames)
        super().__init__(output, weight_path, variant=variant, device=device)
        self.window = replace(self.window, core=num_frames)

    def bytes_per_frame(self, info: FilmInfo) -> int:
        """What one more frame in the window keeps until the window is done, in float32.

        Of the whole frame: as it came and as padded (3 values a pixel each), and, where there are
        tiles, the result of the core's frames, which the tiles are laid into. Of a tile: the
        network's input, twice, its features (`kept`) and its result, twice.
        """
        pixels = info.width * info.height
        large = 3 * self.scale**2
        window = self.window
        cores = window.core / (window.core + window.before + window.after)
        whole = 6 + (large * cores if pixels > self.tiling.max_pixels else 0)
        tile = 6 + self.kept + 2 * large
        return int(4 * (whole * pixels + tile * min(pixels, self.tiling.max_pixels)))

    def restore(self, frames: np.ndarray, core: slice) -> Iterator[np.ndarray]:
        """As `Predictor.restore`; luma is enlarged as gray RGB, and comes back as luma."""
        channels = frames.shape[3]
        colored = np.broadcast_to(frames, (*frames.shape[:3], 3))
        clip = np.ascontiguousarray(colored.transpose(0, 3, 1, 2)[None], np.float32)
        for image in self.enlarged(clip)[0, core]:
            yield as_output(image[None], channels)

    def enlarged(self, clip: np.ndarray) -> np.ndarray:
        """[1, t, 3, 4h, 4w] of [1, t, 3, h, w], not clipped.

        It runs on Paddle's dynamic graph: an exported one would hold for one number of frames.
        """
        return self.graph(export=False)(clip)[-1]


class BasicVSRPredictor(RecurrentPredictor):
    """BasicVSR."""

    name = "BasicVSR"
    config = "basicvsr"


class BasicVSRPlusPlusPredictor(RecurrentPredictor):
    """BasicVSR++."""

    name = "BasicVSRPlusPlus"
    config = "basicvsr_plus_plus"
    kept = 5 * 64 + 2 * 2  # A frame's own, and what four branches found; flow both ways.


BasiVSRPlusPlusPredictor = BasicVSRPlusPlusPredictor
"""PaddleGAN's spelling."""


class IconVSRPredictor(RecurrentPredictor):
    """IconVSR.

    Its keyframes are counted from the first frame of the shot, wherever a window begins, so that
    they do not depend on how a film is divided; a window's first and last frame are keyframes too,
    as those of a whole clip are.
    """

    name = "IconVSR"
    config = "iconvsr"
    size = SizeRequirement(minimum=64, multiple_of=4)
    kept = 64 + 64 // 4  # The keyframes' besides: of every fifth frame, and of two more.

    def analyze(self, info: FilmInfo, facts: FilmFacts) -> None:
        """Take where the shots begin, and how many frames there are of a second of the source."""
        self._rate = info.rate * info.slowdown
        self._starts = (Fraction(0), *facts.cuts)

    def process(self, frames: Sequence[Frame], core: slice) -> Iterator[Frame]:
        """As `Predictor.process`, after counting the shot's frames before these."""
        first = frames[0].time
        start = max(start for start in self._starts if start <= first)
        self._number = round((first - start) * self._rate)
        return super().process(frames, core)

    def enlarged(self, clip: np.ndarray) -> np.ndarray:
        """As `RecurrentPredictor.enlarged`."""
        return self.graph(export=False)(clip, np.array(self._number))[-1]
