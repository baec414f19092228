"""EDVR: four times the size, each frame from the five around it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from oldfilm.apps.base import Predictor, as_output
from oldfilm.stage import FilmInfo, Option, SizeRequirement, Tiling, Window

BS = Option("bs", int, 1, "frames that the network takes at once", minimum=1, metavar="N")

REACH = 2
"""Frames on either side of one that it is restored from."""


class EDVRPredictor(Predictor):
    """Enlarges a film or a photograph four times; nothing is handed on from frame to frame."""

    name = "EDVR"
    config = "edvr"
    options = (*Predictor.options, BS)
    scale = 4
    size = SizeRequirement(minimum=32, multiple_of=4)
    tiling: Tiling = Tiling(max_pixels=60_000)

    def __init__(
        self,
        output: str = "output",
        weight_path: str | None = None,
        bs: int = 1,
        *,
        variant: str = "auto",
        device: str | None = None,
    ) -> None:
        """As `Predictor`; bs: how many frames the network, whose memory grows by it, takes at once.

        Raises:
            OptionError: bs is below 1.
        """
        self.bs = BS.check(bs)
        super().__init__(output, weight_path, variant=variant, device=device)
        # At a shot's ends, twice the reach: see `neighbors`.
        self.window = Window(core=bs, before=2 * REACH, after=2 * REACH)

    def bytes_per_frame(self, info: FilmInfo) -> int:
        """What one more frame in the window takes, besides the network's own memory, in float32.

        As it came, as padded and as the network takes it five times (3 values a pixel each), and,
        of the core's frames, the result.
        """
        pixels = info.width * info.height
        window = self.window
        cores = window.core / (window.core + window.before + window.after)
        return int(4 * 3 * (2 + (5 + 2 * self.scale**2) * cores) * pixels)

    def restore(self, frames: np.ndarray, core: slice) -> Iterator[np.ndarray]:
        """As `Predictor.restore`; luma is enlarged as gray RGB, and comes back as luma."""
        count, height, width, channels = frames.shape
        colored = np.broadcast_to(frames, (count, height, width, 3)).transpose(0, 3, 1, 2)
        seen = [neighbors(index, count) for index in range(count)[core]]
        (enlarged,) = self.graph(export=False)(np.ascontiguousarray(colored[np.array(seen)]))
        for image in enlarged:
            yield as_output(image[None], channels)


def neighbors(index: int, count: int) -> list[int]:
    """The five of `count` frames of a shot that the frame `index` is restored from.

    PaddleGAN's `new_info` padding: in place of a neighbor that is not there comes the next one on
    the other side, so that 0 has 4, 3, 0, 1, 2; in a shot too short for that, its last there.
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
