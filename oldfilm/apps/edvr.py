"""EDVR: enlarge each frame four times from the five frames around it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from oldfilm.apps.base import Predictor, as_output
from oldfilm.imaging.color import as_rgb
from oldfilm.networks import propagation
from oldfilm.pipeline import PredictorNames
from oldfilm.stage import FilmInfo, Option, SizeRequirement, Tiling, Window

BS = Option("bs", int, 1, "frames that the network takes at once", minimum=1, metavar="N")

REACH = 2
"""Neighbors on either side that the network takes."""

EXPORTED_CORE = 8
"""Frames of a window with exported graphs, which take them one by one: the more there are, the
fewer features of a frame are computed again for its neighbors."""


class EDVRPredictor(Predictor):
    """Enlarges a film or a photograph four times, without recurrence (Wang et al., CVPRW 2019)."""

    name = "EDVR"
    result_names = PredictorNames("EDVR", "{base}_edvr_out")
    config = "edvr"
    options = (*Predictor.options, BS)
    scale = 4
    size = SizeRequirement(minimum=32, multiple_of=4)
    tiling = Tiling(max_pixels=60_000)

    def __init__(
        self,
        output: str = "output",
        weight_path: str | None = None,
        bs: int = 1,
        *,
        variant: str = "auto",
        device: str | None = None,
        network_engine: str = "auto",
    ) -> None:
        """As `Predictor`. bs: frames per batch on Paddle; the network's memory grows with it.

        Raises:
            OptionError: bs is below 1.
        """
        self.bs = BS.check(bs)
        super().__init__(
            output, weight_path, variant=variant, device=device, network_engine=network_engine
        )
        # Twice the reach: at the ends of a shot, `neighbors` takes frames from the other side.
        core = max(bs, EXPORTED_CORE) if self.exports else bs
        self.window = Window(core=core, before=2 * REACH, after=2 * REACH)

    def bytes_per_frame(self, info: FilmInfo) -> int:
        """Return the memory of one more frame in the window, without the network's own.

        In float32, 3 values a pixel each: the input, unpadded and padded, and of the core's frames
        five copies in the network's input, and the result.
        """
        pixels = info.width * info.height
        return int(4 * 3 * (2 + (5 + 2 * self.scale**2) * self.window.core_share) * pixels)

    def restore(self, frames: np.ndarray, core: slice) -> Iterator[np.ndarray]:
        """Enlarge the core; luma is enlarged as gray RGB and returned as luma."""
        count, channels = frames.shape[0], frames.shape[3]
        colored = np.ascontiguousarray(as_rgb(frames).transpose(0, 3, 1, 2), np.float32)
        seen = [neighbors(index, count) for index in range(count)[core]]
        enlarged = self._enlarged if self.exports else self._enlarged_at_once
        for image in enlarged(colored, seen):
            yield as_output(image[None], channels)

    def _enlarged(self, frames: np.ndarray, windows: list[list[int]]) -> Iterator[np.ndarray]:
        """Enlarge the center of each window of frames [t, 3, h, w], step by step."""
        clip = [frame[None] for frame in frames]
        yield from (image[0] for image in propagation.edvr(self.step, clip, windows))

    def _enlarged_at_once(self, frames: np.ndarray, windows: list[list[int]]) -> np.ndarray:
        """Enlarge the center of each window of frames [t, 3, h, w] as one batch."""
        return self.graph(export=False)(frames[np.array(windows)])[0]


def neighbors(index: int, count: int) -> list[int]:
    """Return the numbers of the five frames that frame `index` is restored from.

    PaddleGAN's `new_info` padding: a missing neighbor is replaced with the next one on the other
    side, so that frame 0 has 4, 3, 0, 1, 2. A shot that is too short for that repeats its first or
    last frame.
    count: frames of the shot.
    """
    first, last = index - REACH, index + REACH
    found = []
    for number in range(first, last + 1):
        if number < 0:
            number = last - number
        elif number >= count:
            number = first - (number - (count - 1))
        found.append(min(max(number, 0), count - 1))
    return found
